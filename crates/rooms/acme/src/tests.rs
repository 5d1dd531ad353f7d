//! The room and a strict authority, which looks at a front of these tests for its proofs.

mod front;

use std::sync::Arc;
use std::time::Duration;

use base::SystemClock;
use tempfile::TempDir;
use testkit::{Authority, Manners};

use super::*;
use front::TestFront;

/// Nothing in these tests takes longer, unless it hangs.
const LONG: Duration = Duration::from_secs(30);

/// A keeper at work.
struct Office {
    authority: Authority,
    front: Arc<TestFront>,
    folder: TempDir,
    keeper: Keeper,
    work: tokio::task::JoinHandle<()>,
}

impl Office {
    async fn open(change: impl FnOnce(&mut Manners), set: impl FnOnce(&mut Settings)) -> Self {
        let front = TestFront::start();
        let mut manners = Manners { http: Some(front.http), https: Some(front.https), ..Manners::default() };
        change(&mut manners);
        let authority = Authority::start(manners);
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings =
            Settings { directory: authority.directory(), contact: None, agreed: true, binding: None };
        set(&mut settings);
        let (keeper, work) = begin(&folder, &front, settings);
        Self { authority, front, folder, keeper, work }
    }

    async fn usual() -> Self {
        Self::open(|_| {}, |_| {}).await
    }

