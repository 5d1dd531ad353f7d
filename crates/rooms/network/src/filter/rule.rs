//! One rule of the filters: what a packet must be like, and what becomes of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::netlink::message::Body;
use crate::netlink::numbers::{INET, INET6, TCP, octets};
use base::Cidr;

const REGISTER: u32 = 1;
const SECOND_REGISTER: u32 = 2;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_PROTOCOL: u32 = 15;
const META_TRANSPORT: u32 = 16;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
/// Of the two addresses, the one that is changed.
const DESTINATION: u32 = 1;
/// The bits of `established` and `related`.
const STATE_KNOWN: u32 = 0x02 | 0x04;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accept,
    Drop,
    /// Goes on with the address of the link that it leaves by.
    Masquerade,
}

/// How rules speak of the addresses of one family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    word: &'static str,
    number: u8,
    /// Where the sender's address lies in a packet; the receiver's follows.
    source: u32,
    pub(super) length: u32,
    /// The key of a conversation's addresses.
    conversation: u32,
    /// As sets call the type of their elements.
    pub(super) kind: u32,
}

const IPV4: Family = Family { word: "ip", number: INET, source: 12, length: 4, conversation: 20, kind: 7 };
const IPV6: Family = Family { word: "ip6", number: INET6, source: 8, length: 16, conversation: 22, kind: 8 };

impl Family {
    /// That of an address.
    pub(super) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { IPV4 } else { IPV6 }
    }
}

/// A rule in the making; prints as `nft` would write it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rule {
    text: Vec<String>,
    expressions: Body,
}

impl Rule {
    /// Any packet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// That belong to a conversation which was let through before.
    pub(crate) fn established(self) -> Self {
        let none = 0u32.to_ne_bytes();
        let load = Body::default().with_big_number(1, REGISTER).with_big_number(2, 0);
        self.say("ct state established,related")
            .expression("ct", load)
            .masked(&STATE_KNOWN.to_ne_bytes())
            .compare(UNEQUAL, &none)
    }

    /// That came by this link.
    pub(crate) fn from(self, link: &str) -> Self {
        self.say(&format!("iifname \"{link}\"")).meta(META_IN_NAME).compare(EQUAL, &name(link))
    }

    /// That came by another link, or from the host itself.
    pub(crate) fn not_from(self, link: &str) -> Self {
        self.say(&format!("iifname != \"{link}\"")).meta(META_IN_NAME).compare(UNEQUAL, &name(link))
    }

    /// That leave by this link.
    pub(crate) fn to(self, link: &str) -> Self {
        self.say(&format!("oifname \"{link}\"")).meta(META_OUT_NAME).compare(EQUAL, &name(link))
    }

    /// That do not leave by this link.
    pub(crate) fn not_to(self, link: &str) -> Self {
        self.say(&format!("oifname != \"{link}\"")).meta(META_OUT_NAME).compare(UNEQUAL, &name(link))
    }

    /// That come from an address of this range.
    pub(crate) fn source(self, range: &Cidr) -> Self {
        let family = Family::of(range.address());
        let bytes = octets(range.address());
        self.say(&format!("{} saddr {range}", family.word))
            .field(family, family.source)
            .masked(&mask(bytes.len(), range.prefix()))
            .compare(EQUAL, &bytes)
    }

    /// That go to this address.
    pub(crate) fn destination(self, address: IpAddr) -> Self {
        let family = Family::of(address);
        self.say(&format!("{} daddr {address}", family.word))
            .field(family, family.source + family.length)
            .compare(EQUAL, &octets(address))
    }

