//! Other people's compose files, read.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::Sea;

#[test]
fn every_compose_file_of_others_is_read() -> Result<()> {
    let sea = Sea::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/compose");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .with_context(|| format!("`{}` lies beside the checkout", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    files.sort();
    ensure!(files.len() >= 15, "there are several files: {files:?}");
    for file in files {
        let path = file.display().to_string();
        let done = sea.sea(&["--format", "json", "-f", &path, "-p", "theirs", "config"]).exits(0);
        let services = done.json()["services"].as_object().map_or(0, serde_json::Map::len);
        ensure!(services > 0, "{path} has services: {done}");
        // What is printed says the same when it is read again.
        let yaml = sea.sea(&["-f", &path, "-p", "theirs", "config"]).exits(0);
        sea.write("again.yaml", &yaml.stdout);
        let again = sea.sea(&[
            "-f",
            "again.yaml",
            "-p",
            "theirs",
            "--project-directory",
            &folder.display().to_string(),
            "config",
        ]);
        ensure!(again.code == 0 && again.stdout == yaml.stdout, "{path}: {again}");
    }
    Ok(())
}

#[test]
fn a_mistake_is_shown_with_its_line_and_what_is_allowed() -> Result<()> {
    let sea = Sea::new();
    sea.write("compose.yaml", "services:\n  web:\n    image: a\n    restart: sometimes\n");
    sea.sea(&["plan"]).exits(1).complains("compose.yaml:4").complains("unless-stopped");
    sea.write("compose.yaml", "services:\n  web:\n    imag: a\n");
    sea.sea(&["config"]).exits(2).complains("imag").complains("image");
    sea.write("compose.yaml", "services:\n  web: [\n");
    sea.sea(&["config"]).exits(2).complains("compose.yaml");
    sea.sea(&["-f", "missing.yaml", "config"]).complains("missing.yaml");
    Ok(())
}
