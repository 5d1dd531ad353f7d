//! What clients send to convince registries: `X-Registry-Auth`, and the body of `/auth`.
//!
//! The header holds a document in base64. As docker has it, what cannot be read there is passed over: most images may be
//! had without.

use axum::http::HeaderMap;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use registry::{Keyring, Login};
use serde::Deserialize;

/// Where docker's own registry is, as its clients name it.
const DOCKER_HUB: &str = "docker.io";

/// A login, as docker writes it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
pub(crate) struct Credentials {
    username: Option<String>,
    password: Option<String>,
    /// Both, with a colon between, in base64.
    auth: Option<String>,
    serveraddress: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Credentials {
    /// Which registry it is for.
    pub(crate) fn registry(&self) -> &str {
        self.serveraddress.as_deref().filter(|text| !text.is_empty()).unwrap_or(DOCKER_HUB)
    }

    /// The login in it; none when it says nothing.
    pub(crate) fn login(&self) -> Option<Login> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let user = given(&self.username);
        if let Some(token) = given(&self.registrytoken) {
            return Some(Login::Registry { token });
        }
        if let Some(token) = given(&self.identitytoken) {
            return Some(Login::Identity { user: user.unwrap_or_default(), token });
        }
        if let (Some(user), Some(password)) = (user, given(&self.password)) {
            return Some(Login::Password { user, password });
        }
        let both = String::from_utf8(decoded(&given(&self.auth)?)?).ok()?;
        let (user, password) = both.split_once(':')?;
        Some(Login::Password { user: user.to_owned(), password: password.trim_end_matches('\0').to_owned() })
    }
}

/// Base64 of either alphabet, with or without padding: clients differ.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.trim();
    let plain = GeneralPurpose::new(&STANDARD, config).decode(text);
    plain.or_else(|_| GeneralPurpose::new(&URL_SAFE, config).decode(text)).ok()
}

fn document<T: for<'de> Deserialize<'de>>(headers: &HeaderMap, name: &str) -> Option<T> {
    let text = headers.get(name)?.to_str().ok()?;
    serde_json::from_slice(&decoded(text)?).ok()
}

/// The login of `X-Registry-Auth`, for this registry: the client chose it for the image that it names.
pub(crate) fn keys(headers: &HeaderMap, registry: &str) -> Keyring {
    let sent: Option<Credentials> = document(headers, "x-registry-auth");
    match sent.and_then(|sent| sent.login()) {
        Some(login) => Keyring::anonymous().with(registry, login),
        None => Keyring::anonymous(),
    }
}

#[cfg(test)]
mod tests;
