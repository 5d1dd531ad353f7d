//! The messages that come in: of a call at the server, of an answer at the client.

use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use prost::Message;

use super::frame::Decoder;
use super::status::{Code, Status};

/// Messages as they come.
pub(crate) struct Messages {
    body: Incoming,
    decoder: Decoder,
    trailers: Option<HeaderMap>,
}

impl Messages {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body, decoder: Decoder::default(), trailers: None }
    }

    /// The next one; none when the other end has said all.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        loop {
            if let Some(message) = self.decoder.next()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.decoder.push(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
                },
                Some(Err(error)) => return Err(Status::new(Code::Unavailable, gone(&error))),
                None if self.decoder.is_empty() => return Ok(None),
                None => return Err(Status::new(Code::Internal, "the last message was cut")),
            }
        }
    }

    /// What came after the last message.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

fn gone(error: &hyper::Error) -> String {
    format!("the other end is gone: {error}")
}
