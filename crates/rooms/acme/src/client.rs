//! What is said to an authority: the account, the order, the proofs, and what is issued.

use std::time::Duration;

use base::{Clock, Timestamp};
use hyper::Method;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::AcmeError;
use crate::front::BoxFuture;
use crate::http::{Http, Reply, nonsense};
use crate::keys::{AccountKey, Signer};
use crate::settings::Settings;
use crate::x509;

/// How often a request is sent again with another nonce.
const NONCES: u32 = 4;
/// For all looks of the authority at all hosts of an order, and for the certificate after that.
const PROVING: Duration = Duration::from_secs(180);
const ISSUING: Duration = Duration::from_secs(120);
/// Between two looks at what the authority does, unless it asks for more.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// The longest that it may ask for between two looks.
const MOST_BETWEEN: Duration = Duration::from_secs(30);

/// The account with an authority.
pub(crate) struct Account {
    pub(crate) key: AccountKey,
    /// Its URL, once the authority knows it.
    pub(crate) kid: Option<String>,
}

/// Where things are (RFC 8555, section 7.1.1).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
    renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    external_account_required: bool,
}

#[derive(Debug, Deserialize)]
struct Order {
    status: String,
    authorizations: Vec<String>,
    finalize: String,
    certificate: Option<String>,
    error: Option<Trouble>,
}

#[derive(Debug, Deserialize)]
struct Authorization {
    identifier: Identifier,
    status: String,
    challenges: Vec<Challenge>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    value: String,
}

#[derive(Debug, Clone, Deserialize)]
struct Challenge {
    #[serde(rename = "type")]
    kind: String,
    url: String,
    token: Option<String>,
    error: Option<Trouble>,
}

/// A problem document.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Trouble {
    #[serde(rename = "type")]
    kind: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Renewal {
    suggested_window: Window,
}

#[derive(Debug, Deserialize)]
struct Window {
    start: String,
    end: String,
}

/// How an authority looks whether a host is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Http,
    Tls,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::Tls => "tls-alpn-01",
        }
    }
}

/// What it is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) way: Way,
    pub(crate) host: String,
    pub(crate) token: String,
    /// The token, a dot, and the thumbprint of the account's key.
    pub(crate) answer: String,
}

/// What is wanted.
pub(crate) struct Wish<'a> {
    pub(crate) names: &'a [String],
    /// What is tried first.
    pub(crate) way: Way,
    /// The certificate that this one is to stand in the place of, as RFC 9773 calls it.
    pub(crate) replaces: Option<&'a str>,
}

/// Has proofs shown, and says when they are.
pub(crate) type Show<'a> = &'a (dyn Fn(Vec<Proof>) -> BoxFuture<'a, Result<(), AcmeError>> + Send + Sync);

/// A certificate with its key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// A conversation with an authority.
pub(crate) struct Client<'a> {
    http: &'a Http,
    clock: &'a dyn Clock,
    settings: &'a Settings,
    directory: Directory,
    nonce: Option<String>,
}

impl<'a> Client<'a> {
    /// Reads its directory.
    pub(crate) async fn open(
        http: &'a Http,
        clock: &'a dyn Clock,
        settings: &'a Settings,
    ) -> Result<Self, AcmeError> {
        let url = &settings.directory;
        let reply = http.ask(Method::GET, url, None).await?;
        if reply.status != 200 {
            return Err(refusal(&reply, clock.wall()));
        }
        let directory = parse(url, &reply)?;
        Ok(Self { http, clock, settings, directory, nonce: None })
    }

    /// Whether it says when certificates are to be renewed.
    pub(crate) fn advises(&self) -> bool {
        self.directory.renewal_info.is_some()
    }

    /// When it wants a certificate renewed, and in how many seconds it is to be asked again.
    pub(crate) async fn advice(&self, id: &str) -> Result<((u64, u64), Option<u64>), AcmeError> {
        let base = self.directory.renewal_info.as_deref().unwrap_or_default();
        let url = format!("{}/{id}", base.trim_end_matches('/'));
        let reply = self.http.ask(Method::GET, &url, None).await?;
        if reply.status != 200 {
            return Err(refusal(&reply, self.clock.wall()));
        }
        let Renewal { suggested_window: Window { start, end } } = parse(&url, &reply)?;
        let time =
            |text: &str| Timestamp::from_rfc3339(text).and_then(|time| u64::try_from(time.secs()).ok());
        let window =
            time(&start).zip(time(&end)).ok_or_else(|| nonsense(&url, "its times cannot be read"))?;
        Ok((window, reply.patience(self.clock.wall().secs())))
    }

