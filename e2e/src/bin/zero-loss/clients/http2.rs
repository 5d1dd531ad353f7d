//! Requests over streams of HTTP/2, several at once on a connection.

use std::rc::Rc;
use std::time::Instant;

use base::Rng;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Error, Reason, RecvStream};
use http::{HeaderMap, Method, Request};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::{Ask, PATIENCE, World};
use crate::book::{Fault, Kind};

/// A connection that takes requests; another takes its place when it does not any more.
#[derive(Default)]
pub(crate) struct Lane {
    open: Mutex<Option<(u64, SendRequest<Bytes>)>>,
}

impl Lane {
    /// One that takes requests, with its number.
    async fn get(&self, world: &World) -> Result<(u64, SendRequest<Bytes>), Fault> {
        let mut open = self.open.lock().await;
        if let Some(open) = &*open {
            return Ok(open.clone());
        }
        let tcp = TcpStream::connect(world.edge).await.map_err(Fault::broken)?;
        let _ = tcp.set_nodelay(true);
        let (sender, connection) = h2::client::handshake(tcp).await.map_err(Fault::broken)?;
        tokio::task::spawn_local(connection);
        let made = (world.book.number(), sender);
        *open = Some(made.clone());
        Ok(made)
    }

    /// This one takes none any more.
    async fn over(&self, number: u64) {
        let mut open = self.open.lock().await;
        if open.as_ref().is_some_and(|open| open.0 == number) {
            *open = None;
        }
    }
}

/// One after the other, each on a stream of its own.
pub(crate) async fn ask(world: Rc<World>, lane: Rc<Lane>, mut rng: Rng) {
    while !world.book.is_over() {
        let ask = Ask::draw(&world, &mut rng);
        let began = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, answered(&world, &lane, &ask)).await;
        match answered.unwrap_or_else(|_| Err(Fault::broken("no answer in time"))) {
            Ok(()) => world.book.good(Kind::Http2, began),
            Err(fault) => world.book.failed(Kind::Http2, began, fault),
        }
    }
}

/// Asks until the other side takes the request: one that says that it has not begun it leaves it to us to ask again.
async fn answered(world: &World, lane: &Lane, ask: &Ask) -> Result<(), Fault> {
    loop {
        let (number, sender) = lane.get(world).await?;
        let Ok(mut sender) = sender.ready().await else {
            lane.over(number).await;
            continue;
        };
        match once(&mut sender, ask).await {
            Err(Outcome::NotBegun) => {
                world.book.again();
                lane.over(number).await;
            }
            Err(Outcome::Failed(fault)) => {
                lane.over(number).await;
                return Err(fault);
            }
            Ok(()) => return Ok(()),
        }
    }
}

enum Outcome {
    NotBegun,
    Failed(Fault),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        let behind_the_end =
            error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        if refused || behind_the_end { Self::NotBegun } else { Self::Failed(Fault::broken(error)) }
    }
}

async fn once(sender: &mut SendRequest<Bytes>, ask: &Ask) -> Result<(), Outcome> {
    let method = if ask.body.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder().method(method).uri(format!("http://zero.example{}", ask.path)).body(());
    let request = request.map_err(|error| Outcome::Failed(Fault::broken(error)))?;
    let (answer, mut body) = sender.send_request(request, ask.body.is_none())?;
    if let Some(sent) = ask.body {
        body.send_data(Bytes::from_static(sent), true)?;
    }
    let (head, mut body) = answer.await?.into_parts();
    let instance = text(&head.headers, "x-instance");
    let got = whole(&mut body).await.map_err(|error| Outcome::Failed(Fault::torn(instance, error)))?;
    let id = text(&head.headers, "x-id").parse().ok();
    let said = (head.status.as_u16(), id);
    ask.check(said, text(&head.headers, "x-sea-refused"), &got).map_err(Outcome::Failed)
}

fn text<'a>(fields: &'a HeaderMap, name: &str) -> &'a str {
    fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn whole(body: &mut RecvStream) -> Result<Vec<u8>, Error> {
    let mut got = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        got.extend_from_slice(&data);
    }
    Ok(got)
}
