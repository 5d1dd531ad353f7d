//! What tests of both sides share: a registry on a port of its own, plain requests, and servers that misbehave.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use oci::{Descriptor, Digest, Manifest, MediaType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{Client, Options, Registry, Settings, Timeouts, serve};

/// A registry that is served.
pub(crate) struct Served {
    pub(crate) registry: Registry,
    pub(crate) address: SocketAddr,
    pub(crate) folder: Arc<tempfile::TempDir>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Came {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The code of its first error.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Served {
    pub(crate) async fn start(options: Options) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), options).await
    }

    pub(crate) async fn start_in(folder: Arc<tempfile::TempDir>, options: Options) -> Self {
        let registry = Registry::open(&folder.path().join("registry"), options).unwrap();
        let serving = serve("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let address = serving.address;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = registry.clone();
        let running = tokio::spawn(async move {
            serving.run(&served, async { drop(stopped.await) }).await.unwrap();
        });
        Self { registry, address, folder, stop: Some(stop), running: Some(running) }
    }

    /// Stops it, and starts another over the same folder.
    pub(crate) async fn restart(mut self, options: Options) -> Self {
        drop(self.stop.take());
        let running = self.running.take().unwrap();
        // A connection that is kept must not keep the folder open.
        running.abort();
        let _ = running.await;
        let folder = self.folder.clone();
        drop(self);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            match Registry::open(&folder.path().join("registry"), options.clone()) {
                Err(_) if tokio::time::Instant::now() < deadline => tokio::task::yield_now().await,
                opened => break drop(opened.unwrap()),
            }
        }
        Self::start_in(folder, options).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Came {
        send(self.address, method, target, headers, body).await
    }

    pub(crate) async fn get(&self, target: &str) -> Came {
        self.send("GET", target, &[], b"").await
    }

    /// Uploads a blob in one request.
    pub(crate) async fn blob(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let came = self.send("POST", &format!("/v2/{name}/blobs/uploads/?digest={digest}"), &[], bytes).await;
        assert_eq!(came.status, 201, "{came:?}");
        digest
    }

    /// Uploads an image of one layer under a tag.
    pub(crate) async fn image(&self, name: &str, tag: &str, layer: &[u8]) -> Digest {
        let bytes = manifest(self, name, layer).await;
        let kind = [("content-type", MediaType::OciManifest.as_str().to_owned())];
        let kind: Vec<(&str, &str)> = kind.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let came = self.send("PUT", &format!("/v2/{name}/manifests/{tag}"), &kind, &bytes).await;
        assert_eq!(came.status, 201, "{came:?}");
        Digest::sha256(&bytes)
    }
}

/// Uploads a configuration and a layer, and gives the manifest of both.
pub(crate) async fn manifest(served: &Served, name: &str, layer: &[u8]) -> Vec<u8> {
    let config = format!("{{\"of\":\"{}\"}}", Digest::sha256(layer)).into_bytes();
    let described =
        |kind: MediaType, bytes: &[u8]| Descriptor::new(kind, Digest::sha256(bytes), bytes.len() as u64);
    served.blob(name, &config).await;
    served.blob(name, layer).await;
    let layers = vec![described(MediaType::OciLayer(oci::Compression::None), layer)];
    serde_json::to_vec(&Manifest::new(described(MediaType::OciConfig, &config), layers)).unwrap()
}

/// A plain request on a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Came {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let target = target.strip_prefix(&format!("http://{address}")).unwrap_or(target);
    let mut request = Request::builder().method(method).uri(target).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Came { status: parts.status, headers: parts.headers, body }
}

/// A client that waits for nobody for long.
pub(crate) fn client() -> Client {
    client_with(|_| {})
}

pub(crate) fn client_with(change: impl FnOnce(&mut Settings)) -> Client {
    let mut settings = Settings {
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            commit: Duration::from_secs(20),
            stall: Duration::from_secs(5),
            pause: Duration::from_millis(1),
        },
        certificates: "/nonexistent".into(),
        ..Settings::default()
    };
    change(&mut settings);
    Client::new(settings).unwrap()
}

/// Requests that a scripted server heard.
pub(crate) type Heard = Arc<Mutex<Vec<String>>>;

/// A server that answers each request, whose head it is given, by a script; then it closes the connection.
pub(crate) async fn scripted<F, A>(answer: F) -> (SocketAddr, Heard)
where
    F: Fn(String, TcpStream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = Heard::default();
    let (own, answer) = (heard.clone(), Arc::new(answer));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (heard, answer) = (own.clone(), answer.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
                    head.push(byte[0]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                heard.lock().unwrap().push(head.clone());
                answer(head, stream).await;
            });
        }
    });
    (address, heard)
}

/// Writes an answer whole.
pub(crate) async fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
}
