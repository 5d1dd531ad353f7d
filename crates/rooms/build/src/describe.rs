//! What a Dockerfile says by itself: its stages, what its target takes, and what is probably not meant.
//!
//! Pure. The rules have the names that BuildKit's checks have, so that `# check=skip=…` means the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::dockerfile::expand::{self, Variables};
use crate::dockerfile::{Command, Directives, Dockerfile, Form, Instruction, parse};
use crate::error::BuildError;
use crate::graph::{Base, Graph};
use crate::scope::Global;

/// Something that is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule, as in `WorkdirRelativePath`.
    pub rule: &'static str,
    /// Its line.
    pub line: u32,
    /// What, and what to write instead.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.rule, self.message)
    }
}

fn graph(file: &Dockerfile, text: &str, target: Option<&str>) -> Result<Graph, BuildError> {
    let global = Global::new(file, &BTreeMap::new()).map_err(|(index, fault)| {
        let span = file.instructions.get(index).map_or(crate::dockerfile::Span::line(1), |one| one.span);
        BuildError::step(span, text, fault.into())
    })?;
    Graph::new(file, &global, target, &BTreeSet::new()).map_err(|fault| BuildError::stages(fault, text))
}

/// The stages, each with its base; the default one is marked.
pub fn targets(text: &str) -> Result<String, BuildError> {
    let file = parse(text)?;
    let graph = graph(&file, text, None)?;
    let mut lines = vec![format!("{:24} {}", "TARGET", "BASE")];
    for (number, stage) in graph.stages.iter().enumerate() {
        let default = if number + 1 == graph.stages.len() { " (default)" } else { "" };
        let base = match &stage.base {
            Base::Scratch => "scratch".to_owned(),
            Base::Stage(number) => graph.stages[*number].title(*number),
            Base::Image(name) | Base::Context(name) => name.clone(),
        };
        lines.push(format!("{:24} {base}", format!("{}{default}", stage.title(number))));
    }
    Ok(lines.join("\n"))
}

/// The arguments, secrets and agents that a target takes.
pub fn outline(text: &str, target: Option<&str>) -> Result<String, BuildError> {
    let file = parse(text)?;
    let graph = graph(&file, text, target)?;
    let stages = graph.order.iter().map(|number| &graph.stages[*number]);
    let before = file.instructions.iter().take_while(|one| matches!(one.command, Command::Arg(_)));
    let (mut arguments, mut lent) = (BTreeMap::new(), BTreeSet::new());
    for one in before.chain(stages.flat_map(|stage| &stage.instructions)) {
        match &one.command {
            Command::Arg(items) => {
                for item in items {
                    let known = arguments.entry(item.name.clone()).or_insert_with(String::new);
                    if let Some(default) = &item.default {
                        known.clone_from(default);
                    }
                }
            }
            Command::Run(run) => lent.extend(run.mounts.iter().filter_map(|mount| {
                let field = |name: &str| mount.fields.iter().find(|field| field.name == name);
                let value = |name: &str| field(name).and_then(|field| field.value.as_deref());
                let kind = value("type").filter(|kind| ["secret", "ssh"].contains(kind))?;
                let last = |path: &'_ str| path.rsplit('/').next().unwrap_or(path).to_owned();
                let id = value("id").or(value("source")).map(str::to_owned);
                let id = id.or_else(|| value("target").filter(|_| kind == "secret").map(last));
                let required = field("required").is_some_and(|field| field.value.as_deref() != Some("false"));
                Some((kind.to_owned(), id.unwrap_or_else(|| "default".into()), required))
            })),
            _ => {}
        }
    }
    let number = graph.target();
    let mut lines = vec![format!("TARGET: {}", graph.stages[number].title(number))];
    if !arguments.is_empty() {
        lines.push(format!("\n{:24} VALUE", "BUILD ARG"));
        lines
            .extend(arguments.iter().map(|(name, value)| format!("{name:24} {value}").trim_end().to_owned()));
    }
    for (kind, title) in [("secret", "SECRET"), ("ssh", "SSH")] {
        let mine: Vec<_> = lent.iter().filter(|(of, ..)| of == kind).collect();
        if !mine.is_empty() {
            lines.push(format!("\n{title:24} REQUIRED"));
            lines.extend(mine.iter().map(|(_, id, required)| format!("{id:24} {required}")));
        }
    }
    Ok(lines.join("\n"))
}