    /// The daemon is started again.
    fn again(&mut self) {
        self.work.abort();
        let directory = self.authority.directory();
        let settings = Settings { directory, contact: None, agreed: true, binding: None };
        (self.keeper, self.work) = begin(&self.folder, &self.front, settings);
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is: impl Fn(&[Status]) -> bool) {
        let wait = async {
            while !is(&self.keeper.status()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let done = tokio::time::timeout(LONG, wait).await;
        let told = (self.keeper.status(), self.authority.journal(), self.authority.complaints());
        done.unwrap_or_else(|_| panic!("not {what}: {told:?}"));
    }

    async fn until_good(&self) {
        self.until("good", |all| !all.is_empty() && all.iter().all(is_good)).await;
        // The proofs go after that.
        self.until("at rest", |_| self.front.proofs() == 0).await;
        assert_eq!(self.authority.complaints(), Vec::<String>::new());
    }

    async fn until_failed(&self) -> String {
        self.until("failed", |all| all.iter().any(|one| one.failed.is_some())).await;
        let all = self.keeper.status();
        all.into_iter().find_map(|one| one.failed).map(|(why, _)| why).unwrap_or_default()
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.work.abort();
    }
}

fn begin(
    folder: &TempDir,
    front: &Arc<TestFront>,
    settings: Settings,
) -> (Keeper, tokio::task::JoinHandle<()>) {
    let keeper = Keeper::open(&folder.path().join("acme"), settings, front.clone(), SystemClock::shared());
    let keeper = keeper.expect("a folder that can be used");
    let work = tokio::spawn(keeper.clone().run());
    (keeper, work)
}

fn is_good(one: &Status) -> bool {
    matches!(one.state, State::Good { .. }) && one.failed.is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_served_together_have_one_certificate() {
    let office = Office::usual().await;
    office.front.want(&[&["a.example", "b.example"], &["c.example"]]);
    office.until_good().await;
    let shown = office.front.shown();
    let mut names: Vec<_> = shown.iter().map(|one| one.names.join(" ")).collect();
    names.sort();
    assert_eq!(names, ["a.example b.example", "c.example"]);
    assert_eq!(
        office.authority.journal(),
        [
            "account of nobody",
            "order a.example b.example",
            "look a.example http-01",
            "look b.example http-01",
            "issued a.example b.example",
            "order c.example",
            "look c.example http-01",
            "issued c.example",
        ]
        .map(str::to_owned)
        .into_iter()
        .collect::<Vec<_>>(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_proven_over_tls_where_that_is_all_that_is_offered() {
    let office = Office::open(|manners| manners.ways = vec!["dns-01", "tls-alpn-01"], |_| {}).await;
    office.front.want(&[&["a.example"]]);
    office.until_good().await;
    assert!(office.authority.journal().contains(&"look a.example tls-alpn-01".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_is_not_known_any_more_is_no_failure() {
    let office = Office::open(|manners| manners.forgotten_nonces = 3, |_| {}).await;
    office.front.want(&[&["a.example"]]);
    office.until_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_bound_to_another_and_says_whom_to_write_to() {
    let key = b"sixteen bytes and more".to_vec();
    let theirs = key.clone();
    let office = Office::open(
        |manners| manners.binding = Some(("kid-1".into(), theirs)),
        |settings| {
            settings.binding = Some(Binding { kid: "kid-1".into(), key });
            settings.contact = Some("ops@shop.example".into());
        },
    )
    .await;
    office.front.want(&[&["a.example"]]);
    office.until_good().await;
    assert_eq!(office.authority.journal()[0], "account mailto:ops@shop.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_to_be_bound_and_is_not_is_told_with_what_to_do() {
    let office = Office::open(|manners| manners.binding = Some(("kid-1".into(), vec![1; 32])), |_| {}).await;
    office.front.want(&[&["a.example"]]);
    let why = office.until_failed().await;
    assert!(why.contains("--acme-eab-kid"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_before_the_terms_are_agreed_to() {
    let office = Office::open(|_| {}, |settings| settings.agreed = false).await;
    office.front.want(&[&["a.example"]]);
    let why = office.until_failed().await;
    assert!(why.contains("--acme-agree"), "{why}");
    assert_eq!(office.authority.journal(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_issued_outlives_the_daemon_and_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut office = Office::usual().await;
    office.front.want(&[&["a.example"]]);
    office.until_good().await;
    let (shown, asked) = (office.front.shown(), office.authority.journal().len());
    office.again();
    office.until_good().await;
    assert_eq!(office.front.shown(), shown);
    assert_eq!(office.authority.journal().len(), asked, "nothing is ordered again");
    let mut open = vec![office.folder.path().join("acme")];
    let mut files = 0;
    while let Some(path) = open.pop() {
        let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            open.extend(path.read_dir().expect("a folder").flatten().map(|entry| entry.path()));
        } else {
            files += 1;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    assert_eq!(files, 2, "an account and a certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_and_not_repeated_by_a_daemon_that_is_started_again() {
    let mut office = Office::open(|manners| manners.http = None, |_| {}).await;
    office.front.want(&[&["a.example"]]);
    let why = office.until_failed().await;
    assert!(why.contains("`a.example` is served here (http-01)") && why.contains("port 80 open"), "{why}");
    assert_eq!(office.front.proofs(), 0, "what was to be seen is gone");
    office.again();
    let why = office.until_failed().await;
    assert!(why.contains("http-01"), "{why}");
    let orders = office.authority.journal().iter().filter(|line| line.starts_with("order")).count();
    assert_eq!(orders, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_has_had_enough_is_left_alone_by_all() {
    let office = Office::open(|manners| manners.rate_limit = Some(7200), |_| {}).await;
    office.front.want(&[&["a.example"], &["b.example"]]);
    let why = office.until_failed().await;
    assert!(why.contains("too many orders (rateLimited)"), "{why}");
    let again = office.keeper.status()[0].failed.clone().expect("a failure").1;
    let pause = again.since(base::Clock::wall(&SystemClock));
    assert!((7100..=7200).contains(&pause.as_secs()), "{pause:?}");
    office.front.nudge();
    office.front.nudged().await;
    let orders = office.authority.journal().iter().filter(|line| line.starts_with("order")).count();
    assert_eq!(orders, 1, "the other one waits too");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_right_is_ordered_again_at_once() {
    let office = Office::open(|manners| (manners.http, manners.ways) = (None, vec!["http-01"]), |_| {}).await;
    office.front.want(&[&["a.example", "b.example"]]);
    office.until_failed().await;
    office.authority.behave(|manners| manners.http = Some(office.front.http));
    let retried = office.keeper.retry(&["b.example".into()]).expect("it may be ordered");
    assert_eq!(retried.begun, [["a.example", "b.example"]]);
    office.until_good().await;
    let good = office.keeper.retry(&["a.example".into()]).expect_err("there is one");
    assert!(
        good.to_string().starts_with("the certificate for `a.example, b.example` is good until "),
        "{good}"
    );
    assert_eq!(office.keeper.retry(&[]), Ok(Retried::default()), "none has failed");
    let unknown = RetryError::Unknown { host: "c.example".into() };
    assert_eq!(office.keeper.retry(&["c.example".into()]), Err(unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_failing_is_not_ordered_again_for_ever() {
    let office = Office::open(|manners| (manners.http, manners.https) = (None, None), |_| {}).await;
    office.front.want(&[&["a.example"]]);
    let orders = || office.authority.journal().iter().filter(|line| line.starts_with("order")).count();
    let failed = |count: usize| {
        let office = &office;
        async move {
            // Until it is over the order is under way, and asking for another is no error.
            let is = |_: &[Status]| orders() == count && !office.keeper.is_ordering();
            office.until("failed again", is).await;
        }
    };
    failed(1).await;
    for count in 2..5 {
        assert_eq!(office.keeper.retry(&[]).map(|retried| retried.begun.len()), Ok(1));
        failed(count).await;
    }
    let often = office.keeper.retry(&[]).expect_err("it was three times");
    assert!(matches!(often, RetryError::Often { .. }), "{often}");
    assert_eq!(base::Problem::kind(&often), base::Kind::Exhausted);
    assert_eq!(orders(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_has_had_enough_is_not_hurried() {
    let office = Office::open(|manners| manners.rate_limit = Some(7200), |_| {}).await;
    office.front.want(&[&["a.example"], &["b.example"]]);
    office.until_failed().await;
    office.until("at rest", |_| !office.keeper.is_ordering()).await;
    for hosts in [&[][..], &["a.example".to_owned()], &["b.example".to_owned()]] {
        let asked = office.keeper.retry(hosts).expect_err("it has asked for patience");
        assert!(matches!(asked, RetryError::Asked { .. }), "{hosts:?}: {asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_could_not_be_reached_is_asked_again_for_all() {
    let office =
        Office::open(|_| {}, |settings| settings.directory = "http://127.0.0.1:1/directory".into()).await;
    office.front.want(&[&["a.example"], &["b.example"]]);
    office.until_failed().await;
    office.until("at rest", |_| !office.keeper.is_ordering()).await;
    // The other one was not tried, and waits for the same reason.
    let retried = office.keeper.retry(&["b.example".into()]).expect("it may be ordered");
    assert_eq!(retried.begun, [["b.example"]]);
    office.until("tried", |all| all.iter().all(|one| one.failed.is_some())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ordered_again_before_the_terms_are_agreed_to() {
    let office = Office::open(|_| {}, |settings| settings.agreed = false).await;
    assert_eq!(office.keeper.retry(&[]), Err(RetryError::NotAgreed));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewal_comes_when_the_authority_wishes_and_says_what_it_replaces() {
    let office = Office::open(|manners| manners.window = Some((-7200, -3600)), |_| {}).await;
    office.front.want(&[&["a.example"]]);
    office
        .until("ordered again", |_| office.authority.journal().contains(&"order a.example again".to_owned()))
        .await;
    // From then on it may stay.
    office.authority.behave(|manners| manners.window = Some((86_400, 172_800)));
    office.until_good().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_was_set_up_anew_gets_a_new_account() {
    let mut office = Office::usual().await;
    office.front.want(&[&["a.example"]]);
    office.until_good().await;
    office.authority.forget_accounts();
    office.again();
    office.front.want(&[&["b.example"]]);
    office.until("issued", |all| all.iter().any(|one| one.names == ["b.example"] && is_good(one))).await;
    let accounts = office.authority.journal().iter().filter(|line| line.starts_with("account")).count();
    assert_eq!(accounts, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_authority_is_told_as_such() {
    let office =
        Office::open(|_| {}, |settings| settings.directory = "http://127.0.0.1:1/directory".into()).await;
    office.front.want(&[&["a.example"]]);
    let why = office.until_failed().await;
    assert!(why.contains("could not reach the authority at `http://127.0.0.1:1/directory`"), "{why}");
}

#[test]
fn settings_that_do_not_do_are_told() {
    let check = |directory: &str, contact: Option<&str>| {
        let contact = contact.map(str::to_owned);
        Settings { directory: directory.into(), contact, agreed: true, binding: None }.check().is_ok()
    };
    assert!(check(LETS_ENCRYPT, Some("a@b.example")));
    assert!(check("http://127.0.0.1:14000/dir", None) && check("http://[::1]:1/dir", None));
    for bad in
        ["", "acme.example/directory", "http://acme.example/directory", "ftp://acme.example/", "https:///x"]
    {
        assert!(!check(bad, None), "{bad}");
    }
    for bad in [
        "",
        "a",
        "@b.example",
        "a@b",
        "a@b@c.example",
        "a@b.example,c@d.example",
        "a b@c.example",
        "mailto:a@b.c",
    ] {
        assert!(!check(LETS_ENCRYPT, Some(bad)), "{bad}");
    }
    let key = |text: &str| Binding::new("kid", text).map(|binding| binding.key.len()).ok();
    assert_eq!(key("AAAAAAAAAAAAAAAAAAAAAAAA\n"), Some(18));
    assert_eq!(key("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"), Some(48));
    assert_eq!(key("++//AAAAAAAAAAAAAAAAAAAAAA=="), Some(19));
    assert_eq!((key("AAAA"), key("not base 64 at all, is it")), (None, None));
}

#[test]
fn what_a_certificate_says_is_read() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    let (root_key, key) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
    let mut root = CertificateParams::default();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = Issuer::new(root, root_key);
    let mut params = CertificateParams::new(vec!["a.example".into(), "b.example".into()]).expect("names");
    params.not_before = date_time_ymd(2026, 11, 28);
    params.not_after = date_time_ymd(2050, 1, 1);
    params.serial_number = Some(vec![0x87, 0x65].into());
    params.use_authority_key_identifier_extension = true;
    let made = params.signed_by(&key, &issuer).expect("a certificate");
    let facts = x509::read(made.der()).expect("it reads");
    assert_eq!(facts.names, ["a.example", "b.example"]);
    assert_eq!(facts.key, key.public_key_raw());
    assert_eq!((facts.life.from, facts.life.until), (1_795_824_000, 2_524_608_000));
    let id = facts.id.expect("it says who signed it");
    // A number whose first bit is set has a zero in front, which belongs to it.
    assert!(id.ends_with(".AIdl"), "{id}");
}

proptest::proptest! {
    /// Bytes that are no certificate are called unreadable, and nothing worse.
    #[test]
    fn no_certificate_is_too_odd(bytes: Vec<u8>, cut in 0usize..400, flip in 0usize..400) {
        x509::read(&bytes);
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["a.example".into()]).expect("names");
        let mut der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let at = flip % der.len();
        der[at] ^= 0x55;
        x509::read(&der);
        x509::read(&der[..cut.min(der.len())]);
    }
}
