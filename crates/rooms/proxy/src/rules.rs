//! What routes do with requests and answers beyond sending them on: made ready once for each table.
//!
//! A route that asks for nothing has no [`Rules`], and its requests carry no [`Care`]: that costs them one look.

mod ask;
mod auth;
mod fields;
mod origin;
mod pages;
mod press;
mod redirect;

use std::net::IpAddr;
use std::sync::Arc;

use base::Cidr;
use plan::traffic::{Pool, RouteRule};
use spec::{BasicAuth, Blob, HeaderSide, Maintenance, RouteRules};

use crate::exchange;
use crate::files::{Shelves, Wanted};
use crate::forward::Onward;
use crate::head::Field;
use crate::head::request::RequestHead;
use crate::head::response::ResponseHead;
use crate::local::LocalTable;
use crate::refusal::Refusal;
use ask::{Answer, Ask, Asks};
use auth::{Check, Claim};
use fields::Edits;
use pages::Pages;
use press::{Coding, Pressing};
use redirect::Away;

pub(crate) use ask::Kept;
pub(crate) use auth::Users;
pub(crate) use origin::origin;
pub(crate) use press::{Accepted, Press};

/// What a service wants done with its requests and answers beyond the defaults, whatever route they came by.
pub(crate) struct Wishes {
    maintenance: Option<Maintenance>,
    pages: Option<Pages>,
    pub(crate) files: Option<Shelves>,
    compress: bool,
    pressing: Pressing,
}

impl Wishes {
    /// What this pool's service wants, if it wants anything, or what is wrong with it.
    pub(crate) fn of(pool: &Pool) -> Result<Option<Arc<Self>>, String> {
        let maintenance = pool.policy.maintenance.clone();
        let pages = Pages::of(&pool.pages, &pool.policy.replace_errors)?;
        let compress = pool.policy.compress;
        let files = Shelves::of(&pool.policy.files)?;
        if maintenance.is_none() && pages.is_none() && files.is_none() && !compress {
            return Ok(None);
        }
        Ok(Some(Arc::new(Self { maintenance, pages, files, compress, pressing: Pressing::default() })))
    }

    fn judge(&self, client: IpAddr) -> Option<Refusal> {
        let maintenance = self.maintenance.as_ref()?;
        if maintenance.allow.iter().any(|range| range.contains(client)) {
            return None;
        }
        let secs = u32::try_from(maintenance.retry_after.as_secs()).unwrap_or(u32::MAX).max(1);
        Some(Refusal { retry_after: secs, ..Refusal::MAINTENANCE })
    }
}

/// Who may come by a route.
struct Door {
    users: Arc<Users>,
    /// The line that asks for a password.
    challenge: Box<[u8]>,
    keep_authorization: bool,
}

/// The rules of a route.
pub(crate) struct Rules {
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    away: Option<Away>,
    door: Option<Door>,
    asks: Option<Asks>,
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
    wishes: Option<Arc<Wishes>>,
    /// The client takes pages of HTML.
    html: bool,
    /// A folder that may have what is asked for.
    wanted: Option<Box<Wanted>>,
    /// Name and password that are still to be checked.
    check: Option<Check>,
    /// Another service that is still to be asked, and its answer if it has one of its own.
    ask: Option<Ask>,
    answer: Option<Answer>,
    /// The coding that the client likes best, if answers are compressed.
    coding: Option<Coding>,
    /// The lines that the answer gets.
    lines: Vec<u8>,
    /// The answer is being compressed.
    pub(crate) press: Option<Box<Press>>,
}

/// A request, as far as it is judged by rules.
pub(crate) struct Incoming<'a> {
    pub(crate) client: IpAddr,
    pub(crate) head: &'a RequestHead,
    pub(crate) fields: &'a [Field],
    pub(crate) buf: &'a [u8],
    /// The length of the route's prefix.
    pub(crate) prefix: usize,
}