/// What is probably not meant. `# check=skip=…` leaves rules out.
pub fn check(text: &str) -> Result<Vec<Finding>, BuildError> {
    let file = parse(text)?;
    let mut checks = Checks { findings: Vec::new(), file: &file };
    for warning in &file.warnings {
        let rule = if warning.message.starts_with("MAINTAINER") {
            "MaintainerDeprecated"
        } else {
            "NoEmptyContinuation"
        };
        checks.find(rule, warning.span.start, warning.message.clone());
    }
    checks.casing();
    checks.stages();
    checks.instructions();
    let skipped = Skipped::new(&file.directives);
    let mut findings = checks.findings;
    findings.retain(|finding| !skipped.takes(finding.rule));
    findings.sort_by_key(|finding| (finding.line, finding.rule));
    Ok(findings)
}

/// The rules that the file leaves out.
struct Skipped(Vec<String>);

impl Skipped {
    fn new(directives: &Directives) -> Self {
        let text = directives.check.as_deref().unwrap_or_default();
        let skip = text.split(';').find_map(|part| part.trim().strip_prefix("skip="));
        Self(skip.unwrap_or_default().split(',').map(|rule| rule.trim().to_owned()).collect())
    }

    fn takes(&self, rule: &str) -> bool {
        self.0.iter().any(|skipped| skipped == "all" || skipped == rule)
    }
}

/// Parts of names that tell of secrets.
const SECRET_WORDS: &[&str] =
    &["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

struct Checks<'a> {
    findings: Vec<Finding>,
    file: &'a Dockerfile,
}

