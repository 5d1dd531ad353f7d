//! The files of a session: what is asked for, and what is sent back to the client.

use std::io::{self, Write};

use base::percent;
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use super::Session;
use crate::grpc::{ClientStream, Code, Status};
use crate::proto::Chunk;

const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const PULL: &str = "/moby.upload.v1.Upload/Pull";
/// So many bytes of a file that is sent back go in one message.
const PIECE: usize = 1 << 20;

/// Which files of a client are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// The name under which the client offers the folder: `context`, `dockerfile`, or a named context's.
    pub dir: String,
    /// These and what they lead to by links; all when none.
    pub follow: Vec<String>,
    /// Not these, by the rules of `.dockerignore`.
    pub exclude: Vec<String>,
}

impl Wanted {
    /// As metadata of the call.
    fn metadata(&self) -> Result<Vec<(HeaderName, HeaderValue)>, Status> {
        let mut all = Vec::new();
        let dir = std::slice::from_ref(&self.dir);
        put(&mut all, "dir-name", dir)?;
        put(&mut all, "followpaths", &self.follow)?;
        put(&mut all, "exclude-patterns", &self.exclude)?;
        Ok(all)
    }
}

/// Values that are not plain ASCII go escaped, all of one name or none.
fn put(
    all: &mut Vec<(HeaderName, HeaderValue)>,
    name: &'static str,
    values: &[String],
) -> Result<(), Status> {
    let plain = values.iter().all(|value| value.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    let header = HeaderName::from_static(name);
    for value in values {
        let text = if plain { value.clone() } else { percent::encode(value) };
        let value = HeaderValue::from_str(&text)
            .map_err(|_| Status::new(Code::InvalidArgument, format!("`{value}` cannot be asked for")))?;
        all.push((header.clone(), value));
    }
    if !plain {
        let marker = match name {
            "dir-name" => "dir-name-encoded",
            "followpaths" => "followpaths-encoded",
            _ => "exclude-patterns-encoded",
        };
        all.push((HeaderName::from_static(marker), HeaderValue::from_static("1")));
    }
    Ok(())
}

impl Session {
    /// Asks for files; what comes is read by [`crate::receive`].
    pub(crate) fn files(&self, wanted: &Wanted) -> Result<ClientStream, Status> {
        if !self.offers(DIFF_COPY) {
            return Err(Status::failed("the client offers no files in its session"));
        }
        self.channel.stream(DIFF_COPY, &wanted.metadata()?)
    }

    /// Asks for what the client uploads under this path, such as a context that it read from its standard input.
    pub(crate) fn upload(&self, path: &str) -> Result<ClientStream, Status> {
        if !self.offers(PULL) {
            return Err(Status::failed("the client offers no upload in its session"));
        }
        let path = HeaderValue::from_str(path)
            .map_err(|_| Status::new(Code::InvalidArgument, format!("`{path}` is no path of an upload")))?;
        self.channel.stream(PULL, &[(HeaderName::from_static("urlpath"), path)])
    }

    /// Opens the folder that the client takes results into, or the file; the number says which of its outputs.
    pub(crate) fn send_back(&self, output: usize) -> Result<ClientStream, Status> {
        if !self.offers(FILE_SEND) {
            return Err(Status::failed("the client takes no files in its session"));
        }
        let id = HeaderValue::from(output);
        self.channel.stream(FILE_SEND, &[(HeaderName::from_static("buildkit-attachable-exporter-id"), id)])
    }
}

/// A file on its way to the client, for code that may wait.
pub(crate) struct Sending {
    stream: ClientStream,
    runtime: tokio::runtime::Handle,
    buffer: Vec<u8>,
}

impl Sending {
    pub(crate) fn new(stream: ClientStream) -> Self {
        Self { stream, runtime: tokio::runtime::Handle::current(), buffer: Vec::with_capacity(PIECE) }
    }

    /// Sends what is left and waits until the client has it all.
    pub(crate) fn finish(mut self) -> Result<(), Status> {
        self.flush().map_err(|error| Status::failed(error.to_string()))?;
        let Self { stream, runtime, .. } = self;
        runtime.block_on(stream.finish())
    }
}

impl Write for Sending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..take]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(take)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let data = Bytes::from(std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE)));
        self.runtime.block_on(self.stream.send(&Chunk { data })).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests;
