//! Which request a URL asks for, and what a histogram says.

use super::*;

fn asked(url: &str) -> Result<(bool, String, Option<u16>, String), String> {
    let question = RouteQuestion { method: "GET".into(), url: url.into(), headers: Vec::new(), client: None };
    ask(question).map(|ask| (ask.secure, ask.host, ask.port, ask.target)).map_err(|refusal| refusal.0.message)
}

#[test]
fn a_url_is_asked_as_a_browser_asks_it() {
    let ok = |secure, host: &str, port, target: &str| Ok((secure, host.to_owned(), port, target.to_owned()));
    assert_eq!(asked("http://a.b"), ok(false, "a.b", None, "/"));
    assert_eq!(asked("https://a.b:81/x/../y?z=%2F#part"), ok(true, "a.b:81", Some(81), "/x/../y?z=%2F"));
    assert_eq!(asked("http://[::1]:80?q"), ok(false, "[::1]:80", Some(80), "/?q"));
    assert_eq!(asked("a.b:8080/x"), ok(false, "a.b:8080", Some(8080), "/x"));
    assert_eq!(asked("/x"), Err("`/x` is not a URL".into()));
    assert_eq!(asked("ftp://a/x"), Err("`ftp://a/x` is of another scheme than http and https".into()));
    assert_eq!(
        asked("http://u:p@a/"),
        Err("`http://u:p@a/` holds a name and a password, which no browser sends".into())
    );
}

#[test]
fn a_share_of_the_answers_came_within_the_end_of_its_bucket() {
    let counts = |pairs: &[(usize, u64)]| {
        let mut counts = vec![0; 22];
        pairs.iter().for_each(|(place, count)| counts[*place] = *count);
        counts
    };
    assert_eq!(quantile(&counts(&[]), 0.5), None);
    assert_eq!(quantile(&counts(&[(0, 1)]), 0.99), Some(0.064));
    assert_eq!(quantile(&counts(&[(0, 99), (4, 1)]), 0.99), Some(0.064));
    assert_eq!(quantile(&counts(&[(0, 98), (4, 2)]), 0.99), Some(1.024));
    // Beyond the last bound there is no other to tell.
    assert_eq!(quantile(&counts(&[(21, 1)]), 0.5), quantile(&counts(&[(20, 1)]), 0.5));
}