impl Checks<'_> {
    fn find(&mut self, rule: &'static str, line: u32, message: String) {
        self.findings.push(Finding { rule, line, message });
    }

    /// Words of instructions are all in capitals, or all small.
    fn casing(&mut self) {
        let word = |one: &Instruction| one.text.split_whitespace().next().unwrap_or_default().to_owned();
        let words: Vec<(u32, String)> =
            self.file.instructions.iter().map(|one| (one.span.start, word(one))).collect();
        let upper = words.iter().filter(|(_, word)| *word == word.to_uppercase()).count();
        let lower = words.iter().filter(|(_, word)| *word == word.to_lowercase()).count();
        let (name, fit): (_, fn(&str) -> String) = if upper >= lower {
            ("capitals", |word| word.to_uppercase())
        } else {
            ("small letters", |word| word.to_lowercase())
        };
        for (line, word) in words {
            if fit(&word) != word {
                let message = format!("`{word}` does not match the casing of the others: {name}");
                self.find("ConsistentInstructionCasing", line, message);
            }
        }
    }

    fn stages(&mut self) {
        let mut names = BTreeSet::new();
        for one in &self.file.instructions {
            let Command::From { image, name, platform } = &one.command else { continue };
            let line = one.span.start;
            let words: Vec<&str> = one.text.split_whitespace().collect();
            if let (Some(name), [from, .., as_word, written]) = (name, words.as_slice()) {
                if *written != written.to_lowercase() {
                    let message = format!("the stage's name `{written}` should be in small letters");
                    self.find("StageNameCasing", line, message);
                }
                let capital = |word: &str| word == word.to_uppercase();
                if capital(from) != capital(as_word) {
                    self.find(
                        "FromAsCasing",
                        line,
                        format!("`{from}` and `{as_word}` do not match in casing"),
                    );
                }
                if !names.insert(name.clone()) {
                    let message = format!("the stage's name `{name}` is taken by an earlier one");
                    self.find("DuplicateStageName", line, message);
                }
            }
            match platform.as_deref() {
                Some("$TARGETPLATFORM" | "${TARGETPLATFORM}") => {
                    let message = "`--platform=$TARGETPLATFORM` says what is so anyway".to_owned();
                    self.find("RedundantTargetPlatform", line, message);
                }
                Some(platform) if !platform.contains('$') => {
                    let message =
                        format!("`--platform={platform}` binds the Dockerfile to one kind of machine");
                    self.find("FromPlatformFlagConstDisallowed", line, message);
                }
                Some(_) | None => {}
            }
            self.base_arguments(image, line);
        }
    }

    /// Every variable of a FROM is declared before the first.
    fn base_arguments(&mut self, image: &str, line: u32) {
        let global = Global::new(self.file, &BTreeMap::new()).ok();
        let asked = std::cell::RefCell::new(Vec::new());
        let look = |name: &str| {
            let value = global.as_ref().and_then(|global| global.value(name));
            if global.as_ref().is_some_and(|global| !global.declares(name)) {
                asked.borrow_mut().push(name.to_owned());
            }
            value
        };
        let expanded = expand::word(image, self.file.directives.escape, &look);
        for name in asked.into_inner() {
            self.find(
                "UndefinedArgInFrom",
                line,
                format!("FROM uses `{name}`, which no ARG before it declares"),
            );
        }
        if image.contains('$') && expanded.is_ok_and(|image| image.is_empty() || image.ends_with(':')) {
            let message = format!("without build arguments `{image}` names no image");
            self.find("InvalidDefaultArgInFrom", line, message);
        }
    }

    fn instructions(&mut self) {
        let (mut absolute, mut commands) = (false, BTreeMap::new());
        for one in &self.file.instructions {
            let line = one.span.start;
            let name = one.command.name();
            match &one.command {
                Command::From { .. } => {
                    absolute = false;
                    commands.clear();
                }
                Command::Workdir(path) => {
                    if !absolute && !path.starts_with(['/', '$', '"', '\'']) {
                        let message = format!("`{path}` is relative, and nothing in this stage says to what");
                        self.find("WorkdirRelativePath", line, message);
                    }
                    absolute = true;
                }
                Command::Cmd(form) | Command::Entrypoint(form) => {
                    if matches!(form, Form::Shell(_)) {
                        let message =
                            format!("write {name} as a JSON list: a shell does not hand signals on");
                        self.find("JSONArgsRecommended", line, message);
                    }
                    if let Some(before) = commands.insert(name, line) {
                        let message = format!("only the last {name} of a stage counts");
                        self.find("MultipleInstructionsDisallowed", before, message);
                    }
                }
                Command::Healthcheck(_) => {
                    if let Some(before) = commands.insert(name, line) {
                        let message = format!("only the last {name} of a stage counts");
                        self.find("MultipleInstructionsDisallowed", before, message);
                    }
                }
                Command::Env(pairs) | Command::Label(pairs) => {
                    let first = one.text.split_whitespace().nth(1).unwrap_or_default();
                    if !first.contains('=') {
                        let message = format!("write `{name} name=value` in place of `{name} name value`");
                        self.find("LegacyKeyValueFormat", line, message);
                    }
                    if matches!(one.command, Command::Env(_)) {
                        pairs.iter().for_each(|pair| self.secret(name, &pair.name, line));
                    }
                }
                Command::Arg(items) => items.iter().for_each(|item| self.secret(name, &item.name, line)),
                Command::Expose(ports) => {
                    for port in ports {
                        if port.split_once('/').is_some_and(|(_, kind)| kind != kind.to_lowercase()) {
                            let message = format!("the protocol of `{port}` should be in small letters");
                            self.find("ExposeProtoCasing", line, message);
                        }
                        if port.contains(':') {
                            let message =
                                format!("`{port}` names an address or a host's port, which an image cannot");
                            self.find("ExposeInvalidFormat", line, message);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn secret(&mut self, instruction: &str, name: &str, line: u32) {
        let lower = name.to_lowercase();
        let mut words = lower.split(['_', '-']);
        let public = lower.contains("public");
        if !public && words.any(|word| SECRET_WORDS.contains(&word)) {
            let message = format!(
                "{instruction} `{name}` looks like a secret, and stays in the image; use `RUN --mount=type=secret`"
            );
            self.find("SecretsUsedInArgOrEnv", line, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check_file(text: &str, found: Expect) {
        let lines = match check(text) {
            Ok(findings) => findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Err(error) => error.to_string(),
        };
        found.assert_eq(&lines);
    }

    #[test]
    fn what_is_probably_not_meant_is_found_by_its_rule() {
        check_file("FROM a AS b\nWORKDIR /x\nWORKDIR y\nENV A=1\nCMD [\"x\"]", expect![""]);
        check_file(
            "ARG V\nFROM a:$V AS Up\nfrom b as up\nRUN x \\\n\n  y\nMAINTAINER me\nFROM $NOWHERE:1",
            expect![[r#"
                line 2: InvalidDefaultArgInFrom: without build arguments `a:$V` names no image
                line 2: StageNameCasing: the stage's name `Up` should be in small letters
                line 3: ConsistentInstructionCasing: `from` does not match the casing of the others: capitals
                line 3: DuplicateStageName: the stage's name `up` is taken by an earlier one
                line 5: NoEmptyContinuation: an empty line inside an instruction; this will be an error one day
                line 7: MaintainerDeprecated: MAINTAINER is out of use; write `LABEL org.opencontainers.image.authors=…`
                line 8: UndefinedArgInFrom: FROM uses `NOWHERE`, which no ARG before it declares"#]],
        );
        check_file(
            "FROM --platform=linux/amd64 a\nWORKDIR x\nENV PASSWORD hunter\nARG API_TOKEN\nARG PUBLIC_KEY\nCMD a\nCMD b\nEXPOSE 80/TCP 1:2\nLABEL a b",
            expect![[r#"
                line 1: FromPlatformFlagConstDisallowed: `--platform=linux/amd64` binds the Dockerfile to one kind of machine
                line 2: WorkdirRelativePath: `x` is relative, and nothing in this stage says to what
                line 3: LegacyKeyValueFormat: write `ENV name=value` in place of `ENV name value`
                line 3: SecretsUsedInArgOrEnv: ENV `PASSWORD` looks like a secret, and stays in the image; use `RUN --mount=type=secret`
                line 4: SecretsUsedInArgOrEnv: ARG `API_TOKEN` looks like a secret, and stays in the image; use `RUN --mount=type=secret`
                line 6: JSONArgsRecommended: write CMD as a JSON list: a shell does not hand signals on
                line 6: MultipleInstructionsDisallowed: only the last CMD of a stage counts
                line 7: JSONArgsRecommended: write CMD as a JSON list: a shell does not hand signals on
                line 8: ExposeInvalidFormat: `1:2` names an address or a host's port, which an image cannot
                line 8: ExposeProtoCasing: the protocol of `80/TCP` should be in small letters
                line 9: LegacyKeyValueFormat: write `LABEL name=value` in place of `LABEL name value`"#]],
        );
        check_file(
            "# check=skip=JSONArgsRecommended,WorkdirRelativePath;error=true\nFROM a\nWORKDIR x\nCMD x",
            expect![""],
        );
        check_file("# check=skip=all\nFROM a\nWORKDIR x\nCMD x", expect![""]);
        check_file(
            "RUN x",
            expect![[r#"
            Dockerfile line 1: RUN stands before the first FROM
               1 > RUN x"#]],
        );
    }

    #[test]
    fn stages_and_what_they_take_are_listed() {
        const FILE: &str = "ARG V=1\nFROM a:$V AS one\nARG W\nRUN --mount=type=secret,id=t,required --mount=type=ssh x\nFROM scratch AS two\nARG X=2\nFROM one\nRUN --mount=type=secret,target=/a/u x";
        expect![[r#"
            TARGET                   BASE
            one                      a:1
            two                      scratch
            stage-2 (default)        one"#]]
        .assert_eq(&targets(FILE).expect("it can be read"));
        expect![[r#"
            TARGET: stage-2

            BUILD ARG                VALUE
            V                        1
            W

            SECRET                   REQUIRED
            t                        true
            u                        false

            SSH                      REQUIRED
            default                  false"#]]
        .assert_eq(&outline(FILE, None).expect("it can be read"));
        expect![[r#"
            TARGET: two

            BUILD ARG                VALUE
            V                        1
            X                        2"#]]
        .assert_eq(&outline(FILE, Some("two")).expect("it can be read"));
        assert!(outline(FILE, Some("three")).is_err());
    }
}
