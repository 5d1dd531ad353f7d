//! The pages of a service for the edge's own answers, for those who can look at them.

use std::collections::BTreeMap;

use crate::head::{Field, elements};

/// Pages by status, or by class.
pub(crate) struct Pages(BTreeMap<String, Box<[u8]>>);

impl Pages {
    /// These pages, or what is wrong with them.
    pub(crate) fn of(pages: &BTreeMap<String, String>) -> Result<Option<Self>, String> {
        if let Some(key) = pages.keys().find(|key| !spec::is_page(key)) {
            return Err(format!("`{key}` is no status and no class of errors"));
        }
        if let Some((key, _)) = pages.iter().find(|(_, page)| page.len() > spec::PAGE_BYTES) {
            return Err(format!("the page for `{key}` is longer than 64 KiB"));
        }
        let pages: BTreeMap<_, _> =
            pages.iter().map(|(key, page)| (key.clone(), page.as_bytes().into())).collect();
        Ok((!pages.is_empty()).then_some(Self(pages)))
    }

    /// The page for this status.
    pub(crate) fn find(&self, status: u16) -> Option<&[u8]> {
        let page = self.0.get(&status.to_string()).or_else(|| self.0.get(&format!("{}xx", status / 100)));
        page.map(|page| &**page)
    }
}

/// Whether the client says that it takes HTML: browsers do, and programs that take everything do not.
pub(crate) fn takes_html(fields: &[Field], buf: &[u8]) -> bool {
    let accepts = fields.iter().filter(|field| field.name.of(buf).eq_ignore_ascii_case(b"accept"));
    accepts.flat_map(|field| elements(field.value.of(buf))).any(|element| {
        let mut parts = element.split(|c| *c == b';').map(<[u8]>::trim_ascii);
        let named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
        named && !parts.any(|part| matches!(part, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"))
    })
}
