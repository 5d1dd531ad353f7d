//! Fills variables into the texts of a tree, and casts those that stand where numbers and booleans belong.

use std::collections::BTreeMap;

use crate::dotenv::required;
use crate::go;
use crate::problem::Fault;
use crate::session::Session;
use crate::template::{Broken, Variables, substitute};
use crate::tree::{ITEM, Map, Node, Span, Trail, Value};

/// The variables that a file's texts may name.
pub(crate) type Environment = BTreeMap<String, String>;

struct Lookup<'a> {
    environment: &'a Environment,
    missing: Vec<String>,
}

impl Variables for Lookup<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn missing(&mut self, name: &str) {
        self.missing.push(name.to_owned());
    }
}

/// Fills in a whole file's tree; all faults are gathered.
pub(crate) fn interpolate(
    root: &mut Map,
    environment: &Environment,
    session: &mut Session<'_>,
) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    let mut walk = Walk { lookup: Lookup { environment, missing: Vec::new() }, session, faults: &mut faults };
    let mut key = String::new();
    walk.map(root, Trail::root(), &mut key);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Fills in one text.
pub(crate) fn one(text: &str, environment: &Environment, key: &str) -> Result<String, Fault> {
    let mut lookup = Lookup { environment, missing: Vec::new() };
    substitute(text, &mut lookup).map_err(|broken| fault(Span::default(), key, text, broken))
}

struct Walk<'a, 'b> {
    lookup: Lookup<'a>,
    session: &'a mut Session<'b>,
    faults: &'a mut Vec<Fault>,
}

impl Walk<'_, '_> {
    fn map<'t>(&mut self, map: &'t mut Map, trail: Trail<'t>, key: &mut String) {
        let len = key.len();
        for (name, node) in map.iter_mut() {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(name);
            self.node(node, trail.down(name), key);
            key.truncate(len);
        }
    }

    fn node<'t>(&mut self, node: &'t mut Node, trail: Trail<'t>, key: &mut String) {
        let at = node.at;
        match &mut node.value {
            Value::Text(text) => match self.text(text, at, trail, key) {
                Ok(Some(value)) => node.value = value,
                Ok(None) => {}
                Err(fault) => self.faults.push(fault),
            },
            Value::List(list) => {
                let len = key.len();
                for (index, item) in list.iter_mut().enumerate() {
                    key.push_str(&format!("[{index}]"));
                    self.node(item, trail.down(ITEM), key);
                    key.truncate(len);
                }
            }
            Value::Map(map) => self.map(map, trail, key),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Time(_) => {}
        }
    }

    fn text(&mut self, text: &str, at: Span, trail: Trail<'_>, key: &str) -> Result<Option<Value>, Fault> {
        let filled = if text.contains('$') {
            let filled = substitute(text, &mut self.lookup).map_err(|b| fault(at, key, text, b))?;
            for name in self.lookup.missing.drain(..) {
                self.session.unset(&name, at, key);
            }
            Some(filled)
        } else {
            None
        };
        let value = filled.as_deref().unwrap_or(text);
        match cast(trail.parts()) {
            // What cannot be cast stays a text: the validation tells of it, with all else that is wrong.
            Some(cast) => Ok(self.cast(cast, value, at, key).or(filled.map(Value::Text))),
            None => Ok(filled.map(Value::Text)),
        }
    }

    fn cast(&mut self, cast: Cast, text: &str, at: Span, key: &str) -> Option<Value> {
        match cast {
            Cast::Int => text.parse::<i64>().ok().map(|int| Value::Int(int.into())),
            Cast::Float => go::parse_float(text).map(Value::Float),
            // The shortest decimal of the single keeps its digits when it becomes a double.
            Cast::Single => {
                let single = go::parse_float::<f32>(text)?;
                single.to_string().parse().ok().map(Value::Float)
            }
            Cast::Bool => {
                let truth = Node::text(text, at).truth()?;
                if !matches!(text.to_lowercase().as_str(), "true" | "false") {
                    let message = format!("`{text}` is an old word for a boolean; write `{truth}`");
                    self.session.warn("C0003", Some(at), key, message);
                }
                Some(Value::Bool(truth))
            }
        }
    }
}

fn fault(at: Span, key: &str, text: &str, broken: Broken) -> Fault {
    match broken {
        Broken::Form => Fault::at(at, key, format!("`{text}` has a `$` that begins no variable"))
            .help("write `$$` for a `$` itself, or one of `${NAME}`, `${NAME:-default}`, `${NAME:?words}`, `${NAME:+value}`"),
        Broken::Required { name, reason } => Fault::at(at, key, required(&name, &reason))
            .help(format!("set `{name}` in the environment or in the `.env` file")),
    }
}

#[derive(Clone, Copy)]
enum Cast {
    Int,
    Float,
    Single,
    Bool,
}

/// What a text at this place is cast to.
fn cast(path: &[&str]) -> Option<Cast> {
    Some(match path {
        ["services", _, rest @ ..] => return cast_in_service(rest),
        ["networks", _, "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6"]
        | ["volumes" | "secrets" | "configs", _, "external"] => Cast::Bool,
        _ => return None,
    })
}

fn cast_in_service(path: &[&str]) -> Option<Cast> {
    Some(match path {
        [
            "cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime" | "cpu_shares"
            | "oom_score_adj" | "pids_limit" | "scale",
        ]
        | ["deploy", "replicas"]
        | ["deploy", "update_config" | "rollback_config", "parallelism"]
        | ["deploy", "restart_policy", "max_attempts"]
        | ["deploy", "placement", "max_replicas_per_node"]
        | ["healthcheck", "retries"]
        | ["ports", ITEM, "target"]
        | ["ulimits", _]
        | ["ulimits", _, "hard" | "soft"] => Cast::Int,
        ["cpu_percent"] | ["deploy", "update_config" | "rollback_config", "max_failure_ratio"] => Cast::Float,
        ["cpus"] => Cast::Single,
        ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"]
        | ["healthcheck", "disable"]
        | ["depends_on", _, "required" | "restart"]
        | ["volumes", ITEM, "read_only"]
        | ["volumes", ITEM, "volume", "nocopy"] => Cast::Bool,
        _ => return None,
    })
}
