//! The instances: processes of this same program.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use base::ContainerId;
use plan::traffic::Endpoint;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A container, as the edge knows it; the process in it may have been started again.
pub(crate) struct Instance {
    pub(crate) id: ContainerId,
    pub(crate) address: SocketAddr,
    number: u32,
    starts: u32,
    process: Child,
}

/// A crash, and until when it was one.
#[derive(Debug, Clone)]
pub(crate) struct Crash {
    /// Who died: the name that it gives in answers.
    pub(crate) name: String,
    pub(crate) at: Instant,
    pub(crate) until: Instant,
    /// What the edge counts as lost by it.
    pub(crate) lost: u64,
}

impl Instance {
    /// A new one. Each has an address of its own, so that nobody takes its port while it is down.
    pub(crate) async fn start(number: u32) -> Result<Self> {
        let host = u8::try_from(1 + number % 250).context("a host's number is a byte")?;
        let place = SocketAddr::from(([127, 0, 7, host], 0));
        let (process, address) = launch(number, 0, place).await?;
        let mut bytes = [0x5e; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Ok(Self { id: ContainerId::from_bytes(bytes), address, number, starts: 0, process })
    }

    /// What it calls itself.
    pub(crate) fn name(&self) -> String {
        name(self.number, self.starts)
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { instance: self.id.clone(), address: self.address }
    }

    /// Kills it, and waits until it is dead.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await.context("could not kill an instance")
    }

    /// Starts it again, at the same address.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.starts += 1;
        (self.process, self.address) = launch(self.number, self.starts, self.address).await?;
        Ok(())
    }
}

fn name(number: u32, starts: u32) -> String {
    format!("i{number}.{starts}")
}

async fn launch(number: u32, starts: u32, address: SocketAddr) -> Result<(Child, SocketAddr)> {
    let mut process = Command::new(std::env::current_exe()?)
        .args(["instance", &name(number, starts), &address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("could not start an instance")?;
    let out = process.stdout.take().context("its stdout is a pipe")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).await?;
    let address = line.trim().parse().with_context(|| format!("an instance said `{line}`"))?;
    Ok((process, address))
}
