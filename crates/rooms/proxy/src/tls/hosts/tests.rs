//! Which certificate is shown for which name, and what of a document is refused.

use std::collections::BTreeMap;

use plan::tls::{PrivateKey, TlsShare};
use plan::traffic::RouteRule;
use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A certificate that names itself, for these names.
fn certificate(names: &[&str], fallback: bool) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["x.example".into()]).expect("a name");
    let made = params.self_signed(&key).expect("a certificate");
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", data_encoding::BASE64.encode(der))
    };
    Certificate {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        chain: pem("CERTIFICATE", made.der()),
        key: PrivateKey(pem("PRIVATE KEY", &key.serialize_der())),
        fallback,
    }
}

fn document(shares: &[(&str, TlsShare)]) -> Document {
    let share = |tls: &TlsShare| RouteShare { tls: tls.clone(), ..RouteShare::default() };
    let shares = shares.iter().map(|(owner, tls)| ((*owner).to_owned(), share(tls)));
    Document { generation: 1, shares: shares.collect(), ..Document::default() }
}

fn shown(certificates: Vec<Certificate>) -> TlsShare {
    TlsShare { certificates, hosts: Vec::new(), issue: Vec::new() }
}

fn plain_host(name: &str) -> TlsHost {
    TlsHost { name: name.into(), minimum: TlsVersion::V1_2, http2: true, clients: None }
}

fn keeper() -> (tempfile::TempDir, Keeper) {
    let folder = tempfile::tempdir().expect("a folder");
    let keeper = Keeper::new(folder.path());
    (folder, keeper)
}

#[test]
fn the_exact_name_wins_over_the_wildcard_and_that_over_the_fallback() {
    let all = vec![
        certificate(&["a.example", "b.example"], false),
        certificate(&["*.example"], false),
        certificate(&[], true),
    ];
    let (_folder, mut keeper) = keeper();
    let hosts = keeper.build(&document(&[("shop", shown(all))])).expect("good certificates");
    let which = |name: Option<&str>| {
        let host = hosts.choose(name, None)?;
        hosts.made.iter().find(|(_, made)| Arc::ptr_eq(made, &host)).map(|((place, _), _)| *place)
    };
    for (name, want) in [
        (Some("a.example"), Some(0)),
        (Some("A.Example"), Some(0)),
        (Some("b.example"), Some(0)),
        (Some("c.example"), Some(1)),
        (Some("d.c.example"), Some(2)),
        (Some("example"), Some(2)),
        (Some("localhost"), Some(2)),
        (None, Some(2)),
    ] {
        assert_eq!(which(name), want, "{name:?}");
    }
}

#[test]
fn demands_meet_every_certificate_that_a_name_may_be_shown() {
    let strict = |name: &str| TlsHost { minimum: TlsVersion::V1_3, http2: false, ..plain_host(name) };
    let tls = TlsShare {
        certificates: vec![certificate(&["*.example", "a.example"], false), certificate(&[], true)],
        hosts: vec![strict("b.example"), strict("*.other"), strict("a.example")],
        issue: Vec::new(),
    };
    let (_folder, mut keeper) = keeper();
    let hosts = keeper.build(&document(&[("shop", tls)])).expect("good certificates");
    for (name, http2) in
        [("a.example", false), ("b.example", false), ("c.example", true), ("x.other", false), ("other", true)]
    {
        let config = &hosts.choose(Some(name), None).expect("a certificate").config;
        assert_eq!(config.alpn_protocols.contains(&b"h2".to_vec()), http2, "{name}");
    }
}

#[test]
fn a_name_without_a_certificate_gets_none() {
    let (_folder, mut keeper) = keeper();
    let tls = shown(vec![certificate(&["a.example"], false)]);
    let hosts = keeper.build(&document(&[("shop", tls)])).expect("good certificates");
    assert!(hosts.choose(Some("b.example"), None).is_none());
    assert!(hosts.choose(None, None).is_none());
    assert!(hosts.choose(Some("b.localhost"), None).is_none(), "no route leads there");
}

#[test]
fn local_names_that_are_routed_are_signed_for_once() {
    let rule = |host: &str| RouteRule {
        host: Some(host.into()),
        path: spec::PathPrefix::root(),
        strip_prefix: false,
        pool: "web".into(),
        https: plan::tls::RuleHttps::default(),
        rules: spec::RouteRules::default(),
        users: None,
        asks: String::new(),
    };
    let rules = ["shop.localhost", "*.test", "intranet", "shop.example"].map(rule).to_vec();
    let share = RouteShare { rules, ..RouteShare::default() };
    let shares = BTreeMap::from([("shop".to_owned(), share)]);
    let document = Document { generation: 1, shares, ..Document::default() };
    let (_folder, mut keeper) = keeper();
    let hosts = keeper.build(&document).expect("an authority");
    for (name, signed) in [
        ("shop.localhost", true),
        ("SHOP.localhost", true),
        ("a.test", true),
        ("a.b.test", false),
        ("intranet", true),
        ("other", false),
        ("shop.example", false),
    ] {
        assert_eq!(hosts.choose(Some(name), None).is_some(), signed, "{name}");
    }
    let address = "127.0.0.1".parse().ok();
    let one = hosts.choose(None, address).expect("addresses are local names");
    let two = hosts.choose(None, address).expect("addresses are local names");
    assert!(Arc::ptr_eq(&one, &two));
}

