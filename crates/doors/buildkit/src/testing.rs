//! What the tests stand on: a door with a real store and builder, and a client that conducts builds as buildx does and
//! offers files and secrets in its session.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base::{Clock, Report, SystemClock, Tasks};
use build::{Builder, Cancel, Fetched, Fetcher, Moved, Puller, RunMountKind, RunOrder, Runner, Stream};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use images::Images;
use tokio::io::DuplexStream;

use crate::grpc::{Answer, Call, Channel, Code, Status, serve};
use crate::proto::control::{Exporter, SolveRequest, SolveResponse, StatusRequest, StatusResponse};
use crate::proto::files::{Packet, PacketKind, Stat, mode};
use crate::proto::gateway::{self, Place, ReturnRequest};
use crate::proto::sessions::{CredentialsResponse, GetSecretRequest, GetSecretResponse, HealthResponse};
use crate::proto::{Chunk, Empty};
use crate::{BuildKit, Credentials, Parts, Pullers, RoomBuilds};

/// A door with a store and a builder of its own.
pub(crate) struct World {
    pub dir: tempfile::TempDir,
    pub images: Images,
    pub door: BuildKit,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        let images = Images::open(dir.path().join("images")).expect("an empty store opens");
        let clock: Arc<dyn Clock> = SystemClock::shared();
        let builder = Builder::open(dir.path().join("build"), images.clone(), clock.clone())
            .expect("an empty folder opens");
        let parts = Parts {
            builds: Arc::new(RoomBuilds::new(builder, Arc::new(Pretend)).with_pullers(Arc::new(NoRegistry))),
            images: images.clone(),
            fetcher: Some(Arc::new(Web)),
            clock,
            tasks: Tasks::new(),
            version: "v1.2.3".into(),
            host_gateway: None,
        };
        let door = BuildKit::open(&dir.path().join("contexts"), parts).expect("an empty folder opens");
        Self { dir, images, door }
    }

    /// A client that is connected to `/grpc`, and has a session if it offers something.
    pub(crate) async fn client(&self, offer: Offer) -> Client {
        let client = Client { channel: self.connect().await, session: String::new(), asked: Arc::default() };
        client.open_session(&self.door, offer).await
    }

    pub(crate) async fn connect(&self) -> Channel {
        let (near, far) = tokio::io::duplex(64 << 10);
        let door = self.door.clone();
        tokio::spawn(async move { door.grpc(far).await });
        channel(near).await
    }
}

pub(crate) async fn channel(io: DuplexStream) -> Channel {
    let (channel, connection) = Channel::open(io).await.expect("the other end speaks HTTP/2");
    tokio::spawn(connection);
    channel
}

/// A registry that has no image, but says with whose credentials it was asked.
struct NoRegistry;

impl Pullers for NoRegistry {
    fn puller(&self, credentials: Arc<dyn Credentials>) -> Arc<dyn Puller> {
        Arc::new(AskedWith(credentials))
    }
}

struct AskedWith(Arc<dyn Credentials>);

impl Puller for AskedWith {
    fn pull(&self, name: &str, _: &mut dyn FnMut(Moved), _: &Cancel) -> Result<(), Report> {
        let found = self.0.credentials("registry.test")?;
        Err(Report::new(base::Kind::Denied, format!("{name} is not for {found:?}")))
    }
}

/// A web of two pages.
struct Web;

impl Fetcher for Web {
    fn fetch(
        &self,
        url: &str,
        _most: u64,
        to: &mut dyn std::io::Write,
        _told: &mut dyn FnMut(Moved),
        _cancel: &Cancel,
    ) -> Result<Fetched, Report> {
        let body = match url {
            "https://example.org/File" => b"FROM scratch\nCOPY context /alone\n".to_vec(),
            "https://example.org/a.tar" => testkit::tar(&[
                testkit::Entry::file("Dockerfile", "FROM scratch\nCOPY a /\n"),
                testkit::Entry::file("a", "from afar"),
            ]),
            _ => return Err(Report::new(base::Kind::NotFound, format!("`{url}` answers 404"))),
        };
        to.write_all(&body)
            .map_err(|error| Report::new(base::Kind::Internal, "nobody takes it").because(error))?;
        Ok(Fetched::default())
    }
}

