//! Where a registry answers: its host and port, and whether it may be spoken to without TLS.

use std::fmt;
use std::net::IpAddr;

use oci::Reference;

/// Where docker's own registry answers.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// A registry's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Host and port as they are written, which is what it is called.
    authority: String,
    host: String,
    port: Option<u16>,
    speech: Speech,
}

/// How an endpoint is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Speech {
    /// TLS, verified.
    Secure,
    /// Whatever it speaks, TLS first; its certificate is not looked at.
    Insecure,
    /// Whatever it speaks, plain HTTP first: it is on this machine.
    Loopback,
    /// Plain HTTP: somebody wrote so.
    Plain,
}

impl Endpoint {
    /// Where the registry of a reference answers. `insecure` names hosts, with or without port, that may lack TLS.
    pub fn of(reference: &Reference, insecure: &[String]) -> Self {
        let domain = reference.domain();
        Self::named(if domain == "docker.io" { DOCKER_HUB } else { domain }, insecure)
    }

    /// A registry by host and port, or by an address as in `http://mirror:5000`.
    pub fn named(text: &str, insecure: &[String]) -> Self {
        let (plain, text) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            (None, None) => (false, text),
        };
        let authority = text.split('/').next().unwrap_or(text).to_ascii_lowercase();
        let (host, port) = split(&authority);
        let listed = insecure.iter().any(|name| *name == authority || *name == host);
        let speech = match (plain, is_loopback(&host), listed) {
            (true, _, _) => Speech::Plain,
            (false, true, _) => Speech::Loopback,
            (false, false, true) => Speech::Insecure,
            (false, false, false) => Speech::Secure,
        };
        Self { host, port, authority, speech }
    }

    /// Host and port, as people write them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What credentials for it are kept under, and what it is called in names of images.
    pub fn domain(&self) -> &str {
        if self.authority == DOCKER_HUB { "docker.io" } else { &self.authority }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self, tls: bool) -> u16 {
        self.port.unwrap_or(if tls { 443 } else { 80 })
    }

    pub(crate) fn speech(&self) -> Speech {
        self.speech
    }

    /// Whether a secret may go to it without TLS: nobody listens on the way, or the person said that it does not matter.
    pub(crate) fn may_be_plain(&self) -> bool {
        match self.speech {
            Speech::Secure => false,
            Speech::Insecure | Speech::Loopback | Speech::Plain => true,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.domain())
    }
}

/// Host and port; the brackets of an IPv6 address are no part of the host.
fn split(authority: &str) -> (String, Option<u16>) {
    if let Some((host, after)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host.to_owned(), after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().ok()),
        None => (authority.to_owned(), None),
    }
}

/// Whether this is always this machine. Names are not looked up: whoever answers for them could change their mind.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    //! Tests of where registries answer.

    use super::*;

    #[track_caller]
    fn check(reference: &str, insecure: &[&str], expected: (&str, u16, Speech)) {
        let insecure: Vec<String> = insecure.iter().map(|&name| name.to_owned()).collect();
        let endpoint = Endpoint::of(&reference.parse().unwrap(), &insecure);
        let tls = matches!(endpoint.speech(), Speech::Secure | Speech::Insecure);
        assert_eq!((endpoint.host(), endpoint.port(tls), endpoint.speech()), expected, "{reference}");
    }

    #[test]
    fn a_reference_leads_to_its_registry() {
        check("busybox", &[], ("registry-1.docker.io", 443, Speech::Secure));
        check("r.example/a", &[], ("r.example", 443, Speech::Secure));
        check("r.example:5000/a", &[], ("r.example", 5000, Speech::Secure));
        check("r.example:5000/a", &["r.example"], ("r.example", 5000, Speech::Insecure));
        check("r.example:5000/a", &["r.example:5000"], ("r.example", 5000, Speech::Insecure));
        check("r.example:5001/a", &["r.example:5000"], ("r.example", 5001, Speech::Secure));
        check("localhost/a", &[], ("localhost", 80, Speech::Loopback));
        check("127.0.0.9:5000/a", &[], ("127.0.0.9", 5000, Speech::Loopback));
        check("[::1]:5000/a", &[], ("::1", 5000, Speech::Loopback));
        check("localhost.example/a", &[], ("localhost.example", 443, Speech::Secure));
    }

    #[test]
    fn an_address_says_how_it_is_spoken_to() {
        assert_eq!(Endpoint::named("http://mirror.example:5000/", &[]).speech(), Speech::Plain);
        assert_eq!(Endpoint::named("https://mirror.example", &[]).speech(), Speech::Secure);
        assert_eq!(Endpoint::named("https://mirror.example", &[]).port(true), 443);
        assert_eq!(Endpoint::named("index.docker.io", &[]).domain(), "index.docker.io");
        assert_eq!(Endpoint::named("registry-1.docker.io", &[]).domain(), "docker.io");
    }
}
