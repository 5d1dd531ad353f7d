//! TLS from clients: handshakes of every temper, and requests over what they make.

use std::io::ErrorKind;

use plan::tls::{Certificate, ClientCertificates, PrivateKey, StrictTransport, TlsHost, TlsVersion};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// A certificate authority of a test.
pub(super) struct Maker {
    issuer: Issuer<'static, KeyPair>,
    pub(super) root: CertificateDer<'static>,
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", data_encoding::BASE64.encode(der))
}

impl Maker {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root").der().clone();
        Self { issuer: Issuer::new(params, key), root }
    }

    /// A certificate for these names, which is shown for them.
    pub(super) fn shown(&self, names: &[&str]) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names.clone()).expect("names");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        Certificate {
            names,
            chain: pem("CERTIFICATE", made.der()),
            key: PrivateKey(pem("PRIVATE KEY", &key.serialize_der())),
            fallback: false,
        }
    }

    /// A client's certificate with its key.
    fn client(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        (made.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    fn authorities(&self) -> String {
        pem("CERTIFICATE", &self.root)
    }
}

/// What a client brings along.
pub(super) fn client(
    roots: &[CertificateDer<'static>],
    own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut store = RootCertStore::empty();
    roots.iter().for_each(|root| store.add(root.clone()).expect("a root"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("versions")
        .with_root_certificates(store);
    match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).expect("a key"),
    }
}

pub(super) async fn connect(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let connecting = TlsConnector::from(config.clone()).connect(name, stream);
    tokio::time::timeout(LONG, connecting).await.expect("a handshake in time")
}

/// Everything until the client's farewell; an end without one is told.
async fn secure_rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut text)).await.expect("an end in time");
    if let Err(error) = read {
        text.extend_from_slice(format!("<{}>", error.kind()).as_bytes());
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn ask_over(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    secure_rest(stream).await
}

async fn secure_ask(address: SocketAddr, name: &str, config: &Arc<ClientConfig>, request: &str) -> String {
    let mut stream = connect(address, name, config).await.expect("a connection");
    ask_over(&mut stream, request).await
}

fn get_from(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// A share that sends everything to the backend, with these words on TLS.
pub(super) fn secured(backend: &Backend, tls: TlsShare) -> RouteShare {
    RouteShare { tls, ..share(&[backend.address], &[]) }
}

fn certificates(certificates: Vec<Certificate>) -> TlsShare {
    TlsShare { certificates, hosts: Vec::new(), issue: Vec::new() }
}

fn host(name: &str) -> TlsHost {
    TlsHost { name: name.into(), minimum: TlsVersion::V1_2, http2: true, clients: None }
}

/// An edge with a certificate for `a.example`, and a client that trusts it.
pub(super) async fn example(settings: Settings, backend: &Backend) -> (TestEdge, Arc<ClientConfig>) {
    let maker = Maker::new();
    let mut edge = TestEdge::start(settings).await;
    edge.apply(secured(backend, certificates(vec![maker.shown(&["a.example"])]))).await;
    (edge, Arc::new(client(&[maker.root], None)))
}

/// Answers with the head that it was sent.
pub(super) async fn mirror() -> Backend {
    Backend::new(|mut stream, _| async move {
        while let Some(head) = next_head(&mut stream).await {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_request_over_tls_is_answered_and_the_instance_is_told_of_the_scheme() {
    let backend = mirror().await;
    let (edge, config) = example(quick(), &backend).await;
    let answer = secure_ask(edge.https, "a.example", &config, &get_from("a.example", "/x")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(body(&answer).contains("x-forwarded-proto: https\r\n"), "{answer}");
    assert!(!answer.contains('<'), "the edge bids farewell: {answer}");
    let seen = edge.server.status();
    assert_eq!((seen.tls.done, seen.tls.failed, seen.https), (1, 0, vec![edge.https]));
    for (url, path) in [("https://a.example/x?y", "/x?y"), ("https://a.example", "/")] {
        let answer = secure_ask(edge.https, "a.example", &config, &get_from("a.example", url)).await;
        assert!(body(&answer).starts_with(&format!("GET {path} HTTP/1.1\r\n")), "a whole URL: {answer}");
    }
}

#[tokio::test]
async fn pipelined_requests_in_one_record_and_requests_in_many_are_answered() {
    let backend = Backend::plain("one").await;
    let (edge, config) = example(quick(), &backend).await;
    let mut stream = connect(edge.https, "a.example", &config).await.expect("a connection");
    let many: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    stream.write_all(many.as_bytes()).await.expect("the edge reads");
    for byte in get("/last").as_bytes() {
        stream.write_all(&[*byte]).await.expect("the edge reads");
        stream.flush().await.expect("a record of one byte");
    }
    let answer = secure_rest(&mut stream).await;
    for n in 0..20 {
        assert!(answer.contains(&format!("one /{n} ")), "{n} in {answer}");
    }
    assert!(answer.ends_with("one /last "), "{answer}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_while_the_client_reads_slowly() {
    const SIZE: usize = 5_000_000;
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await.expect("a request");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        let (mut reader, mut writer) = stream.split();
        let mut body = (&mut reader).take(SIZE as u64);
        tokio::io::copy(&mut body, &mut writer).await.expect("an echo");
    })
    .await;
    let (edge, config) = example(quick(), &backend).await;
    let stream = connect(edge.https, "a.example", &config).await.expect("a connection");
    let (mut reader, mut writer) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
        writer.write_all(request.as_bytes()).await.expect("the edge reads");
        for at in (0..SIZE).step_by(50_000) {
            let piece: Vec<u8> = (at..at + 50_000).map(|at| (at * 7 % 251) as u8).collect();
            writer.write_all(&piece).await.expect("the edge reads");
        }
        writer.flush().await.expect("the edge reads");
        writer
    });
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(reader.read_u8().await.expect("a head"));
    }
    let (mut seen, mut piece) = (0, vec![0; 20_000]);
    while seen < SIZE {
        let count = reader.read(&mut piece).await.expect("the body");
        assert!(count > 0, "the body ends after {seen} bytes");
        let right = piece[..count].iter().zip(seen..).all(|(byte, at)| *byte == (at * 7 % 251) as u8);
        assert!(right, "the body differs within {count} bytes from {seen}");
        seen += count;
    }
    sending.await.expect("all is sent");
}

#[tokio::test]
async fn the_name_that_is_asked_for_chooses_the_certificate() {
    let backend = Backend::plain("one").await;
    let (one, two) = (Maker::new(), Maker::new());
    let mut edge = TestEdge::start(quick()).await;
    let tls = certificates(vec![one.shown(&["a.example"]), two.shown(&["*.shop.example", "b.other"])]);
    edge.apply(secured(&backend, tls)).await;
    let (trusts_one, trusts_two) = (
        Arc::new(client(std::slice::from_ref(&one.root), None)),
        Arc::new(client(std::slice::from_ref(&two.root), None)),
    );
    for (name, first, second) in
        [("a.example", true, false), ("c.shop.example", false, true), ("b.other", false, true)]
    {
        assert_eq!(connect(edge.https, name, &trusts_one).await.is_ok(), first, "{name}");
        assert_eq!(connect(edge.https, name, &trusts_two).await.is_ok(), second, "{name}");
    }
    let error = connect(edge.https, "c.other", &trusts_two).await.expect_err("no certificate");
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
}

#[tokio::test]
async fn a_new_table_brings_new_certificates_and_leaves_connections_alone() {
    let backend = Backend::plain("one").await;
    let (old, new) = (Maker::new(), Maker::new());
    let mut edge = TestEdge::start(quick()).await;
    edge.apply(secured(&backend, certificates(vec![old.shown(&["a.example"])]))).await;
    let (trusts_old, trusts_new) = (
        Arc::new(client(std::slice::from_ref(&old.root), None)),
        Arc::new(client(std::slice::from_ref(&new.root), None)),
    );
    let mut before = connect(edge.https, "a.example", &trusts_old).await.expect("a connection");
    edge.apply(secured(&backend, certificates(vec![new.shown(&["a.example"])]))).await;
    assert!(ask_over(&mut before, &get("/kept")).await.ends_with("one /kept "));
    assert!(connect(edge.https, "a.example", &trusts_new).await.is_ok());
    edge.apply(share(&[backend.address], &[])).await;
    assert!(connect(edge.https, "a.example", &trusts_new).await.is_err());
}

#[tokio::test]
async fn local_names_and_addresses_are_signed_for_by_the_edge() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let root = edge._folder.path().join("authority/root.pem");
    let root = CertificateDer::from_pem_file(root).expect("a root");
    let config = Arc::new(client(&[root], None));
    for name in ["shop.localhost", "a.test", "127.0.0.1"] {
        let answer = secure_ask(edge.https, name, &config, &get_from(name, "/local")).await;
        assert!(answer.ends_with("one /local "), "{name}: {answer}");
    }
    assert!(connect(edge.https, "a.example", &config).await.is_err());
}

#[tokio::test]
async fn sessions_go_on_whichever_thread_accepts() {
    let backend = Backend::plain("one").await;
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let maker = Maker::new();
        let mut edge = TestEdge::start(quick()).await;
        let tls = certificates(vec![maker.shown(&["a.example"])]);
        edge.apply(secured(&backend, tls)).await;
        let mut roots = RootCertStore::empty();
        roots.add(maker.root).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let config = Arc::new(config);
        for n in 0..16 {
            let mut stream = connect(edge.https, "a.example", &config).await.expect("a connection");
            // The tickets come with the first answer at the latest.
            assert!(ask_over(&mut stream, &get("/")).await.ends_with("one / "));
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            assert_eq!(resumed, n > 0, "connection {n}, {versions:?}");
        }
        let seen = edge.server.status().tls;
        assert_eq!((seen.done, seen.resumed, seen.under_way), (16, 15, 0));
    }
}

#[tokio::test]
async fn a_host_may_demand_the_newest_version() {
    let backend = Backend::plain("one").await;
    let maker = Maker::new();
    let mut edge = TestEdge::start(quick()).await;
    let mut tls = certificates(vec![maker.shown(&["a.example", "b.example"])]);
    tls.hosts = vec![TlsHost { minimum: TlsVersion::V1_3, ..host("b.example") }];
    edge.apply(secured(&backend, tls)).await;
    let mut roots = RootCertStore::empty();
    roots.add(maker.root).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS12]).expect("versions");
    let old = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    assert!(connect(edge.https, "a.example", &old).await.is_ok());
    let error = connect(edge.https, "b.example", &old).await.expect_err("too old");
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
}

