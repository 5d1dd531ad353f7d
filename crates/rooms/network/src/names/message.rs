//! Questions and answers as RFC 1035 writes them, as far as we speak for ourselves. Pure.
//!
//! Questions come from containers, which may be hostile: every length is checked, and no pointer is followed,
//! since a question has no use for one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base::Rng;

use super::TTL_SECS;
use super::table::Directory;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const TYPE_OPT: u16 = 41;
const TYPE_ANY: u16 = 255;
const CLASS_IN: u16 = 1;

const FLAG_RESPONSE: u8 = 0x80;
const FLAG_AUTHORITATIVE: u8 = 0x04;
const FLAG_TRUNCATED: u8 = 0x02;
const FLAG_RECURSION: u8 = 0x01;
const FLAG_RECURSION_AVAILABLE: u8 = 0x80;

/// How an answer over datagrams is kept when the asker says nothing.
const PLAIN_BYTES: usize = 512;
/// What we say that we take, and the most that we send in one datagram.
const DATAGRAM_BYTES: u16 = 1232;

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Done = 0,
    Malformed = 1,
    Failed = 2,
    NoSuchName = 3,
    NotImplemented = 4,
}

/// How a question came, which decides how long its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Datagram,
    Stream,
}

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This is the answer.
    Answer(Vec<u8>),
    /// Others know.
    Forward,
    /// It deserves none.
    Ignore,
}

/// A question, read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question<'a> {
    message: &'a [u8],
    /// With dots between the labels, and none at the end.
    name: String,
    kind: u16,
    class: u16,
    /// Where the question ends in the message.
    end: usize,
    /// The longest datagram that the asker takes, if it says.
    takes: Option<u16>,
}

/// Decides about a message that came from a container.
pub(crate) fn decide(message: &[u8], directory: &Directory, carrier: Carrier, rng: &mut Rng) -> Verdict {
    // An answer to an answer would go on for ever.
    if message.len() < HEADER || message[2] & FLAG_RESPONSE != 0 {
        return Verdict::Ignore;
    }
    if message[2] & 0x78 != 0 {
        return Verdict::Answer(refuse(message, Code::NotImplemented));
    }
    let Some(question) = read(message) else {
        return Verdict::Answer(refuse(message, Code::Malformed));
    };
    let elsewhere = || {
        if directory.internal {
            Verdict::Answer(question.reply(Code::NoSuchName, &[]))
        } else {
            Verdict::Forward
        }
    };
    if question.class != CLASS_IN {
        return elsewhere();
    }
    if let Some(addresses) = directory.addresses(&question.name) {
        let mut addresses: Vec<_> = addresses.iter().copied().filter(|a| question.wants(*a)).collect();
        shuffle(&mut addresses, rng);
        let records: Vec<_> = addresses.into_iter().map(Record::Address).collect();
        return Verdict::Answer(question.fit(&records, carrier));
    }
    match reversed(&question.name) {
        Some(address) if directory.owns(address) => match directory.name(address) {
            Some(name) if matches!(question.kind, TYPE_PTR | TYPE_ANY) => {
                Verdict::Answer(question.fit(&[Record::Name(name)], carrier))
            }
            Some(_) => Verdict::Answer(question.reply(Code::Done, &[])),
            None => Verdict::Answer(question.reply(Code::NoSuchName, &[])),
        },
        _ => elsewhere(),
    }
}

/// The answer that says only how it ended; for a message whose question may not be readable.
pub(crate) fn refuse(message: &[u8], code: Code) -> Vec<u8> {
    if let Some(question) = read(message) {
        return question.reply(code, &[]);
    }
    let mut answer = message.get(..2).unwrap_or_default().to_vec();
    answer.resize(HEADER, 0);
    answer[2] = FLAG_RESPONSE | (message.get(2).unwrap_or(&0) & (FLAG_RECURSION | 0x78));
    answer[3] = FLAG_RECURSION_AVAILABLE | code as u8;
    answer
}

/// Whether `answer` is an answer to `question`: its number and its question are the same.
pub(crate) fn answers(question: &[u8], answer: &[u8]) -> bool {
    let Some(asked) = read(question) else { return false };
    answer.len() >= asked.end
        && answer[2] & FLAG_RESPONSE != 0
        && answer[..2] == question[..2]
        && answer[4..6] == [0, 1]
        && answer[HEADER..asked.end].eq_ignore_ascii_case(&question[HEADER..asked.end])
}

/// Whether a server says that it could not or would not: another one may know.
pub(crate) fn failed(answer: &[u8]) -> bool {
    const REFUSED: u8 = 5;
    answer
        .get(3)
        .is_none_or(|flags| matches!(flags & 0x0f, code if code == Code::Failed as u8 || code == REFUSED))
}

/// What an answer holds.
enum Record<'a> {
    Address(IpAddr),
    Name(&'a str),
}

