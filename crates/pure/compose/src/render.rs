//! The canonical form: the tree in the order and the words of the reference implementation's output.

use crate::go;
use crate::shape::{Form, Kind, PROJECT, RATE, Shape, WEIGHT};
use crate::short::words;
use crate::tree::{Map, Node, Trail, Value};
use crate::unique;
use crate::yaml::{self, Out};

/// Which of the two outputs: they differ in what they leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Yaml,
    Json,
}

/// A whole project.
pub(crate) fn project(root: &Map, style: Style) -> Out {
    let mut pairs = Vec::new();
    for field in PROJECT.fields.iter().filter(|field| field.shown) {
        if style == Style::Json && field.key == "models" {
            // The reference leaves them out of its JSON.
            continue;
        }
        if let Some(node) = root.get(field.key)
            && let Some(out) = value(field.kind, Some(node), style)
        {
            pairs.push((field.key.to_owned(), out));
        }
    }
    for key in ["services"] {
        if !pairs.iter().any(|(name, _)| name == key) {
            let at = usize::from(pairs.first().is_some_and(|(name, _)| name == "name"));
            pairs.insert(at, (key.into(), Out::Map(Vec::new())));
        }
    }
    pairs.extend(extensions(root, style));
    if style == Style::Json {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
    }
    Out::Map(pairs)
}

/// A project whose variables are not filled in: as the files say it, under sorted keys.
pub(crate) fn plain(root: &Map, style: Style) -> Out {
    plain_map(root, Trail::root(), style)
}

fn plain_map(map: &Map, trail: Trail<'_>, style: Style) -> Out {
    let plain = |(key, node): (&str, &Node)| (key.to_owned(), plain_node(node, trail.down(key), style));
    sorted(map.iter().map(plain).collect(), style)
}

fn plain_node(node: &Node, trail: Trail<'_>, style: Style) -> Out {
    match &node.value {
        // The reference loses empty lists on their way to JSON, but for those whose elements it told apart by keys.
        Value::List(list) if list.is_empty() && unique::is_kept(trail.parts()) => Out::List(Vec::new()),
        Value::Map(map) => plain_map(map, trail, style),
        _ => any(node, style),
    }
}

/// One service.
pub(crate) fn service(map: &Map, style: Style) -> Out {
    match PROJECT.field("services").map(|field| field.kind) {
        Some(Kind::Named(shape, _)) => object(shape, map, style),
        _ => Out::Null,
    }
}

fn object(shape: &'static Shape, map: &Map, style: Style) -> Out {
    let capitals = style == Style::Json && (std::ptr::eq(shape, &WEIGHT) || std::ptr::eq(shape, &RATE));
    let mut pairs = Vec::new();
    for field in shape.fields.iter().filter(|field| field.shown) {
        if let Some(out) = value(field.kind, map.get(field.key), style) {
            let key = if capitals { capital(field.key) } else { field.key.to_owned() };
            pairs.push((key, out));
        }
    }
    if style == Style::Yaml && shape.extensions {
        pairs.extend(extensions(map, style));
    }
    Out::Map(pairs)
}

