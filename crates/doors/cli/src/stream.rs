//! Carrying a program's input and output over an upgraded connection.

use base::{Kind, Report};
use bytes::{Buf, BytesMut};
use talk::{Exited, FrameKind};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::signal::unix::{SignalKind, signal};
use wire::Upgraded;

use crate::output::note;
use crate::{Done, Session, terminal};

/// What is read at once from standard input.
const PIECE: usize = 32 << 10;
/// The exit code when the program could not be run for our own reasons.
const NOT_RUN: i32 = 125;

/// What is carried besides the output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carry {
    /// Our standard input.
    pub stdin: bool,
    /// Key by key, with the window's size.
    pub raw: bool,
    /// Signals that are sent to us are meant for the program.
    pub signals: bool,
}

/// What a person or a service manager sends to end, reload or wake a program.
const SIGNALS: [SignalKind; 7] = [
    SignalKind::alarm(),
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::quit(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
];

/// Carries both ways until the program has ended.
pub(crate) async fn carry(upgraded: Upgraded, what: Carry) -> Result<Exited, Report> {
    let (reader, writer) = tokio::io::split(upgraded);
    let raw = if what.raw { terminal::Raw::begin() } else { None };
    // From here on, before the program's first word is heard: who hears it may send a signal at once.
    let signals = Signals::of(if what.signals { &SIGNALS } else { &[] });
    let input = tokio::spawn(send(writer, what, signals));
    let outcome = receive(reader).await;
    input.abort();
    drop(raw);
    outcome
}

/// The exit code that a program's end makes ours.
pub(crate) fn exit_code(exited: Exited) -> Done {
    if let Some(error) = &exited.error {
        note(format!("error: {error}"));
    }
    Ok(u8::try_from(exited.code & 0xff).unwrap_or(u8::MAX))
}

impl Session {
    /// Ends `run` or `exec` when the program could not even be given over: docker says 125.
    pub(crate) fn not_run(&self, problem: Report) -> Done {
        crate::print_report(&problem, self.json());
        exit_code(Exited { code: NOT_RUN, oom: false, error: None })
    }
}

async fn send(mut writer: WriteHalf<Upgraded>, what: Carry, mut signals: Signals) {
    let mut resized = if what.raw { signal(SignalKind::window_change()).ok() } else { None };
    let mut stdin = tokio::io::stdin();
    let mut open = what.stdin;
    let mut buffer = vec![0; PIECE];
    let mut out = Vec::new();
    loop {
        let resize = async {
            match &mut resized {
                Some(resized) => resized.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = stdin.read(&mut buffer), if open => {
                let length = read.unwrap_or(0);
                open = length > 0;
                // An empty frame says that no more comes.
                talk::encode(&mut out, FrameKind::Stdin, &buffer[..length]);
            }
            number = signals.next() => {
                talk::encode(&mut out, FrameKind::Signal, number.to_string().as_bytes());
            }
            _ = resize => {
                let size = terminal::size().unwrap_or((24, 80));
                let text = serde_json::to_vec(&size).unwrap_or_default();
                talk::encode(&mut out, FrameKind::Resize, &text);
            }
        }
        if writer.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
    }
}

/// Signals that do not end us.
struct Signals {
    heard: tokio::sync::mpsc::Receiver<i32>,
    /// Keeps the channel open where nothing is listened for.
    _open: tokio::sync::mpsc::Sender<i32>,
    _listeners: tokio::task::JoinSet<()>,
}

impl Signals {
    fn of(kinds: &[SignalKind]) -> Self {
        let (open, heard) = tokio::sync::mpsc::channel(16);
        let mut listeners = tokio::task::JoinSet::new();
        for kind in kinds {
            let Ok(mut signal) = signal(*kind) else { continue };
            let (sender, number) = (open.clone(), kind.as_raw_value());
            listeners.spawn(async move {
                while signal.recv().await.is_some() && sender.send(number).await.is_ok() {}
            });
        }
        Self { heard, _open: open, _listeners: listeners }
    }

    async fn next(&mut self) -> i32 {
        match self.heard.recv().await {
            Some(number) => number,
            None => std::future::pending().await,
        }
    }
}

async fn receive(mut reader: ReadHalf<Upgraded>) -> Result<Exited, Report> {
    let broken =
        |what: &str| Report::new(Kind::Unavailable, format!("the connection to the daemon broke: {what}"));
    let (mut stdout, mut stderr) = (tokio::io::stdout(), tokio::io::stderr());
    let mut bytes = BytesMut::with_capacity(2 * PIECE);
    loop {
        while let Some(frame) = talk::decode(&bytes).map_err(|error| broken(&error.to_string()))? {
            let length = talk::HEAD + frame.body.len();
            match frame.kind {
                FrameKind::Stdout => write(&mut stdout, frame.body).await,
                FrameKind::Stderr => write(&mut stderr, frame.body).await,
                FrameKind::Exited => {
                    return serde_json::from_slice(frame.body).map_err(|error| broken(&error.to_string()));
                }
                FrameKind::Failed => {
                    let report: Report =
                        serde_json::from_slice(frame.body).map_err(|error| broken(&error.to_string()))?;
                    return Err(report);
                }
                FrameKind::Stdin | FrameKind::Resize | FrameKind::Signal => {
                    return Err(broken("it sent what only we may send"));
                }
            }
            bytes.advance(length);
        }
        match reader.read_buf(&mut bytes).await {
            Ok(0) => return Err(broken("it ended too early")),
            Ok(_) => {}
            Err(error) => return Err(broken(&error.to_string())),
        }
    }
}

/// Writes through. A reader that went away does not end the program: its exit code still counts.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    let _ = to.write_all(bytes).await;
    let _ = to.flush().await;
}