impl Rules {
    /// The rules of a route, or what is wrong with them; `users` finds or makes a list of users.
    pub(crate) fn of(
        owner: &str,
        rule: &RouteRule,
        users: impl FnOnce(&Blob) -> Result<Arc<Users>, String>,
    ) -> Result<Option<Arc<Self>>, String> {
        let RouteRules {
            request_headers,
            response_headers,
            redirect,
            replace_prefix,
            rewrite_host,
            allow,
            deny,
            basic_auth,
            forward_auth,
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
        let door = basic_auth.as_ref().map(|auth| Door::of(auth, rule.users.as_ref(), users)).transpose()?;
        let pool = || (owner.to_owned(), rule.asks.clone());
        let asks = forward_auth.as_ref().map(|auth| Asks::of(auth, pool())).transpose()?;
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
            door,
            asks,
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
    fn judge(&self, asked: &Incoming<'_>, lines: &mut Vec<u8>) -> Result<Option<Check>, Refusal> {
        if let Some(away) = &self.away {
            return Err(away.send(asked, lines));
        }
        let Some(door) = &self.door else { return Ok(None) };
        match door.users.claim(asked.client, asked.fields, asked.buf) {
            Claim::Known => Ok(None),
            Claim::New(check) => Ok(Some(check)),
            Claim::Nobody => {
                lines.extend_from_slice(&door.challenge);
                Err(Refusal::UNAUTHORIZED)
            }
        }
    }
}

impl Door {
    fn of(
        auth: &BasicAuth,
        list: Option<&Blob>,
        users: impl FnOnce(&Blob) -> Result<Arc<Users>, String>,
    ) -> Result<Self, String> {
        // Without its list nobody would be asked, so that is no door at all.
        let list = list.ok_or_else(|| format!("the list of users `{}` is missing", auth.users))?;
        if !BasicAuth::is_realm(&auth.realm) {
            return Err(format!("`{}` cannot be shown to browsers", auth.realm.escape_debug()));
        }
        let challenge = format!("www-authenticate: Basic realm=\"{}\", charset=\"UTF-8\"\r\n", auth.realm);
        Ok(Self {
            users: users(list)?,
            challenge: challenge.into_bytes().into(),
            keep_authorization: auth.keep_authorization,
        })
    }
}

impl Rewrite {
    /// The lines that are written beside those that the client sent.
    pub(crate) fn lines(&self) -> &[u8] {
        &self.edits.lines
    }
}

impl Care {
    /// Of a request for a route with these rules, and for a service with these wishes.
    pub(crate) fn of(
        rules: Option<&Arc<Rules>>,
        wishes: Option<&Arc<Wishes>>,
        client: Option<IpAddr>,
    ) -> Box<Self> {
        Box::new(Self {
            client,
            rules: rules.cloned(),
            wishes: wishes.cloned(),
            html: false,
            wanted: None,
            check: None,
            ask: None,
            answer: None,
            coding: None,
            lines: Vec::new(),
            press: None,
        })
    }

    /// The edge's own answer, if it answers. `lines` takes what belongs into the head of that answer or a later one.
    pub(crate) fn judge(&mut self, asked: &Incoming<'_>, lines: &mut Vec<u8>) -> Option<Refusal> {
        if let Some(answers) = self.answers() {
            lines.extend_from_slice(&answers.own);
        }
        let paged = self.wishes.as_ref().is_some_and(|wishes| wishes.pages.is_some());
        self.html = paged && !asked.head.grpc && pages::takes_html(asked.fields, asked.buf);
        let files = self.wishes.as_ref().and_then(|wishes| wishes.files.as_ref());
        self.wanted = files.and_then(|files| files.wanted(asked, pages::takes_html(asked.fields, asked.buf)));
        // HTTP/1.0 has no chunks to write it in.
        let compress = self.wishes.as_ref().is_some_and(|wishes| wishes.compress) && !asked.head.old;
        self.coding = if compress { Coding::of(asked.fields, asked.buf) } else { None };
        let rules = self.rules.as_ref();
        if rules.is_some_and(|rules| !rules.lets_in(asked.client)) {
            return Some(Refusal::ADDRESS);
        }
        let worked_on = self.wishes.as_ref().and_then(|wishes| wishes.judge(asked.client));
        if worked_on.is_some() {
            return worked_on;
        }
        match rules.map(|rules| rules.judge(asked, lines)) {
            None => None,
            Some(Err(refusal)) => Some(refusal),
            Some(Ok(check)) => {
                self.check = check;
                None
            }
        }
    }

    /// Whether the request may not go on yet.
    pub(crate) fn is_unproven(&self) -> bool {
        self.check.is_some() || self.ask.is_some()
    }

    /// Whom the route asks first.
    pub(crate) fn asks(&self) -> Option<&Asks> {
        self.rules.as_ref()?.asks.as_ref()
    }

    pub(crate) fn take_ask(&mut self) -> Option<Ask> {
        self.ask.take()
    }

    /// Has this answered in the place of a refusal.
    pub(crate) fn answer_with(&mut self, answer: Answer) {
        self.answer = Some(answer);
    }

    pub(crate) fn answer(&self) -> Option<&Answer> {
        self.answer.as_ref()
    }

    /// Whether a folder may have what is asked for.
    pub(crate) fn wants_file(&self) -> bool {
        self.wanted.is_some()
    }

    pub(crate) fn take_wanted(&mut self) -> Option<Box<Wanted>> {
        self.wanted.take()
    }

    /// Name and password that are to be checked before the request goes on.
    pub(crate) fn take_check(&mut self) -> Option<Check> {
        self.check.take()
    }

    /// The line that asks for them again.
    pub(crate) fn challenge(&self) -> &[u8] {
        let door = self.rules.as_ref().and_then(|rules| rules.door.as_ref());
        door.map_or(&[], |door| &door.challenge)
    }

    /// The page that is shown in the place of the sentence of an answer with this status.
    pub(crate) fn page(&self, status: u16) -> Option<&[u8]> {
        self.wishes.as_ref().filter(|_| self.html)?.pages.as_ref()?.find(status).map(|page| &**page)
    }

    /// The page that is shown in the place of an instance's own answer with this status.
    pub(crate) fn replacement(&self, status: u16) -> Option<Arc<[u8]>> {
        self.wishes.as_ref().filter(|_| self.html)?.pages.as_ref()?.replacement(status).cloned()
    }

    /// Changes the fields of an answer by the rules, whose body is a page of this length.
    pub(crate) fn dress_page(&mut self, length: usize, fields: &mut Vec<Field>, buf: &[u8]) {
        self.lines.clear();
        let answers = self.rules.as_ref().and_then(|rules| rules.answers.as_ref());
        if let Some(answers) = answers {
            answers.prune(fields, buf);
        }
        exchange::push_lines(&mut self.lines, length, answers.map_or(&[], |answers| &answers.lines));
    }

    /// Prepares the question to the service that is asked first, and takes out the fields of the request that do not go
    /// on; gives how it is rewritten.
    pub(crate) fn make_ready(
        &mut self,
        table: &LocalTable,
        (head, fields, buf): (&RequestHead, &mut Vec<Field>, &[u8]),
        on: &Onward<'_>,
    ) -> Option<&Rewrite> {
        let asks = self.asks().map(|asks| {
            let pool = table.pool(&asks.pool).unwrap_or(&table.nowhere);
            asks.about(pool, (head, &*fields, buf), on)
        });
        self.ask = asks;
        self.prune_request(fields, buf);
        self.onward()
    }

    fn prune_request(&self, fields: &mut Vec<Field>, buf: &[u8]) {
        if let Some(rewrite) = self.onward() {
            rewrite.edits.prune(fields, buf);
        }
        if let Some(asks) = self.asks() {
            asks.copied.prune(fields, buf);
        }
        let door = self.rules.as_ref().and_then(|rules| rules.door.as_ref());
        if door.is_some_and(|door| !door.keep_authorization) {
            fields.retain(|field| !field.name.of(buf).eq_ignore_ascii_case(b"authorization"));
        }
    }

    /// Changes the fields of an answer by the rules, and decides whether its body is compressed; true if it is, or
    /// would be if this were no answer to HEAD.
    pub(crate) fn dress_answer(
        &mut self,
        head: &ResponseHead,
        fields: &mut Vec<Field>,
        buf: &[u8],
        bare: bool,
    ) -> bool {
        self.lines.clear();
        let mut coding = None;
        let wishes = self.wishes.as_ref().filter(|wishes| wishes.compress);
        if let Some(wishes) = wishes.filter(|_| press::suits(head, fields, buf)) {
            coding = self.coding;
            if let Some(wanted) = coding.filter(|_| !bare) {
                (self.press, coding) = Press::new(wanted, &wishes.pressing).unzip();
            }
            self.lines = press::redress(fields, buf, coding);
        }
        if let Some(answers) = self.rules.as_ref().and_then(|rules| rules.answers.as_ref()) {
            answers.prune(fields, buf);
            self.lines.extend_from_slice(&answers.lines);
        }
        coding.is_some()
    }

    pub(crate) fn onward(&self) -> Option<&Rewrite> {
        self.rules.as_ref()?.onward.as_ref()
    }

    fn answers(&self) -> Option<&Edits> {
        self.rules.as_ref()?.answers.as_ref()
    }

    /// The lines that are written beside those of the instance's answer.
    pub(crate) fn answer_lines(&self) -> &[u8] {
        &self.lines
    }

    /// Whether a field of this name may come behind the body too.
    pub(crate) fn lets_trail(&self, side: HeaderSide, name: &[u8]) -> bool {
        let edits = match side {
            HeaderSide::Request => self.onward().map(|rewrite| &rewrite.edits),
            HeaderSide::Response => self.answers(),
        };
        let copied = self.asks().filter(|_| side == HeaderSide::Request).map(|asks| &asks.copied);
        !edits.into_iter().chain(copied).any(|edits| edits.drops(name))
    }
}

#[cfg(test)]
mod tests;
