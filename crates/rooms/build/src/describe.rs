//! What a Dockerfile says by itself: its stages, and what its target takes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::dockerfile::{Command, Dockerfile, parse};
use crate::error::BuildError;
use crate::graph::{Base, Graph};
use crate::scope::Global;

fn graph(file: &Dockerfile, text: &str, target: Option<&str>) -> Result<Graph, BuildError> {
    let global = Global::new(file, &BTreeMap::new(), target).map_err(|(index, fault)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

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