fn capital(key: &str) -> String {
    let mut chars = key.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn extensions(map: &Map, style: Style) -> Vec<(String, Out)> {
    let all = map.iter().filter(|(key, _)| key.starts_with("x-"));
    go::sort_keys(all.map(|(key, node)| (key.to_owned(), any(node, style))).collect())
}

/// A value as it stands.
fn any(node: &Node, style: Style) -> Out {
    match &node.value {
        Value::Null => Out::Null,
        Value::Bool(truth) => Out::Bool(*truth),
        Value::Int(int) => Out::Int(*int),
        Value::Float(float) => Out::Float(*float),
        Value::Text(text) => Out::Text(text.clone()),
        Value::Time(text) => Out::Bare(text.clone()),
        // The reference loses empty lists on their way to JSON.
        Value::List(list) if list.is_empty() && style == Style::Json => Out::Null,
        Value::List(list) => Out::List(list.iter().map(|node| any(node, style)).collect()),
        Value::Map(map) => {
            sorted(map.iter().map(|(key, node)| (key.to_owned(), any(node, style))).collect(), style)
        }
    }
}

fn sorted(mut pairs: Vec<(String, Out)>, style: Style) -> Out {
    Out::Map(match style {
        Style::Yaml => go::sort_keys(pairs),
        Style::Json => {
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            pairs
        }
    })
}

fn texts(list: &[Node]) -> Out {
    Out::List(list.iter().map(|node| Out::Text(node.print())).collect())
}

fn whole(node: &Node) -> i128 {
    node.int().unwrap_or(0)
}

fn single(node: &Node) -> f32 {
    node.float().unwrap_or(0.0) as f32
}

/// Bytes; the reference takes no size from a number with a point.
pub(crate) fn size(node: &Node) -> i64 {
    match &node.value {
        Value::Int(int) => i64::try_from(*int).unwrap_or(i64::MAX),
        Value::Text(text) => go::bytes(text).or_else(|| text.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

/// Nanoseconds of a duration.
pub(crate) fn nanos(node: &Node) -> i64 {
    go::duration(&node.print()).unwrap_or(0)
}

/// A key's value as it is shown; none when it is left out.
fn value(kind: Kind, node: Option<&Node>, style: Style) -> Option<Out> {
    let node = node.filter(|node| !node.is_null());
    match (kind, node) {
        (Kind::Command, node) => return command(node, style),
        (Kind::Object(shape, Form::Solid), node) => return solid(shape, node, style),
        (Kind::TextAlways, None) => return Some(Out::Text(String::new())),
        (Kind::AlwaysInt | Kind::AlwaysNumber, None) => return Some(Out::Int(0)),
        (Kind::AlwaysBytes, None) => return Some(Out::Text("0".into())),
        (Kind::AlwaysBool, None) => return Some(Out::Bool(false)),
        _ => {}
    }
    let node = node?;
    let unless_empty = |text: String| Some(text).filter(|text| !text.is_empty()).map(Out::Text);
    match kind {
        Kind::Command | Kind::TextAlways => Some(Out::Text(node.print())),
        Kind::Text
        | Kind::TextOrNull
        | Kind::TextOrBool
        | Kind::TextOrInt
        | Kind::Word(_)
        | Kind::ContainerName
        | Kind::PullPolicy => unless_empty(node.print()),
        Kind::Bool | Kind::StrictBool | Kind::External => node.truth().filter(|truth| *truth).map(Out::Bool),
        Kind::MaybeBool | Kind::AlwaysBool => Some(Out::Bool(node.truth().unwrap_or(false))),
        Kind::Int(..) | Kind::Number | Kind::BareNumber | Kind::BareInt => {
            Some(whole(node)).filter(|int| *int != 0).map(Out::Int)
        }
        Kind::MaybeInt | Kind::MaybeNumber | Kind::AlwaysInt | Kind::AlwaysNumber => {
            Some(Out::Int(whole(node)))
        }
        Kind::Float | Kind::Percent => Some(single(node)).filter(|float| *float != 0.0).map(Out::Single),
        Kind::Bytes | Kind::WholeBytes(_) | Kind::BytesText => {
            Some(size(node)).filter(|size| *size != 0).map(|size| Out::Text(size.to_string()))
        }
        Kind::AlwaysBytes => Some(Out::Text(size(node).to_string())),
        Kind::Duration => {
            Some(nanos(node)).filter(|nanos| *nanos != 0).map(|n| Out::Text(go::print_duration(n)))
        }
        Kind::MaybeDuration => Some(Out::Text(go::print_duration(nanos(node)))),
        Kind::Texts(_) | Kind::Loose | Kind::TextOrTexts | Kind::Test => list(kind, node),
        Kind::Labels | Kind::Env | Kind::Options(_) | Kind::Texted | Kind::MultiOptions => {
            pairs(kind, node, style)
        }
        Kind::Hosts => hosts(node),
        Kind::Ssh => ssh(node),
        Kind::Mode => Some(Out::Text(octal(mode(node)))),
        Kind::Count => Some(count(node)).filter(|count| *count != 0).map(Out::Int),
        Kind::Object(shape, _) => Some(object(shape, node.map()?, style)),
        Kind::Objects(shape, _) => {
            let list: Vec<Out> =
                node.list()?.iter().filter_map(|item| Some(object(shape, item.map()?, style))).collect();
            Some(list).filter(|list| !list.is_empty()).map(Out::List)
        }
        Kind::Named(shape, form) => named(shape, form, node, style),
    }
}

/// Permission bits: a text is octal, a number is what it is.
pub(crate) fn mode(node: &Node) -> i64 {
    match node.str() {
        Some(text) => i64::from_str_radix(text, 8).unwrap_or(0),
        None => node.int().unwrap_or(0) as i64,
    }
}

/// Octal digits after a 0; the sign stands between them.
fn octal(mode: i64) -> String {
    format!("0{}{:o}", if mode < 0 { "-" } else { "" }, mode.unsigned_abs())
}

fn count(node: &Node) -> i128 {
    match node.str() {
        Some(text) if text.eq_ignore_ascii_case("all") => -1,
        _ => whole(node),
    }
}

/// The words of a command; none when there is none.
pub(crate) fn command_words(node: &Node) -> Option<Vec<String>> {
    match &node.value {
        Value::Text(text) => words(&yaml::readable(text)),
        Value::List(list) => Some(list.iter().map(Node::print).collect()),
        _ => None,
    }
}

fn command(node: Option<&Node>, style: Style) -> Option<Out> {
    match node.and_then(command_words) {
        Some(words) => Some(Out::List(words.into_iter().map(Out::Text).collect())),
        None if style == Style::Json => Some(Out::Null),
        None => None,
    }
}

/// An object that the reference holds by value: JSON always shows it, YAML only when something is in it.
fn solid(shape: &'static Shape, node: Option<&Node>, style: Style) -> Option<Out> {
    let nothing = Map::default();
    let out = object(shape, node.and_then(Node::map).unwrap_or(&nothing), style);
    let empty = matches!(&out, Out::Map(pairs) if pairs.is_empty());
    if style == Style::Yaml && empty { None } else { Some(out) }
}

fn list(kind: Kind, node: &Node) -> Option<Out> {
    match (&node.value, kind) {
        (Value::Text(text), Kind::Test) => {
            Some(Out::List(vec![Out::Text("CMD-SHELL".into()), Out::Text(text.clone())]))
        }
        (Value::Text(text), _) => Some(Out::List(vec![Out::Text(text.clone())])),
        (Value::List(list), _) if !list.is_empty() => Some(texts(list)),
        _ => None,
    }
}

fn pairs(kind: Kind, node: &Node, style: Style) -> Option<Out> {
    let mut out = Vec::new();
    match &node.value {
        Value::List(list) => {
            for item in list {
                let text = item.print();
                let (key, value) = match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Out::Text(value.to_owned())),
                    None if matches!(kind, Kind::Env) => (text, Out::Null),
                    None => (text, Out::Text(String::new())),
                };
                out.retain(|(old, _)| *old != key);
                out.push((key, value));
            }
        }
        Value::Map(map) => {
            // The reference takes keys of this form for extensions even where names are free, and shows them so.
            let (own, free): (Vec<_>, Vec<_>) = map.iter().partition(|(key, _)| key.starts_with("x-"));
            out.extend(free.into_iter().map(|(key, node)| (key.to_owned(), pair(kind, node))));
            if !own.is_empty() {
                let mut shown: Vec<String> = own.iter().map(|(k, n)| format!("{k}:{}", n.print())).collect();
                shown.sort();
                out.push(("#extensions".into(), Out::Text(format!("map[{}]", shown.join(" ")))));
            }
        }
        _ => return None,
    }
    if out.is_empty() { None } else { Some(sorted(out, style)) }
}

fn pair(kind: Kind, node: &Node) -> Out {
    match (&node.value, kind) {
        (Value::Null, Kind::Env) => Out::Null,
        (Value::Null, _) => Out::Text(String::new()),
        (Value::List(list), Kind::MultiOptions) => texts(list),
        (_, Kind::MultiOptions) => Out::List(vec![Out::Text(node.print())]),
        _ => Out::Text(node.print()),
    }
}

/// Host names and addresses as `name=address`.
pub(crate) fn host_pairs(node: &Node) -> Vec<(String, String)> {
    let bare = |ip: &str| {
        let inner = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        inner.filter(|inner| !inner.is_empty()).unwrap_or(ip).to_owned()
    };
    let mut all = Vec::new();
    match &node.value {
        Value::List(list) => {
            for item in list {
                let text = item.print();
                if let Some((host, ips)) = text.split_once('=').or_else(|| text.split_once(':')) {
                    all.extend(ips.split(',').map(|ip| (host.to_owned(), bare(ip))));
                }
            }
        }
        Value::Map(map) => {
            for (host, node) in map.iter() {
                match &node.value {
                    Value::List(list) => {
                        all.extend(list.iter().map(|ip| (host.to_owned(), bare(&ip.print()))))
                    }
                    Value::Null => all.push((host.to_owned(), String::new())),
                    _ => all.push((host.to_owned(), bare(&node.print()))),
                }
            }
        }
        _ => {}
    }
    all
}

fn hosts(node: &Node) -> Option<Out> {
    let mut all: Vec<String> =
        host_pairs(node).into_iter().map(|(host, ip)| format!("{host}={ip}")).collect();
    all.sort();
    if all.is_empty() { None } else { Some(Out::List(all.into_iter().map(Out::Text).collect())) }
}

fn ssh(node: &Node) -> Option<Out> {
    let mut keys: Vec<Out> = Vec::new();
    for (id, path) in node.map()?.iter() {
        let path = if path.is_null() { String::new() } else { path.print() };
        keys.push(Out::Text(if path.is_empty() { id.to_owned() } else { format!("{id}: {path}") }));
    }
    if keys.is_empty() { None } else { Some(Out::List(keys)) }
}

fn named(shape: &'static Shape, form: Form, node: &Node, style: Style) -> Option<Out> {
    let mut out = Vec::new();
    for (key, node) in node.map()?.iter() {
        let value = match &node.value {
            Value::Map(map) if form == Form::Ulimit => ulimit(shape, map, style),
            Value::Map(map) => object(shape, map, style),
            Value::Null => Out::Null,
            _ => match whole(node) {
                0 => ulimit(shape, &Map::default(), style),
                limit => Out::Int(limit),
            },
        };
        out.push((key.to_owned(), value));
    }
    if out.is_empty() { None } else { Some(sorted(out, style)) }
}

/// A soft and a hard limit; JSON leaves a limit of 0 out.
fn ulimit(shape: &'static Shape, map: &Map, style: Style) -> Out {
    let bare = |key: &str| map.get(key).map(whole).unwrap_or(0);
    let pairs = shape.fields.iter().map(|field| (field.key.to_owned(), Out::Int(bare(field.key))));
    Out::Map(pairs.filter(|(_, out)| style == Style::Yaml || *out != Out::Int(0)).collect())
}
