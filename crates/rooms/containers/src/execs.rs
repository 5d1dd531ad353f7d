//! Programs beside a container's own that are ordered first and started later, by an id, as docker has them.
//!
//! They live in memory: what a program did outlives the daemon, who ordered it does not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{ContainerId, Kind, Report, kernel_bytes};
use runtime::order::Size;
use runtime::{Attached, Event, Input};
use serde_json::json;
use tokio::sync::mpsc;

use crate::problem::ContainerError;
use crate::{Containers, ExecOrder, events};

/// So many ended programs of a container are remembered; docker forgets them after minutes.
const REMEMBERED: usize = 64;
/// So many pieces of output wait for a slow reader; then the program waits too.
const PIECES: usize = 16;

/// Orders by id.
#[derive(Default)]
pub(crate) struct Execs {
    by_id: HashMap<String, Arc<Exec>>,
    /// The ids of each container, the oldest first.
    by_container: HashMap<ContainerId, Vec<String>>,
}

struct Exec {
    container: ContainerId,
    order: ExecOrder,
    live: Mutex<Live>,
}

struct Live {
    state: ExecState,
    input: Option<Arc<tokio::sync::Mutex<Input>>>,
}

/// How an ordered program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecState {
    /// Ordered, and not started.
    Created,
    /// It is being started.
    Starting,
    /// It runs.
    Running {
        /// As the host numbers it.
        pid: i32,
    },
    /// It ended, or could not be started.
    Ended {
        /// Its exit code.
        code: i32,
        /// As the host numbered it; 0 when it never ran.
        pid: i32,
    },
}

/// An ordered program as others see it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecView {
    /// Its id.
    pub id: String,
    /// Its container.
    pub container: ContainerId,
    /// What was ordered.
    pub order: ExecOrder,
    /// How it is.
    pub state: ExecState,
}

impl Exec {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, code: i32, pid: i32) {
        let mut live = self.live();
        live.state = ExecState::Ended { code, pid };
        live.input = None;
    }

    fn command(&self) -> &[String] {
        &self.order.args
    }
}

/// What a started program says, and the hand that feeds it.
pub struct Started {
    /// What it writes; ends with its exit code.
    pub output: mpsc::Receiver<Event>,
    /// What it is given.
    pub input: Arc<tokio::sync::Mutex<Input>>,
}

impl Containers {
    /// Orders a program to run beside; answers with the order's id.
    pub fn exec_create(&self, id: &ContainerId, order: ExecOrder) -> Result<String, ContainerError> {
        let cell = self.cell(id)?;
        let record = cell.record();
        if cell.shim().is_none() {
            return Err(ContainerError::NotRunning(record.name));
        }
        let exec_id: String = kernel_bytes::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let live = Mutex::new(Live { state: ExecState::Created, input: None });
        let exec = Arc::new(Exec { container: id.clone(), order, live });
        let detail = json!({ "exec": exec_id, "command": exec.command() });
        let mut execs = self.execs();
        execs.by_id.insert(exec_id.clone(), exec);
        let known = execs.by_container.entry(id.clone()).or_default();
        known.push(exec_id.clone());
        execs.forget_old(id);
        drop(execs);
        events::exec(self, &record, "ExecCreated", detail);
        Ok(exec_id)
    }

