//! Answering on the gateways: one pair of sockets for each, bound to the bridge, so that a question's way of
//! coming tells which network asks.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base::{Rng, Tasks};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::forward::{Forwarder, read_framed, write_framed};
use super::message::{self, Carrier, Verdict};
use super::table::{Directory, NamesTable};

const PORT: u16 = 53;
/// Longer questions are cut, and then malformed.
const QUESTION_BYTES: usize = 4096;
/// So many streams a network may hold open.
const STREAMS: usize = 64;
/// A stream that says nothing for so long is closed.
const STREAM_IDLE: Duration = Duration::from_secs(10);
/// A gateway that cannot be bound is tried again after this time.
const AGAIN: Duration = Duration::from_millis(100);

/// How names are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Where the host's name servers are written.
    pub resolv_conf: PathBuf,
}

impl Default for Serving {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into() }
    }
}

/// Which table holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confirmation {
    /// Whose table it is.
    pub epoch: u64,
    /// Its generation.
    pub generation: u64,
    /// Gateways on which nothing could be bound yet, with the reason.
    pub unbound: Vec<String>,
}

/// One gateway that is answered on.
struct Post {
    index: u32,
    /// What is answered; replaced with every table.
    directory: watch::Sender<Arc<Directory>>,
    /// Ended with the post; what they began ends by itself.
    tasks: [AbortHandle; 2],
}

/// Answers for the newest table until the sender of tables is gone.
pub async fn serve(
    serving: Serving,
    mut tables: watch::Receiver<Arc<NamesTable>>,
    confirmations: watch::Sender<Confirmation>,
) {
    let forwarder = Arc::new(Forwarder::new(&serving.resolv_conf));
    let mut posts: BTreeMap<(String, IpAddr), Post> = BTreeMap::new();
    loop {
        let table = tables.borrow_and_update().clone();
        let unbound = apply(&table, &mut posts, &forwarder);
        base::crash::point("names: gateways bound");
        let retry = !unbound.is_empty();
        confirmations.send_replace(Confirmation {
            epoch: table.epoch,
            generation: table.generation,
            unbound,
        });
        let changed = tables.changed();
        if !retry {
            if changed.await.is_err() {
                return;
            }
        } else if let Ok(Err(_)) = tokio::time::timeout(AGAIN, changed).await {
            return;
        }
    }
}

/// Makes the posts agree with a table; returns what could not be bound.
fn apply(
    table: &NamesTable,
    posts: &mut BTreeMap<(String, IpAddr), Post>,
    forwarder: &Arc<Forwarder>,
) -> Vec<String> {
    let mut unbound = Vec::new();
    let mut kept = BTreeMap::new();
    for (network, directory) in table.networks.iter().zip(Directory::all(table)) {
        for address in &network.listen {
            let key = (network.bridge.clone(), *address);
            // A bridge that was made anew has another index, and sockets of the old one hear nothing.
            let index = match index_of(&network.bridge) {
                Ok(index) => index,
                Err(error) => {
                    unbound.push(format!("{address} on {}: {error}", network.bridge));
                    continue;
                }
            };
            let post = match posts.remove(&key).filter(|post| post.index == index) {
                Some(post) => post,
                None => match open(&network.bridge, *address, index, forwarder) {
                    Ok(post) => post,
                    Err(error) => {
                        unbound.push(format!("{address} on {}: {error}", network.bridge));
                        continue;
                    }
                },
            };
            post.directory.send_replace(Arc::clone(&directory));
            kept.insert(key, post);
        }
    }
    // Posts that are left over end here: dropping their tasks aborts them.
    *posts = kept;
    unbound
}

fn index_of(bridge: &str) -> io::Result<u32> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").or_else(|_| std::net::UdpSocket::bind("[::]:0"))?;
    Ok(name_to_index(&socket, bridge)?)
}

