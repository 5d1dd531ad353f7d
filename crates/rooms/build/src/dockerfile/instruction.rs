//! From a logical line to an instruction.

use super::command::{ArgItem, Command, Form, Instruction, MountField, MountFlag, Onbuild, Pair, Run};
use super::error::Fault;
use super::flags::{self, Flag, Flags};
use super::source::Logical;
use super::{Heredoc, health, near, transfer, words};

/// All instructions.
pub(super) const NAMES: &[&str] = &[
    "FROM",
    "RUN",
    "CMD",
    "LABEL",
    "MAINTAINER",
    "EXPOSE",
    "ENV",
    "ADD",
    "COPY",
    "ENTRYPOINT",
    "VOLUME",
    "USER",
    "WORKDIR",
    "ARG",
    "ONBUILD",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "SHELL",
];

/// What the readers of single instructions get.
pub(super) struct Line<'a> {
    pub instruction: &'static str,
    pub flags: Vec<Flag>,
    /// Behind the flags.
    pub rest: &'a str,
    pub heredocs: Vec<Heredoc>,
    pub escape: char,
}

/// Reads one instruction.
pub(super) fn parse(line: Logical, escape: char) -> Result<Instruction, Fault> {
    let command = command(&line.text, line.heredocs, escape)?;
    let first = || words::quoted(words::split_first(&line.text).1, escape).into_iter().next();
    let legacy = matches!(command, Command::Env(_) | Command::Label(_))
        && first().is_some_and(|word| !word.contains('='));
    Ok(Instruction { span: line.span, text: line.text, comments: line.comments, legacy, command })
}

fn command(text: &str, heredocs: Vec<Heredoc>, escape: char) -> Result<Command, Fault> {
    let (word, rest) = words::split_first(text);
    let Some(instruction) = NAMES.iter().find(|name| name.eq_ignore_ascii_case(word)).copied() else {
        return Err(Fault::UnknownInstruction { word: word.to_owned(), near: near::nearest(word, NAMES) });
    };
    if instruction == "ONBUILD" {
        return onbuild(rest, heredocs, escape);
    }
    let (flags, rest) = flags::split(rest, escape);
    let mut line = Line { instruction, flags, rest, heredocs, escape };
    match instruction {
        "FROM" => from(line),
        "RUN" => run(line),
        "COPY" => transfer::copy(line).map(Command::Copy),
        "ADD" => transfer::add(line).map(Command::Add),
        "HEALTHCHECK" => health::healthcheck(line).map(Command::Healthcheck),
        _ => {
            Flags::check(instruction, &[], std::mem::take(&mut line.flags))?;
            plain(&line)
        }
    }
}

/// The instructions that have no flags.
fn plain(line: &Line<'_>) -> Result<Command, Fault> {
    match line.instruction {
        "CMD" => line.form(true, "CMD [\"program\", \"argument\"]").map(Command::Cmd),
        "ENTRYPOINT" => line.form(true, "ENTRYPOINT [\"program\", \"argument\"]").map(Command::Entrypoint),
        "LABEL" => line.pairs("LABEL name=value").map(Command::Label),
        "ENV" => line.pairs("ENV NAME=value").map(Command::Env),
        "ARG" => args(line),
        "MAINTAINER" => line.text("MAINTAINER name").map(Command::Maintainer),
        "EXPOSE" => line.list("EXPOSE 80/tcp").map(Command::Expose),
        "VOLUME" => line.list("VOLUME /data").map(Command::Volume),
        "USER" => line.one_text("USER name:group").map(Command::User),
        "WORKDIR" => line.text("WORKDIR /folder").map(Command::Workdir),
        "STOPSIGNAL" => line.one_text("STOPSIGNAL SIGTERM").map(Command::StopSignal),
        _ => shell(line),
    }
}

impl Line<'_> {
    pub(super) fn wrong(&self, form: &'static str) -> Fault {
        let found = match self.rest {
            "" => "nothing follows it".to_owned(),
            rest => format!("`{rest}`"),
        };
        Fault::Arguments { instruction: self.instruction, found, form }
    }

    /// A text that must not be empty.
    fn text(&self, form: &'static str) -> Result<String, Fault> {
        if self.rest.is_empty() { Err(self.wrong(form)) } else { Ok(self.rest.to_owned()) }
    }

    /// A text of one word; blanks in quotes or in an expansion do not count.
    fn one_text(&self, form: &'static str) -> Result<String, Fault> {
        let plain = !self.rest.contains(['$', '"', '\'']);
        if plain && self.rest.split_whitespace().count() != 1 {
            return Err(self.wrong(form));
        }
        self.text(form)
    }

    /// A JSON list or a text for the shell.
    pub(super) fn form(&self, may_be_empty: bool, form: &'static str) -> Result<Form, Fault> {
        match words::json(self.instruction, self.rest)? {
            Some(list) if list.is_empty() && !may_be_empty => Err(self.wrong(form)),
            Some(list) => Ok(Form::Exec(list)),
            None => self.text(form).map(Form::Shell),
        }
    }

    /// A JSON list or words between blanks, at least one.
    pub(super) fn list(&self, form: &'static str) -> Result<Vec<String>, Fault> {
        let list = match words::json(self.instruction, self.rest)? {
            Some(list) => list,
            None => self.rest.split_whitespace().map(str::to_owned).collect(),
        };
        if list.is_empty() || list.iter().any(|item| item.trim().is_empty()) {
            return Err(self.wrong(form));
        }
        Ok(list)
    }

    /// `name=value …`, or the old form `name value`.
    fn pairs(&self, form: &'static str) -> Result<Vec<Pair>, Fault> {
        let words = words::quoted(self.rest, self.escape);
        let Some(first) = words.first() else { return Err(self.wrong(form)) };
        if !first.contains('=') {
            let (name, value) = words::split_first(self.rest);
            if value.is_empty() {
                return Err(Fault::NoEquals { instruction: self.instruction, word: name.to_owned() });
            }
            return Ok(vec![Pair { name: name.to_owned(), value: value.to_owned() }]);
        }
        let pair = |word: &String| match word.split_once('=') {
            Some(("", _)) => Err(self.wrong(form)),
            Some((name, value)) => Ok(Pair { name: name.to_owned(), value: value.to_owned() }),
            None => Err(Fault::NoEquals { instruction: self.instruction, word: word.clone() }),
        };
        words.iter().map(pair).collect()
    }
}

