//! Registries: ours and Debian's, with our commands and with skopeo; each understands the others.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::{Done, RegistryServer, Sea};
use serde_json::Value;

const BUSYBOX: &str = "busybox:1.36";

fn skopeo(arguments: &[&str]) -> Result<Done> {
    let mut command = Command::new("skopeo");
    let ended = command.args(arguments).output().context("skopeo cannot be run")?;
    Ok(Done::new(format!("skopeo {}", arguments.join(" ")), &ended))
}

fn docker(name: &str) -> String {
    format!("docker://{name}")
}

/// Copies an image between registries that have no TLS.
fn copy(from: &str, to: &str) -> Result<()> {
    let words = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    skopeo(&[&words[..], &[&docker(from), &docker(to)]].concat())?.exits(0);
    Ok(())
}

/// The digest that skopeo reads of an image.
fn digest_of(name: &str) -> Result<Value> {
    let done = skopeo(&["inspect", "--tls-verify=false", &docker(name)])?.exits(0);
    Ok(done.json()["Digest"].clone())
}

/// A file of passwords, by the program that everybody makes them with.
fn htpasswd(sea: &Sea, user: &str, password: &str) -> Result<PathBuf> {
    let ended =
        Command::new("htpasswd").args(["-Bbn", user, password]).output().context("htpasswd cannot be run")?;
    Ok(sea.write("htpasswd", &String::from_utf8(ended.stdout)?))
}

fn forget_images(sea: &Sea) {
    sea.sea(&["image", "prune", "--all"]).exits(0);
    assert!(sea.json(&["image", "ls"]).as_array().is_some_and(Vec::is_empty));
}

#[test]
fn an_image_goes_round_all_registries_and_stays_itself() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let (debian, ours) = (RegistryServer::debian(None)?, RegistryServer::ours(&[])?);
    let id = sea.json(&["image", "inspect", BUSYBOX])[0]["id"].clone();
    let mut digests = Vec::new();
    for server in [&debian, &ours] {
        let name = format!("{}/team/busy:v1", server.address);
        sea.sea(&["image", "tag", BUSYBOX, &name]).exits(0);
        sea.sea(&["push", &name]).exits(0).mentions("pushed");
        let again = sea.sea(&["--format", "json", "push", &name]).exits(0);
        ensure!(again.stdout.contains("\"known\"") && !again.stdout.contains("\"uploading\""), "{again}");
        digests.push(digest_of(&name)?);
    }
    ensure!(digests[0] == digests[1], "equal images are equal everywhere: {digests:?}");
    copy(&format!("{}/team/busy:v1", debian.address), &format!("{}/copied/busy:v2", ours.address))?;
    copy(&format!("{}/copied/busy:v2", ours.address), &format!("{}/back/busy:v3", debian.address))?;
    forget_images(&sea);
    let name = format!("{}/back/busy:v3", debian.address);
    sea.sea(&["pull", &name]).exits(0).mentions("pulled");
    sea.sea(&["pull", &name]).exits(0).mentions("up to date");
    let view = sea.json(&["image", "inspect", &name])[0].clone();
    ensure!(view["id"] == id, "it is the same image: {view}");
    let called = format!("{}/back/busy@{}", debian.address, digests[0].as_str().unwrap_or_default());
    ensure!(view["digests"] == serde_json::json!([called]), "{view}");
    sea.sea(&["run", "--rm", &called, "echo", "by digest"]).exits(0).says("by digest");
    sea.sea(&[
        "run",
        "--rm",
        "--pull",
        "missing",
        &format!("{}/copied/busy:v2", ours.address),
        "echo",
        "fetched",
    ])
    .exits(0)
    .says("fetched");
    sea.sea(&["image", "fsck"]).exits(0).mentions("whole");
    sea.sea(&["pull", &format!("{}/none:v1", ours.address)]).exits(1).complains("no image");
    ours.end()?;
    sea.end()
}