fn open(bridge: &str, address: IpAddr, index: u32, forwarder: &Arc<Forwarder>) -> io::Result<Post> {
    let at = SocketAddr::new(address, PORT);
    // First the device, then the address: a server of the host on all addresses is then no obstacle, if it
    // shares the port as most do.
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let datagrams = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    rustix::net::sockopt::set_socket_reuseaddr(&datagrams, true)?;
    let datagrams = UdpSocket::from_std(datagrams.into())?;
    datagrams.bind_device(Some(bridge.as_bytes()))?;
    rustix::net::bind(&datagrams, &at)?;
    let streams = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    streams.set_reuseaddr(true)?;
    streams.bind_device(Some(bridge.as_bytes()))?;
    streams.bind(at)?;
    let streams = streams.listen(64)?;
    let (directory, seen) = watch::channel(Arc::default());
    let tasks = Tasks::new();
    let post = Answering {
        directory: seen,
        forwarder: Arc::clone(forwarder),
        rng: Arc::new(Mutex::new(Rng::from_kernel())),
        tasks: tasks.clone(),
    };
    let tasks = [
        tasks.spawn(format!("names on {at}"), answer_datagrams(datagrams, post.clone())),
        tasks.spawn(format!("names on {at} by stream"), answer_streams(streams, post)),
    ];
    Ok(Post { index, directory, tasks })
}

impl Drop for Post {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// What answering takes.
#[derive(Clone)]
struct Answering {
    directory: watch::Receiver<Arc<Directory>>,
    forwarder: Arc<Forwarder>,
    rng: Arc<Mutex<Rng>>,
    tasks: Tasks,
}

impl Answering {
    fn decide(&self, question: &[u8], asker: IpAddr, carrier: Carrier) -> (Verdict, Arc<Directory>) {
        let directory = self.directory.borrow().for_asker(asker);
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        (message::decide(question, &directory, carrier, &mut rng), directory)
    }
}

async fn answer_datagrams(socket: UdpSocket, answering: Answering) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; QUESTION_BYTES];
    loop {
        // An error here is that of an earlier answer which could not be delivered.
        let Ok((length, asker)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let question = &buffer[..length];
        match answering.decide(question, asker.ip(), Carrier::Datagram) {
            (Verdict::Ignore, _) => {}
            (Verdict::Answer(answer), _) => {
                let _ = socket.send_to(&answer, asker).await;
            }
            (Verdict::Forward, directory) => {
                let (socket, question) = (Arc::clone(&socket), question.to_vec());
                let forwarder = Arc::clone(&answering.forwarder);
                answering.tasks.spawn("a question passed on", async move {
                    let wanted = directory.upstreams(asker.ip());
                    let answer = forwarder.ask(&question, wanted, Carrier::Datagram).await;
                    let _ = socket.send_to(&answer, asker).await;
                });
            }
        }
    }
}

async fn answer_streams(listener: TcpListener, answering: Answering) {
    let places = Arc::new(Semaphore::new(STREAMS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, asker)) = listener.accept().await else {
            // Out of files, most likely: it passes, and must not spin.
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let answer = answering.clone();
        answering.tasks.spawn("a stream of questions", async move {
            let _place = place;
            answer_stream(stream, asker.ip(), &answer).await;
        });
    }
}

async fn answer_stream(mut stream: TcpStream, asker: IpAddr, answering: &Answering) {
    while let Ok(Ok(question)) = tokio::time::timeout(STREAM_IDLE, read_framed(&mut stream)).await {
        let answer = match answering.decide(&question, asker, Carrier::Stream) {
            (Verdict::Ignore, _) => return,
            (Verdict::Answer(answer), _) => answer,
            (Verdict::Forward, directory) => {
                answering.forwarder.ask(&question, directory.upstreams(asker), Carrier::Stream).await
            }
        };
        match tokio::time::timeout(STREAM_IDLE, write_framed(&mut stream, &answer)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
