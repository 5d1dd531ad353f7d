//! Answers that are compressed on their way to clients: for whom, which, and how.
//!
//! Levels are low, so that a piece of 32 KiB takes a thread a fraction of a millisecond, and windows are small. Brotli is
//! not among the codings: at such levels it gains little over zstd, which browsers take too.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::write::GzEncoder;

use super::Wishes;
use crate::head::response::ResponseHead;
use crate::head::{Field, Known, elements};

/// Shorter answers gain nothing: with its head such a one fits into a packet or two anyway.
const LEAST_BYTES: u64 = 1024;
/// Answers of a service that are compressed at once: each holds some 330 KiB for gzip and 720 KiB for zstd. Others go as
/// they are.
const AT_ONCE: usize = 128;
/// zlib's own default is 6, at a third of the speed for some percent less.
const GZIP_LEVEL: u32 = 3;
/// About as small as gzip at 6, at many times the speed.
const ZSTD_LEVEL: i32 = 1;
/// A window of 128 KiB; more costs memory for each answer.
const ZSTD_WINDOW_LOG: u32 = 17;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// Its name in fields.
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The coding that the client likes best, if it takes one that there is.
    pub(crate) fn of(fields: &[Field], buf: &[u8]) -> Option<Self> {
        let lists = fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"accept-encoding"));
        let (mut gzip, mut zstd, mut others) = (None, None, 0);
        for element in lists.flat_map(|field| elements(field.value.of(buf))) {
            let mut parts = element.split(|c| *c == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(1000, weight);
            if name.eq_ignore_ascii_case(b"gzip") {
                gzip = Some(weight);
            } else if name.eq_ignore_ascii_case(b"zstd") {
                zstd = Some(weight);
            } else if name == b"*" {
                others = weight;
            }
        }
        // What stands for all others was hardly written with zstd in mind.
        let (gzip, zstd) = (gzip.unwrap_or(others), zstd.unwrap_or(0));
        if gzip.max(zstd) == 0 {
            return None;
        }
        Some(if zstd >= gzip { Self::Zstd } else { Self::Gzip })
    }
}

/// A weight as in `q=0.5`, in thousandths; one that cannot be read is none at all.
fn weight(text: &[u8]) -> u16 {
    let [b'q' | b'Q', b'=', digits @ ..] = text else { return 0 };
    match digits {
        [b'1'] | [b'1', b'.', ..] => 1000,
        [b'0', b'.', rest @ ..] if rest.len() <= 3 && rest.iter().all(u8::is_ascii_digit) => {
            rest.iter().chain(b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
        }
        _ => 0,
    }
}

/// Whether an answer is of a kind and length that gains by it, and may be changed.
pub(crate) fn suits(head: &ResponseHead, fields: &[Field], buf: &[u8]) -> bool {
    let short = head.framing.length.is_some_and(|length| length < LEAST_BYTES);
    if head.status < 200 || matches!(head.status, 204 | 205 | 206 | 304) || short {
        return false;
    }
    let mut kind = None;
    for field in fields {
        let (name, value) = (field.name.of(buf), field.value.of(buf));
        if field.known == Known::ContentType {
            kind = Some(value);
        }
        let is = |want: &[&[u8]]| want.iter().any(|want| name.eq_ignore_ascii_case(want));
        let fixed =
            is(&[b"content-encoding", b"content-range", b"content-md5", b"content-digest", b"digest"]);
        let kept = is(&[b"cache-control"])
            && elements(value).any(|element| element.eq_ignore_ascii_case(b"no-transform"));
        if fixed || kept {
            return false;
        }
    }
    kind.is_some_and(gains)
}

/// Whether a type of content is text of some kind; pictures, films and archives are compressed already.
fn gains(kind: &[u8]) -> bool {
    let name = kind.split(|c| *c == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let ends = [&b"+json"[..], b"+xml", b"+text"].iter().any(|end| name.ends_with(end));
    let listed = [
        &b"application/javascript"[..],
        b"application/json",
        b"application/manifest+json",
        b"application/ndjson",
        b"application/x-ndjson",
        b"application/wasm",
        b"application/xml",
        b"application/x-javascript",
        b"font/otf",
        b"font/ttf",
        b"image/bmp",
        b"image/x-icon",
    ];
    name.starts_with(b"text/") || ends || listed.contains(&&name[..])
}

/// Takes out of an answer's head what is not true of it any more, and gives the lines that are, for a body in this
/// coding; for one that goes as it is, the line that says that others may get another.
pub(crate) fn redress(fields: &mut Vec<Field>, buf: &[u8], coding: Option<Coding>) -> Vec<u8> {
    let mut lines = Vec::new();
    let named = |field: &Field, want: &[u8]| field.name.of(buf).eq_ignore_ascii_case(want);
    let varies = fields.iter().filter(|field| named(field, b"vary")).any(|field| {
        elements(field.value.of(buf)).any(|e| e == b"*" || e.eq_ignore_ascii_case(b"accept-encoding"))
    });
    if !varies {
        lines.extend_from_slice(b"vary: accept-encoding\r\n");
    }
    let Some(coding) = coding else { return lines };
    lines.extend_from_slice(format!("content-encoding: {}\r\n", coding.name()).as_bytes());
    for field in fields.iter().filter(|field| named(field, b"etag")) {
        let tag = field.value.of(buf);
        // The bytes are others now, so that it is the same in meaning only.
        lines.extend_from_slice(if tag.starts_with(b"W/") { b"etag: " } else { b"etag: W/" });
        lines.extend_from_slice(tag);
        lines.extend_from_slice(b"\r\n");
    }
    fields.retain(|field| {
        let changed = named(field, b"etag") || named(field, b"accept-ranges");
        field.known != Known::ContentLength && !changed
    });
    lines
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

/// An answer that is being compressed.
pub(crate) struct Press {
    encoder: Encoder,
    /// Bytes went in that may not have come out.
    unflushed: bool,
    wishes: Arc<Wishes>,
}

/// How many answers of a service are being compressed.
#[derive(Default)]
pub(crate) struct Pressing(AtomicUsize);

impl Press {
    /// For one more answer of a service; none if there are too many.
    pub(crate) fn new(coding: Coding, wishes: &Arc<Wishes>) -> Option<Box<Self>> {
        let encoder = match coding {
            Coding::Gzip => Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL))),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).ok()?;
                encoder.window_log(ZSTD_WINDOW_LOG).ok()?;
                Encoder::Zstd(encoder)
            }
        };
        let count = wishes.pressing.0.fetch_add(1, Ordering::Relaxed);
        let press = Self { encoder, unflushed: false, wishes: wishes.clone() };
        (count < AT_ONCE).then(|| Box::new(press))
    }

    fn writer(&mut self) -> (&mut dyn Write, bool) {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => (encoder, self.unflushed),
            Encoder::Zstd(encoder) => (encoder, self.unflushed),
        }
    }

    /// Takes in a piece of the body.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.unflushed |= !data.is_empty();
        self.writer().0.write_all(data)
    }

    /// Has all that went in come out; false if it did before.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let (writer, unflushed) = self.writer();
        if unflushed {
            writer.flush()?;
        }
        self.unflushed = false;
        Ok(unflushed)
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.unflushed = false;
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.try_finish(),
            Encoder::Zstd(encoder) => encoder.do_finish(),
        }
    }

    /// What has come out; whoever takes it clears it.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
        }
    }
}

impl Drop for Press {
    fn drop(&mut self) {
        self.wishes.pressing.0.fetch_sub(1, Ordering::Relaxed);
    }
}
