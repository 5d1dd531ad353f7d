//! What cookies say, and how they are written.

use std::time::Duration;

use super::*;
use crate::head::request;

fn stick(wanted: spec::Stick) -> Arc<Stick> {
    let policy = EdgePolicy { stick: Some(wanted), ..EdgePolicy::default() };
    Stick::of(&policy, "shop/web", None).expect("the service wants it")
}

#[test]
fn the_cookie_says_nothing_and_is_for_the_browser_alone() {
    let line = |wanted, secure| String::from_utf8(stick(wanted).line(0x5eed, secure)).expect("text");
    let usual = line(spec::Stick::default(), false);
    assert_eq!(usual, "set-cookie: sea-at-web=0000000000005eed; Path=/; HttpOnly; SameSite=Lax\r\n");
    let own = spec::Stick { cookie: Some("at".into()), max_age: Some(Duration::from_secs(90)) };
    let own = line(own, true);
    assert_eq!(
        own,
        "set-cookie: at=0000000000005eed; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=90\r\n"
    );
}

#[test]
fn a_name_that_no_cookie_can_have_is_written_otherwise() {
    let policy = EdgePolicy { stick: Some(spec::Stick::default()), ..EdgePolicy::default() };
    let named = |service: &str| Stick::of(&policy, service, None).expect("it is wanted").name.clone();
    assert_eq!(named("web"), "sea-at-web");
    assert_eq!(named("shop/a b;c=d"), "sea-at-a-b-c-d");
}

#[test]
fn what_a_request_brings_is_read_from_its_cookies() {
    let stick = stick(spec::Stick::default());
    let read = |lines: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut fields = Vec::new();
        request::parse(text.as_bytes(), &mut fields).expect("a good head");
        stick.read(&fields, text.as_bytes())
    };
    assert_eq!(read(""), Brought::Nothing);
    assert_eq!(read("Cookie: sea-at-web2=0000000000005eed\r\n"), Brought::Nothing);
    assert_eq!(read("Cookie: sea-at-web=5eed\r\n"), Brought::Garbled);
    let value = Brought::Value(*b"0000000000005eed");
    assert_eq!(read("Cookie: a=b; sea-at-web=0000000000005eed\r\n"), value);
    assert_eq!(read("Cookie: a=b\r\nCookie: sea-at-web=\"0000000000005eed\"\r\n"), value);
}

#[test]
fn counts_go_on_while_the_service_wants_the_same() {
    let policy = |age| EdgePolicy {
        stick: Some(spec::Stick { max_age: age, ..spec::Stick::default() }),
        ..EdgePolicy::default()
    };
    let first = Stick::of(&policy(None), "shop/web", None).expect("it is wanted");
    let same = Stick::of(&policy(None), "shop/web", Some(&first)).expect("it is wanted");
    let other =
        Stick::of(&policy(Some(Duration::from_secs(1))), "shop/web", Some(&first)).expect("it is wanted");
    assert!(Arc::ptr_eq(&first, &same) && !Arc::ptr_eq(&first, &other));
    assert!(Stick::of(&EdgePolicy::default(), "shop/web", Some(&first)).is_none());
}
