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
    let clean = base::path::clean(path);
    let relative = if clean.len() > 1 { clean.strip_prefix('/').unwrap_or(&clean) } else { &clean };
    Some(format!("{sign}{relative}"))
}

#[cfg(test)]
mod tests;