    /// Sees to it that the authority knows the account.
    pub(crate) async fn enrol(&mut self, account: &mut Account) -> Result<(), AcmeError> {
        if account.kid.is_some() {
            return Ok(());
        }
        if !self.settings.agreed {
            return Err(AcmeError::NotAgreed);
        }
        let url = self.directory.new_account.clone();
        let mut wish = json!({"termsOfServiceAgreed": true});
        if let Some(contact) = &self.settings.contact {
            wish["contact"] = json!([format!("mailto:{contact}")]);
        }
        match &self.settings.binding {
            Some(binding) => wish["externalAccountBinding"] = account.key.bind(binding, &url)?,
            None if self.directory.meta.external_account_required => return Err(AcmeError::NotBound),
            None => {}
        }
        let reply = self.post(account, &url, Some(&wish)).await?;
        let kid = reply.header("location").ok_or_else(|| nonsense(&url, "a new account has no URL"))?;
        account.kid = Some(kid.to_owned());
        Ok(())
    }

    /// Orders a certificate, has the proofs shown, and waits until it is issued.
    pub(crate) async fn order(
        &mut self,
        account: &Account,
        wish: &Wish<'_>,
        show: Show<'_>,
    ) -> Result<Granted, AcmeError> {
        let (order_url, order) = self.begin(account, wish).await?;
        let mut waiting = Vec::new();
        let mut proofs = Vec::new();
        for url in order.authorizations {
            let authorization: Authorization = self.get(account, &url).await?;
            match &authorization.status[..] {
                "valid" => {}
                "pending" => {
                    let (challenge, proof) = choose(account, &url, &authorization, wish.way)?;
                    waiting.push((url, challenge));
                    proofs.push(proof);
                }
                other => return Err(nonsense(&url, &format!("an authorization of a new order is {other}"))),
            }
        }
        show(proofs).await?;
        for (_, challenge) in &waiting {
            self.post(account, &challenge.url, Some(&json!({}))).await?;
        }
        for (url, challenge) in &waiting {
            self.prove(account, url, &challenge.kind).await?;
        }
        self.finish(account, wish.names, (&order_url, &order.finalize)).await
    }

    /// Makes the order; without the word of what it replaces where the authority does not take that.
    async fn begin(&mut self, account: &Account, wish: &Wish<'_>) -> Result<(String, Order), AcmeError> {
        let url = self.directory.new_order.clone();
        let names: Vec<Value> = wish.names.iter().map(|name| json!({"type": "dns", "value": name})).collect();
        let mut text = json!({"identifiers": names});
        let replaces = wish.replaces.filter(|_| self.advises());
        if let Some(replaces) = replaces {
            text["replaces"] = replaces.into();
        }
        let reply = match self.post(account, &url, Some(&text)).await {
            Err(AcmeError::Refused { kind, .. })
                if replaces.is_some()
                    && matches!(&kind[..], "alreadyReplaced" | "malformed" | "unauthorized") =>
            {
                self.post(account, &url, Some(&json!({"identifiers": names}))).await?
            }
            other => other?,
        };
        let place = reply.header("location").ok_or_else(|| nonsense(&url, "a new order has no URL"))?;
        Ok((place.to_owned(), parse(&url, &reply)?))
    }

    /// Waits until the authority has looked at a host.
    async fn prove(&mut self, account: &Account, url: &str, way: &str) -> Result<(), AcmeError> {
        let mut pace = Pace::new("looking at a host", PROVING);
        loop {
            let reply = self.post(account, url, None).await?;
            let authorization: Authorization = parse(url, &reply)?;
            match &authorization.status[..] {
                "valid" => return Ok(()),
                "pending" | "processing" => pace.wait(reply.patience(self.clock.wall().secs())).await?,
                _ => {
                    let failed = authorization.challenges.into_iter().find_map(|one| one.error);
                    return Err(AcmeError::Unproven {
                        host: authorization.identifier.value,
                        challenge: way.into(),
                        detail: failed.unwrap_or_default().detail,
                    });
                }
            }
        }
    }

    /// Has the certificate issued for a new key.
    async fn finish(
        &mut self,
        account: &Account,
        names: &[String],
        (order, finalize): (&str, &str),
    ) -> Result<Granted, AcmeError> {
        let key = KeyPair::generate().map_err(|_| AcmeError::NoKey)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|_| AcmeError::NoKey)?;
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(|_| AcmeError::NoKey)?;
        let mut pace = Pace::new("issuing the certificate", ISSUING);
        let mut asked = false;
        let url = loop {
            let reply = self.post(account, order, None).await?;
            let seen: Order = parse(order, &reply)?;
            match (&seen.status[..], seen.certificate) {
                ("valid", Some(url)) => break url,
                ("ready", _) if !asked => {
                    let csr = json!({"csr": data_encoding::BASE64URL_NOPAD.encode(request.der())});
                    self.post(account, finalize, Some(&csr)).await?;
                    asked = true;
                }
                ("pending" | "ready" | "processing", _) => {
                    pace.wait(reply.patience(self.clock.wall().secs())).await?;
                }
                ("invalid", _) => return Err(seen.error.unwrap_or_default().refusal(None)),
                (other, _) => return Err(nonsense(order, &format!("an order is {other}"))),
            }
        };
        let reply = self.post(account, &url, None).await?;
        let chain = String::from_utf8(reply.body.to_vec());
        let chain = chain.map_err(|_| AcmeError::Unusable { why: "it is no text".into() })?;
        check(&chain, names, key.public_key_raw())?;
        let key = crate::keys::pem("PRIVATE KEY", &key.serialize_der());
        Ok(Granted { chain, key })
    }

    async fn get<T: DeserializeOwned>(&mut self, account: &Account, url: &str) -> Result<T, AcmeError> {
        let reply = self.post(account, url, None).await?;
        parse(url, &reply)
    }

    /// Sends a signed request; a nonce that the authority does not know any more is no error.
    async fn post(
        &mut self,
        account: &Account,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Reply, AcmeError> {
        let mut tries = 1;
        loop {
            let nonce = self.nonce().await?;
            let signer = account.kid.as_deref().map_or(Signer::Key, Signer::Account);
            let text = account.key.sign(&signer, (url, &nonce), payload)?;
            let reply = self.http.ask(Method::POST, url, Some(text)).await?;
            self.nonce = reply.header("replay-nonce").map(str::to_owned);
            if (200..300).contains(&reply.status) {
                return Ok(reply);
            }
            let refused = refusal(&reply, self.clock.wall());
            match &refused {
                AcmeError::Refused { kind, .. } if kind == "badNonce" && tries < NONCES => tries += 1,
                _ => return Err(refused),
            }
        }
    }

    async fn nonce(&mut self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.nonce.take() {
            return Ok(nonce);
        }
        let url = &self.directory.new_nonce;
        let reply = self.http.ask(Method::HEAD, url, None).await?;
        reply.header("replay-nonce").map(str::to_owned).ok_or_else(|| nonsense(url, "it gives no nonce"))
    }
}

