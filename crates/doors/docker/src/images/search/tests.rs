//! Tests of terms and filters.

use registry::Found;

use super::{Sieve, place};
use crate::params::Params;

#[track_caller]
fn check_place(term: &str, registry: Option<&str>, rest: &str) {
    let found = place(term).map_err(|refusal| refusal.message);
    assert_eq!(found, Ok((registry.map(str::to_owned), rest.to_owned())), "{term}");
}

#[test]
fn a_term_may_name_a_registry() {
    check_place("busybox", None, "busybox");
    check_place("library/busybox", None, "busybox");
    check_place("team/app", None, "team/app");
    check_place("docker.io/library/app", None, "app");
    check_place("r.example/team/app", Some("r.example"), "team/app");
    check_place("127.0.0.1:5000/a", Some("127.0.0.1:5000"), "a");
    check_place("localhost/library/a", Some("localhost"), "library/a");
    check_place("r.example", None, "r.example");
    let refusal = place("https://r.example/a").expect_err("it has a scheme");
    assert_eq!(
        refusal.message,
        "invalid repository name: repository name (https://r.example/a) should not have a scheme"
    );
}

fn sieve(filters: &str) -> Result<Sieve, String> {
    let filters = Params::parse(&format!("filters={filters}")).filters().expect("they can be read");
    Sieve::of(&filters).map_err(|refusal| refusal.message)
}

#[track_caller]
fn check_lets(filters: &str, stars: i64, official: bool, lets: bool) {
    let found = Found { star_count: stars, is_official: official, ..Found::default() };
    assert_eq!(sieve(filters).map(|sieve| sieve.lets(&found)), Ok(lets), "{filters}");
}

#[test]
fn findings_are_sifted_by_dockers_filters() {
    check_lets("{}", 0, false, true);
    check_lets(r#"{"is-official":["true"]}"#, 0, false, false);
    check_lets(r#"{"is-official":{"1":true}}"#, 0, true, true);
    check_lets(r#"{"is-official":["false"]}"#, 0, true, false);
    check_lets(r#"{"stars":["3","10"]}"#, 9, false, false);
    check_lets(r#"{"stars":["3"]}"#, 3, false, true);
    assert_eq!(sieve(r#"{"is-automated":["true"]}"#).map(|sieve| sieve.automated), Ok(true));
    assert_eq!(sieve(r#"{"is-automated":["false"]}"#).map(|sieve| sieve.automated), Ok(false));
    let refused = |filters| sieve(filters).err().unwrap_or_default();
    assert_eq!(refused(r#"{"name":["a"]}"#), "invalid filter 'name'");
    assert_eq!(refused(r#"{"is-official":["maybe"]}"#), "invalid filter 'is-official=[maybe]'");
    let stars = "invalid filter 'stars=x': strconv.Atoi: parsing \"x\": invalid syntax";
    assert_eq!(refused(r#"{"stars":["x"]}"#), stars);
}