/// Runs no command: says what it would run, and ends as the command's words say.
struct Pretend;

impl Runner for Pretend {
    fn run(&self, order: &RunOrder<'_>, output: &mut dyn FnMut(Stream, &[u8])) -> Result<i32, Report> {
        let script = order.args.last().cloned().unwrap_or_default();
        output(Stream::Stdout, format!("ran {script}\n").as_bytes());
        for mount in &order.mounts {
            if let RunMountKind::Bind(path) = &mount.kind
                && let Ok(text) = std::fs::read_to_string(path)
                && mount.target.starts_with("/run/secrets/")
            {
                output(Stream::Stderr, format!("{} is {text}\n", mount.target).as_bytes());
            }
        }
        while script == "forever" && !order.cancel.is_cancelled() {
            std::thread::yield_now();
        }
        Ok(script.strip_prefix("exit ").and_then(|code| code.parse().ok()).unwrap_or(0))
    }
}

/// What a client offers in its session.
#[derive(Clone, Default)]
pub(crate) struct Offer {
    /// Folders by name; files in them by path, in any order. Folders are made up from the paths.
    pub dirs: BTreeMap<String, BTreeMap<String, String>>,
    /// Secrets by id.
    pub secrets: BTreeMap<String, String>,
    /// Instead of honest files: these packets.
    pub packets: Option<Vec<Packet>>,
    /// Where results are taken into.
    pub taken: Option<PathBuf>,
}

impl Offer {
    /// A Dockerfile, and files of the context.
    pub(crate) fn build(dockerfile: &str, files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        let definition = BTreeMap::from([("Dockerfile".to_owned(), dockerfile.to_owned())]);
        let dirs = BTreeMap::from([("dockerfile".into(), definition), ("context".into(), files)]);
        Self { dirs, ..Self::default() }
    }
}

/// A client.
pub(crate) struct Client {
    pub channel: Channel,
    pub session: String,
    /// The paths of files that it was asked for, as `folder/path`.
    pub asked: Arc<Mutex<Vec<String>>>,
}

/// A build's end, and all that was told of it.
pub(crate) struct Outcome {
    pub solved: Result<SolveResponse, Status>,
    pub status: Vec<StatusResponse>,
}

const METHODS: &[&str] = &[
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.FileSend/DiffCopy",
    "/moby.buildkit.secrets.v1.Secrets/GetSecret",
    "/moby.filesync.v1.Auth/Credentials",
    "/grpc.health.v1.Health/Check",
];

impl Client {
    async fn open_session(mut self, door: &BuildKit, offer: Offer) -> Self {
        self.session = format!("session-{}", u64::from_le_bytes(base::kernel_bytes()));
        let headers = introduction(&self.session);
        let (near, far) = tokio::io::duplex(64 << 10);
        let door = door.clone();
        tokio::spawn(async move { door.session(far, &headers).await });
        self.serve_session(near, offer);
        self
    }

    /// Serves the services of a client on this connection.
    pub(crate) fn serve_session(&self, io: DuplexStream, offer: Offer) {
        let asked = self.asked.clone();
        let offer = Arc::new(offer);
        tokio::spawn(serve(io, move |call: Call| {
            let (offer, asked) = (offer.clone(), asked.clone());
            async move { answer(call, offer, asked).await }
        }));
    }

    /// Opens the session inside a call, as clients do that cannot make a second connection.
    pub(crate) fn nested_session(&self, id: &str, offer: Offer) {
        let metadata: Vec<_> = introduction(id)
            .into_iter()
            .scan(None, |last: &mut Option<HeaderName>, (name, value)| {
                *last = name.or(last.take());
                Some((last.clone().expect("the first value has a name"), value))
            })
            .collect();
        let stream = self.channel.stream("/moby.buildkit.v1.Control/Session", &metadata).expect("a call");
        let (near, far) = tokio::io::duplex(64 << 10);
        tokio::spawn(crate::grpc::carry_client(stream, far));
        self.serve_session(near, offer);
    }

