//! An authority that speaks ACME (RFC 8555, 8737, 9773), as strict as a real one is, for tests.
//!
//! It checks nonces, signatures, who signs, and URLs; it looks for proofs by really connecting, at addresses that stand for
//! the hosts; and it signs what it is asked to sign only for the names of the order. What is not as the standard has it is
//! refused and noted in [`Authority::complaints`].

mod looks;
mod message;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

use message::{Answer, Asked, Signed};

/// How the authority behaves; tests change it as they go.
#[derive(Debug, Clone)]
pub struct Manners {
    /// Where hosts answer HTTP and HTTPS.
    pub http: Option<SocketAddr>,
    /// The same for HTTPS.
    pub https: Option<SocketAddr>,
    /// The ways to prove a host that it offers.
    pub ways: Vec<&'static str>,
    /// So many nonces are called unknown.
    pub forgotten_nonces: u32,
    /// New orders are refused for so many seconds.
    pub rate_limit: Option<u64>,
    /// An account elsewhere is asked for: its name and key.
    pub binding: Option<(String, Vec<u8>)>,
    /// Certificates are good for so many seconds.
    pub life_secs: u64,
    /// When renewal is wished for, as seconds from now.
    pub window: Option<(i64, i64)>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            http: None,
            https: None,
            ways: vec!["http-01", "tls-alpn-01"],
            forgotten_nonces: 0,
            rate_limit: None,
            binding: None,
            life_secs: 90 * 86_400,
            window: None,
        }
    }
}

/// The authority, at work until it is dropped.
pub struct Authority {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    manners: Manners,
    ended: bool,
    count: u64,
    nonces: BTreeSet<String>,
    /// Public keys by the URL of their account.
    accounts: BTreeMap<String, Value>,
    orders: BTreeMap<String, order::Order>,
    authorizations: BTreeMap<String, order::Authorization>,
    issued: BTreeMap<String, String>,
    journal: Vec<String>,
    complaints: Vec<String>,
}

