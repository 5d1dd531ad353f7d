//! Questions and answers as they are on the wire.

use std::net::{IpAddr, UdpSocket};

use super::{answers, ask, in_hosts, name_servers, question};

#[test]
fn a_question_is_laid_out_as_name_servers_expect() {
    assert_eq!(question(7, "db.lan").unwrap(), b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x02db\x03lan\0\0\x01\0\x01");
    assert!(question(7, "a..b").is_err());
}

#[test]
fn a_server_on_the_loopback_is_asked_and_believed() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let mut asked = [0; 512];
        let (size, from) = server.recv_from(&mut asked).unwrap();
        server.send_to(&answer(&asked[..size]), from).unwrap();
    });
    let found = ask(address, "booking").unwrap();
    answering.join().unwrap();
    assert_eq!(found, ["10.0.0.7".parse::<IpAddr>().unwrap(), "10.0.0.8".parse().unwrap()]);
}

#[test]
fn a_damaged_or_foreign_answer_is_no_answer() {
    let whole = answer(&question(9, "booking").unwrap());
    assert!(answers(&whole, 9).is_some());
    assert_eq!(answers(&whole, 8), None);
    for end in 0..whole.len() {
        assert_eq!(answers(&whole[..end], 9), None, "cut at {end}");
    }
}

#[test]
fn files_are_read_with_their_comments_and_aliases() {
    let hosts = "127.0.0.1 localhost # here\n10.0.0.3 booking booking.lan\n#10.0.0.4 booking\n";
    assert_eq!(in_hosts(hosts, "BOOKING.lan"), ["10.0.0.3".parse::<IpAddr>().unwrap()]);
    assert_eq!(name_servers("search lan\nnameserver 10.0.0.1\n"), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
}

/// The question with two addresses behind it, whose names point back into the question.
fn answer(question: &[u8]) -> Vec<u8> {
    let mut packet = question.to_vec();
    packet[2] |= 0x80;
    packet[7] = 2;
    for last in [7, 8] {
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 0, 0, last]);
    }
    packet
}