    /// Starts an ordered program. Whoever reads its output late makes it wait; whoever drops it does not.
    pub async fn exec_start(
        &self,
        exec_id: &str,
        size: Option<(u16, u16)>,
    ) -> Result<Started, ContainerError> {
        let exec = self.exec_of(exec_id)?;
        {
            let mut live = exec.live();
            if live.state != ExecState::Created {
                let text = format!("exec {exec_id} was started before");
                return Err(ContainerError::Failed {
                    doing: text.clone(),
                    source: Report::new(Kind::Conflict, text),
                });
            }
            live.state = ExecState::Starting;
        }
        let mut order = exec.order.clone();
        if order.tty.is_some() && size.is_some() {
            order.tty = size;
        }
        let record = self.cell(&exec.container)?.record();
        let Attached { pid, mut output, input } = match self.exec(&exec.container, order).await {
            Ok(attached) => attached,
            Err(error) => {
                let code = match &error {
                    ContainerError::NotExecuted { code, .. } => *code,
                    _ => 126,
                };
                exec.end(code, 0);
                return Err(error);
            }
        };
        let input = Arc::new(tokio::sync::Mutex::new(input));
        {
            let mut live = exec.live();
            live.state = ExecState::Running { pid };
            live.input = Some(input.clone());
        }
        let detail = json!({ "exec": exec_id, "command": exec.command() });
        events::exec(self, &record, "ExecStarted", detail);
        let (sender, receiver) = mpsc::channel(PIECES);
        let (containers, exec_id) = (self.clone(), exec_id.to_owned());
        self.inner.tasks.spawn(format!("exec {}", &exec_id[..12]), async move {
            loop {
                let event = output.next().await.unwrap_or_else(|problem| {
                    Event::Exited(runtime::Exit {
                        code: 137,
                        signal: Some(9),
                        oom: false,
                        finished_at: containers.clock().wall(),
                        failure: Some(problem.to_string()),
                    })
                });
                if let Event::Exited(exit) = &event {
                    exec.end(exit.code, pid);
                    let detail = json!({ "exec": exec_id, "command": exec.command(), "code": exit.code });
                    events::exec(&containers, &record, "ExecEnded", detail);
                    let _ = sender.send(event).await;
                    return;
                }
                // Without a reader it runs on.
                let _ = sender.send(event).await;
            }
        });
        Ok(Started { output: receiver, input })
    }

    /// How an ordered program is.
    pub fn exec_inspect(&self, exec_id: &str) -> Result<ExecView, ContainerError> {
        let exec = self.exec_of(exec_id)?;
        let state = exec.live().state;
        Ok(ExecView {
            id: exec_id.to_owned(),
            container: exec.container.clone(),
            order: exec.order.clone(),
            state,
        })
    }

    /// The ids of the programs that were ordered in a container and have not ended.
    pub fn exec_ids(&self, id: &ContainerId) -> Vec<String> {
        let execs = self.execs();
        let known = execs.by_container.get(id).into_iter().flatten();
        known
            .filter(|id| execs.by_id.get(*id).is_some_and(|exec| !exec.live().state.is_over()))
            .cloned()
            .collect()
    }

    /// Tells its terminal how large the window is.
    pub async fn exec_resize(&self, exec_id: &str, rows: u16, columns: u16) -> Result<(), ContainerError> {
        let exec = self.exec_of(exec_id)?;
        let input = exec.live().input.clone();
        let name = self.cell(&exec.container)?.record().name;
        let input = input.ok_or(ContainerError::NotRunning(name))?;
        let mut input = input.lock().await;
        input
            .resize(Size { rows, columns })
            .await
            .map_err(|problem| ContainerError::failed("resize the terminal of a program", &problem))
    }

    pub(crate) fn forget_execs(&self, id: &ContainerId) {
        let mut execs = self.execs();
        for exec in execs.by_container.remove(id).unwrap_or_default() {
            execs.by_id.remove(&exec);
        }
    }

    fn exec_of(&self, exec_id: &str) -> Result<Arc<Exec>, ContainerError> {
        let found = self.execs().by_id.get(exec_id).cloned();
        found.ok_or_else(|| ContainerError::NoExec(exec_id.to_owned()))
    }

    fn execs(&self) -> MutexGuard<'_, Execs> {
        self.inner.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Execs {
    /// Forgets the oldest of a container's programs that have ended, beyond those that are remembered.
    fn forget_old(&mut self, id: &ContainerId) {
        let Some(known) = self.by_container.get_mut(id) else { return };
        let mut surplus = known.len().saturating_sub(REMEMBERED);
        known.retain(|exec_id| {
            let over = self.by_id.get(exec_id).is_none_or(|exec| exec.live().state.is_over());
            if surplus > 0 && over {
                surplus -= 1;
                self.by_id.remove(exec_id);
                return false;
            }
            true
        });
    }
}

impl ExecState {
    fn is_over(self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}
