//! The pages of a service for the edge's own answers, for those who can look at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::head::{Field, elements};

/// Pages by status, or by class.
pub(crate) struct Pages {
    by_status: BTreeMap<String, Arc<[u8]>>,
    /// The statuses and classes of instances' own answers in whose place they are shown.
    replaced: Vec<String>,
}

impl Pages {
    /// These pages, or what is wrong with them.
    pub(crate) fn of(pages: &BTreeMap<String, String>, replaced: &[String]) -> Result<Option<Self>, String> {
        if let Some(key) = pages.keys().chain(replaced).find(|key| !spec::is_page(key)) {
            return Err(format!("`{key}` is no status and no class of errors"));
        }
        if let Some((key, _)) = pages.iter().find(|(_, page)| page.len() > spec::PAGE_BYTES) {
            return Err(format!("the page for `{key}` is longer than 64 KiB"));
        }
        let by_status: BTreeMap<_, _> =
            pages.iter().map(|(key, page)| (key.clone(), page.as_bytes().into())).collect();
        Ok((!by_status.is_empty()).then(|| Self { by_status, replaced: replaced.to_vec() }))
    }

    /// The page for this status.
    pub(crate) fn find(&self, status: u16) -> Option<&Arc<[u8]>> {
        keys(status).iter().find_map(|key| self.by_status.get(key))
    }

    /// The page that is shown in the place of an instance's own answer with this status.
    pub(crate) fn replacement(&self, status: u16) -> Option<&Arc<[u8]>> {
        if self.replaced.is_empty() || status < 400 {
            return None;
        }
        let replaced = keys(status).iter().any(|key| self.replaced.contains(key));
        self.find(status).filter(|_| replaced)
    }
}

/// The words for a status, the most exact first.
fn keys(status: u16) -> [String; 2] {
    [status.to_string(), format!("{}xx", status / 100)]
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
