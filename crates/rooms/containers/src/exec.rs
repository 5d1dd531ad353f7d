//! Running further programs in a container, and attaching to its own.

use base::{ContainerId, Kind, Problem, Report};
use runtime::order::{Process, Size};
use runtime::{Attached, Event, Shim};
use spec::Hook;

use crate::problem::ContainerError;
use crate::record::Record;
use crate::{Containers, events, order};

/// The most that is kept of what a command of a service says.
const HOOK_OUTPUT: usize = 4096;

/// A program to run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExecOrder {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// More environment, `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts; where the container does when none.
    pub cwd: Option<String>,
    /// Who runs it; as the container when none.
    pub user: Option<String>,
    /// A terminal, of so many rows and columns.
    pub tty: Option<(u16, u16)>,
    /// Its input can be written to.
    pub stdin: bool,
    /// With every capability that we have.
    pub privileged: bool,
    /// Whether its output and its error output are for whoever starts it; kept for that one.
    pub attach: (bool, bool),
    /// The keys by which that one leaves it; likewise.
    pub detach_keys: Option<String>,
}

impl Containers {
    /// Runs a program in it, with its input and output attached.
    pub async fn exec(&self, id: &ContainerId, exec: ExecOrder) -> Result<Attached, ContainerError> {
        let cell = self.cell(id)?;
        let record = cell.record();
        let shim = cell.shim().ok_or_else(|| ContainerError::NotRunning(record.name.clone()))?;
        let attached = self.exec_in(&shim, &record, exec).await?;
        base::crash::point("container: one runs beside");
        Ok(attached)
    }

    pub(crate) async fn exec_in(
        &self,
        shim: &Shim,
        record: &Record,
        exec: ExecOrder,
    ) -> Result<Attached, ContainerError> {
        // One that it is linked with may have ended meanwhile, which keeps no program from running.
        let linked = self.link_variables(record).await.unwrap_or_default();
        let mut process = self.process(record, exec)?;
        process.env = order::overlaid(linked, process.env);
        base::crash::point("container: about to run one beside");
        shim.exec(&process).await.map_err(|failure| ContainerError::NotExecuted {
            name: record.name.clone(),
            code: failure.code(),
            source: Report::of(&failure),
        })
    }

    /// Runs a command of its service at a moment of its life; one that does not end well is an error.
    pub(crate) async fn run_hook(
        &self,
        shim: &Shim,
        record: &Record,
        hook: &Hook,
    ) -> Result<(), ContainerError> {
        let order = ExecOrder {
            args: hook.command.clone(),
            env: hook.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            cwd: hook.working_dir.clone(),
            user: hook.user.clone(),
            privileged: hook.privileged,
            ..ExecOrder::default()
        };
        let attached = self.exec_in(shim, record, order).await?;
        let mut said = Vec::new();
        let code = collect(attached, HOOK_OUTPUT, &mut said).await;
        if code == 0 {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said);
        let said = said.trim().lines().last().unwrap_or("it said nothing").to_owned();
        Err(ContainerError::Failed {
            doing: format!("run `{}` in `{}`", hook.command.join(" "), record.name),
            source: Report::new(Kind::Invalid, format!("it ended with code {code}: {said}")),
        })
    }

    /// Its input and output from now on.
    pub async fn attach(&self, id: &ContainerId) -> Result<Attached, ContainerError> {
        let cell = self.cell(id)?;
        let name = cell.record().name;
        let shim = cell.shim().ok_or_else(|| ContainerError::NotRunning(name.clone()))?;
        shim.attach().await.map_err(|problem| ContainerError::failed(format!("attach to `{name}`"), &problem))
    }

    /// Tells its terminal how large the window is.
    pub async fn resize(&self, id: &ContainerId, rows: u16, columns: u16) -> Result<(), ContainerError> {
        let cell = self.cell(id)?;
        let name = cell.record().name;
        let shim = cell.shim().ok_or_else(|| ContainerError::NotRunning(name.clone()))?;
        shim.resize(Size { rows, columns }).await.map_err(|problem| {
            ContainerError::failed(format!("resize the terminal of `{name}`"), &problem)
        })?;
        events::resized(self, &cell.record(), rows, columns);
        Ok(())
    }

    /// The process beside the main one: the same but for what the order says.
    fn process(&self, record: &Record, exec: ExecOrder) -> Result<Process, ContainerError> {
        let failed = |problem: &dyn Problem| {
            ContainerError::failed(format!("find the image of `{}`", record.name), problem)
        };
        let image = self.inner.rooms.images.find(&record.image_id).map_err(|problem| failed(&problem))?;
        let mut process = order::process(record, &image.config, exec.tty.is_some())?;
        process.args = exec.args;
        process.env = order::overlaid(process.env, exec.env);
        process.cwd = exec.cwd.unwrap_or(process.cwd);
        process.user = exec.user.unwrap_or(process.user);
        process.size = exec.tty.map_or(Size::default(), |(rows, columns)| Size { rows, columns });
        process.stdin_open = exec.stdin;
        process.capabilities.privileged |= exec.privileged;
        Ok(process)
    }
}

/// Waits for the end of a program; keeps the first `limit` bytes of what it says.
pub(crate) async fn collect(mut attached: Attached, limit: usize, output: &mut Vec<u8>) -> i32 {
    loop {
        match attached.output.next().await {
            Ok(Event::Stdout(bytes) | Event::Stderr(bytes)) => {
                let room = limit.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Ok(Event::Exited(exit)) => return exit.code,
            Err(problem) => {
                output.extend_from_slice(problem.to_string().as_bytes());
                return -1;
            }
        }
    }
}
