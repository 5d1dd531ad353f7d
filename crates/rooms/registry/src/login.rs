//! What a registry is convinced with. It is never printed and never written down here.

use std::collections::BTreeMap;
use std::fmt;

/// A registration with one registry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Login {
    /// A name and a password, or a token that stands for one.
    Password {
        /// Who.
        user: String,
        /// The secret.
        password: String,
    },
    /// A token to get further tokens with, from the registry's own service of tokens.
    Identity {
        /// Who, as far as that is known.
        user: String,
        /// The secret.
        token: String,
    },
    /// A token that the registry itself takes.
    Registry {
        /// The secret.
        token: String,
    },
}

impl fmt::Debug for Login {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "password of {user:?}"),
            Self::Identity { user, .. } => write!(f, "identity token of {user:?}"),
            Self::Registry { .. } => write!(f, "registry token"),
        }
    }
}

/// Logins by the registry that each is for, and for no other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    by_host: BTreeMap<String, Login>,
}

impl Keyring {
    /// None at all: what anybody may have.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// With a login for a registry, named as in an image's reference, as in `docker.io`.
    #[must_use]
    pub fn with(mut self, registry: &str, login: Login) -> Self {
        self.by_host.insert(host(registry), login);
        self
    }

    /// The login for this registry.
    pub fn get(&self, registry: &str) -> Option<&Login> {
        self.by_host.get(&host(registry))
    }
}

/// A registry as it is compared: docker's own has several names, and people write addresses.
pub(crate) fn host(text: &str) -> String {
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let bare = bare.split('/').next().unwrap_or(bare).to_ascii_lowercase();
    match bare.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".into(),
        _ => bare,
    }
}

#[cfg(test)]
mod tests {
    //! Tests of the keyring.

    use super::*;

    fn login(user: &str) -> Login {
        Login::Password { user: user.into(), password: "hidden".into() }
    }

    #[test]
    fn a_login_is_found_by_every_name_of_its_registry_and_by_no_other() {
        let keys = Keyring::anonymous()
            .with("https://index.docker.io/v1/", login("a"))
            .with("r.example:5000", login("b"));
        for name in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
            assert_eq!(keys.get(name), Some(&login("a")), "{name}");
        }
        assert_eq!(keys.get("R.example:5000"), Some(&login("b")));
        assert_eq!(keys.get("r.example"), None);
        assert_eq!(keys.get("r.example:5001"), None);
        assert_eq!(keys.get("r.example:5000.evil.example"), None);
    }

    #[test]
    fn a_secret_is_never_shown() {
        let keys = Keyring::anonymous().with("r.example", login("a"));
        assert!(!format!("{keys:?}").contains("hidden"));
    }
}
