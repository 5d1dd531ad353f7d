//! Our reading and writing of messages, against `hickory-proto`'s.

use std::net::IpAddr;

use base::Rng;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use proptest::prelude::*;

use super::{Carrier, Verdict, answers, decide, refuse};
use crate::names::table::{Directory, Member, NamesOfNetwork};

/// A network of so many instances of `web`.
fn directory(count: u8, internal: bool) -> Directory {
    let addresses = (0..count).map(|n| IpAddr::from([10, 0, 0, n])).collect();
    let member = Member { names: vec!["web".to_owned()], addresses, ready: true, ..Member::default() };
    Directory::of(&NamesOfNetwork {
        network: "shop".to_owned(),
        bridge: "sea1".to_owned(),
        listen: Vec::new(),
        subnets: vec!["10.0.0.0/24".parse().unwrap()],
        internal,
        members: vec![member],
    })
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(99, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// The answer as `hickory-proto` reads it; none if it is to be passed on.
fn ask(message: &Message, directory: &Directory, carrier: Carrier) -> Option<Message> {
    match decide(&message.to_vec().unwrap(), directory, carrier, &mut Rng::seeded(1)) {
        Verdict::Answer(bytes) => Some(Message::from_vec(&bytes).unwrap()),
        Verdict::Forward => None,
        Verdict::Ignore => panic!("a question deserves an answer"),
    }
}

#[test]
fn an_answer_repeats_the_question_and_says_who_speaks() {
    let asked = question("WeB.", RecordType::A);
    let answer = ask(&asked, &directory(2, false), Carrier::Datagram).unwrap();
    assert_eq!(answer.metadata.id, 99);
    assert_eq!(answer.queries[0].name().to_string(), "WeB.", "letters stay as they were asked");
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);
    assert_eq!(answer.answers.len(), 2);
    assert!(answer.answers.iter().all(|r| r.ttl == super::TTL_SECS));
    assert!(answers(&asked.to_vec().unwrap(), &answer.to_vec().unwrap()));
}

#[test]
fn what_is_not_ours_is_passed_on_unless_the_network_is_internal() {
    for name in ["example.com.", "db.", "1.1.168.192.in-addr.arpa.", "x.in-addr.arpa.", "."] {
        assert!(
            ask(&question(name, RecordType::A), &directory(1, false), Carrier::Datagram).is_none(),
            "{name}"
        );
        let inside = ask(&question(name, RecordType::A), &directory(1, true), Carrier::Datagram).unwrap();
        assert_eq!(inside.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
    let ours = question("77.0.0.10.in-addr.arpa.", RecordType::PTR);
    let nobody = ask(&ours, &directory(1, false), Carrier::Datagram).unwrap();
    assert_eq!(nobody.metadata.response_code, ResponseCode::NXDomain, "our range is ours alone");
}

#[test]
fn an_answer_that_is_too_long_for_a_datagram_is_cut_and_says_so() {
    let asked = question("web.", RecordType::A);
    let cut = ask(&asked, &directory(100, false), Carrier::Datagram).unwrap();
    assert!(cut.metadata.truncation && cut.to_vec().unwrap().len() <= 512);
    assert!(!cut.answers.is_empty());
    let whole = ask(&asked, &directory(100, false), Carrier::Stream).unwrap();
    assert!(!whole.metadata.truncation && whole.answers.len() == 100);
    let mut roomy = asked;
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    roomy.edns = Some(edns);
    let more = ask(&roomy, &directory(100, false), Carrier::Datagram).unwrap();
    assert!(more.answers.len() > cut.answers.len() && more.to_vec().unwrap().len() <= 1232);
    assert!(more.edns.is_some(), "who speaks EDNS is answered in it");
}

#[test]
fn messages_that_are_no_question_are_refused_or_ignored() {
    let mut rng = Rng::seeded(1);
    let mut decided = |bytes: &[u8]| decide(bytes, &directory(1, false), Carrier::Datagram, &mut rng);
    assert_eq!(decided(&[0; 11]), Verdict::Ignore);
    let mut bytes = question("web.", RecordType::A).to_vec().unwrap();
    bytes[2] |= 0x80;
    assert_eq!(decided(&bytes), Verdict::Ignore, "an answer is not answered");
    bytes[2] = 0x28;
    let Verdict::Answer(answer) = decided(&bytes) else { panic!("an update is refused") };
    assert_eq!(answer[3] & 0xf, 4);
    // A pointer to itself in place of a name.
    let looped = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
    let Verdict::Answer(answer) = decided(&looped) else { panic!("it is malformed") };
    assert_eq!((answer.len(), answer[3] & 0xf), (12, 1));
}

proptest! {
    #[test]
    fn any_bytes_are_decided_and_any_answer_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut rng = Rng::seeded(1);
        for carrier in [Carrier::Datagram, Carrier::Stream] {
            if let Verdict::Answer(answer) = decide(&bytes, &directory(3, true), carrier, &mut rng) {
                prop_assert!(answer.len() >= 12 && answer[2] & 0x80 != 0);
            }
        }
        prop_assert!(refuse(&bytes, super::Code::Failed).len() >= 12);
        prop_assert!(!answers(&bytes, &bytes));
    }

    #[test]
    fn every_address_is_found_by_its_reversed_name(bits: u128, v4: u32) {
        for address in [IpAddr::V6(bits.into()), IpAddr::V4(v4.into())] {
            let name = Name::from(address).to_string();
            prop_assert_eq!(super::reversed(name.trim_end_matches('.')), Some(address));
        }
    }
}