impl Authority {
    /// Begins to answer at a free port of this machine.
    pub fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).expect("a root").der().to_vec();
        let issuer = Issuer::new(params, key);
        let state = Mutex::new(State { manners, ..State::default() });
        let shared = Arc::new(Shared { address, issuer, root, state });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.state().ended {
                    break;
                }
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Self { shared }
    }

    /// Where its directory is.
    pub fn directory(&self) -> String {
        format!("{}/directory", self.shared.base())
    }

    /// Its root, in PEM.
    pub fn root(&self) -> String {
        message::pem(&self.shared.root)
    }

    /// Changes how it behaves.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.shared.state().manners);
    }

    /// What it was asked to do so far, as in `order a.example b.example`.
    pub fn journal(&self) -> Vec<String> {
        self.shared.state().journal.clone()
    }

    /// What was not as the standard has it.
    pub fn complaints(&self) -> Vec<String> {
        self.shared.state().complaints.clone()
    }

    /// Forgets all accounts, as one that was set up anew.
    pub fn forget_accounts(&self) {
        self.shared.state().accounts.clear();
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        // Has it look.
        let _ = TcpStream::connect(self.shared.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A URL of its own that nothing else has.
    fn fresh(&self, kind: &str) -> String {
        let mut state = self.state();
        state.count += 1;
        format!("{}/{kind}/{}", self.base(), state.count)
    }

    fn note(&self, what: impl Into<String>) {
        self.state().journal.push(what.into());
    }

    fn complain(&self, kind: &str, what: impl Into<String>) -> Answer {
        let what = what.into();
        self.state().complaints.push(what.clone());
        Answer::problem(400, kind, &what)
    }

    /// One request, and its answer.
    fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let Some(asked) = Asked::read(&mut stream) else { return };
        let mut answer = self.answer(&asked);
        let nonce = format!("nonce-{}", self.fresh("n").rsplit('/').next().unwrap_or_default());
        self.state().nonces.insert(nonce.clone());
        answer.headers.push(("Replay-Nonce".into(), nonce));
        let _ = stream.write_all(&answer.bytes(asked.method == "HEAD"));
    }

    fn answer(self: &Arc<Self>, asked: &Asked) -> Answer {
        if asked.header("user-agent").is_none_or(str::is_empty) {
            return self.complain("malformed", "a request without User-Agent");
        }
        match (&asked.method[..], &asked.path[..]) {
            ("GET", "/directory") => self.directory(),
            ("HEAD", "/new-nonce") => Answer::json(200, json!({})),
            ("GET", path) if path.starts_with("/renewal/") => self.advice(&path["/renewal/".len()..]),
            ("POST", path) => match self.signed(asked) {
                Ok(signed) => self.act(path, &signed),
                Err(answer) => answer,
            },
            (method, path) => self.complain("malformed", format!("{method} of {path}")),
        }
    }

    fn directory(&self) -> Answer {
        let base = self.base();
        let mut text = json!({
            "newNonce": format!("{base}/new-nonce"),
            "newAccount": format!("{base}/new-account"),
            "newOrder": format!("{base}/new-order"),
            "revokeCert": format!("{base}/revoke"),
            "keyChange": format!("{base}/key-change"),
            "meta": {"externalAccountRequired": self.state().manners.binding.is_some()},
        });
        if self.state().manners.window.is_some() {
            text["renewalInfo"] = format!("{base}/renewal").into();
        }
        Answer::json(200, text)
    }

    fn act(self: &Arc<Self>, path: &str, signed: &Signed) -> Answer {
        let kind = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match kind {
            "new-account" => self.new_account(signed),
            "new-order" => self.new_order(signed),
            "order" => self.order(&signed.url),
            "authorization" => self.authorization(&signed.url),
            "challenge" => self.challenge(signed),
            "finalize" => self.finalize(signed),
            "certificate" => match self.state().issued.get(&signed.url) {
                Some(chain) => Answer::text("application/pem-certificate-chain", chain),
                None => Answer::problem(404, "malformed", "no such certificate"),
            },
            _ => self.complain("malformed", format!("POST to {path}")),
        }
    }

    fn new_account(&self, signed: &Signed) -> Answer {
        let Some(jwk) = &signed.jwk else { return self.complain("malformed", "a new account by its URL") };
        let Some(wish) = &signed.payload else {
            return self.complain("malformed", "a new account of nothing");
        };
        if wish["termsOfServiceAgreed"] != true {
            return Answer::problem(403, "userActionRequired", "the terms are not agreed to");
        }
        let binding = self.state().manners.binding.clone();
        if let Some((kid, key)) = binding {
            let right = message::is_bound(&wish["externalAccountBinding"], (&kid, &key), (jwk, &signed.url));
            if !right {
                return self.complain("unauthorized", "the account is bound to no other, or wrongly");
            }
        }
        self.note(format!("account {}", wish["contact"][0].as_str().unwrap_or("of nobody")));
        let known = self.state().accounts.iter().find(|(_, key)| *key == jwk).map(|(url, _)| url.clone());
        let (status, url) = known.map_or_else(|| (201, self.fresh("account")), |url| (200, url));
        self.state().accounts.insert(url.clone(), jwk.clone());
        let mut answer = Answer::json(status, json!({"status": "valid"}));
        answer.headers.push(("Location".into(), url));
        answer
    }

    fn advice(&self, id: &str) -> Answer {
        self.note(format!("advice {}", id.split('.').count()));
        let Some((start, end)) = self.state().manners.window else {
            return Answer::problem(404, "malformed", "there is no advice here");
        };
        let now = jiff::Timestamp::now();
        let at = |secs: i64| (now + jiff::SignedDuration::from_secs(secs)).to_string();
        let mut answer = Answer::json(200, json!({"suggestedWindow": {"start": at(start), "end": at(end)}}));
        answer.headers.push(("Retry-After".into(), "21600".into()));
        answer
    }
}
