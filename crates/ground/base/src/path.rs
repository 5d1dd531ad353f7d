//! Paths as text, of whatever machine they are.

/// The shortest path that says the same, without `.`, double slashes, and names that a `..` behind them takes away; links
/// are not known here. As Go's `filepath.Clean` has it, by which docker, compose and BuildKit compare paths.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|last| *last != "..") => drop(names.pop()),
            ".." if rooted => {}
            other => names.push(other),
        }
    }
    let joined = names.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, short) in [
            ("", "."),
            ("a/", "a"),
            ("./a//b", "a/b"),
            ("a/../..", ".."),
            ("../../a", "../../a"),
            ("/..", "/"),
            ("/a/../b/.", "/b"),
            ("../a", "../a"),
            (".", "."),
            ("a/./b/..", "a"),
        ] {
            assert_eq!(clean(path), short, "{path}");
        }
    }
}