#[test]
fn whoever_has_the_password_is_let_in_everywhere() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let file = htpasswd(&sea, "ann", "s3cret word")?;
    let path = file.display().to_string();
    let servers = [
        RegistryServer::debian(Some(&file))?,
        RegistryServer::ours(&["--htpasswd", &path])?,
        RegistryServer::ours(&["--htpasswd", &path, "--tokens"])?,
    ];
    for server in servers {
        let (host, name) = (&server.address, format!("{}/team/busy:v1", server.address));
        sea.sea(&["image", "tag", BUSYBOX, &name]).exits(0);
        sea.sea(&["push", &name]).exits(1).complains(&format!("sea login {host}"));
        let login = ["login", "-u", "ann", "--password-stdin", host];
        sea.sea_with(&login, b"wrong")?.exits(1).complains("refused the credentials");
        sea.sea_with(&login, b"s3cret word\n")?.exits(0);
        sea.sea(&["push", &name]).exits(0);
        let authfile = sea.home().join("docker/config.json").display().to_string();
        let inspect = ["inspect", "--tls-verify=false", "--authfile", &authfile, &docker(&name)];
        skopeo(&inspect)?.exits(0);
        let to = format!("{host}/team/copied:v1");
        let words = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--authfile", &authfile];
        skopeo(&[&words[..], &[&docker(&name), &docker(&to)]].concat())?.exits(0);
        sea.sea(&["pull", "-q", &to]).exits(0).says(&to);
        sea.sea(&["logout", host]).exits(0);
        sea.sea(&["pull", &to]).exits(1).complains("without a login");
        let kept = std::fs::read_to_string(sea.home().join("docker/config.json"))?;
        ensure!(!kept.contains(host.as_str()), "{kept}");
    }
    sea.end()
}

#[test]
fn an_app_is_started_from_a_registry() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let server = RegistryServer::debian(None)?;
    let name = format!("{}/shop/web:v1", server.address);
    sea.sea(&["image", "tag", BUSYBOX, &name]).exits(0);
    sea.sea(&["push", "-q", &name]).exits(0).says(&name);
    forget_images(&sea);
    let file = |policy: &str| {
        format!(
            "name: shop\nservices:\n  web:\n    image: {name}\n    command: sleep 300\n    pull_policy: {policy}\n"
        )
    };
    sea.write("compose.yaml", &file("never"));
    let up = |arguments: &[&str]| {
        let mut command = sea.command(&[&["up", "-d"], arguments].concat());
        let ended = command.env_remove("SEA_PULL").output().expect("it can be run");
        Done::new("sea up".into(), &ended)
    };
    up(&[]).exits(1).complains("sea pull");
    sea.write("compose.yaml", &file("missing"));
    up(&[]).exits(0).complains("pulling");
    let pulls = |policy: &str| {
        sea.write("compose.yaml", &file(policy));
        up(&[]).exits(0).stderr.contains("pulling")
    };
    ensure!(!pulls("missing") && !pulls("daily") && !pulls("every_10h"), "it is here, and fresh");
    ensure!(pulls("always") && pulls("every_0s"), "it is to be looked for");
    sea.sea(&["pull", "web"]).exits(0).mentions("up to date");
    sea.end()
}

#[test]
fn a_mirror_hands_on_and_a_registry_at_rest_is_cleared() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let debian = RegistryServer::debian(None)?;
    let mirror = RegistryServer::ours(&["--mirror", &format!("http://{}", debian.address)])?;
    let name = format!("{}/busy:v1", debian.address);
    sea.sea(&["image", "tag", BUSYBOX, &name]).exits(0);
    sea.sea(&["push", "-q", &name]).exits(0);
    forget_images(&sea);
    let mirrored = format!("{}/busy:v1", mirror.address);
    sea.sea(&["pull", "-q", &mirrored]).exits(0);
    debian.end()?;
    forget_images(&sea);
    sea.sea(&["pull", "-q", &mirrored]).exits(0);
    sea.sea(&["run", "--rm", &mirrored, "echo", "kept"]).exits(0).says("kept");
    let root = mirror.folder().display().to_string();
    sea.sea(&["--root", &root, "registry", "gc"]).exits(1).complains("being served");
    let ours = RegistryServer::ours(&[])?;
    let (one, other) = (format!("{}/team/web:v1", ours.address), format!("{}/team/web:v2", ours.address));
    for name in [&one, &other] {
        sea.sea(&["image", "tag", &mirrored, name]).exits(0);
        sea.sea(&["push", "-q", name]).exits(0);
    }
    let root = ours.folder().to_owned();
    let keep = tempfile::tempdir()?;
    // The registry's folder goes with the registry; what is done at rest is done to a copy of it.
    let copied = Command::new("cp").arg("-a").arg(root.join("registry")).arg(keep.path()).status()?;
    ensure!(copied.success());
    let root = keep.path().display().to_string();
    let registry = |arguments: &[&str]| sea.sea(&[&["--root", &root, "registry"], arguments].concat());
    registry(&["tags"]).exits(0).says("team/web");
    registry(&["tags", "team/web"]).exits(0).mentions("v2");
    registry(&["rm", "team/web:v1"]).exits(0);
    registry(&["gc"]).exits(0).mentions("0 blobs");
    let digest = sea.json(&["--root", &root, "registry", "tags", "team/web"])[0]["digest"].clone();
    registry(&["rm", &format!("team/web@{}", digest.as_str().unwrap_or_default())]).exits(0);
    registry(&["gc"]).exits(0).mentions("3 blobs");
    registry(&["tags", "team/web"]).exits(1).complains("no repository");
    sea.end()
}