impl Question<'_> {
    fn wants(&self, address: IpAddr) -> bool {
        match self.kind {
            TYPE_ANY => true,
            TYPE_A => address.is_ipv4(),
            TYPE_AAAA => address.is_ipv6(),
            _ => false,
        }
    }

    /// An answer that the asker can take: cut, and marked so, if it would be too long.
    fn fit(&self, records: &[Record<'_>], carrier: Carrier) -> Vec<u8> {
        let limit = match carrier {
            Carrier::Stream => usize::from(u16::MAX),
            Carrier::Datagram => {
                self.takes.map_or(PLAIN_BYTES, |n| usize::from(n.min(DATAGRAM_BYTES)).max(PLAIN_BYTES))
            }
        };
        let whole = self.reply(Code::Done, records);
        if whole.len() <= limit {
            return whole;
        }
        let each = (whole.len() - self.end) / records.len().max(1);
        let room = limit.saturating_sub(self.end + OPT_BYTES) / each.max(1);
        let mut cut = self.reply(Code::Done, &records[..room.min(records.len())]);
        // Over a stream the asker can get the rest; there is no other place to go from one.
        cut[2] |= FLAG_TRUNCATED;
        cut
    }

    fn reply(&self, code: Code, records: &[Record<'_>]) -> Vec<u8> {
        let mut answer = self.message[..self.end].to_vec();
        answer[2] = FLAG_RESPONSE | FLAG_AUTHORITATIVE | (self.message[2] & FLAG_RECURSION);
        answer[3] = FLAG_RECURSION_AVAILABLE | code as u8;
        answer[4..6].copy_from_slice(&1u16.to_be_bytes());
        let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
        answer[6..8].copy_from_slice(&count.to_be_bytes());
        answer[8..12].fill(0);
        for record in records.iter().take(count.into()) {
            let (kind, data) = match record {
                Record::Address(IpAddr::V4(v4)) => (TYPE_A, v4.octets().to_vec()),
                Record::Address(IpAddr::V6(v6)) => (TYPE_AAAA, v6.octets().to_vec()),
                Record::Name(name) => (TYPE_PTR, labels(name)),
            };
            answer.extend([0xc0, HEADER as u8]); // The name is that of the question.
            answer.extend(kind.to_be_bytes());
            answer.extend(CLASS_IN.to_be_bytes());
            answer.extend(TTL_SECS.to_be_bytes());
            answer.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
            answer.extend(data);
        }
        if self.takes.is_some() {
            answer[10..12].copy_from_slice(&1u16.to_be_bytes());
            answer.push(0);
            answer.extend(TYPE_OPT.to_be_bytes());
            answer.extend(DATAGRAM_BYTES.to_be_bytes());
            answer.extend([0; 6]);
        }
        answer
    }
}

/// The length of the record by which we say what we take.
const OPT_BYTES: usize = 11;

/// Reads a message with one question.
fn read(message: &[u8]) -> Option<Question<'_>> {
    if message.len() < HEADER || count(message, 4)? != 1 {
        return None;
    }
    let (name, at) = read_name(message, HEADER)?;
    let (kind, class) = (count(message, at)?, count(message, at + 2)?);
    let end = at + 4;
    let mut takes = None;
    // Only a question alone is looked at for what the asker takes; others' records would have to be read first.
    if count(message, 6)? == 0 && count(message, 8)? == 0 && count(message, 10)? > 0 {
        let is_opt = message.get(end) == Some(&0) && count(message, end + 1) == Some(TYPE_OPT);
        takes = count(message, end + 3).filter(|_| is_opt);
    }
    Some(Question { message, name, kind, class, end, takes })
}

/// Reads a name without pointers; returns it with the place behind it.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let begin = at;
    let mut name = String::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 || at - begin + length > 254 {
            return None;
        }
        let label = message.get(at..at + length)?;
        if !name.is_empty() {
            name.push('.');
        }
        // A dot within a label would look like two labels: nothing of ours has such a name.
        name.extend(label.iter().map(|b| match b {
            b'.' => '\u{fffd}',
            byte => char::from(*byte),
        }));
        at += length;
    }
}

fn count(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn labels(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A container's name may be longer than a label: it is cut, as a name that nobody could ask for.
    for label in name.split('.').filter(|l| !l.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        if bytes.len() + label.len() + 2 > 255 {
            break;
        }
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label);
    }
    bytes.push(0);
    bytes
}

/// The address that a name such as `2.0.18.172.in-addr.arpa` stands for.
fn reversed(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let mut parts: Vec<u8> = digits.split('.').map(|p| p.parse().ok()).collect::<Option<_>>()?;
        parts.reverse();
        return <[u8; 4]>::try_from(parts).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let mut number = 0u128;
    let mut shift = 0;
    for digit in digits.split('.') {
        let value = u128::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1 && shift < 128)?;
        number |= value << shift;
        shift += 4;
    }
    (shift == 128).then(|| Ipv6Addr::from_bits(number).into())
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests;
