//! Uploads: in one go, in chunks that must follow each other, and gone on with after a broken connection.
//!
//! An upload is a folder with its bytes and the name of its repository, so that it survives a restart; while we live
//! we also hold the state of its hash, so that nothing is read twice.

mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use oci::Digest;
use tokio::sync::Mutex as Turn;

use super::Registry;
use super::answer::{Answer, Refusal, empty};
use super::route::parameter;
use crate::ranges;
use crate::words::Code;
use session::{Session, TakeError};

/// Uploads that may be under way at once.
const MOST: usize = 10_000;

/// Uploads under way, by id.
#[derive(Default)]
pub(super) struct Uploads {
    open: Mutex<HashMap<String, Arc<Turn<Session>>>>,
}

impl Uploads {
    fn get(&self, id: &str) -> Option<Arc<Turn<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn put(&self, session: Session) -> Option<Arc<Turn<Session>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST {
            return None;
        }
        let id = session.id().to_owned();
        Some(open.entry(id).or_insert_with(|| Arc::new(Turn::new(session))).clone())
    }

    pub(super) fn forget(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Whether somebody is sending to it at this moment.
    pub(super) fn is_busy(&self, id: &str) -> bool {
        self.get(id).is_some_and(|session| session.try_lock().is_err())
    }
}