#[tokio::test]
async fn clients_show_certificates_where_that_is_demanded() {
    let backend = mirror().await;
    let (maker, theirs, strangers) = (Maker::new(), Maker::new(), Maker::new());
    let mut edge = TestEdge::start(quick()).await;
    let mut tls = certificates(vec![maker.shown(&["a.example", "b.example", "c.example"])]);
    let demand = |name: &str, required| TlsHost {
        clients: Some(ClientCertificates { authorities: theirs.authorities(), required }),
        ..host(name)
    };
    tls.hosts = vec![demand("a.example", true), demand("b.example", false)];
    edge.apply(secured(&backend, tls)).await;
    let roots = [maker.root.clone()];
    let nobody = Arc::new(client(&roots, None));
    let anna = Arc::new(client(&roots, Some(theirs.client("anna"))));
    let stranger = Arc::new(client(&roots, Some(strangers.client("anna"))));
    let forged = |host: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Client-Cert: Subject=\"CN=root\"\r\nConnection: close\r\n\r\n"
        )
    };
    for (who, name, asked, want) in [
        (&anna, "a.example", "a.example", "CN=anna"),
        (&anna, "b.example", "b.example", "CN=anna"),
        (&nobody, "b.example", "b.example", "nobody"),
        (&nobody, "c.example", "c.example", "nobody"),
        // The demand of one host must not be passed by under the name of another.
        (&nobody, "c.example", "a.example", "misdirected"),
        (&nobody, "b.example", "a.example", "misdirected"),
        (&anna, "a.example", "c.example", "misdirected"),
        (&anna, "a.example", "A.Example:443", "CN=anna"),
    ] {
        let answer = secure_ask(edge.https, name, who, &forged(asked)).await;
        let have = if answer.contains("x-sea-refused: misdirected") && answer.starts_with("HTTP/1.1 421 ") {
            "misdirected"
        } else if answer.contains(";Subject=\"CN=anna\"\r\n") && !answer.contains("CN=root") {
            "CN=anna"
        } else if answer.contains("200 OK") && !answer.to_lowercase().contains("client-cert") {
            "nobody"
        } else {
            &answer
        };
        assert_eq!(have, want, "{name} asked for {asked}");
    }
    // Over 1.3 the client hears of the refusal when it first reads.
    for (who, name) in [(&nobody, "a.example"), (&stranger, "a.example"), (&stranger, "b.example")] {
        let failed = match connect(edge.https, name, who).await {
            Ok(mut stream) => ask_over(&mut stream, &forged(name)).await,
            Err(error) => format!("<{error}>"),
        };
        assert!(failed.starts_with('<'), "{failed}");
    }
    let plain = edge.ask(&forged("a.example")).await;
    assert!(plain.contains("x-sea-refused: misdirected"), "{plain}");
    assert!(!edge.ask(&forged("c.example")).await.to_lowercase().contains("client-cert"));
}

