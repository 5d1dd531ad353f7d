//! `Cache-Control`, of requests and of answers.

use std::time::Duration;

/// Times are cut here, as RFC 9111, section 1.2.2, advises: 68 years.
const MOST_SECONDS: u64 = 1 << 31;

/// How stale an answer a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxStale {
    /// Any.
    Any,
    /// So much past its freshness.
    By(Duration),
}

/// The directives that mean something here. Those with field names count as if without, which is allowed and stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheControl {
    /// Fresh for so long; of a request: not older than this.
    pub max_age: Option<Duration>,
    /// The same, for shared caches.
    pub s_maxage: Option<Duration>,
    /// Of a request: how stale it may be.
    pub max_stale: Option<MaxStale>,
    /// Of a request: so long it must stay fresh.
    pub min_fresh: Option<Duration>,
    /// Never without asking.
    pub no_cache: bool,
    /// Not to be kept.
    pub no_store: bool,
    /// Not for others.
    pub private: bool,
    /// For others too.
    pub public: bool,
    /// Never stale.
    pub must_revalidate: bool,
    /// Never stale from a shared cache.
    pub proxy_revalidate: bool,
    /// Only for caches that know its status; then `no-store` does not count.
    pub must_understand: bool,
    /// Of a request: from the cache or not at all.
    pub only_if_cached: bool,
    /// RFC 5861.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861.
    pub stale_if_error: Option<Duration>,
}

impl CacheControl {
    /// Reads the field's value; lines of the field joined by commas. What is not known is passed over.
    pub fn parse(value: &[u8]) -> Self {
        let mut all = Self::default();
        let mut rest = value;
        while !rest.is_empty() {
            let (part, after) = split(rest);
            let at = part.iter().position(|c| *c == b'=');
            let (name, argument) = match at {
                Some(at) => (part[..at].trim_ascii(), Some(part[at + 1..].trim_ascii())),
                None => (part.trim_ascii(), None),
            };
            all.note(&name.to_ascii_lowercase(), argument);
            rest = after;
        }
        all
    }

    fn note(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match name {
            b"max-age" => least(&mut self.max_age, argument),
            b"s-maxage" => least(&mut self.s_maxage, argument),
            b"min-fresh" => least(&mut self.min_fresh, argument),
            b"stale-while-revalidate" => least(&mut self.stale_while_revalidate, argument),
            b"stale-if-error" => least(&mut self.stale_if_error, argument),
            b"max-stale" => {
                let told = argument.map_or(MaxStale::Any, |argument| MaxStale::By(seconds(argument)));
                self.max_stale = Some(told);
            }
            b"no-cache" => self.no_cache = true,
            b"no-store" => self.no_store = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"only-if-cached" => self.only_if_cached = true,
            _ => {}
        }
    }
}

/// The text up to the next comma that is not quoted, and the text after it.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.iter().enumerate() {
        match c {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, &[])
}

fn least(held: &mut Option<Duration>, argument: Option<&[u8]>) {
    let told = argument.map_or(Duration::ZERO, seconds);
    *held = Some(held.map_or(told, |held| held.min(told)));
}

/// Seconds in digits, perhaps in quotes; zero if it is anything else.
pub(super) fn seconds(text: &[u8]) -> Duration {
    let bare = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    if bare.is_empty() || !bare.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let add = |number: u64, digit: &u8| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(MOST_SECONDS)
    };
    Duration::from_secs(bare.iter().fold(0, add))
}
