//! `Link`: where the next page is (RFC 8288).

/// The target of the link whose relation is `next`.
pub(crate) fn next(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let after = &rest[start + 1..];
        let (target, behind) = after.split_once('>')?;
        let end = end_of_parameters(behind);
        let is_next = |parameter: &str| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel")
                && value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"))
        };
        if behind[..end].split(';').any(is_next) {
            return Some(target.trim().to_owned());
        }
        rest = &behind[end..];
    }
    None
}

/// A link of this relation.
pub(crate) fn to_next(target: &str) -> String {
    format!("<{target}>; rel=\"next\"")
}

/// Where the parameters of a link end: at a comma outside of quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    //! Tests of links.

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_page_is_found_among_other_links() {
        for (text, expected) in [
            ("</v2/a/tags/list?n=2&last=b>; rel=\"next\"", Some("/v2/a/tags/list?n=2&last=b")),
            ("</v2/_catalog?last=x>;rel=next", Some("/v2/_catalog?last=x")),
            ("<https://a/?x=1,2>; title=\"a, b\"; rel=\"prev\", <c> ; REL=\"last next\"", Some("c")),
            ("<a>; rel=prev", None),
            ("<a", None),
            ("", None),
        ] {
            assert_eq!(next(text).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_link_that_we_write_is_read(target in "/v2/[a-z0-9/_?=&%.-]{0,60}") {
            prop_assert_eq!(next(&to_next(&target)), Some(target));
        }

        #[test]
        fn any_text_ends(text in "\\PC{0,200}") {
            next(&text);
        }
    }
}
