//! The patterns of an ignore file, as they are sent to the client, which leaves out what they take.

/// One pattern a line: without comments and blanks, with clean paths.
pub(crate) fn patterns(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter(|line| !line.starts_with('#')).filter_map(pattern).collect()
}

fn pattern(line: &str) -> Option<String> {
    let trimmed = line.trim();
    let (sign, path) = match trimmed.strip_prefix('!') {
        Some(path) => ("!", path.trim()),
        None => ("", trimmed),
    };
    if path.is_empty() {
        return (!sign.is_empty()).then(|| sign.to_owned());
    }
    let clean = clean(path);
    let relative = if clean.len() > 1 { clean.strip_prefix('/').unwrap_or(&clean) } else { &clean };
    Some(format!("{sign}{relative}"))
}

/// The path without `.`, empty names, and names that a `..` behind them takes away.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            ".." if absolute => {}
            other => names.push(other),
        }
    }
    let joined = names.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests;