#[tokio::test]
async fn a_session_does_not_outlive_the_demand_that_it_began_under() {
    let backend = Backend::plain("one").await;
    let (maker, theirs) = (Maker::new(), Maker::new());
    let mut edge = TestEdge::start(quick()).await;
    let shown = maker.shown(&["a.example"]);
    edge.apply(secured(&backend, certificates(vec![shown.clone()]))).await;
    let nobody = Arc::new(client(std::slice::from_ref(&maker.root), None));
    assert!(secure_ask(edge.https, "a.example", &nobody, &get("/")).await.ends_with("one / "));
    let mut tls = certificates(vec![shown]);
    let clients = ClientCertificates { authorities: theirs.authorities(), required: true };
    tls.hosts = vec![TlsHost { clients: Some(clients), ..host("a.example") }];
    edge.apply(secured(&backend, tls)).await;
    let failed = match connect(edge.https, "a.example", &nobody).await {
        Ok(mut stream) => ask_over(&mut stream, &get("/")).await,
        Err(error) => format!("<{error}>"),
    };
    assert!(failed.starts_with('<'), "{failed}");
}

#[tokio::test]
async fn who_speaks_in_clear_text_to_one_port_or_tls_to_the_other_is_told() {
    let backend = Backend::plain("one").await;
    let (edge, config) = example(quick(), &backend).await;
    let answer = ask(edge.https, &get("/")).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("x-sea-refused: plain-http"), "{answer}");
    assert!(answer.ends_with("ask with https:// instead of http://.\n"), "{answer}");
    for bytes in ["\0\0\0\0", "hello\r\n", "\u{16}\u{9}\u{9}\0\u{5}hello"] {
        let answer = ask(edge.https, bytes).await;
        assert!(!answer.contains("HTTP"), "{bytes:?}: {answer:?}");
    }
    assert!(connect(edge.http, "a.example", &config).await.is_err());
    let hello = ask(edge.http, "\u{16}\u{3}\u{1}\0\u{5}hello").await;
    assert!(hello.contains("x-sea-refused: tls-here"), "{hello}");
}

