//! What the authority signs, how long that lives, and what becomes of its folder.

use std::os::unix::fs::PermissionsExt;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::*;

const NOW: u64 = 1_800_000_000;

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// Whether a client that trusts the root in this folder takes the certificate for this name at that time.
fn is_trusted(folder: &Path, leaf: &Leaf, name: &str, at: u64) -> bool {
    let root = CertificateDer::from_pem_file(folder.join("root.pem")).expect("a root");
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("roots");
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let time = UnixTime::since_unix_epoch(Duration::from_secs(at));
    verifier.verify_server_cert(&leaf.key.cert[0], &[], &name, &[], time).is_ok()
}

#[test]
fn clients_that_trust_the_root_take_its_certificates_for_local_names_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::open(folder.path(), &names(&["intranet"]), NOW).expect("an authority");
    for name in [
        "localhost",
        "a.localhost",
        "a.b.test",
        "db.internal",
        "printer.local",
        "intranet",
        "127.0.0.1",
        "::1",
    ] {
        let leaf = authority.sign(name, NOW).expect("a certificate");
        assert!(is_trusted(folder.path(), &leaf, name, NOW), "{name}");
        assert!(is_trusted(folder.path(), &leaf, name, NOW - SKEW / 2), "{name}: clocks may be slow");
        assert!(!is_trusted(folder.path(), &leaf, name, NOW + 90 * DAY), "{name}: it lives too long");
        assert!(leaf.renew_at < NOW + LEAF_LIFE && leaf.renew_at > NOW);
        assert!(!is_trusted(folder.path(), &leaf, "other.test", NOW));
    }
    for name in ["example.com", "other", "localhost.example.com", "a.locals"] {
        assert!(authority.sign(name, NOW).is_err(), "{name}");
    }
}

#[test]
fn the_root_itself_forbids_what_the_authority_does_not_sign() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut authority = Authority::open(folder.path(), &names(&[]), NOW).expect("an authority");
    // As if somebody had the key: the name is listed here, and not in the root that clients have.
    authority.made.names.insert("other".into());
    let leaf = authority.sign("other", NOW).expect("a certificate");
    assert!(!is_trusted(folder.path(), &leaf, "other", NOW));
}

#[test]
fn a_root_is_found_again_and_grows_by_names_with_the_same_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = |name: &str| fs::read(folder.path().join(name)).expect("a file");
    Authority::open(folder.path(), &names(&["one"]), NOW).expect("an authority");
    let (key, root) = (read("root.key"), read("root.pem"));
    let again = Authority::open(folder.path(), &names(&["one"]), NOW + DAY).expect("an authority");
    assert_eq!((read("root.key"), read("root.pem")), (key.clone(), root.clone()));
    assert!(again.covers(&names(&["one"])) && !again.covers(&names(&["one", "two"])));
    let grown = Authority::open(folder.path(), &names(&["two"]), NOW + DAY).expect("an authority");
    assert_eq!(read("root.key"), key);
    assert_ne!(read("root.pem"), root);
    for name in ["one", "two"] {
        let leaf = grown.sign(name, NOW + DAY).expect("a certificate");
        assert!(is_trusted(folder.path(), &leaf, name, NOW + DAY), "{name}");
    }
    // Who trusts the root of before takes what the new one signs for the names of before.
    fs::write(folder.path().join("root.pem"), root).expect("a file");
    let leaf = grown.sign("one", NOW + DAY).expect("a certificate");
    assert!(is_trusted(folder.path(), &leaf, "one", NOW + DAY));
}

#[test]
fn the_key_is_for_its_owner_alone_and_is_never_replaced_unasked() {
    let folder = tempfile::tempdir().expect("a folder");
    Authority::open(folder.path(), &names(&[]), NOW).expect("an authority");
    let path = folder.path().join("root.key");
    let mode = fs::metadata(&path).expect("a key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::write(&path, "torn").expect("a file");
    let error = Authority::open(folder.path(), &names(&[]), NOW).err().expect("no key");
    assert_eq!(error.kind(), Kind::Invalid);
    assert_eq!(fs::read(&path).expect("a file"), b"torn");
}

#[test]
fn a_root_near_its_end_is_replaced_in_time() {
    let folder = tempfile::tempdir().expect("a folder");
    Authority::open(folder.path(), &names(&[]), NOW).expect("an authority");
    let late = NOW + ROOT_LIFE - ROOT_LEFT;
    let authority = Authority::open(folder.path(), &names(&[]), late).expect("an authority");
    let leaf = authority.sign("a.test", late).expect("a certificate");
    assert!(is_trusted(folder.path(), &leaf, "a.test", late + 59 * DAY));
}
