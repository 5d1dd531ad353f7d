//! Fetches what URLs name, for builds and imports: HTTP and HTTPS, with redirects and bounds.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Kind, Report, Timestamp};
use build::{Cancel, Fetched, Fetcher, Moved};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use resilience::http_date;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use trust::Trust;

/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 10;
/// How long a server may take to be reached, to answer, and to send the next bytes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a fetch looks whether the build was called off.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Told at most once in so many bytes.
const TELL_EVERY: u64 = 1 << 20;

/// Fetches over HTTP and HTTPS. Whom this machine trusts is read at the first `https://`.
pub(crate) struct HttpFetcher {
    handle: Handle,
    clock: Arc<dyn Clock>,
    trust: Trust,
}

impl HttpFetcher {
    /// To be called where the runtime is known.
    pub(crate) fn shared(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { handle: Handle::current(), clock, trust: Trust::default() })
    }

    /// The answer at the end of all redirects; any status but 200 is an error.
    async fn answer(&self, url: &str) -> Result<Response<Incoming>, Report> {
        let invalid = |url: &str, cause: &dyn std::fmt::Display| {
            Report::new(Kind::Invalid, format!("`{url}` cannot be fetched")).because(cause)
        };
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let uri: Uri = url.parse().map_err(|error| invalid(&url, &error))?;
            let response = match uri.scheme_str() {
                Some("http") => ask(&uri, reach(&uri, 80).await?).await?,
                Some("https") => ask(&uri, self.reach_safely(&uri).await?).await?,
                other => {
                    let cause = format!("`{}` is neither http nor https", other.unwrap_or_default());
                    return Err(invalid(&url, &cause));
                }
            };
            let status = response.status();
            if status == StatusCode::OK {
                return Ok(response);
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            match to {
                Some(to) if status.is_redirection() => url = joined(&uri, to),
                _ => {
                    let kind =
                        if status == StatusCode::NOT_FOUND { Kind::NotFound } else { Kind::Unavailable };
                    return Err(Report::new(kind, format!("`{url}` answers {status}")));
                }
            }
        }
        Err(Report::new(
            Kind::Unavailable,
            format!("`{url}` leads on and on: more than {MAX_REDIRECTS} redirects"),
        ))
    }

    /// A connection to a server that has shown who it is.
    async fn reach_safely(
        &self,
        uri: &Uri,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Report> {
        let stream = reach(uri, 443).await?;
        self.trust.connect(host(uri), stream).await.map_err(|error| {
            unreachable(uri, &error)
                .hint("a server of your own: add its authority to this machine's (`update-ca-certificates`), or set SSL_CERT_FILE for the daemon")
        })
    }
}

impl Fetcher for HttpFetcher {
    fn fetch(
        &self,
        url: &str,
        most: u64,
        to: &mut dyn Write,
        told: &mut dyn FnMut(Moved),
        cancel: &Cancel,
    ) -> Result<Fetched, Report> {
        let response = self.handle.block_on(unless(cancel, self.answer(url)))?;
        let header =
            |name| response.headers().get(&name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let fetched = Fetched {
            file_name: header(CONTENT_DISPOSITION).and_then(|text| disposition(&text)),
            modified_secs: header(LAST_MODIFIED)
                .and_then(|text| http_date::parse(text.as_bytes(), self.clock.wall()))
                .map(Timestamp::secs),
            media_type: header(CONTENT_TYPE),
        };
        let of = header(CONTENT_LENGTH).and_then(|text| text.parse().ok());
        let mut body = response.into_body();
        let (mut bytes, mut last) = (0u64, 0u64);
        while let Some(piece) = self.handle.block_on(unless(cancel, next(&mut body)))? {
            bytes += piece.len() as u64;
            if bytes > most {
                let text = format!("`{url}` is longer than {}", base::Bytes(most));
                return Err(Report::new(Kind::Exhausted, text));
            }
            to.write_all(&piece).map_err(|error| {
                Report::new(Kind::Unavailable, format!("could not keep what `{url}` sends")).because(error)
            })?;
            if bytes - last >= TELL_EVERY {
                last = bytes;
                told(Moved { what: url.to_owned(), bytes, of });
            }
        }
        told(Moved { what: url.to_owned(), bytes, of: Some(bytes) });
        Ok(fetched)
    }
}

/// The work, unless the build is called off or it takes too long.
async fn unless<T>(cancel: &Cancel, work: impl Future<Output = Result<T, Report>>) -> Result<T, Report> {
    let called_off = async {
        while !cancel.is_cancelled() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        done = tokio::time::timeout(PATIENCE, work) => done.unwrap_or_else(|_| {
            Err(Report::new(Kind::Unavailable, format!("the server said nothing for {} s", PATIENCE.as_secs())))
        }),
        () = called_off => Err(Report::new(Kind::Unavailable, "the build was called off")),
    }
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Report> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Report::new(Kind::Unavailable, "the server broke off in the middle of its answer").because(error)
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn unreachable(uri: &Uri, cause: &dyn std::fmt::Display) -> Report {
    Report::new(Kind::Unavailable, format!("could not reach `{}`", host(uri))).because(cause)
}

async fn reach(uri: &Uri, usual_port: u16) -> Result<TcpStream, Report> {
    let stream = TcpStream::connect((host(uri), uri.port_u16().unwrap_or(usual_port))).await;
    stream.map_err(|error| unreachable(uri, &error))
}

async fn ask(
    uri: &Uri,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Response<Incoming>, Report> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| unreachable(uri, &error))?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // What stands before an `@` is for the server's eyes, and no part of its name.
    let named = authority.rsplit('@').next().unwrap_or(authority);
    let request = Request::get(path)
        .header(HOST, named)
        .header(USER_AGENT, concat!("sea/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| unreachable(uri, &error))?;
    sender.send_request(request).await.map_err(|error| unreachable(uri, &error))
}

/// Where a redirect leads.
fn joined(from: &Uri, to: &str) -> String {
    if to.contains("://") {
        return to.to_owned();
    }
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let scheme = from.scheme_str().unwrap_or("http");
    if let Some(rest) = to.strip_prefix("//") {
        return format!("{scheme}://{rest}");
    }
    if to.starts_with('/') {
        return format!("{scheme}://{authority}{to}");
    }
    let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{scheme}://{authority}{folder}/{to}")
}

/// The file name of a `Content-Disposition`.
fn disposition(text: &str) -> Option<String> {
    let field = text.split(';').map(str::trim).find_map(|field| field.strip_prefix("filename="))?;
    let name = field.trim_matches('"');
    let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0']);
    plain.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_where_they_say() {
        let from: Uri = "http://a:1/x/y?z".parse().expect("a URL");
        for (to, whole) in [
            ("http://b/", "http://b/"),
            ("//b/c", "http://b/c"),
            ("/c", "http://a:1/c"),
            ("c", "http://a:1/x/c"),
        ] {
            assert_eq!(joined(&from, to), whole);
        }
    }
}
