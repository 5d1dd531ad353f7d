//! What the kernel holds is seen before a resting connection is given up.

use std::io::Write;

use super::Stream;

#[tokio::test]
async fn a_request_that_nobody_told_us_of_is_seen() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut client = std::net::TcpStream::connect(address).expect("a connection");
    let (server, _) = listener.accept().expect("a connection");
    server.set_nonblocking(true).expect("a socket");
    // The runtime does not turn in between, so it cannot have told of anything.
    let server = Stream::Plain(tokio::net::TcpStream::from_std(server).expect("a socket").into());
    assert!(!server.has_arrived(), "nothing was sent");
    client.write_all(b"G").expect("room for a byte");
    assert!(server.has_arrived(), "a byte was sent");
    drop(client);
    assert!(server.has_arrived(), "the end does not take the byte along");
}
