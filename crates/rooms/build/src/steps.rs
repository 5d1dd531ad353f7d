//! The steps of a build, planned from its graph: numbered, placed in their stages, and joined by what they use.
//!
//! Pure.

use std::collections::BTreeMap;

use oci::Digest;

use crate::dockerfile::{Command, Instruction};
use crate::graph::{Base, Graph, Stage, sources};
use crate::progress::{Step, StepKind};

/// The planned numbers of a build's steps.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By stage: FROM first, then its instructions.
    pub stages: BTreeMap<usize, Vec<usize>>,
    /// The last step.
    pub export: usize,
}

/// The step that takes the context in: always the first.
pub(crate) const CONTEXT: usize = 1;

/// What the context's step looks like.
pub(crate) fn context_step() -> Step {
    plain(CONTEXT, StepKind::Context, "load build context", &[])
}

fn plain(number: usize, kind: StepKind, text: &str, inputs: &[usize]) -> Step {
    Step {
        number,
        kind,
        text: text.to_owned(),
        line: 0,
        stage: String::new(),
        several_stages: false,
        place: None,
        count: None,
        digest: Digest::sha256(format!("{text}\n{number}").as_bytes()),
        inputs: inputs.to_vec(),
    }
}

/// What kind of step an instruction is.
pub(crate) fn kind(command: &Command) -> StepKind {
    match command {
        Command::From { .. } => StepKind::From,
        Command::Run(_) | Command::Copy(_) | Command::Add(_) | Command::Workdir(_) => StepKind::Files,
        _ => StepKind::Settings,
    }
}

/// Whether the instruction takes files from the context.
fn uses_context(command: &Command) -> bool {
    match command {
        Command::Copy(copy) => copy.flags.from.is_none() && !copy.sources.is_empty(),
        Command::Add(add) => !add.sources.is_empty(),
        Command::Run(run) => run.mounts.iter().any(|mount| {
            let field = |name: &str| mount.fields.iter().find(|field| field.name == name);
            let kind = field("type").and_then(|field| field.value.as_deref()).unwrap_or("bind");
            kind == "bind" && field("from").is_none()
        }),
        _ => false,
    }
}

/// All steps behind the context's. `seed` makes their digests differ from another Dockerfile's.
pub(crate) fn plan(graph: &Graph, seed: &str) -> (Plan, Vec<Step>) {
    let total = graph.order.iter().map(|stage| graph.stages[*stage].instructions.len() + 1).sum();
    let mut planner = Planner {
        graph,
        seed,
        total,
        next: CONTEXT + 1,
        counted: 0,
        steps: Vec::new(),
        plan: Plan::default(),
    };
    for number in &graph.order {
        planner.stage(*number);
    }
    let last = planner.next - 1;
    planner.plan.export = planner.next;
    planner.steps.push(plain(planner.next, StepKind::Export, "exporting the image", &[last]));
    (planner.plan, planner.steps)
}

struct Planner<'a> {
    graph: &'a Graph,
    seed: &'a str,
    total: usize,
    next: usize,
    counted: usize,
    steps: Vec<Step>,
    plan: Plan,
}

impl Planner<'_> {
    fn stage(&mut self, number: usize) {
        let stage = &self.graph.stages[number];
        let of = 1 + stage.instructions.iter().filter(|one| kind(&one.command) == StepKind::Files).count();
        let mut inputs = Vec::new();
        match &stage.base {
            Base::Stage(base) => inputs.extend(self.last_of(*base)),
            Base::Scratch | Base::Image(_) | Base::Context(_) => {}
        }
        let from = Made { kind: StepKind::From, text: &stage.text, line: stage.span.start };
        let mut before = self.push(stage, number, from, Some((1, of)), inputs);
        let mut at = 1;
        for one in &stage.instructions {
            let kind = kind(&one.command);
            at += usize::from(kind == StepKind::Files);
            let mut inputs = vec![before];
            inputs.extend(self.needs(number, one));
            let made = Made { kind, text: &one.text, line: one.span.start };
            before = self.push(stage, number, made, (kind == StepKind::Files).then_some((at, of)), inputs);
        }
    }

    fn needs(&self, number: usize, one: &Instruction) -> Vec<usize> {
        let stages =
            sources(&one.command).into_iter().filter_map(|from| match self.graph.source(number, from) {
                Base::Stage(other) => self.last_of(other),
                Base::Scratch | Base::Image(_) | Base::Context(_) => None,
            });
        stages.chain(uses_context(&one.command).then_some(CONTEXT)).collect()
    }

    fn last_of(&self, stage: usize) -> Option<usize> {
        self.plan.stages.get(&stage)?.last().copied()
    }

    fn push(
        &mut self,
        stage: &Stage,
        number: usize,
        made: Made<'_>,
        place: Option<(usize, usize)>,
        inputs: Vec<usize>,
    ) -> usize {
        let step = self.next;
        self.next += 1;
        self.counted += 1;
        self.plan.stages.entry(number).or_default().push(step);
        self.steps.push(Step {
            number: step,
            kind: made.kind,
            text: made.text.to_owned(),
            line: made.line,
            stage: stage.title(number),
            several_stages: self.graph.order.len() > 1,
            place,
            count: Some((self.counted, self.total)),
            digest: Digest::sha256(format!("{}\n{step}\n{}", self.seed, made.text).as_bytes()),
            inputs,
        });
        step
    }
}

/// What is known of a step from its instruction alone.
struct Made<'a> {
    kind: StepKind,
    text: &'a str,
    line: u32,
}
