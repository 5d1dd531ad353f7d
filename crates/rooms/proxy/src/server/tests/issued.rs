//! Certificates by an authority: what it is shown before, what clients are shown meanwhile, and after.

use plan::tls::{Certificate, PrivateKey};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use super::secure::{Maker, client, connect, pem};
use super::*;

const ROUTED: &str = "shop.example";

/// An edge with a route for the host whose certificate is to be issued.
async fn waiting(backend: &Backend) -> TestEdge {
    let mut edge = TestEdge::start(quick()).await;
    edge.apply(wishing(backend)).await;
    edge
}

fn wishing(backend: &Backend) -> RouteShare {
    let mut share = share(&[backend.address], &[]);
    share.rules[0].host = Some(ROUTED.into());
    share.rules[0].https.only = true;
    share.tls.issue = vec![vec![ROUTED.into()]];
    share
}

/// Trusts the edge's own authority and whom it is told, and checks nothing about names.
fn trusting(edge: &TestEdge, others: &[CertificateDer<'static>]) -> Arc<ClientConfig> {
    let path = edge._folder.path().join("authority/root.pem");
    let text = std::fs::read(path).expect("the authority's root");
    let mut roots = vec![rustls::pki_types::pem::PemObject::from_pem_slice(&text).expect("a certificate")];
    roots.extend_from_slice(others);
    Arc::new(client(&roots, None))
}

/// The issuer of what is shown for the host, or what went wrong.
async fn shown(edge: &TestEdge, protocols: &[&[u8]], config: &ClientConfig) -> String {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    match connect(edge.https, ROUTED, &Arc::new(config)).await {
        Ok(stream) => {
            let chosen = stream.get_ref().1.alpn_protocol().map(String::from_utf8_lossy).unwrap_or_default();
            format!("trusted, {chosen:?}")
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn an_authority_finds_its_answer_where_requests_go_to_https_and_for_hosts_without_a_route() {
    let backend = Backend::plain("one").await;
    let mut edge = waiting(&backend).await;
    let asked = |host: &str, method: &str, path: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    let path = "/.well-known/acme-challenge/token-1";
    assert_eq!(status(&edge.ask(&asked(ROUTED, "GET", path)).await), "308");
    edge.issued.answers.insert("token-1".into(), "token-1.thumb".into());
    edge.apply(wishing(&backend)).await;
    for host in [ROUTED, "other.example"] {
        let answer = edge.ask(&asked(host, "GET", path)).await;
        assert_eq!((status(&answer), body(&answer)), ("200", "token-1.thumb"), "{answer}");
        assert!(!answer.contains("x-sea-refused"), "{answer}");
    }
    let head = edge.ask(&asked(ROUTED, "HEAD", path)).await;
    assert!(head.contains("content-length: 13\r\n") && body(&head).is_empty(), "{head}");
    for other in ["token-2", "", "token-1/", "token-1x"] {
        let path = format!("/.well-known/acme-challenge/{other}");
        assert_eq!(status(&edge.ask(&asked(ROUTED, "GET", &path)).await), "308", "{other:?}");
    }
    edge.issued.answers.clear();
    edge.apply(wishing(&backend)).await;
    assert_eq!(status(&edge.ask(&asked(ROUTED, "GET", path)).await), "308");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_host_is_served_before_its_certificate_is_there_and_with_it_after() {
    let backend = Backend::plain("one").await;
    let mut edge = waiting(&backend).await;
    let maker = Maker::new();
    let config = trusting(&edge, std::slice::from_ref(&maker.root));
    // The root may not sign for it, and says so; who does not look is served.
    let before = shown(&edge, &[], &config).await;
    assert!(before.contains("invalid peer certificate") && before.contains("NameConstraint"), "{before}");
    edge.issued.certificates = vec![maker.shown(&[ROUTED, "gone.example"])];
    edge.apply(wishing(&backend)).await;
    assert_eq!(shown(&edge, &[b"http/1.1"], &config).await, "trusted, \"http/1.1\"");
    let others = connect(edge.https, "gone.example", &config).await;
    assert!(others.is_err(), "a name that nobody wants any more has none");
}

#[tokio::test]
async fn a_certificate_of_ones_own_comes_first() {
    let backend = Backend::plain("one").await;
    let mut edge = waiting(&backend).await;
    let (own, authority) = (Maker::new(), Maker::new());
    let mut share = wishing(&backend);
    share.tls.certificates = vec![own.shown(&[ROUTED])];
    edge.issued.certificates = vec![authority.shown(&[ROUTED])];
    edge.apply(share).await;
    let config = Arc::new(client(std::slice::from_ref(&own.root), None));
    assert_eq!(shown(&edge, &[], &config).await, "trusted, \"\"");
}

/// What an authority is to see for the host: it says so in a way that other clients must refuse.
fn proof() -> Certificate {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(vec![ROUTED.into()]).expect("names");
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&[7; 32])];
    let made = params.self_signed(&key).expect("a certificate");
    Certificate {
        names: vec![ROUTED.into()],
        chain: pem("CERTIFICATE", made.der()),
        key: PrivateKey(pem("PRIVATE KEY", &key.serialize_der())),
        fallback: false,
    }
}

#[tokio::test]
async fn who_asks_for_the_proof_alone_sees_it_and_all_others_see_none_of_it() {
    let backend = Backend::plain("one").await;
    let mut edge = waiting(&backend).await;
    let authority = Maker::new();
    let usual = client(std::slice::from_ref(&authority.root), None);
    let none = shown(&edge, &[b"acme-tls/1"], &usual).await;
    assert!(none.contains("UnrecognisedName"), "{none}");
    edge.issued.proofs = vec![proof()];
    edge.issued.certificates = vec![authority.shown(&[ROUTED])];
    edge.apply(wishing(&backend)).await;
    let proven = shown(&edge, &[b"acme-tls/1"], &usual).await;
    assert!(proven.contains("UnsupportedCriticalExtension"), "{proven}");
    let (proof, http): (&[u8], &[u8]) = (b"acme-tls/1", b"http/1.1");
    for protocols in [vec![], vec![http], vec![proof, http], vec![http, proof]] {
        let shown = shown(&edge, &protocols, &usual).await;
        assert!(shown.starts_with("trusted") && !shown.contains("acme"), "{shown}");
    }
}

#[tokio::test]
async fn what_was_issued_and_does_not_read_is_refused_with_its_name() {
    let backend = Backend::plain("one").await;
    let edge = waiting(&backend).await;
    let mut server = edge.server;
    let bad = Certificate {
        names: vec![ROUTED.into()],
        chain: pem("CERTIFICATE", b"x"),
        key: PrivateKey(String::new()),
        fallback: false,
    };
    let shares = BTreeMap::from([("shop".to_string(), wishing(&backend))]);
    let issued = Issued { certificates: vec![bad], ..Issued::default() };
    let refused = server.apply(Document { generation: 9, shares, issued, ..Document::default() }).await;
    let why = format!("{:?}", refused.expect_err("no certificate"));
    assert!(why.contains("BadCertificate") && why.contains("acme") && why.contains("shop.example"), "{why}");
}
