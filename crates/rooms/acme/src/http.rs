//! Requests to an authority: one connection each, as there are few.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use trust::Trust;

use crate::error::AcmeError;
use crate::settings::is_safe;

/// For a whole request. Authorities answer within a second, and are slow at times.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer: a chain has some 6 KB.
const MOST_BYTES: usize = 256 * 1024;
/// As RFC 8555 wants it; the version helps who runs an authority to tell us of our faults.
const AGENT: &str = concat!("seaworthy/", env!("CARGO_PKG_VERSION"));

/// Makes requests. Whom this machine trusts is read at the first of them.
#[derive(Default)]
pub(crate) struct Http {
    trust: Trust,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// For how many seconds it wants not to be asked again.
    pub(crate) fn patience(&self, now: i64) -> Option<u64> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        text.trim().parse().ok().or_else(|| {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            u64::try_from(date.timestamp().as_second() - now).ok()
        })
    }
}

impl Http {
    /// Asks; whatever it says is the answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        body: Option<String>,
    ) -> Result<Reply, AcmeError> {
        let unreachable = |why: String| AcmeError::Unreachable { url: url.into(), why };
        let uri: Uri = url.parse().map_err(|_| nonsense(url, "it names something that is no URL"))?;
        if !is_safe(&uri) {
            return Err(nonsense(url, "it names an address that is not https"));
        }
        let asked = tokio::time::timeout(PATIENCE, self.exchange(method, &uri, body)).await;
        asked
            .unwrap_or_else(|_| Err(format!("it said nothing for {} s", PATIENCE.as_secs())))
            .map_err(unreachable)
    }

    async fn exchange(&self, method: Method, uri: &Uri, body: Option<String>) -> Result<Reply, String> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| error.to_string())?;
        // A request is written at once.
        let _ = tcp.set_nodelay(true);
        let mut request =
            Request::builder().method(method).uri(uri.path_and_query().map_or("/", |p| p.as_str()));
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/jose+json");
        }
        let mut request = request
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| error.to_string())?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, authority);
        if !is_secure {
            return converse(tcp, request).await;
        }
        let tls = self.trust.connect(host, tcp).await.map_err(|error| error.to_string())?;
        converse(tls, request).await
    }
}

async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Reply, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let shaken = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = shaken;
    let asked = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| error.to_string())?;
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
    };
    // The connection moves the bytes, and ends after the answer.
    let mut connection = std::pin::pin!(connection);
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        biased;
        answer = &mut asked => answer,
        ended = &mut connection => match ended {
            Ok(()) => asked.await,
            Err(error) => Err(error.to_string()),
        },
    }
}

pub(crate) fn nonsense(url: &str, why: &str) -> AcmeError {
    AcmeError::Nonsense { url: url.into(), why: why.into() }
}