#[tokio::test]
async fn handshakes_are_bounded_in_time_and_number() {
    let backend = Backend::plain("one").await;
    let settings = Settings { head: Duration::from_millis(300), handshakes: 1, ..quick() };
    let (edge, config) = example(settings, &backend).await;
    // With two threads each has one place: of five at least three are turned away at once.
    let mut slow = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(edge.https).await.expect("the edge accepts");
        stream.write_all(&[22, 3, 1]).await.expect("the edge reads");
        slow.push(stream);
    }
    until(|| edge.server.status().tls.turned_away >= 3).await;
    for stream in &mut slow {
        rest(stream).await;
    }
    until(|| edge.server.status().tls.under_way == 0).await;
    let seen = edge.server.status().tls;
    assert_eq!(seen.failed + seen.turned_away, 5, "{seen:?}");
    assert!(secure_ask(edge.https, "a.example", &config, &get("/")).await.ends_with("one / "));
}

#[tokio::test]
async fn handshakes_of_one_client_leave_places_to_others() {
    let backend = Backend::plain("one").await;
    let (edge, config) = example(Settings { handshakes: 9, ..quick() }, &backend).await;
    let mut crowd = Vec::new();
    for _ in 0..60 {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 2], 0).into()).expect("an address of the loopback");
        crowd.push(socket.connect(edge.https).await.expect("the edge accepts"));
    }
    until(|| edge.server.status().tls.turned_away >= 60 - 2 * 8).await;
    assert!(
        edge.server.status().tls.under_way >= 8,
        "of the two threads one at least has as many as it takes"
    );
    for _ in 0..10 {
        assert!(secure_ask(edge.https, "a.example", &config, &get("/")).await.ends_with("one / "));
    }
}