#[test]
fn the_daemon_serves_one_too() -> Result<()> {
    let sea = Sea::new();
    let server = RegistryServer::of_daemon(&sea)?;
    sea.sea(&["image", "load", "-q", "-i", &e2e::image("busybox").display().to_string()]).exits(0);
    let name = format!("{}/busy:v1", server.address);
    sea.sea(&["image", "tag", BUSYBOX, &name]).exits(0);
    sea.sea(&["push", &name]).exits(0);
    forget_images(&sea);
    sea.sea(&["pull", &name]).exits(0);
    sea.sea(&["run", "--rm", &name, "echo", "own"]).exits(0).says("own");
    server.end()?;
    sea.start_daemon()?;
    sea.end()
}

#[test]
fn nobody_beyond_this_machine_is_served_unasked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for arguments in [&["registry", "--listen", "0.0.0.0:0"][..], &["daemon", "--registry", "[::]:0"]] {
        let mut command = Command::new(e2e::program());
        command.env("SEA_ROOT", folder.path()).env("SEA_HTTP", "127.0.0.1:0").env_remove("SEA_HOST");
        let ended = command.args(arguments).output()?;
        Done::new(format!("sea {}", arguments.join(" ")), &ended).exits(1).complains("--htpasswd");
    }
    Ok(())
}

#[test]
fn an_image_goes_straight_to_another_sea_with_only_what_is_missing() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let (sea, other) = (Sea::with_images(&["busybox"])?, Sea::with_images(&["busybox"])?);
    sea.write("Dockerfile", "FROM busybox:1.36\nCOPY own.txt /\nCMD [\"cat\", \"/own.txt\"]\n");
    sea.write("own.txt", "own\n");
    sea.sea(&["build", "-t", "made:v1", "."]).exits(0);
    let socket = format!("unix://{}", other.root().join("sea.sock").display());
    sea.sea(&["push", "--to", &socket, "made:v1"]).exits(0).mentions("1 of 2 layers");
    other.sea(&["run", "--rm", "made:v1"]).exits(0).says("own");
    sea.sea(&["push", "--to", &socket, "made:v1"]).exits(0).mentions("0 of 2 layers");
    other.sea(&["image", "prune", "--all"]).exits(0);
    // What stands for ssh: it runs the other side's command here.
    let program = e2e::program();
    let script = format!(
        "#!/bin/sh\n[ \"$1 $2 $3 $4 $5\" = '-p 2222 -- deploy@server.test sea' ] || exit 9\nshift 5\n\
         SEA_ROOT='{}' exec '{}' \"$@\"\n",
        other.root().display(),
        program.display()
    );
    let ssh = sea.write("ssh", &script);
    std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755))?;
    let push = |to: &str| -> Result<Done> {
        let ended = sea.command(&["push", "--to", to, "made:v1"]).env("SEA_SSH", &ssh).output()?;
        Ok(Done::new(format!("sea push --to {to}"), &ended))
    };
    push("ssh://deploy@server.test:2222")?.exits(0).mentions("2 of 2 layers");
    other.sea(&["run", "--rm", "made:v1"]).exits(0).says("own");
    other.sea(&["image", "fsck"]).exits(0).mentions("whole");
    push("ssh://elsewhere.test")?.exits(1).complains("the other side ended");
    push("ssh://-oProxyCommand=x")?.exits(2);
    other.end()?;
    sea.end()
}
