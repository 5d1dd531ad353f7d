//! Sockets that change hands with all that waits in them.

use std::net::{TcpListener, TcpStream};

use super::*;

#[tokio::test]
async fn many_sockets_arrive_in_their_order_between_other_bytes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut one, mut other) = UnixStream::pair().expect("a pair");
    let listeners: Vec<_> =
        (0..450).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let ports: Vec<_> = listeners.iter().map(|l| l.local_addr().expect("an address")).collect();
    // A client that nobody has accepted yet.
    let client = TcpStream::connect(ports[449]).expect("the kernel accepts");
    let giving = async {
        one.write_all(b"before").await.expect("it is read");
        let sockets: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
        send(&one, &sockets).await.expect("they are sent");
        one.write_all(b"after").await.expect("it is read");
    };
    let taking = async {
        let mut text = [0; 6];
        other.read_exact(&mut text).await.expect("bytes");
        let got = receive(&other, 450).await.expect("sockets");
        let mut after = [0; 5];
        other.read_exact(&mut after).await.expect("bytes");
        assert_eq!((&text, &after), (b"before", b"after"));
        got
    };
    let ((), got) = tokio::join!(giving, taking);
    drop(listeners);
    let got: Vec<_> = got.into_iter().map(TcpListener::from).collect();
    assert_eq!(got.iter().map(|l| l.local_addr().expect("an address")).collect::<Vec<_>>(), ports);
    let (_, peer) = got[449].accept().expect("who came before is still there");
    assert_eq!(peer, client.local_addr().expect("an address"));
}

#[tokio::test]
async fn sockets_that_were_announced_and_do_not_come_are_an_error() {
    let (one, other) = UnixStream::pair().expect("a pair");
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    send(&one, &[socket.as_fd()]).await.expect("it is sent");
    drop(one);
    let place = Place { purpose: Purpose::Front, address: ([127, 0, 0, 1], 80).into() };
    let inventory = Inventory { places: vec![(place, 2)], ..Inventory::default() };
    let error = Handover::receive(&other, inventory).await.expect_err("one is missing");
    assert!(error.to_string().contains("did not come"), "{error}");
    let (_one, other) = UnixStream::pair().expect("a pair");
    let error = receive(&other, usize::MAX).await.expect_err("nobody has so many");
    assert!(error.to_string().contains("too many"), "{error}");
}

#[test]
fn a_key_is_not_printed() {
    let key = TicketKey { name: [7; 16], secret: [9; 32], made_secs: 1 };
    assert_eq!(format!("{key:?}"), "TicketKey(…)");
}