#[tokio::test]
async fn plain_requests_are_sent_to_https_where_a_rule_says_so() {
    let backend = Backend::plain("one").await;
    let maker = Maker::new();
    let mut edge = TestEdge::start(quick()).await;
    let mut share = secured(&backend, certificates(vec![maker.shown(&["a.example"])]));
    share.rules[0].https = RuleHttps {
        only: true,
        strict: Some(StrictTransport { max_age_secs: 31_536_000, include_subdomains: true, preload: true }),
    };
    edge.apply(share).await;
    let port = edge.https.port();
    for (method, host) in [("GET", "a.example"), ("POST", "a.example:8080"), ("HEAD", "[::1]:80")] {
        let request = format!("{method} /x?y=1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
        let answer = edge.ask(&request).await;
        let name = host.rsplit_once(':').filter(|_| host != "a.example").map_or(host, |(name, _)| name);
        assert!(answer.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{answer}");
        assert!(answer.contains(&format!("\r\nlocation: https://{name}:{port}/x?y=1\r\n")), "{answer}");
        assert!(!answer.contains("strict-transport"), "not over plain HTTP: {answer}");
        assert_eq!(body(&answer).is_empty(), method == "HEAD", "{answer}");
    }
    let config = Arc::new(client(&[maker.root], None));
    let answer = secure_ask(edge.https, "a.example", &config, &get_from("a.example", "/x")).await;
    let line = "\r\nstrict-transport-security: max-age=31536000; includeSubDomains; preload\r\n";
    assert!(answer.contains(line) && answer.ends_with("one /x "), "{answer}");
}

#[tokio::test]
async fn the_rule_speaks_for_browsers_in_place_of_the_instance() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let answer = "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let maker = Maker::new();
    let mut edge = TestEdge::start(quick()).await;
    let mut share = secured(&backend, certificates(vec![maker.shown(&["a.example"])]));
    edge.apply(share.clone()).await;
    let config = Arc::new(client(&[maker.root], None));
    let answer = secure_ask(edge.https, "a.example", &config, &get("/")).await;
    assert!(answer.contains("Strict-Transport-Security: max-age=1\r\n"), "{answer}");
    let strict = StrictTransport { max_age_secs: 60, include_subdomains: false, preload: false };
    share.rules[0].https.strict = Some(strict);
    share.pools.values_mut().for_each(|pool| pool.policy.max_body = Some(base::Bytes(8)));
    edge.apply(share).await;
    let answer = secure_ask(edge.https, "a.example", &config, &get("/")).await.to_lowercase();
    assert_eq!(answer.matches("strict-transport-security").count(), 1, "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=60\r\n"), "{answer}");
    drop(backend);
    let answer = secure_ask(edge.https, "a.example", &config, &get("/..")).await;
    assert!(!answer.contains("strict-transport-security"), "no route was found: {answer}");
    let long = "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 9\r\n\r\n123456789";
    let answer = secure_ask(edge.https, "a.example", &config, long).await;
    assert!(answer.contains("x-sea-refused: body-size\r\n"), "{answer}");
    assert_eq!(answer.matches("strict-transport-security: max-age=60\r\n").count(), 1, "{answer}");
}

#[tokio::test]
async fn an_answer_that_is_cut_off_ends_without_a_farewell() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi").await;
    })
    .await;
    let (edge, config) = example(quick(), &backend).await;
    let answer = secure_ask(edge.https, "a.example", &config, &get("/")).await;
    assert!(answer.ends_with('>'), "{answer}");
}