#[test]
fn certificates_that_have_not_changed_are_not_read_again() {
    let (_folder, mut keeper) = keeper();
    let tls = shown(vec![certificate(&["a.example"], false)]);
    keeper.build(&document(&[("shop", tls.clone())])).expect("good certificates");
    let before = keeper.known.values().next().cloned().expect("one is known");
    keeper.build(&document(&[("shop", tls)])).expect("good certificates");
    assert!(Arc::ptr_eq(&before, keeper.known.values().next().expect("one is known")));
    keeper.build(&document(&[])).expect("nothing to read");
    assert!(keeper.known.is_empty());
}

#[test]
fn keys_of_tickets_are_apart_for_each_demand_and_outlive_tables() {
    let authorities = certificate(&[], false).chain;
    let guarded = |required| TlsHost {
        clients: Some(ClientCertificates { authorities: authorities.clone(), required }),
        ..plain_host("a.example")
    };
    let (_folder, mut keeper) = keeper();
    let mut tickets = |host: TlsHost| {
        let tls = TlsShare {
            certificates: vec![certificate(&["a.example"], false)],
            hosts: vec![host],
            issue: Vec::new(),
        };
        let hosts = keeper.build(&document(&[("shop", tls)])).expect("good certificates");
        hosts.choose(Some("a.example"), None).expect("a certificate").config.ticketer.clone()
    };
    let (plain, required) = (tickets(plain_host("a.example")), tickets(guarded(true)));
    let again = tickets(guarded(true));
    let optional = tickets(guarded(false));
    let plain_again = tickets(plain_host("a.example"));
    assert!(Arc::ptr_eq(&required, &again) && Arc::ptr_eq(&plain, &plain_again));
    assert!(!Arc::ptr_eq(&plain, &required) && !Arc::ptr_eq(&required, &optional));
    assert!(!Arc::ptr_eq(&required, &tickets(guarded(true))), "a demand that was gone begins anew");
}

#[test]
fn what_cannot_be_used_is_refused_and_says_why() {
    let good = certificate(&["a.example"], false);
    let other = certificate(&["a.example"], false);
    let mut mixed = good.clone();
    mixed.key = other.key.clone();
    let mut no_chain = good.clone();
    no_chain.chain = "hello".into();
    let mut no_key = good.clone();
    no_key.key = PrivateKey("secret".into());
    let bad_name = certificate(&["a b"], false);
    let star = certificate(&["*"], false);
    let guarded = TlsHost {
        clients: Some(ClientCertificates { authorities: "x".into(), required: true }),
        ..plain_host("a.example")
    };
    let demands = TlsShare { certificates: Vec::new(), hosts: vec![guarded], issue: Vec::new() };
    let twice = TlsShare {
        certificates: Vec::new(),
        hosts: vec![plain_host("a"), plain_host("A")],
        issue: Vec::new(),
    };
    for (shares, want) in [
        (
            vec![("one", shown(vec![good.clone()])), ("two", shown(vec![other]))],
            "`a.example` has a certificate or demands of `one` and of `two`",
        ),
        (
            vec![("one", shown(vec![mixed]))],
            "the certificate of `one` for `a.example` cannot be used: its key belongs to another certificate",
        ),
        (
            vec![("one", shown(vec![no_chain]))],
            "the certificate of `one` for `a.example` cannot be used: its chain holds no certificate",
        ),
        (
            vec![("one", shown(vec![no_key]))],
            "the certificate of `one` for `a.example` cannot be used: its key is not in PEM",
        ),
        (
            vec![("one", shown(vec![bad_name]))],
            "`one` has a certificate or demands for `a b`, which is no host",
        ),
        (vec![("one", shown(vec![star]))], "`one` has a certificate or demands for `*`, which is no host"),
        (
            vec![("one", demands)],
            "the authorities that `one` names for clients of `a.example` cannot be used: no root trust anchors were provided",
        ),
        (vec![("one", twice)], "`a` has a certificate or demands of `one` and of `one`"),
    ] {
        let (_folder, mut keeper) = keeper();
        let flaw = keeper.build(&document(&shares)).err().expect("a flaw");
        assert_eq!(flaw.to_string(), want);
    }
}

#[test]
fn an_authority_that_does_not_work_takes_nothing_but_local_names() {
    let (folder, mut keeper) = keeper();
    std::fs::create_dir(folder.path().join("authority")).expect("a folder");
    std::fs::write(folder.path().join("authority/root.key"), "torn").expect("a file");
    let tls = shown(vec![certificate(&["a.example"], false)]);
    let hosts = keeper.build(&document(&[("shop", tls)])).expect("good certificates");
    assert!(hosts.choose(Some("a.example"), None).is_some());
    assert!(hosts.choose(None, "127.0.0.1".parse().ok()).is_none());
}
