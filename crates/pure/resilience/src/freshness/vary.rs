//! Which of several answers for one target fits a request.
//!
//! Keep under the target's own key what the answers vary by, and each answer under [`Vary::key`]; to look one up, get
//! the first, and then the second by the request's fields.

/// The most fields that an answer may vary by.
const FIELDS: usize = 8;
/// The longest values, together, that are matched.
const VALUE_BYTES: usize = 1024;

/// The names of the fields that an answer was chosen by: in small letters, in order, each once.
///
/// ```
/// use resilience::freshness::Vary;
///
/// let vary = Vary::parse(b"Accept-Language")?;
/// let german = vary.key(b"/page", |_| Some(b"de"))?;
/// assert_ne!(german, vary.key(b"/page", |_| None)?);
/// # Ok::<(), resilience::freshness::Unmatchable>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vary {
    names: Vec<String>,
}

/// No later request can be known to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unmatchable;

crate::refusal::sentences! {
    Unmatchable: |_it, f| f.write_str("the answer varies by more than can be matched");
}

impl Vary {
    /// Reads the field's value; lines of the field joined by commas.
    ///
    /// # Errors
    /// For `*`, for what is no name, and for more than eight names.
    pub fn parse(value: &[u8]) -> Result<Self, Unmatchable> {
        let mut names = Vec::new();
        for name in value.split(|c| *c == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty()) {
            let is_name = name.iter().all(|c| c.is_ascii_alphanumeric() || b"-_.!#$%&'+^`|~".contains(c));
            let text = std::str::from_utf8(name).map_err(|_| Unmatchable)?;
            if !is_name || text == "*" {
                return Err(Unmatchable);
            }
            names.push(text.to_ascii_lowercase());
        }
        names.sort_unstable();
        names.dedup();
        if names.len() > FIELDS { Err(Unmatchable) } else { Ok(Self { names }) }
    }

    /// Whether one answer fits all requests.
    pub fn is_none(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The key of the answer that fits a request: the target's own key and what the request says in these fields, lines
    /// of one field joined by commas. The target's own key alone if there are none.
    ///
    /// # Errors
    /// When the values are longer than a kilobyte together: make no use of the cache.
    pub fn key<'a>(
        &self,
        target: &[u8],
        mut field: impl FnMut(&str) -> Option<&'a [u8]>,
    ) -> Result<Vec<u8>, Unmatchable> {
        let mut key = target.to_vec();
        for name in &self.names {
            // A length before each part, so that no two lists of values make the same key.
            let value = field(name).map(<[u8]>::trim_ascii);
            key.push(0);
            key.extend_from_slice(name.as_bytes());
            key.push(u8::from(value.is_some()));
            let value = value.unwrap_or_default();
            key.extend_from_slice(&(value.len() as u32).to_be_bytes());
            key.extend_from_slice(value);
        }
        if key.len() > target.len() + VALUE_BYTES { Err(Unmatchable) } else { Ok(key) }
    }
}