    /// A build as buildx conducts it.
    pub(crate) async fn build(
        &self,
        reference: &str,
        options: &[(&str, &str)],
        exporters: Vec<Exporter>,
    ) -> Outcome {
        let status = self.watch(reference);
        let request = SolveRequest {
            reference: reference.to_owned(),
            session: self.session.clone(),
            exporters,
            ..SolveRequest::default()
        };
        let solve = self.channel.call::<SolveResponse>("/moby.buildkit.v1.Control/Solve", &request);
        let (solved, ()) = tokio::join!(solve, self.conduct(reference, options));
        Outcome { solved, status: status.await.expect("the watch ends") }
    }

    /// All progress of a build.
    pub(crate) fn watch(&self, reference: &str) -> tokio::task::JoinHandle<Vec<StatusResponse>> {
        let (channel, reference) = (self.channel.clone(), reference.to_owned());
        tokio::spawn(async move {
            let mut stream = channel.stream("/moby.buildkit.v1.Control/Status", &[]).expect("a call");
            stream.send(&StatusRequest { reference }).await.expect("it is taken");
            stream.close();
            let mut all = Vec::new();
            while let Some(status) = stream.next().await.expect("progress comes to its end") {
                all.push(status);
            }
            all
        })
    }

    async fn conduct(&self, reference: &str, options: &[(&str, &str)]) {
        let solved = self.solve(reference, options, HashMap::new()).await;
        let request = match solved {
            Ok(response) => ReturnRequest { result: response.result, error: None },
            Err(status) => {
                let error = crate::proto::errors::RpcStatus {
                    code: status.code as i32,
                    message: status.message,
                    details: status.details,
                };
                ReturnRequest { result: None, error: Some(error) }
            }
        };
        let _: Empty = self.gateway(reference, "Return", &request).await.expect("it is taken");
    }

    /// What a conductor asks first.
    pub(crate) async fn solve(
        &self,
        reference: &str,
        options: &[(&str, &str)],
        frontend_inputs: HashMap<String, crate::proto::ops::Definition>,
    ) -> Result<gateway::SolveResponse, Status> {
        let request = gateway::SolveRequest {
            frontend: "dockerfile.v0".into(),
            frontend_opt: options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            allow_result_return: true,
            allow_result_array_ref: true,
            frontend_inputs,
            ..gateway::SolveRequest::default()
        };
        self.gateway(reference, "Solve", &request).await
    }

    /// A call of the gateway.
    pub(crate) async fn gateway<M: prost::Message + Default>(
        &self,
        reference: &str,
        method: &str,
        message: &impl prost::Message,
    ) -> Result<M, Status> {
        let path = format!("/moby.buildkit.v1.frontend.LLBBridge/{method}");
        let name = HeaderName::from_static("buildkit-controlapi-buildid");
        let value = HeaderValue::from_str(reference).expect("a build's name");
        let mut stream = self.channel.stream(&path, &[(name, value)])?;
        stream.send(message).await?;
        stream.close();
        let answer = stream.next().await?;
        answer.ok_or_else(|| Status::new(Code::Internal, "no answer"))
    }
}

/// The id of the one result.
pub(crate) fn id(response: &gateway::SolveResponse) -> String {
    match response.result.as_ref().and_then(|result| result.place.clone()) {
        Some(Place::Ref(one)) => one.id,
        other => panic!("one result: {other:?}"),
    }
}

fn introduction(id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let value = |text: &str| HeaderValue::from_str(text).expect("plain text");
    headers.insert("x-docker-expose-session-uuid", value(id));
    headers.insert("x-docker-expose-session-sharedkey", value("folder:node"));
    for method in METHODS {
        headers.append("x-docker-expose-session-grpc-method", value(method));
    }
    headers
}

async fn answer(mut call: Call, offer: Arc<Offer>, asked: Arc<Mutex<Vec<String>>>) -> Answer {
    match call.path.as_str() {
        "/moby.filesync.v1.FileSync/DiffCopy" => files(call, &offer, asked),
        "/moby.filesync.v1.FileSend/DiffCopy" => take(call, &offer),
        "/grpc.health.v1.Health/Check" => Answer::one(&HealthResponse { status: 1 }),
        "/moby.filesync.v1.Auth/Credentials" => {
            Answer::one(&CredentialsResponse { username: "me".into(), secret: "word".into() })
        }
        "/moby.buildkit.secrets.v1.Secrets/GetSecret" => {
            let request: GetSecretRequest = call.message().await.expect("a request");
            match offer.secrets.get(&request.id) {
                Some(text) => Answer::one(&GetSecretResponse { data: text.clone().into_bytes() }),
                None => Answer::failed(Status::new(Code::NotFound, "not found")),
            }
        }
        other => Answer::failed(Status::unimplemented(other)),
    }
}