/// Picks the challenge that is tried, and says what is to be seen.
fn choose(
    account: &Account,
    url: &str,
    authorization: &Authorization,
    first: Way,
) -> Result<(Challenge, Proof), AcmeError> {
    let second = if first == Way::Http { Way::Tls } else { Way::Http };
    let offered = |way: Way| {
        let found = authorization.challenges.iter().find(|one| one.kind == way.name())?;
        Some((way, found.clone(), found.token.clone()?))
    };
    let host = authorization.identifier.value.to_ascii_lowercase();
    let (way, challenge, token) = offered(first).or_else(|| offered(second)).ok_or_else(|| {
        nonsense(url, &format!("`{host}` can be proven neither by http-01 nor by tls-alpn-01"))
    })?;
    // It becomes part of a path that is answered to everybody.
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Err(nonsense(url, "a token is not in Base64 for URLs"));
    }
    let answer = format!("{token}.{}", account.key.thumbprint());
    Ok((challenge, Proof { way, host, token, answer }))
}

/// Whether what was issued is for these names and this key.
fn check(chain: &str, names: &[String], key: &[u8]) -> Result<(), AcmeError> {
    let unusable = |why: &str| AcmeError::Unusable { why: why.into() };
    let facts = leaf(chain).ok_or_else(|| unusable("its first certificate cannot be read"))?;
    if facts.key != key {
        return Err(unusable("it is for another key"));
    }
    match names.iter().find(|name| !facts.names.contains(name)) {
        Some(missing) => Err(unusable(&format!("it is not for `{missing}`"))),
        None => Ok(()),
    }
}

/// What the first certificate of a chain says.
pub(crate) fn leaf(chain: &str) -> Option<x509::Facts> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let first = CertificateDer::pem_slice_iter(chain.as_bytes()).next()?.ok()?;
    x509::read(&first)
}

/// Looks that come less and less often, for a time.
struct Pace {
    doing: &'static str,
    next: Duration,
    left: Duration,
    whole: Duration,
}

impl Pace {
    fn new(doing: &'static str, whole: Duration) -> Self {
        Self { doing, next: FIRST_LOOK, left: whole, whole }
    }

    async fn wait(&mut self, patience: Option<u64>) -> Result<(), AcmeError> {
        let wished = Duration::from_secs(patience.unwrap_or(0)).min(MOST_BETWEEN);
        let pause = self.next.max(wished);
        self.left = self
            .left
            .checked_sub(pause)
            .ok_or(AcmeError::Slow { doing: self.doing, secs: self.whole.as_secs() })?;
        self.next = (self.next * 2).min(LONGEST_LOOK);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

impl Trouble {
    fn refusal(self, patience: Option<u64>) -> AcmeError {
        let kind = self.kind.rsplit(':').next().unwrap_or_default().to_owned();
        AcmeError::Refused { kind, detail: self.detail, patience }
    }
}

/// What a refusal says.
fn refusal(reply: &Reply, now: Timestamp) -> AcmeError {
    let patience = reply.patience(now.secs());
    let trouble: Option<Trouble> = serde_json::from_slice(&reply.body).ok();
    let trouble = trouble.filter(|trouble| !trouble.kind.is_empty());
    let plain = || Trouble { kind: format!("status {}", reply.status), detail: "it does not say why".into() };
    trouble.unwrap_or_else(plain).refusal(patience)
}

fn parse<T: DeserializeOwned>(url: &str, reply: &Reply) -> Result<T, AcmeError> {
    serde_json::from_slice(&reply.body).map_err(|error| nonsense(url, &error.to_string()))
}
