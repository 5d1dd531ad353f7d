//! Every bound of the edge in one place: sizes, times and counts, each with its default and the reason for it.

use std::time::Duration;

/// The longest request head, in bytes; nginx takes 32 KiB too, and cookies of browsers stay below 8 KiB.
pub(crate) const REQUEST_HEAD_BYTES: usize = 32 * 1024;
/// The longest response head: applications set more than clients send (cookies, security policies).
pub(crate) const RESPONSE_HEAD_BYTES: usize = 64 * 1024;
/// The most field lines of a head; browsers send about 20.
pub(crate) const FIELDS: usize = 128;
/// The longest method; the longest registered one has 17 letters.
pub(crate) const METHOD_BYTES: usize = 24;
/// The longest line that opens a chunk, with its extensions, which nobody reads.
pub(crate) const CHUNK_LINE_BYTES: usize = 256;
/// The most and the longest trailer fields of a chunked body.
pub(crate) const TRAILERS: usize = 32;
/// The longest single trailer line.
pub(crate) const TRAILER_LINE_BYTES: usize = 8 * 1024;
/// A buffer of a connection that is at work; one at rest holds none.
pub(crate) const BUFFER_BYTES: usize = 32 * 1024;
/// Buffers that a thread keeps for reuse: 8 MiB.
pub(crate) const BUFFERS_KEPT: usize = 256;
/// A request whose head and body are no longer than this can be sent again.
pub(crate) const REPLAY_BYTES: usize = 64 * 1024;
/// Idle connections that a thread keeps to one instance: as many requests as were under way in the last moment, as clients
/// of HTTP/2 have many at once.
pub(crate) const IDLE_PER_ENDPOINT: usize = 1024;
/// Connections in HTTP/2 that a thread keeps to one instance; each carries as many streams as the instance allows.
pub(crate) const FAR_PER_ENDPOINT: usize = 8;
/// How long such a connection is kept without a stream. Its end is said ahead, so it may be longer than for HTTP/1.1.
pub(crate) const FAR_IDLE: Duration = Duration::from_secs(30);
/// What is read of the answer to a copy of a request; behind that the connection is closed.
pub(crate) const COPY_ANSWER_BYTES: u64 = 1024 * 1024;
/// Connections that are being made for one request at the same time.
pub(crate) const RACING: usize = 4;
/// The largest message on the control socket, in bytes: some 50,000 routes.
pub(crate) const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// Instances that have left the table and whose counts are still told.
pub(crate) const RETIRED_KEPT: usize = 1024;
/// Streams that a client of HTTP/2 may have open at once. Browsers are content with 100, which nginx (128) and HAProxy
/// (100) offer too; each may hold the buffers of a request, as a connection does.
pub(crate) const H2_STREAMS: u32 = 128;
/// What a client may send on one stream before we have read it: enough for 40 Mbit/s at 50 ms.
pub(crate) const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection.
pub(crate) const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits in one stream for an instance that reads slowly.
pub(crate) const H2_SEND_BYTES: usize = 64 * 1024;
/// What waits of answers for a client that reads slowly, beyond the head and the frame that cross this line: it is one
/// write to the kernel, and with these it fits into a buffer that is kept.
pub(crate) const H2_OUT_BYTES: usize = 48 * 1024;
/// What waits of answers to pings, settings and flaws; with more, nothing is read of a client until it has read
/// (CVE-2019-9512, -9515).
pub(crate) const H2_CONTROL_BYTES: usize = 16 * 1024;
/// A head as it is packed, over all its frames: twice what it may have when it is unpacked.
pub(crate) const H2_BLOCK_BYTES: usize = 2 * REQUEST_HEAD_BYTES;
/// The frames that go on with a head; the longest one takes four.
pub(crate) const H2_BLOCK_FRAMES: u32 = 32;
/// Frames that move nothing, between two that do or within the time that a connection may rest. A ping a second is far
/// below.
pub(crate) const H2_IDLE_FRAMES: u32 = 10_000;
/// Streams that we ended before the client did and of which frames may still come: as many as can be open.
pub(crate) const H2_OWN_ENDS: usize = H2_STREAMS as usize;
/// Tasks for connections and streams that a thread keeps for reuse, of some 4 KiB each.
pub(crate) const SEATS: usize = 512;
/// Streams that a client may give up beyond those that it sees to their end; more, and the connection ends.
pub(crate) const H2_RESETS: u32 = 128;
/// Sessions that clients without tickets can go on with, for all threads: some 2 KiB each.
pub(crate) const TLS_SESSIONS: usize = 1024;
/// Certificates of local names that are kept, for all threads.
pub(crate) const LOCAL_HOSTS: usize = 1024;
/// How long an edge that was replaced lets what is under way go on: longer than most downloads, and as long as a silent
/// WebSocket is kept.
pub(crate) const LEAVING: Duration = Duration::from_secs(3600);
/// Edges that were replaced and are not done; of more, the oldest is told to end.
pub(crate) const LEAVING_KEPT: usize = 8;
/// UDP clients that one listener remembers.
pub(crate) const UDP_SESSIONS: usize = 4096;

