//! Bytes both ways between a client and an instance, each way with its own end: upgrades and plain TCP.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::buffer::{Buffers, Input};
use crate::limits::BUFFER_BYTES;
use crate::local::Upstream;
use crate::stream::Stream;
use crate::watch::{Activity, Watched};
use crate::worker::Worker;

/// One direction.
struct Way {
    /// The reading side has ended.
    ended: bool,
    /// The end was passed on.
    shut: bool,
    moved: u64,
}

impl Way {
    fn new() -> Self {
        Self { ended: false, shut: false, moved: 0 }
    }

    /// Moves bytes until one side blocks; ready when the end was passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        input: &mut Input,
        to: &mut Stream,
        buffers: &Buffers,
    ) -> Poll<io::Result<()>> {
        while !self.shut {
            if !input.is_empty() {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, input.filled()))?;
                input.consume(count);
                self.moved += count as u64;
            } else if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.shut = true;
            } else {
                // A tunnel at rest holds no buffer.
                if from.poll_read_ready(cx).is_pending() {
                    input.rest(buffers);
                    return Poll::Pending;
                }
                self.ended = ready!(input.poll_fill(cx, from, buffers, BUFFER_BYTES))? == 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Runs until both ways have ended, one has broken, or nothing has moved for long.
pub(crate) async fn run(
    worker: &Rc<Worker>,
    mut client: Stream,
    mut from_client: Input,
    watched: Watched,
    mut up: Upstream,
) {
    let (mut forth, mut back) = (Way::new(), Way::new());
    watched.within(worker.settings.tunnel_idle);
    watched.watch.set_activity(Activity::Busy);
    let broken = poll_fn(|cx| {
        if watched.watch.is_late() {
            return Poll::Ready(true);
        }
        watched.watch.enrol(cx);
        let before = forth.moved + back.moved;
        let one = forth.poll(cx, &mut client, &mut from_client, &mut up.stream, &worker.buffers);
        let two = back.poll(cx, &mut up.stream, &mut up.input, &mut client, &worker.buffers);
        if forth.moved + back.moved != before {
            watched.within(worker.settings.tunnel_idle);
        }
        match (one, two) {
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(true),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(false),
            (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
        }
    })
    .await;
    if broken {
        // What one side lost, the other must not take for an orderly end.
        for stream in [&mut client, &mut up.stream] {
            stream.break_off();
        }
    }
}
