//! The daemon's side of names: publishes tables, and keeps somebody alive who serves them.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base::Tasks;
use tokio::net::UnixStream;
use tokio::sync::watch;

use super::control::{Greeting, Order, read_frame, socket_path, write_frame};
use super::server::{Confirmation, Serving, serve};
use super::table::{NamesOfNetwork, NamesTable};
use crate::order::NamesLaunch;

/// From the first try to reach the role to the last pause between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// A role that does not greet within this time is not one.
const GREETING: Duration = Duration::from_secs(5);

/// Publishes tables. Clones are the same.
#[derive(Clone)]
pub(crate) struct Publisher {
    tables: watch::Sender<Arc<NamesTable>>,
    confirmed: watch::Receiver<Confirmation>,
    dir: PathBuf,
    launch: NamesLaunch,
    tasks: Tasks,
}

impl Publisher {
    /// Begins to serve; a process is started only when there is something to serve.
    pub(crate) fn start(dir: &Path, launch: NamesLaunch) -> Self {
        let epoch = u64::from_le_bytes(base::kernel_bytes());
        let (tables, seen) = watch::channel(Arc::new(NamesTable { epoch, ..NamesTable::default() }));
        let (confirmations, confirmed) = watch::channel(Confirmation::default());
        let tasks = Tasks::new();
        let dir = dir.to_owned();
        match launch.clone() {
            NamesLaunch::InProcess => {
                tasks.spawn("names", serve(Serving::default(), seen, confirmations));
            }
            NamesLaunch::Process { program, args } => {
                let keeper = Keeper { dir: dir.clone(), program, args, tables: seen, confirmations };
                tasks.spawn("keeper of names", keeper.keep());
            }
        }
        Self { tables, confirmed, dir, launch, tasks }
    }

    /// Serves these names from now on.
    pub(crate) fn publish(&self, networks: Vec<NamesOfNetwork>) {
        self.tables.send_if_modified(|table| {
            if table.networks == networks {
                return false;
            }
            *table = Arc::new(NamesTable { epoch: table.epoch, generation: table.generation + 1, networks });
            true
        });
    }

    /// Waits until what was published last is served; false if it was not within this time.
    pub(crate) async fn confirmed(&self, within: Duration) -> bool {
        let (epoch, generation) = {
            let table = self.tables.borrow();
            (table.epoch, table.generation)
        };
        let mut confirmed = self.confirmed.clone();
        let served =
            confirmed.wait_for(|c| c.epoch == epoch && c.generation >= generation && c.unbound.is_empty());
        matches!(tokio::time::timeout(within, served).await, Ok(Ok(_)))
    }

    /// Gateways on which nobody answers, with the reason.
    pub(crate) fn unbound(&self) -> Vec<String> {
        self.confirmed.borrow().unbound.clone()
    }

    /// Ends the serving, also the process.
    pub(crate) async fn end(&self) {
        self.tasks.shutdown().await;
        if let NamesLaunch::Process { .. } = self.launch {
            let stop = async {
                let mut stream = UnixStream::connect(socket_path(&self.dir)).await?;
                write_frame(&mut stream, &Order::Stop).await?;
                base::crash::point("names: told to stop");
                // The role closes the socket when it has ended.
                while read_frame::<serde_json::Value>(&mut stream).await.is_ok() {}
                io::Result::Ok(())
            };
            // Nobody there is what we want.
            let _ = tokio::time::timeout(GREETING, stop).await;
        }
    }
}

/// Keeps a process alive that serves names.
struct Keeper {
    dir: PathBuf,
    program: PathBuf,
    args: Vec<OsString>,
    tables: watch::Receiver<Arc<NamesTable>>,
    confirmations: watch::Sender<Confirmation>,
}

impl Keeper {
    async fn keep(mut self) {
        // A root without networks needs no process.
        if self.tables.wait_for(|table| !table.networks.is_empty()).await.is_err() {
            return;
        }
        let mut child: Option<tokio::process::Child> = None;
        let mut pause = FIRST_PAUSE;
        loop {
            match UnixStream::connect(socket_path(&self.dir)).await {
                Ok(stream) => match self.converse(stream).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::info!(%error, "lost the process that serves names: {error}");
                        pause = FIRST_PAUSE;
                    }
                },
                Err(_) if !is_alive(child.as_mut()) => {
                    child = self
                        .spawn()
                        .inspect_err(|error| {
                            tracing::error!(%error, "cannot start the process that serves names: {error}");
                        })
                        .ok();
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn spawn(&self) -> io::Result<tokio::process::Child> {
        base::crash::point("names: about to be started");
        // Begun anew with every process, which says little.
        let log = File::create(self.dir.join("names.log"))?;
        tokio::process::Command::new(&self.program)
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
    }

    /// Speaks with the process; ends well only when nobody publishes any more.
    async fn converse(&mut self, stream: UnixStream) -> io::Result<()> {
        let (mut input, mut output) = stream.into_split();
        let greeting: Greeting = tokio::time::timeout(GREETING, read_frame(&mut input)).await??;
        if greeting.version != Greeting::ours().version {
            write_frame(&mut output, &Order::Stop).await?;
            while read_frame::<serde_json::Value>(&mut input).await.is_ok() {}
            return Err(io::Error::other(format!("it was of version {}", greeting.version)));
        }
        let (tables, confirmations) = (&mut self.tables, &self.confirmations);
        let send = async {
            loop {
                let table = NamesTable::clone(&tables.borrow_and_update());
                write_frame(&mut output, &Order::Serve(table)).await?;
                base::crash::point("names: table sent");
                if tables.changed().await.is_err() {
                    return Ok(());
                }
            }
        };
        let receive = async {
            loop {
                confirmations.send_replace(read_frame(&mut input).await?);
            }
        };
        tokio::select! {
            ended = send => ended,
            ended = receive => ended,
        }
    }
}

fn is_alive(child: Option<&mut tokio::process::Child>) -> bool {
    child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
}