/// Takes one file in.
fn take(call: Call, offer: &Offer) -> Answer {
    let (outgoing, answer) = Answer::stream();
    let path = offer.taken.clone().expect("the client takes files");
    tokio::spawn(async move {
        let mut messages = call.into_messages();
        let mut bytes = Vec::new();
        while let Some(Chunk { data }) = messages.next::<Chunk>().await.expect("chunks come") {
            bytes.extend_from_slice(&data);
        }
        std::fs::write(path, bytes).expect("the client's disk");
        outgoing.end(Ok(())).await;
    });
    answer
}

/// Sends files as an honest client does, or what a hostile one would.
fn files(call: Call, offer: &Offer, asked: Arc<Mutex<Vec<String>>>) -> Answer {
    let (outgoing, answer) = Answer::stream();
    let all = |name: &str| -> Vec<String> {
        let values = call.metadata.get_all(name).iter();
        values.map(|value| value.to_str().expect("plain text").to_owned()).collect()
    };
    let dir = all("dir-name").join("");
    let (follow, exclude) = (all("followpaths"), all("exclude-patterns"));
    if let Some(packets) = offer.packets.clone() {
        tokio::spawn(async move {
            for packet in packets {
                if !outgoing.send(&packet).await {
                    return;
                }
            }
            // A hostile sender does not end by itself.
            let mut messages = call.into_messages();
            while let Ok(Some(packet)) = messages.next::<Packet>().await {
                if packet.kind == PacketKind::Err as i32 || packet.kind == PacketKind::Fin as i32 {
                    break;
                }
            }
            outgoing.end(Ok(())).await;
        });
        return answer;
    }
    let wanted = |path: &str| {
        let below = |pattern: &String| path == pattern || path.starts_with(&format!("{pattern}/"));
        (follow.is_empty() || follow.iter().any(below)) && !exclude.iter().any(below)
    };
    let files: Vec<(String, String)> =
        offer.dirs.get(&dir).cloned().unwrap_or_default().into_iter().collect();
    let entries = tree(files.into_iter().filter(|(path, _)| wanted(path)));
    tokio::spawn(async move {
        for (stat, _) in &entries {
            let packet = Packet { stat: Some(stat.clone()), ..Packet::default() };
            outgoing.send(&packet).await;
        }
        outgoing.send(&Packet::default()).await;
        let mut messages = call.into_messages();
        while let Some(packet) = messages.next::<Packet>().await.expect("packets come") {
            if packet.kind == PacketKind::Fin as i32 {
                outgoing.send(&packet).await;
                break;
            }
            let (stat, text) = &entries[packet.id as usize];
            asked.lock().expect("no test panics here").push(format!("{dir}/{}", stat.path));
            for data in [Bytes::from(text.clone()), Bytes::new()] {
                let kind = PacketKind::Data as i32;
                outgoing.send(&Packet { kind, id: packet.id, data, stat: None }).await;
            }
        }
        outgoing.end(Ok(())).await;
    });
    answer
}

/// The files with the folders that hold them, in order.
fn tree(files: impl Iterator<Item = (String, String)>) -> Vec<(Stat, String)> {
    let mut all: BTreeMap<Vec<String>, Option<String>> = BTreeMap::new();
    for (path, text) in files {
        let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
        for length in 1..parts.len() {
            all.insert(parts[..length].to_vec(), None);
        }
        all.insert(parts, Some(text));
    }
    let entry = |(parts, text): (Vec<String>, Option<String>)| {
        let bits = if text.is_some() { 0o644 } else { mode::FOLDER | 0o755 };
        let text = text.unwrap_or_default();
        // The time is that of the content, as a file that changes gets another.
        let mod_time = 1_700_000_000_000_000_000 + text.bytes().map(i64::from).sum::<i64>();
        let size = i64::try_from(text.len()).expect("a small file");
        (Stat { path: parts.join("/"), mode: bits, size, mod_time, ..Stat::default() }, text)
    };
    all.into_iter().map(entry).collect()
}
