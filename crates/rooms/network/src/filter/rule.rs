//! One rule of the filters: what a packet must be like, and what becomes of it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::netlink::message::Body;
use base::Cidr;

const REGISTER: u32 = 1;
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
const META_IN_NAME: u32 = 6;
const META_OUT_NAME: u32 = 7;
const META_PROTOCOL: u32 = 15;
const BASE_NETWORK: u32 = 1;
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
        let (word, protocol, offset, bytes) = match range.address() {
            IpAddr::V4(v4) => ("ip", 2u8, 12, v4.octets().to_vec()),
            IpAddr::V6(v6) => ("ip6", 10u8, 8, v6.octets().to_vec()),
        };
        let load = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, BASE_NETWORK)
            .with_big_number(3, offset)
            .with_big_number(4, u32::try_from(bytes.len()).expect("an address has 4 or 16 bytes"));
        self.say(&format!("{word} saddr {range}"))
            .meta(META_PROTOCOL)
            .compare(EQUAL, &[protocol])
            .expression("payload", load)
            .masked(&mask(bytes.len(), range.prefix()))
            .compare(EQUAL, &bytes)
    }

    /// That go to this address.
    pub(crate) fn destination(self, address: Ipv4Addr) -> Self {
        let load = Body::default()
            .with_big_number(1, REGISTER)
            .with_big_number(2, BASE_NETWORK)
            .with_big_number(3, 16)
            .with_big_number(4, 4);
        self.say(&format!("ip daddr {address}"))
            .meta(META_PROTOCOL)
            .compare(EQUAL, &[2])
            .expression("payload", load)
            .compare(EQUAL, &address.octets())
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
