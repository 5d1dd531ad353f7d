//! Logins as clients send them.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use registry::Login;

use super::keys;

fn headers(name: &'static str, text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, HeaderValue::from_str(text).expect("a header's value"));
    headers
}

#[test]
fn a_login_is_read_in_each_of_its_forms() {
    let password = Login::Password { user: "ann".into(), password: "a?>b".into() };
    let both = STANDARD.encode("ann:a?>b");
    for (document, login) in [
        (r#"{"username":"ann","password":"a?>b","serveraddress":"elsewhere"}"#.to_owned(), password.clone()),
        (format!(r#"{{"auth":"{both}"}}"#), password),
        (
            r#"{"username":"ann","identitytoken":"t"}"#.to_owned(),
            Login::Identity { user: "ann".into(), token: "t".into() },
        ),
        (r#"{"registrytoken":"t"}"#.to_owned(), Login::Registry { token: "t".into() }),
    ] {
        for text in
            [URL_SAFE.encode(&document), URL_SAFE_NO_PAD.encode(&document), STANDARD.encode(&document)]
        {
            let keys = keys(&headers("x-registry-auth", &text), "r.example");
            assert_eq!(keys.get("r.example"), Some(&login), "{document}");
            assert_eq!(keys.get("elsewhere"), None);
        }
    }
}

#[test]
fn what_cannot_be_read_is_no_login() {
    for text in ["", "e30=", "%%%", "bm90IGpzb24="] {
        assert_eq!(keys(&headers("x-registry-auth", text), "r.example").get("r.example"), None, "{text}");
    }
}