fn from(line: Line<'_>) -> Result<Command, Fault> {
    const FORM: &str = "FROM [--platform=os/arch] image [AS name]";
    let parts: Vec<&str> = line.rest.split_whitespace().collect();
    let (image, name) = match parts.as_slice() {
        [image] => (*image, None),
        [image, word, name] if word.eq_ignore_ascii_case("AS") => (*image, Some(name.to_lowercase())),
        _ => return Err(line.wrong(FORM)),
    };
    if let Some(name) = &name {
        let mut letters = name.chars();
        let first = letters.next().is_some_and(|c| c.is_ascii_lowercase());
        let rest = letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c));
        if !first || !rest {
            let allowed = "a letter, then letters, digits, `-`, `_` and `.`";
            return Err(Fault::Name { name: name.clone(), what: "a stage's name", allowed });
        }
    }
    let image = image.to_owned();
    let flags = Flags::check(line.instruction, &["platform"], line.flags)?;
    Ok(Command::From { image, name, platform: flags.one("platform")? })
}

fn args(line: &Line<'_>) -> Result<Command, Fault> {
    let words = words::quoted(line.rest, line.escape);
    if words.is_empty() {
        return Err(line.wrong("ARG NAME=default"));
    }
    let item = |word: &String| {
        let (name, default) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        if name.is_empty() {
            return Err(line.wrong("ARG NAME=default"));
        }
        Ok(ArgItem { name: name.to_owned(), default })
    };
    words.iter().map(item).collect::<Result<_, _>>().map(Command::Arg)
}

fn run(mut line: Line<'_>) -> Result<Command, Fault> {
    const FLAGS: &[&str] = &["mount", "network", "security", "device"];
    let flags = Flags::check(line.instruction, FLAGS, std::mem::take(&mut line.flags))?;
    let mounts = flags.each("mount")?.iter().map(|value| mount(&flags, value)).collect::<Result<_, _>>()?;
    Ok(Command::Run(Run {
        command: line.form(false, "RUN command")?,
        heredocs: std::mem::take(&mut line.heredocs),
        mounts,
        network: flags.one("network")?,
        security: flags.one("security")?,
        devices: flags.each("device")?,
    }))
}

/// The fields that a `--mount` can have.
const MOUNT_FIELDS: &[&str] = &[
    "type",
    "target",
    "source",
    "from",
    "readonly",
    "readwrite",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "size",
    "required",
    "env",
];

fn mount(flags: &Flags, text: &str) -> Result<MountFlag, Fault> {
    let mut fields: Vec<MountField> = Vec::new();
    for part in text.split(',') {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim().to_lowercase(), Some(value.trim().to_owned())),
            None => (part.trim().to_lowercase(), None),
        };
        let name = match name.as_str() {
            "dst" | "destination" => "target",
            "src" => "source",
            "ro" => "readonly",
            "rw" => "readwrite",
            other => other,
        };
        if !MOUNT_FIELDS.contains(&name) {
            return Err(flags.bad(
                "mount",
                text,
                &format!("a list of fields of {}", MOUNT_FIELDS.join(", ")),
            ));
        }
        if fields.iter().any(|field| field.name == name) {
            return Err(flags.bad("mount", text, &format!("`{name}` once")));
        }
        fields.push(MountField { name: name.to_owned(), value });
    }
    Ok(MountFlag { fields })
}

fn onbuild(rest: &str, heredocs: Vec<Heredoc>, escape: char) -> Result<Command, Fault> {
    if rest.is_empty() {
        let found = "nothing follows it".to_owned();
        return Err(Fault::Arguments { instruction: "ONBUILD", found, form: "ONBUILD instruction" });
    }
    let (word, _) = words::split_first(rest);
    let never = ["ONBUILD", "FROM", "MAINTAINER"].into_iter().find(|name| name.eq_ignore_ascii_case(word));
    if let Some(instruction) = never {
        return Err(Fault::Trigger { instruction });
    }
    let mut text = rest.to_owned();
    for heredoc in &heredocs {
        text.push_str(&format!("\n{}{}", heredoc.text, heredoc.name));
    }
    let trigger = command(rest, heredocs, escape)?;
    Ok(Command::Onbuild(Onbuild { text, trigger: Box::new(trigger) }))
}

fn shell(line: &Line<'_>) -> Result<Command, Fault> {
    const FORM: &str = "SHELL [\"/bin/sh\", \"-c\"]";
    match words::json(line.instruction, line.rest)? {
        Some(list) if !list.is_empty() => Ok(Command::Shell(list)),
        Some(_) | None => Err(line.wrong(FORM)),
    }
}