impl Registry {
    /// `POST /v2/<name>/blobs/uploads/`: begins an upload, does all of it, or takes a blob over from elsewhere.
    pub(super) async fn begin_upload(&self, name: &str, request: Request) -> Answer {
        self.may_push()?;
        let query = request.uri().query().map(str::to_owned);
        if let Some(wanted) = parameter(query.as_deref(), "mount")
            && let Some(done) = self
                .mount(name, &wanted, parameter(query.as_deref(), "from"), request.headers().clone())
                .await?
        {
            return Ok(done);
        }
        let session = Session::begin(&self.0.files, name)?;
        let Some(session) = self.0.uploads.put(session) else {
            let text = "too many uploads are under way";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, text));
        };
        let mut session = session.lock().await;
        if let Some(digest) = parameter(query.as_deref(), "digest") {
            let digest = digest.parse().map_err(|_| Refusal::bad_digest(&digest));
            let taken = match digest {
                Ok(digest) => self.finish(name, &mut session, &digest, request).await,
                Err(refusal) => Err(refusal),
            };
            self.end_session(&session);
            return taken;
        }
        Ok(where_it_is(name, &session, StatusCode::ACCEPTED))
    }

    /// Takes a blob over from another repository, or from any if none is named.
    async fn mount(
        &self,
        name: &str,
        wanted: &str,
        from: Option<String>,
        headers: HeaderMap,
    ) -> Result<Option<Response>, Refusal> {
        // Who asks for what cannot be is given an upload, as everybody whose blob cannot be taken over.
        let Ok(digest) = wanted.parse::<Digest>() else { return Ok(None) };
        if let Some(from) = &from {
            // Whoever may push here need not be allowed to read there.
            let want = super::guard::Want::Pull(from.clone());
            if self.0.guard.check(&headers, &want).is_err() {
                return Ok(None);
            }
        }
        let changing = self.0.index.changing().await;
        let found = match &from {
            Some(from) => self.0.index.blob(from, &digest),
            None => {
                let state = changing.read();
                state.values().find_map(|one| one.blobs.get(&digest).map(|blob| blob.size))
            }
        };
        match found.filter(|size| self.0.files.length(&digest) == Some(*size)) {
            Some(size) => {
                changing.link(name, &digest, size).await?;
                Ok(Some(created(name, &digest)))
            }
            None => Ok(None),
        }
    }

    /// `GET /v2/<name>/blobs/uploads/<id>`.
    pub(super) async fn upload_status(&self, name: &str, id: &str) -> Answer {
        let session = self.session(name, id).await?;
        let session = session.lock().await;
        Ok(where_it_is(name, &session, StatusCode::NO_CONTENT))
    }

    /// `PATCH /v2/<name>/blobs/uploads/<id>`: the next chunk, or as much as comes.
    pub(super) async fn upload_chunk(&self, name: &str, id: &str, request: Request) -> Answer {
        self.may_push()?;
        let session = self.session(name, id).await?;
        let mut session = session.lock().await;
        self.take(name, &mut session, request).await?;
        Ok(where_it_is(name, &session, StatusCode::ACCEPTED))
    }

    /// `PUT /v2/<name>/blobs/uploads/<id>?digest=`: the last chunk, if any, and what all of it must be.
    pub(super) async fn upload_end(&self, name: &str, id: &str, request: Request) -> Answer {
        self.may_push()?;
        let wanted = parameter(request.uri().query(), "digest").unwrap_or_default();
        let digest = wanted.parse().map_err(|_| Refusal::bad_digest(&wanted))?;
        let session = self.session(name, id).await?;
        let mut session = session.lock().await;
        let done = self.finish(name, &mut session, &digest, request).await;
        // A chunk out of order, or one that broke off, can be sent again; content that is not what it is called cannot.
        if done.as_ref().map_or_else(Refusal::is_final, |_| true) {
            self.end_session(&session);
        }
        done
    }

    /// `DELETE /v2/<name>/blobs/uploads/<id>`.
    pub(super) async fn upload_cancel(&self, name: &str, id: &str) -> Answer {
        let session = self.session(name, id).await?;
        let session = session.lock().await;
        self.end_session(&session);
        Ok(empty(StatusCode::NO_CONTENT, &[("content-length", "0")]))
    }

    fn may_push(&self) -> Result<(), Refusal> {
        if self.0.options.mirror.is_some() { Err(Refusal::mirror()) } else { Ok(()) }
    }

    /// The upload of this id, if it is one of this repository; one from before a restart is found on the disk.
    async fn session(&self, name: &str, id: &str) -> Result<Arc<Turn<Session>>, Refusal> {
        let known = match self.0.uploads.get(id) {
            Some(session) => session,
            None => {
                let (registry, id) = (self.clone(), id.to_owned());
                let found = tokio::task::spawn_blocking(move || Session::find(&registry.0.files, &id)).await;
                let found = found.ok().flatten().ok_or_else(Refusal::no_upload)?;
                self.0.uploads.put(found).ok_or_else(Refusal::no_upload)?
            }
        };
        let is_ours = known.lock().await.repository() == name;
        if is_ours { Ok(known) } else { Err(Refusal::no_upload()) }
    }

    fn end_session(&self, session: &Session) {
        self.0.uploads.forget(session.id());
        if let Err(error) = session.remove() {
            tracing::warn!("an upload that ended stays behind until it is collected: {error}");
        }
    }

    /// Takes a request's body behind what is there.
    async fn take(&self, name: &str, session: &mut Session, request: Request) -> Result<(), Refusal> {
        let (parts, body) = request.into_parts();
        let announced = announced(&parts.headers);
        if let Some(range) = parts.headers.get(CONTENT_RANGE) {
            let range = range.to_str().ok().and_then(ranges::chunk);
            // One that cannot be read is out of order, too.
            let range = range.filter(|range| *range.start() == session.length());
            let range = range.ok_or_else(|| out_of_order(name, session))?;
            let length = range.end() - range.start() + 1;
            if announced.is_some_and(|announced| announced != length) {
                let text = "`Content-Range` and `Content-Length` contradict each other";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::SizeInvalid, text));
            }
        }
        self.stream(session, announced, body).await
    }

    async fn stream(&self, session: &mut Session, announced: Option<u64>, body: Body) -> Result<(), Refusal> {
        let before = session.length();
        let most = self.0.options.blob_bytes;
        if announced.is_some_and(|announced| before.saturating_add(announced) > most) {
            return Err(too_long(most));
        }
        match session.append(body, most).await {
            Ok(()) => {}
            Err(TakeError::TooLong) => return Err(too_long(most)),
            Err(TakeError::Broke(why)) => {
                let text = format!("the upload broke off: {why}");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::BlobUploadInvalid, text));
            }
            Err(TakeError::Disk(error)) => return Err(error.into()),
        }
        if announced.is_some_and(|announced| session.length() - before != announced) {
            let text = "the body is not as long as `Content-Length` says";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::SizeInvalid, text));
        }
        Ok(())
    }

    /// Takes the rest, holds all of it to the digest, and gives it its name.
    async fn finish(&self, name: &str, session: &mut Session, digest: &Digest, request: Request) -> Answer {
        self.take(name, session, request).await?;
        let size = session.length();
        let file = match session.seal(digest.clone()).await? {
            Ok(file) => file,
            Err(got) => {
                let text = format!("the content is {got}, not {digest}");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, Code::DigestInvalid, text).finally());
            }
        };
        base::crash::point("registry: upload whole");
        let changing = self.0.index.changing().await;
        self.0.files.place(&file, digest)?;
        changing.link(name, digest, size).await?;
        base::crash::point("registry: blob named");
        Ok(created(name, digest))
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// How far an upload is, as `0-last`; of none it is `0-0`, as everybody says.
fn range_of(session: &Session) -> String {
    format!("0-{}", session.length().saturating_sub(1))
}

fn address(name: &str, session: &Session) -> String {
    format!("/v2/{name}/blobs/uploads/{}", session.id())
}

fn where_it_is(name: &str, session: &Session, status: StatusCode) -> Response {
    let (location, range) = (address(name, session), range_of(session));
    let headers = [
        ("location", location.as_str()),
        ("range", range.as_str()),
        ("docker-upload-uuid", session.id()),
        ("content-length", "0"),
    ];
    empty(status, &headers)
}

fn created(name: &str, digest: &Digest) -> Response {
    let (location, digest) = (format!("/v2/{name}/blobs/{digest}"), digest.to_string());
    let headers =
        [("location", location.as_str()), ("docker-content-digest", &digest), ("content-length", "0")];
    empty(StatusCode::CREATED, &headers)
}

fn out_of_order(name: &str, session: &Session) -> Refusal {
    let text = format!("the upload goes on at byte {}", session.length());
    Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, text)
        .header(LOCATION, &address(name, session))
        .header(RANGE, &range_of(session))
        .header("docker-upload-uuid".parse().expect("it is a header's name"), session.id())
}

fn too_long(most: u64) -> Refusal {
    let text = format!("a blob may have {}", base::Bytes(most));
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, text).finally()
}
