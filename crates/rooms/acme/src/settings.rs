//! Whom certificates are ordered from, and as whom.

use std::fmt;

use hyper::Uri;

use crate::error::SettingsError;

/// The authority that is asked unless another is named.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// What the daemon is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The authority's directory.
    pub directory: String,
    /// Where it writes to when something is wrong, as in `ops@shop.example`.
    pub contact: Option<String>,
    /// Its terms are agreed to. Nothing is ordered without.
    pub agreed: bool,
    /// An account elsewhere that this one is bound to, where the authority asks for that.
    pub binding: Option<Binding>,
}

/// An external account (RFC 8555, section 7.3.4).
#[derive(Clone)]
pub struct Binding {
    /// Its name.
    pub kid: String,
    /// The key that both sides have.
    pub key: Vec<u8>,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binding({}, …)", self.kid)
    }
}

impl Binding {
    /// Of its name and its key in Base64 for URLs, as authorities give them.
    pub fn new(kid: &str, key: &str) -> Result<Self, SettingsError> {
        let text = key.trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
        let key = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        let key = key.filter(|key| key.len() >= 16).ok_or(SettingsError::Key)?;
        Ok(Self { kid: kid.trim().into(), key })
    }
}

impl Settings {
    /// Checks what was written.
    pub fn check(&self) -> Result<(), SettingsError> {
        let bad = || SettingsError::Directory { url: self.directory.clone() };
        let uri: Uri = self.directory.parse().map_err(|_| bad())?;
        if !is_safe(&uri) {
            return Err(bad());
        }
        match &self.contact {
            Some(contact) if !is_mail(contact) => Err(SettingsError::Contact { contact: contact.clone() }),
            Some(_) | None => Ok(()),
        }
    }
}

/// Over HTTPS, or to this machine itself.
pub(crate) fn is_safe(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => here,
        Some(_) | None => false,
    }
}

fn is_mail(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b',' | b'<' | b'>' | b':'));
    plain
        && text
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.') && !host.contains('@'))
}
