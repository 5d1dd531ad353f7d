//! What routes do with requests and answers beyond sending them on: made ready once for each table.
//!
//! A route that asks for nothing has no [`Rules`], and its requests carry no [`Care`]: that costs them one look.

mod fields;
mod origin;
mod redirect;

use std::net::IpAddr;
use std::sync::Arc;

use base::Cidr;
use plan::traffic::RouteRule;
use spec::{HeaderSide, RouteRules};

use crate::head::Field;
use crate::head::request::RequestHead;
use crate::refusal::Refusal;
use fields::Edits;
use redirect::Away;

pub(crate) use origin::origin;

/// The rules of a route.
pub(crate) struct Rules {
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    away: Option<Away>,
    /// What becomes of the requests that go on.
    pub(crate) onward: Option<Rewrite>,
    answers: Option<Edits>,
}

/// How a request goes on.
pub(crate) struct Rewrite {
    edits: Edits,
    /// In the place of the prefix that is cut off.
    pub(crate) prefix: Box<[u8]>,
    /// The lines tell the instance of a host.
    pub(crate) names_host: bool,
}

/// What the answer to the present request still needs.
pub(crate) struct Care {
    /// Who asks, where a proxy of ours tells.
    pub(crate) client: Option<IpAddr>,
    rules: Option<Arc<Rules>>,
}

/// A request, as far as it is judged by rules.
pub(crate) struct Asked<'a> {
    pub(crate) client: IpAddr,
    pub(crate) head: &'a RequestHead,
    pub(crate) buf: &'a [u8],
    /// The length of the route's prefix.
    pub(crate) prefix: usize,
}

impl Rules {
    /// The rules of a route, or what is wrong with them.
    pub(crate) fn of(rule: &RouteRule) -> Result<Option<Arc<Self>>, String> {
        let RouteRules {
            request_headers,
            response_headers,
            redirect,
            replace_prefix,
            rewrite_host,
            allow,
            deny,
            basic_auth: _,
        } = &rule.rules;
        if rule.rules.is_default() {
            return Ok(None);
        }
        if let Some(range) = allow.iter().chain(deny).find(|range| range.is_mapped()) {
            return Err(format!("no client is known by an address in `{range}`"));
        }
        if let Some((prefix, flaw)) =
            replace_prefix.as_ref().and_then(|prefix| Some((prefix, prefix.flaw()?)))
        {
            return Err(format!("`{prefix}` is no path: {flaw}"));
        }
        if let Some(host) =
            rewrite_host.as_ref().filter(|host| !crate::head::request::is_host(host.as_bytes()))
        {
            return Err(format!("`{host}` is no host"));
        }
        let mut onward = Edits::of(request_headers, HeaderSide::Request)?;
        if let Some(host) = rewrite_host {
            onward.get_or_insert_default().set("host", host);
        }
        let prefix = replace_prefix.as_ref().map_or("", |prefix| prefix.0.trim_end_matches('/'));
        let rewrite = onward.is_some() || !prefix.is_empty();
        Ok(Some(Arc::new(Self {
            allow: allow.clone(),
            deny: deny.clone(),
            away: redirect.as_ref().map(Away::of).transpose()?,
            onward: rewrite.then(|| Rewrite {
                edits: onward.unwrap_or_default(),
                prefix: prefix.as_bytes().into(),
                names_host: rewrite_host.is_some(),
            }),
            answers: Edits::of(response_headers, HeaderSide::Response)?,
        })))
    }

    fn lets_in(&self, client: IpAddr) -> bool {
        let among = |list: &[Cidr]| list.iter().any(|range| range.contains(client));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }

    /// The edge's own answer, if it answers; `lines` takes what belongs into its head.
    fn judge(&self, asked: &Asked<'_>, lines: &mut Vec<u8>) -> Option<Refusal> {
        if !self.lets_in(asked.client) {
            return Some(Refusal::ADDRESS);
        }
        self.away.as_ref().map(|away| away.send(asked, lines))
    }
}

impl Rewrite {
    /// The lines that are written beside those that the client sent.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.edits.lines
    }
}

impl Care {
    /// Of a request for a route with these rules.
    pub(crate) fn of(rules: Option<&Arc<Rules>>, client: Option<IpAddr>) -> Box<Self> {
        Box::new(Self { client, rules: rules.cloned() })
    }

    /// The edge's own answer, if it answers. `lines` takes what belongs into the head of that answer or a later one.
    pub(crate) fn judge(&self, asked: &Asked<'_>, lines: &mut Vec<u8>) -> Option<Refusal> {
        let rules = self.rules.as_ref()?;
        if let Some(answers) = &rules.answers {
            lines.extend_from_slice(&answers.own);
        }
        rules.judge(asked, lines)
    }

    /// Takes out the fields of a request that do not go on.
    pub(crate) fn prune_request(&self, fields: &mut Vec<Field>, buf: &[u8]) {
        if let Some(rewrite) = self.onward() {
            rewrite.edits.prune(fields, buf);
        }
    }

    /// Takes out the fields of an answer that do not go back.
    pub(crate) fn prune_answer(&self, fields: &mut Vec<Field>, buf: &[u8]) {
        if let Some(answers) = self.answers() {
            answers.prune(fields, buf);
        }
    }

    pub(crate) fn onward(&self) -> Option<&Rewrite> {
        self.rules.as_ref()?.onward.as_ref()
    }

    fn answers(&self) -> Option<&Edits> {
        self.rules.as_ref()?.answers.as_ref()
    }

    /// The lines that are written beside those of the instance's answer.
    pub(crate) fn answer_lines(&self) -> &[u8] {
        self.answers().map_or(&[], |answers| &answers.lines)
    }

    /// Whether a field of this name may come behind the body too.
    pub(crate) fn lets_trail(&self, side: HeaderSide, name: &[u8]) -> bool {
        let edits = match side {
            HeaderSide::Request => self.onward().map(|rewrite| &rewrite.edits),
            HeaderSide::Response => self.answers(),
        };
        !edits.is_some_and(|edits| edits.drops(name))
    }
}

#[cfg(test)]
mod tests;
