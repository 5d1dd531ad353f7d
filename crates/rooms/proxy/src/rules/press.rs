//! Answers that are compressed on their way to clients: for whom, which, and how.
//!
//! Levels are low, so that a piece of 32 KiB takes a thread a fraction of a millisecond, and windows are small.
//!
//! Zstd comes first: at a sixth of gzip's time it is about as small. Brotli is for those who do not take zstd: a script of
//! 130 KB goes out in 18.5 % of its length, where gzip needs 22.0 % and zstd 23.2 %, for twice the time of gzip and the
//! memory of six. So few answers get it at once, and none of those that zstd serves.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::write::GzEncoder;

use crate::head::response::ResponseHead;
use crate::head::{Field, Known, elements};

/// Shorter answers gain nothing: with its head such a one fits into a packet or two anyway.
const LEAST_BYTES: u64 = 1024;
/// Answers of a service that are compressed at once: each holds some 330 KiB for gzip and 720 KiB for zstd. Others go as
/// they are.
const AT_ONCE: usize = 128;
/// Of them in brotli: each holds up to 2.8 MiB. Others get gzip.
const BROTLI_AT_ONCE: usize = 16;
/// The first level that is clearly smaller than gzip; the next one takes a third longer for 2 %.
const BROTLI_LEVEL: i32 = 5;
/// A window of 128 KiB. Below 17 the library takes 34 MiB at this level.
const BROTLI_WINDOW_LOG: i32 = 17;
/// Compressed bytes are handed on in pieces of this length.
const BROTLI_PIECE_BYTES: usize = 4096;
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
    /// Or gzip, if the client takes that too and too many answers are in this one already.
    Brotli {
        or_gzip: bool,
    },
}

impl Coding {
    /// Its name in fields.
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli { .. } => "br",
        }
    }

    /// The coding that the client likes best, if it takes one that there is.
    pub(crate) fn of(fields: &[Field], buf: &[u8]) -> Option<Self> {
        let Accepted { gzip, zstd, brotli } = Accepted::of(fields, buf);
        let best = gzip.max(zstd).max(brotli);
        match best {
            0 => None,
            _ if zstd == best => Some(Self::Zstd),
            _ if brotli == best => Some(Self::Brotli { or_gzip: gzip > 0 }),
            _ => Some(Self::Gzip),
        }
    }
}

/// What a client takes, by weights in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Accepted {
    pub(crate) gzip: u16,
    pub(crate) zstd: u16,
    pub(crate) brotli: u16,
}

impl Accepted {
    /// What it says that it takes.
    pub(crate) fn of(fields: &[Field], buf: &[u8]) -> Self {
        let lists = fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"accept-encoding"));
        let (mut gzip, mut zstd, mut brotli, mut others) = (None, None, None, 0);
        for element in lists.flat_map(|field| elements(field.value.of(buf))) {
            let mut parts = element.split(|c| *c == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(1000, weight);
            if name.eq_ignore_ascii_case(b"gzip") {
                gzip = Some(weight);
            } else if name.eq_ignore_ascii_case(b"zstd") {
                zstd = Some(weight);
            } else if name.eq_ignore_ascii_case(b"br") {
                brotli = Some(weight);
            } else if name == b"*" {
                others = weight;
            }
        }
        // What stands for all others was hardly written with the newer ones in mind.
        let (gzip, zstd, brotli) = (gzip.unwrap_or(others), zstd.unwrap_or(0), brotli.unwrap_or(0));
        Self { gzip, zstd, brotli }
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
    /// With what has come out at its end, when the encoder is there no more.
    Brotli(Option<Box<CompressorWriter<Vec<u8>>>>, Vec<u8>),
}

impl Encoder {
    fn gzip() -> Self {
        Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
    }

    fn brotli() -> Self {
        let params = BrotliEncoderParams {
            quality: BROTLI_LEVEL,
            lgwin: BROTLI_WINDOW_LOG,
            ..BrotliEncoderParams::default()
        };
        let encoder = CompressorWriter::with_params(Vec::new(), BROTLI_PIECE_BYTES, &params);
        Self::Brotli(Some(Box::new(encoder)), Vec::new())
    }
}

/// One of the answers that are compressed at once.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        // Gives it back when there are too many.
        let place = Self(count.clone());
        (before < most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer that is being compressed.
pub(crate) struct Press {
    encoder: Encoder,
    /// Bytes went in that may not have come out.
    unflushed: bool,
    _places: (Place, Option<Place>),
}

/// How many answers of a service are being compressed, and how many of them in brotli.
#[derive(Default)]
pub(crate) struct Pressing {
    all: Arc<AtomicUsize>,
    brotli: Arc<AtomicUsize>,
}

impl Press {
    /// For one more answer of a service, and in which coding; none if there are too many.
    pub(crate) fn new(wanted: Coding, pressing: &Pressing) -> Option<(Box<Self>, Coding)> {
        let place = Place::take(&pressing.all, AT_ONCE)?;
        let mut fine = None;
        let (encoder, coding) = match wanted {
            Coding::Gzip => (Encoder::gzip(), wanted),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL).ok()?;
                encoder.window_log(ZSTD_WINDOW_LOG).ok()?;
                (Encoder::Zstd(encoder), wanted)
            }
            Coding::Brotli { or_gzip } => {
                fine = Place::take(&pressing.brotli, BROTLI_AT_ONCE);
                match &fine {
                    Some(_) => (Encoder::brotli(), wanted),
                    None if or_gzip => (Encoder::gzip(), Coding::Gzip),
                    None => return None,
                }
            }
        };
        Some((Box::new(Self { encoder, unflushed: false, _places: (place, fine) }), coding))
    }

    /// None when the body has ended.
    fn writer(&mut self) -> Option<&mut dyn Write> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => Some(encoder),
            Encoder::Zstd(encoder) => Some(encoder),
            Encoder::Brotli(encoder, _) => encoder.as_mut().map(|encoder| encoder as &mut dyn Write),
        }
    }

    /// Takes in a piece of the body.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.unflushed |= !data.is_empty();
        self.writer().map_or(Ok(()), |writer| writer.write_all(data))
    }

    /// Has all that went in come out; false if it did before.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let unflushed = std::mem::take(&mut self.unflushed);
        if let Some(writer) = self.writer().filter(|_| unflushed) {
            writer.flush()?;
        }
        Ok(unflushed)
    }

    /// Ends the body.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.unflushed = false;
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.try_finish(),
            Encoder::Zstd(encoder) => encoder.do_finish(),
            Encoder::Brotli(encoder, rest) => {
                // It says its end when it is taken apart.
                *rest = encoder.take().map(|encoder| encoder.into_inner()).unwrap_or_default();
                Ok(())
            }
        }
    }

    /// What has come out; whoever takes it clears it.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
            Encoder::Brotli(Some(encoder), _) => encoder.get_mut(),
            Encoder::Brotli(None, rest) => rest,
        }
    }
}
