//! Connections are used without the runtime while they need not be waited for, and with it from then on.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::task::{Context, Poll, Waker};

use rustix::net::SocketFlags;

use super::{Link, State, UNWATCHED};

/// Both ends of a connection, ours as it is taken in.
fn pair() -> (TcpStream, Link) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    rustix::net::sockopt::set_tcp_nodelay(&listener, true).expect("a TCP socket");
    rustix::net::sockopt::set_tcp_quickack(&listener, false).expect("a TCP socket");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    client.set_nodelay(true).expect("a TCP socket");
    let ours = rustix::net::accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC);
    (client, Link::fresh(ours.expect("a connection")))
}

async fn read(link: &mut Link) -> Vec<u8> {
    let mut space = [0; 64];
    let count = poll_fn(|cx| link.poll_read(cx, &mut space)).await.expect("bytes or the end");
    space[..count].to_vec()
}

#[tokio::test]
async fn what_is_there_is_read_without_the_runtime() {
    let (mut client, mut link) = pair();
    client.write_all(b"one").expect("room");
    assert_eq!(read(&mut link).await, b"one");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(link.poll_write(&mut cx, b"two"), Poll::Ready(Ok(3))), "there is room");
    assert!(matches!(link.state, State::Fresh(..)), "nothing was waited for");
    link.shut_down().expect("it is open");
    let mut heard = String::new();
    client.read_to_string(&mut heard).expect("an end");
    assert_eq!(heard, "two");
}

#[tokio::test]
async fn who_waits_is_woken() {
    let (mut client, mut link) = pair();
    let (ready, waits) = tokio::sync::oneshot::channel();
    let mut ready = Some(ready);
    let reading = async {
        let mut space = [0; 64];
        let count = poll_fn(|cx| {
            let polled = link.poll_read(cx, &mut space);
            if polled.is_pending() {
                let _ = ready.take().map(|ready| ready.send(()));
            }
            polled
        })
        .await
        .expect("bytes");
        space[..count].to_vec()
    };
    let writing = async {
        waits.await.expect("the reader waits");
        client.write_all(b"late").expect("room");
        client
    };
    let (heard, client) = tokio::join!(reading, writing);
    assert_eq!(heard, b"late");
    assert!(!matches!(link.state, State::Fresh(..)), "it was waited for");
    drop(client);
    assert_eq!(read(&mut link).await, b"", "the end is read too");
}

#[tokio::test]
async fn a_full_way_is_waited_for() {
    let (mut client, mut link) = pair();
    let block = vec![7; 1 << 16];
    let mut cx = Context::from_waker(Waker::noop());
    let mut wrote = 0;
    while let Poll::Ready(count) = link.poll_write(&mut cx, &block) {
        wrote += count.expect("an open connection");
    }
    assert!(!matches!(link.state, State::Fresh(..)), "it is to be woken");
    let reading = tokio::task::spawn_blocking(move || {
        let mut heard = vec![0; wrote];
        client.read_exact(&mut heard).expect("all of it");
        client
    });
    let more = poll_fn(|cx| link.poll_write(cx, b"more")).await.expect("room again");
    assert_eq!(more, 4);
    let mut client = reading.await.expect("a reader");
    let mut rest = [0; 4];
    client.read_exact(&mut rest).expect("the rest");
    assert_eq!(&rest, b"more");
}

#[tokio::test]
async fn nobody_keeps_a_thread_to_itself() {
    let (mut client, mut link) = pair();
    for _ in 0..UNWATCHED {
        client.write_all(b"x").expect("room");
        assert_eq!(read(&mut link).await, b"x");
        assert!(matches!(link.state, State::Fresh(..)));
    }
    client.write_all(b"x").expect("room");
    assert_eq!(read(&mut link).await, b"x");
    assert!(!matches!(link.state, State::Fresh(..)), "the runtime sees to it");
}

#[tokio::test]
async fn a_look_leaves_what_is_there() {
    let (mut client, mut link) = pair();
    client.write_all(b"ab").expect("room");
    let mut first = [0];
    let seen = poll_fn(|cx| link.poll_peek(cx, &mut first)).await.expect("a look");
    assert_eq!((seen, &first), (1, b"a"));
    assert_eq!(read(&mut link).await, b"ab");
}

#[tokio::test]
async fn the_end_takes_the_last_bytes_along() {
    let (mut client, mut link) = pair();
    link.part();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(link.poll_write(&mut cx, b"last "), Poll::Ready(Ok(5))), "there is room");
    let rest = [std::io::IoSlice::new(b"words"), std::io::IoSlice::new(b"!")];
    assert!(matches!(link.poll_write_vectored(&mut cx, &rest), Poll::Ready(Ok(6))), "there is room");
    client.set_nonblocking(true).expect("a socket");
    let early = client.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "they wait for the end");
    link.shut_down().expect("it is open");
    client.set_nonblocking(false).expect("a socket");
    let mut heard = String::new();
    client.read_to_string(&mut heard).expect("an end");
    assert_eq!(heard, "last words!");
}

#[tokio::test]
async fn acknowledgements_wait_until_more_is_needed() {
    let (mut client, mut link) = pair();
    client.write_all(b"a part").expect("room");
    assert_eq!(read(&mut link).await, b"a part");
    let prompt = |link: &Link| rustix::net::sockopt::tcp_quickack(link.socket().expect("a socket"));
    assert!(!prompt(&link).expect("a TCP socket"), "as at the listener");
    link.acknowledge();
    assert!(prompt(&link).expect("a TCP socket"));
}

#[test]
fn what_is_set_for_the_listener_holds_for_its_connections() {
    let (_client, link) = pair();
    let socket = link.socket().expect("a socket");
    assert!(rustix::net::sockopt::tcp_nodelay(socket).expect("a TCP socket"));
}