/// How the edge behaves in time, and how much it lets in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From the first byte of a request to the end of its head. Bounds what a slow sender can hold.
    pub head: Duration,
    /// Connections of clients at once, over all threads; never more than half of the files that this process may open.
    pub connections: usize,
    /// For the PROXY protocol in front of a connection, which a proxy sends at once.
    pub preface: Duration,
    /// How long a connection may rest between two requests.
    pub keep_alive: Duration,
    /// After so long a connection to an instance that is not made yet gets company: another instance is asked too,
    /// and this one is avoided. Networks of one machine need microseconds; the kernel's second try comes after 1 s.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub answer: Duration,
    /// Between two pieces of a body, in either direction.
    pub body_idle: Duration,
    /// Handshakes of TLS that a thread has in progress at once: each holds some 20 KiB and may cost a millisecond.
    pub handshakes: usize,
    /// Between two bytes of a tunnel (WebSocket, TCP) or of an event stream.
    pub tunnel_idle: Duration,
    /// An idle connection to an instance is used again only this long: gunicorn closes after 2 seconds, node after
    /// 5, most others later, and whoever closes first while the other sends makes an error.
    pub upstream_idle: Duration,
    /// The same for requests that must not be sent twice: only a connection that was at work a moment ago.
    pub upstream_idle_unsafe: Duration,
    /// How long a request waits for an instance to appear or to accept connections again; anew with each instance
    /// that appears, up to `hold_while_down`.
    pub hold: Duration,
    /// A pool that has been without an instance for longer holds nobody: its requests fail at once.
    pub hold_while_down: Duration,
    /// Requests that a thread holds at once.
    pub held: usize,
    /// How long the rest of a request is read and thrown away after an early answer, so that the answer arrives.
    pub linger: Duration,
    /// The longest time an instance is avoided after failed connects; it doubles from `avoid_first`.
    pub avoid_most: Duration,
    /// The time an instance is avoided after the first failed connect.
    pub avoid_first: Duration,
    /// How long the bytes of a new connection are looked at before it is passed through as no HTTP.
    pub detect: Duration,
    /// After so much silence a UDP client is forgotten.
    pub udp_idle: Duration,
    /// How long the edge waits for its requests when it was told to end.
    pub grace: Duration,
    /// How long connections that rest may ask once more by then: to close one is to lose what its client is just sending.
    pub last_call: Duration,
    /// How long a copy of a request may take, its answer included: so long a shadow that hangs has its place.
    pub copy: Duration,
    /// How often deadlines are looked at; they are this coarse.
    pub tick: Duration,
    /// How often a request is sent at most.
    pub tries: u32,
    /// How requests are written to the access log.
    pub access_log: LogFormat,
}

/// How a line of the access log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Not at all.
    Off,
    /// As JSON.
    #[default]
    Json,
    /// In the Common Log Format of NCSA.
    Common,
    /// The same with `Referer` and `User-Agent`.
    Combined,
}

impl LogFormat {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Json => "json",
            Self::Common => "common",
            Self::Combined => "combined",
        }
    }

    /// The format of this name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Off, Self::Json, Self::Common, Self::Combined].into_iter().find(|format| format.name() == name)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            preface: Duration::from_secs(5),
            keep_alive: Duration::from_secs(60),
            connect: Duration::from_millis(250),
            answer: Duration::from_secs(60),
            connections: usize::MAX,
            body_idle: Duration::from_secs(60),
            handshakes: 1024,
            tunnel_idle: Duration::from_secs(3600),
            upstream_idle: Duration::from_millis(1500),
            upstream_idle_unsafe: Duration::from_millis(500),
            hold: Duration::from_secs(5),
            hold_while_down: Duration::from_secs(30),
            held: 1024,
            linger: Duration::from_secs(5),
            avoid_most: Duration::from_secs(10),
            avoid_first: Duration::from_millis(250),
            detect: Duration::from_secs(3),
            udp_idle: Duration::from_secs(60),
            grace: Duration::from_secs(30),
            last_call: Duration::from_secs(2),
            copy: Duration::from_secs(10),
            tick: Duration::from_millis(100),
            tries: 3,
            access_log: LogFormat::Json,
        }
    }
}
