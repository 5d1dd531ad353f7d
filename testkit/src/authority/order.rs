//! Orders: from the names to the certificate.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use rcgen::{CertificateParams, DistinguishedName, PublicKeyData, SignatureAlgorithm};
use serde_json::{Value, json};

use super::Shared;
use super::message::{Answer, Signed};
use super::{looks, message};

#[derive(Clone)]
pub(super) struct Order {
    names: Vec<String>,
    authorizations: Vec<String>,
    status: &'static str,
    certificate: Option<String>,
}

#[derive(Clone)]
pub(super) struct Authorization {
    pub(super) host: String,
    pub(super) status: &'static str,
    pub(super) token: String,
    pub(super) failed: Option<String>,
}

impl Shared {
    pub(super) fn new_order(&self, signed: &Signed) -> Answer {
        let wish = signed.payload.clone().unwrap_or_default();
        let list = wish["identifiers"].as_array().cloned().unwrap_or_default();
        let names: Vec<String> = list
            .iter()
            .filter(|one| one["type"] == "dns")
            .filter_map(|one| one["value"].as_str().map(str::to_owned))
            .collect();
        if names.is_empty() || names.len() != list.len() {
            return self.complain("malformed", "an order of nothing, or of other than hosts");
        }
        let again = if wish["replaces"].is_string() { " again" } else { "" };
        self.note(format!("order {}{again}", names.join(" ")));
        if let Some(secs) = self.state().manners.rate_limit {
            let mut answer = Answer::problem(429, "rateLimited", "too many orders");
            answer.headers.push(("Retry-After".into(), secs.to_string()));
            return answer;
        }
        let authorization = |host: &String| {
            let url = self.fresh("authorization");
            let token = format!("token-{}", url.rsplit('/').next().unwrap_or_default());
            let made = Authorization { host: host.clone(), status: "pending", token, failed: None };
            self.state().authorizations.insert(url.clone(), made);
            url
        };
        let authorizations = names.iter().map(authorization).collect();
        let url = self.fresh("order");
        let order = Order { names, authorizations, status: "pending", certificate: None };
        self.state().orders.insert(url.clone(), order);
        let mut answer = Answer::json(201, self.told(&url));
        answer.headers.push(("Location".into(), url));
        answer
    }

    pub(super) fn order(&self, url: &str) -> Answer {
        Answer::json(200, self.told(url))
    }

    /// An order, as it stands.
    fn told(&self, url: &str) -> Value {
        let mut state = self.state();
        let Some(mut order) = state.orders.get(url).cloned() else { return json!({"status": "unknown"}) };
        let of = |url: &String| state.authorizations.get(url).map_or("invalid", |one| one.status);
        let stand: Vec<_> = order.authorizations.iter().map(of).collect();
        if order.status == "pending" && stand.iter().all(|status| *status == "valid") {
            order.status = "ready";
        }
        if stand.contains(&"invalid") {
            order.status = "invalid";
        }
        state.orders.insert(url.to_owned(), order.clone());
        let number = url.rsplit('/').next().unwrap_or_default();
        json!({
            "status": order.status,
            "identifiers": order.names.iter().map(|name| json!({"type": "dns", "value": name})).collect::<Vec<_>>(),
            "authorizations": order.authorizations,
            "finalize": format!("{}/finalize/{number}", self.base()),
            "certificate": order.certificate,
        })
    }

    pub(super) fn authorization(&self, url: &str) -> Answer {
        let state = self.state();
        let Some(one) = state.authorizations.get(url) else {
            return Answer::problem(404, "malformed", "no such authorization");
        };
        let number = url.rsplit('/').next().unwrap_or_default();
        let challenge = |way: &&'static str| {
            let mut text = json!({
                "type": way,
                "url": format!("{}/challenge/{number}/{way}", self.base()),
                "status": one.status,
                "token": one.token,
            });
            if let Some(failed) = &one.failed {
                text["error"] = json!({"type": "urn:ietf:params:acme:error:connection", "detail": failed});
            }
            text
        };
        let challenges: Vec<_> = state.manners.ways.iter().map(challenge).collect();
        Answer::json(
            200,
            json!({
                "status": one.status,
                "identifier": {"type": "dns", "value": one.host},
                "challenges": challenges,
            }),
        )
    }

    /// Begins to look, and answers meanwhile.
    pub(super) fn challenge(self: &Arc<Self>, signed: &Signed) -> Answer {
        if signed.payload != Some(json!({})) {
            return self.complain("malformed", "a challenge that is not answered with `{}`");
        }
        let parts: Vec<&str> = signed.url.rsplit('/').collect();
        let [way, number, ..] = parts[..] else {
            return Answer::problem(404, "malformed", "no such challenge");
        };
        let url = format!("{}/authorization/{number}", self.base());
        let host = self.state().authorizations.get(&url).map(|one| one.host.clone()).unwrap_or_default();
        self.note(format!("look {host} {way}"));
        let (shared, way, thumbprint) = (self.clone(), way.to_owned(), looks::thumbprint(&signed.key));
        std::thread::spawn(move || {
            let (found, manners) = {
                let state = shared.state();
                (state.authorizations.get(&url).cloned(), state.manners.clone())
            };
            let Some(mut one) = found else { return };
            let answer = format!("{}.{thumbprint}", one.token);
            let seen = looks::look(&manners, &way, (&one.host, &one.token), &answer);
            one.status = if seen.is_ok() { "valid" } else { "invalid" };
            one.failed = seen.err();
            shared.state().authorizations.insert(url, one);
        });
        Answer::json(200, json!({"type": way_of(&signed.url), "url": signed.url, "status": "processing"}))
    }

    pub(super) fn finalize(&self, signed: &Signed) -> Answer {
        let number = signed.url.rsplit('/').next().unwrap_or_default();
        let url = format!("{}/order/{number}", self.base());
        if self.told(&url)["status"] != "ready" {
            return self.complain("orderNotReady", "an order is finalized that is not ready");
        }
        let request = signed.payload.as_ref().and_then(|payload| payload["csr"].as_str());
        let request = request.and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        let Some(request) = request.as_deref().and_then(looks::read_request) else {
            return self.complain("badCSR", "a request that cannot be read, or is signed wrongly");
        };
        let mut state = self.state();
        let life_secs = state.manners.life_secs;
        let Some(order) = state.orders.get_mut(&url) else {
            return Answer::problem(404, "malformed", "no such order");
        };
        if request.names != order.names {
            drop(state);
            return self.complain("badCSR", "a request for other names than the order's");
        }
        let certificate = url.replace("/order/", "/certificate/");
        order.status = "valid";
        order.certificate = Some(certificate.clone());
        let mut params = CertificateParams::new(order.names.clone()).expect("names");
        params.distinguished_name = DistinguishedName::new();
        params.use_authority_key_identifier_extension = true;
        let begin = rcgen::date_time_ymd(1970, 1, 1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
        params.not_before = begin + now - Duration::from_secs(3600);
        params.not_after = begin + now + Duration::from_secs(life_secs);
        let made = params.signed_by(&PublicKey(request.key), &self.issuer).expect("a certificate");
        let chain = [made.der().as_ref(), &self.root].map(message::pem);
        state.issued.insert(certificate, chain.concat());
        state.journal.push(format!("issued {}", request.names.join(" ")));
        drop(state);
        Answer::json(200, self.told(&url))
    }
}

fn way_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

/// A key of P-256 that somebody else has.
struct PublicKey(Vec<u8>);

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}