#[tokio::test]
async fn websockets_go_through_tls_until_each_side_ends() {
    let backend = Backend::new(|mut stream, _| async move {
        next_head(&mut stream).await.expect("a request");
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst";
        stream.write_all(answer.as_bytes()).await.expect("the edge reads");
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.expect("an echo");
        writer.write_all(b"last").await.expect("after the client's end");
    })
    .await;
    let (edge, config) = example(quick(), &backend).await;
    let mut stream = connect(edge.https, "a.example", &config).await.expect("a connection");
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly";
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let mut text = String::new();
    while !text.ends_with("firstearly") {
        text.push(char::from(stream.read_u8().await.expect("more")));
    }
    // Two records in one piece: the second waits in the edge and not in the kernel.
    for _ in 0..50 {
        stream.write_all(b"ab").await.expect("the edge reads");
    }
    stream.shutdown().await.expect("a half-close");
    assert_eq!(secure_rest(&mut stream).await, "ab".repeat(50) + "last");
    edge.at_rest(&backend).await;
}

#[tokio::test]
async fn an_ending_edge_bids_farewell_to_connections_at_rest() {
    let backend = Backend::plain("one").await;
    let (mut edge, config) = example(quick(), &backend).await;
    let mut resting = connect(edge.https, "a.example", &config).await.expect("a connection");
    resting.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    let mut text = String::new();
    while !text.ends_with("one / ") {
        text.push(char::from(resting.read_u8().await.expect("more")));
    }
    let mut silent = TcpStream::connect(edge.https).await.expect("the edge accepts");
    until(|| edge.server.status().tls.under_way == 1).await;
    edge.server.leave(Manner::Told).await;
    let workers = edge.server.threads();
    assert_eq!(secure_rest(&mut resting).await, "");
    assert_eq!(rest(&mut silent).await, "", "who has said nothing is not waited for");
    tokio::task::spawn_blocking(|| workers.into_iter().for_each(|w| w.join().expect("no panic")))
        .await
        .expect("all threads end");
    let error = TcpStream::connect(edge.https).await.expect_err("nothing is accepted any more");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_session_goes_on_with_the_edge_that_comes_after() {
    let backend = Backend::plain("one").await;
    let (mut edge, config) = example(quick(), &backend).await;
    assert!(secure_ask(edge.https, "a.example", &config, &get("/")).await.ends_with("one / "));
    let handover = edge.server.handover().expect("sockets");
    let folder = tempfile::tempdir().expect("a folder");
    let addresses = Addresses { http: vec![edge.http], https: HttpsFront::At(vec![edge.https]) };
    let (settings, tickets) = (quick(), handover.tickets.clone());
    let mut next = Server::start(folder.path().into(), &addresses, 3, settings, handover).await.expect("one");
    next.take_tickets(tickets);
    next.apply(edge.server.document().clone()).await.expect("the same table");
    edge.server.leave(Manner::Replaced).await;
    next.open_doors(Vec::new()).await.expect("its threads");
    assert_eq!((next.http(), next.https()), (&[edge.http][..], &[edge.https][..]));
    for _ in 0..6 {
        let mut stream = connect(edge.https, "a.example", &config).await.expect("a connection");
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
        assert!(ask_over(&mut stream, &get("/")).await.ends_with("one / "));
    }
    assert_eq!(next.status().tls.resumed, 6);
}

#[tokio::test]
async fn the_port_is_opened_with_the_first_table_that_needs_it() {
    let backend = Backend::plain("one").await;
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address)).expect("an address");
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let addresses = Addresses { http: vec![any], https: HttpsFront::WhenNeeded(vec![taken.1, any]) };
    let mut server = Server::start(folder.path().into(), &addresses, 2, quick(), Handover::default())
        .await
        .expect("an edge");
    server.open_doors(Vec::new()).await.expect("its threads");
    let apply = |generation, share| {
        let shares = BTreeMap::from([("shop".to_owned(), share)]);
        Document { generation, shares, ..Document::default() }
    };
    server.apply(apply(1, share(&[backend.address], &[]))).await.expect("a good table");
    assert!(server.https().is_empty() && !folder.path().join("authority").exists());
    let maker = Maker::new();
    let tls = certificates(vec![maker.shown(&["a.example"])]);
    server.apply(apply(2, secured(&backend, tls))).await.expect("a good table");
    let config = Arc::new(client(&[maker.root], None));
    let https = server.https()[0];
    assert_ne!(https, taken.1);
    assert!(secure_ask(https, "a.example", &config, &get("/")).await.ends_with("one / "));
    let mode = std::fs::metadata(folder.path().join("table.json")).expect("a file").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600, "it holds keys");
}
