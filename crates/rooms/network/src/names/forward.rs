//! Passing questions on to the name servers of the host, or to those that the asker wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;

use super::message::{self, Carrier, Code};

/// So many questions are out at one time; more are answered with a failure.
const AT_ONE_TIME: usize = 256;
/// A server that has not answered by then is passed over.
const PATIENCE: Duration = Duration::from_secs(2);
/// Each server is asked so often, since datagrams get lost.
const ROUNDS: usize = 2;
const PORT: u16 = 53;

/// Knows whom to ask.
pub(crate) struct Forwarder {
    resolv_conf: PathBuf,
    known: Mutex<Known>,
    rng: Mutex<Rng>,
    places: Semaphore,
}

/// The host's servers as last read.
#[derive(Default)]
struct Known {
    mark: Option<(SystemTime, u64)>,
    servers: Vec<IpAddr>,
}

impl Forwarder {
    /// One that reads the host's servers from this file, again whenever it changes.
    pub(crate) fn new(resolv_conf: &Path) -> Self {
        Self {
            resolv_conf: resolv_conf.to_owned(),
            known: Mutex::default(),
            rng: Mutex::new(Rng::from_kernel()),
            places: Semaphore::new(AT_ONE_TIME),
        }
    }

    /// The answer to a question: that of the first server that gives one, or a failure.
    pub(crate) async fn ask(&self, question: &[u8], wanted: Option<&[IpAddr]>, carrier: Carrier) -> Vec<u8> {
        let failure = || message::refuse(question, Code::Failed);
        let Ok(_place) = self.places.try_acquire() else { return failure() };
        let servers = wanted.map_or_else(|| self.servers(), <[IpAddr]>::to_vec);
        // A number and a port of our own, which nobody outside can guess.
        let mut ours = question.to_vec();
        let number = self.rng.lock().unwrap_or_else(PoisonError::into_inner).next_u64().to_le_bytes();
        ours[..2].copy_from_slice(&number[..2]);
        let mut unwilling = None;
        for server in std::iter::repeat_n(&servers, ROUNDS).flatten() {
            let asked = async {
                match carrier {
                    Carrier::Datagram => ask_by_datagram(&ours, *server).await,
                    Carrier::Stream => ask_by_stream(&ours, *server).await,
                }
            };
            let Ok(Ok(mut answer)) = tokio::time::timeout(PATIENCE, asked).await else { continue };
            answer[..2].copy_from_slice(&question[..2]);
            if !message::failed(&answer) {
                return answer;
            }
            unwilling.get_or_insert(answer);
        }
        unwilling.unwrap_or_else(failure)
    }

    fn servers(&self) -> Vec<IpAddr> {
        let mark = std::fs::metadata(&self.resolv_conf)
            .ok()
            .and_then(|file| Some((file.modified().ok()?, file.len())));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.mark != mark || mark.is_none() {
            let text = std::fs::read_to_string(&self.resolv_conf).unwrap_or_default();
            *known = Known { mark, servers: crate::texts::nameservers(&text) };
        }
        known.servers.clone()
    }
}

async fn ask_by_datagram(question: &[u8], server: IpAddr) -> std::io::Result<Vec<u8>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(SocketAddr::new(server, PORT)).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if message::answers(question, &buffer[..length]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_by_stream(question: &[u8], server: IpAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(SocketAddr::new(server, PORT)).await?;
    write_framed(&mut stream, question).await?;
    let answer = read_framed(&mut stream).await?;
    if message::answers(question, &answer) { Ok(answer) } else { Err(std::io::ErrorKind::InvalidData.into()) }
}

/// A message on a stream: its length in two bytes, and itself.
pub(crate) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> std::io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| std::io::ErrorKind::InvalidData)?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend(message);
    stream.write_all(&frame).await
}

/// The next message of a stream.
pub(crate) async fn read_framed(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(message)
}