    /// Of conversations that were begun with this address, whatever it was changed to.
    pub(crate) fn began_with(self, address: IpAddr) -> Self {
        const ORIGINAL: u8 = 0;
        let family = Family::of(address);
        let load = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, family.conversation)
            .with(3, &[ORIGINAL]);
        self.say(&format!("ct original {} daddr {address}", family.word))
            .expression("ct", load)
            .compare(EQUAL, &octets(address))
    }

    /// Of TCP, to this port.
    pub(crate) fn port(self, port: u16) -> Self {
        let load = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, BASE_TRANSPORT)
            .with_big_number(3, 2)
            .with_big_number(4, 2);
        self.say(&format!("tcp dport {port}"))
            .meta(META_TRANSPORT)
            .compare(EQUAL, &[TCP])
            .expression("payload", load)
            .compare(EQUAL, &port.to_be_bytes())
    }

    /// They go to this address and port, whatever they were sent to.
    pub(crate) fn on_to(self, address: IpAddr, port: u16) -> Self {
        let family = Family::of(address);
        let put = |register: u32, value: &[u8]| {
            Body::default().with_big_number(1, register).with_nested(2, Body::default().with(1, value))
        };
        let lead = Body::default()
            .with_big_number(1, DESTINATION)
            .with_big_number(2, family.number.into())
            .with_big_number(3, REGISTER)
            .with_big_number(5, SECOND_REGISTER);
        self.say(&format!("dnat {} to {}", family.word, SocketAddr::new(address, port)))
            .expression("immediate", put(REGISTER, &octets(address)))
            .expression("immediate", put(SECOND_REGISTER, &port.to_be_bytes()))
            .expression("nat", lead)
    }

    /// That tell a neighbour of a shorter way.
    pub(crate) fn redirect(self, ipv4: bool) -> Self {
        let (words, protocol, kind) =
            if ipv4 { ("icmp type redirect", 1, 5) } else { ("icmpv6 type nd-redirect", 58, 137) };
        let load = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, BASE_TRANSPORT)
            .with_big_number(3, 0)
            .with_big_number(4, 1);
        self.say(words)
            .meta(META_TRANSPORT)
            .compare(EQUAL, &[protocol])
            .expression("payload", load)
            .compare(EQUAL, &[kind])
    }

    /// They go to one after another of those in the map of this number, whatever they were sent to.
    pub(crate) fn in_turn(self, map: u32, among: &[IpAddr]) -> Self {
        const IN_TURN: u32 = 0;
        let Some(family) = among.first().map(|one| Family::of(*one)) else { return self };
        let count = u32::try_from(among.len()).expect("a service has fewer instances");
        let number = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, count)
            .with_big_number(3, IN_TURN)
            .with_big_number(4, 0);
        let lookup = Body::default()
            .with_text(1, super::straight::MAP)
            .with_big_number(2, REGISTER)
            .with_big_number(3, REGISTER)
            .with_big_number(4, map);
        let lead = Body::default()
            .with_big_number(1, DESTINATION)
            .with_big_number(2, family.number.into())
            .with_big_number(3, REGISTER);
        let all: Vec<_> = among.iter().map(IpAddr::to_string).collect();
        self.say(&format!("dnat to numgen inc mod {count} of {}", all.join(", ")))
            .expression("numgen", number)
            .expression("lookup", lookup)
            .expression("nat", lead)
    }

    /// What becomes of them.
    pub(crate) fn then(self, verdict: Verdict) -> Self {
        let jump = |code| {
            let verdict = Body::default().with_nested(2, Body::default().with_big_number(1, code));
            Body::default().with_big_number(1, 0).with_nested(2, verdict)
        };
        match verdict {
            Verdict::Drop => self.say("drop").expression("immediate", jump(0)),
            Verdict::Accept => self.say("accept").expression("immediate", jump(1)),
            Verdict::Masquerade => self.say("masquerade").expression("masq", Body::default()),
        }
    }

    /// As the kernel reads it.
    pub(crate) fn expressions(self) -> Body {
        self.expressions
    }

    /// Loads an address of the packet, of this family alone.
    fn field(self, family: Family, offset: u32) -> Self {
        let load = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, BASE_NETWORK)
            .with_big_number(3, offset)
            .with_big_number(4, family.length);
        self.meta(META_PROTOCOL).compare(EQUAL, &[family.number]).expression("payload", load)
    }

    fn say(mut self, words: &str) -> Self {
        self.text.push(words.to_owned());
        self
    }

    fn meta(self, key: u32) -> Self {
        self.expression("meta", Body::default().with_big_number(2, key).with_big_number(1, REGISTER))
    }

    fn compare(self, how: u32, value: &[u8]) -> Self {
        let data = Body::default().with(1, value);
        let body = Body::default().with_big_number(1, REGISTER).with_big_number(2, how).with_nested(3, data);
        self.expression("cmp", body)
    }

    fn masked(self, mask: &[u8]) -> Self {
        let value = |bytes: &[u8]| Body::default().with(1, bytes);
        let body = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, REGISTER)
            .with_big_number(3, u32::try_from(mask.len()).expect("a mask is as short as an address"))
            .with_nested(4, value(mask))
            .with_nested(5, value(&vec![0; mask.len()]));
        self.expression("bitwise", body)
    }

    fn expression(mut self, name: &str, data: Body) -> Self {
        let element = Body::default().with_text(1, name).with_nested(2, data);
        self.expressions = self.expressions.with_nested(1, element);
        self
    }
}

/// A link's name as rules compare it: to the end of its field.
fn name(link: &str) -> [u8; 16] {
    let mut field = [0; 16];
    let length = link.len().min(15);
    field[..length].copy_from_slice(&link.as_bytes()[..length]);
    field
}

fn mask(length: usize, prefix: u8) -> Vec<u8> {
    (0..length)
        .map(|byte| {
            let bits = usize::from(prefix).saturating_sub(byte * 8).min(8);
            !(0xffu16 >> bits) as u8
        })
        .collect()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text.join(" "))
    }
}
