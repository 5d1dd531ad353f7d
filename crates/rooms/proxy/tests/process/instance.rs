//! An instance with a name that answers in every way that takes its time.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How long the answer to `/slow` is.
pub(super) const SLOW_BYTES: usize = 300_000;

/// An instance, as long as this lives.
pub(super) struct Instance {
    pub(super) address: SocketAddr,
    go: Arc<watch::Sender<bool>>,
}

impl Instance {
    pub(super) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let go = Arc::new(watch::Sender::new(false));
        let gate = go.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, name, gate.subscribe()));
            }
        });
        Self { address, go }
    }

    /// Lets slow answers go on to their end.
    pub(super) fn go(&self) {
        self.go.send_replace(true);
    }
}

async fn serve(mut stream: TcpStream, name: &str, mut gate: watch::Receiver<bool>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let done = if head.contains("upgrade: websocket") {
            let answer =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
            let (mut reader, mut writer) = stream.split();
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
            return;
        } else if head.starts_with("get /slow ") {
            slow(&mut stream, &mut gate).await
        } else {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
            stream.write_all(answer.as_bytes()).await
        };
        if done.is_err() {
            return;
        }
    }
}

/// One byte, and all others when the gate opens.
async fn slow(stream: &mut TcpStream, gate: &mut watch::Receiver<bool>) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SLOW_BYTES}\r\n\r\n.");
    stream.write_all(head.as_bytes()).await?;
    let _ = gate.wait_for(|open| *open).await;
    stream.write_all(&[b'.'; SLOW_BYTES - 1]).await
}
