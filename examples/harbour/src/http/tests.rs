//! Heads, queries and forms.

use super::{encoded, pairs, read_head};

#[test]
fn a_head_is_read_with_its_names_in_lower_case() {
    head("GET / HTTP/1.1\r\nHost: a\r\nX-Two:  b \r\n\r\n", "GET / HTTP/1.1 host=a x-two=b");
    head("", "nothing");
    head("GET / HTTP/1.1\r\nHost", "a line breaks off or is too long");
    head("GET / HTTP/1.1\r\nHost\r\n\r\n", "a header has no colon");
    head("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "a header's name is no name");
    head(&format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)), "a line breaks off or is too long");
}

#[test]
fn queries_are_decoded_and_encoded() {
    let read = |text| pairs(text).iter().map(|(k, v)| format!("{k}:{v}")).collect::<Vec<_>>().join(" ");
    assert_eq!(read("a=1&b=two+words&c&d=%C3%A4%2"), "a:1 b:two words c: d:ä%2");
    assert_eq!(encoded("Störtebeker & co"), "St%C3%B6rtebeker%20%26%20co");
}

#[track_caller]
fn head(text: &str, read: &str) {
    let shown = match read_head(&mut text.as_bytes()) {
        Ok(Some(head)) => {
            let headers: String =
                head.headers.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{}{headers}", head.first)
        }
        Ok(None) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(shown, read);
}
