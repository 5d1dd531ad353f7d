//! Crashes while images come, are built and go.

use anyhow::{Result, ensure};
use e2e::crash::Role;
use e2e::{Done, RegistryServer, Sea};

use super::{BUSYBOX, Operation, survives};

fn load(sea: &Sea) -> Done {
    sea.sea(&["image", "load", "-q", "-i", &e2e::image("busybox").display().to_string()])
}

fn is_whole(sea: &Sea) -> Result<()> {
    sea.sea(&["image", "fsck"]).exits(0).mentions("whole");
    sea.sea(&["run", "--rm", BUSYBOX, "echo", "whole"]).exits(0).says("whole");
    Ok(())
}

#[test]
fn an_image_is_loaded() -> Result<()> {
    let before = |sea: &Sea| {
        sea.sea(&["image", "prune", "--all"]).exits(0);
        Ok(())
    };
    let again = |sea: &Sea| {
        load(sea).exits(0);
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(vec![load(sea)]), again: &again, check: &is_whole },
    )
}

fn build(sea: &Sea) -> Done {
    sea.write("Dockerfile", "FROM busybox:1.36\nRUN mkdir /out && echo built > /out/text\nCOPY own.txt /\nCMD [\"cat\", \"/out/text\", \"/own.txt\"]\n");
    sea.write("own.txt", "own\n");
    sea.sea(&["build", "--no-cache", "-t", "made:v1", "."])
}

#[test]
fn an_image_is_built() -> Result<()> {
    let before = |sea: &Sea| {
        sea.sea(&["image", "rm", "made:v1"]);
        Ok(())
    };
    let again = |sea: &Sea| {
        build(sea).exits(0);
        Ok(())
    };
    let check = |sea: &Sea| {
        sea.sea(&["run", "--rm", "made:v1"]).exits(0).says("built\nown");
        is_whole(sea)
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(vec![build(sea)]), again: &again, check: &check },
    )
}

#[test]
fn an_image_is_built_though_the_shim_of_a_step_dies() -> Result<()> {
    let again = |sea: &Sea| {
        build(sea).exits(0);
        Ok(())
    };
    let check = |sea: &Sea| {
        sea.sea(&["run", "--rm", "made:v1"]).exits(0).says("built\nown");
        Ok(())
    };
    survives(
        Role::Shim,
        &Operation { before: &|_| Ok(()), act: &|sea| Ok(vec![build(sea)]), again: &again, check: &check },
    )
}

/// The names of all images.
fn names(sea: &Sea) -> Vec<String> {
    let images = sea.json(&["image", "ls"]);
    let names = images.as_array().into_iter().flatten().flat_map(|image| image["names"].as_array());
    names.flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

fn has_name(sea: &Sea, name: &str) -> bool {
    names(sea).iter().any(|one| one.ends_with(name))
}

#[test]
fn an_image_gets_one_more_name() -> Result<()> {
    let before = |sea: &Sea| {
        if has_name(sea, "other:v1") {
            sea.sea(&["image", "rm", "other:v1"]).exits(0);
        }
        Ok(())
    };
    let tag = |sea: &Sea| sea.sea(&["image", "tag", BUSYBOX, "other:v1"]);
    let again = |sea: &Sea| {
        tag(sea).exits(0);
        Ok(())
    };
    let check = |sea: &Sea| {
        sea.sea(&["run", "--rm", "other:v1", "echo", "named"]).exits(0).says("named");
        is_whole(sea)
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(vec![tag(sea)]), again: &again, check: &check },
    )
}

#[test]
fn one_image_is_removed() -> Result<()> {
    let before = |sea: &Sea| {
        build(sea).exits(0);
        Ok(())
    };
    let remove = |sea: &Sea| sea.sea(&["image", "rm", "made:v1"]);
    let again = |sea: &Sea| {
        if has_name(sea, "made:v1") {
            remove(sea).exits(0);
        }
        Ok(())
    };
    let check = |sea: &Sea| {
        ensure!(!has_name(sea, "made:v1"), "{:?}", names(sea));
        is_whole(sea)
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(vec![remove(sea)]), again: &again, check: &check },
    )
}

#[test]
fn an_image_is_pulled() -> Result<()> {
    let server = RegistryServer::debian(None)?;
    let name = format!("{}/busy:v1", server.address);
    let pull = |sea: &Sea| sea.sea(&["pull", "-q", &name]);
    let before = |sea: &Sea| {
        load(sea).exits(0);
        sea.sea(&["image", "tag", BUSYBOX, &name]).exits(0);
        sea.sea(&["push", "-q", &name]).exits(0);
        sea.sea(&["image", "prune", "--all"]).exits(0);
        Ok(())
    };
    let again = |sea: &Sea| {
        pull(sea).exits(0);
        Ok(())
    };
    let check = |sea: &Sea| {
        sea.sea(&["image", "fsck"]).exits(0).mentions("whole");
        sea.sea(&["run", "--rm", &name, "echo", "whole"]).exits(0).says("whole");
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(vec![pull(sea)]), again: &again, check: &check },
    )
}

fn prune(sea: &Sea) -> Done {
    sea.sea(&["prune", "--all", "--volumes", "--yes"])
}

#[test]
fn what_nobody_needs_goes() -> Result<()> {
    let before = |sea: &Sea| {
        build(sea).exits(0);
        sea.sea(&["run", "--name", "over", "-v", "/anonymous", BUSYBOX, "true"]).exits(0);
        sea.sea(&["network", "create", "unused"]).exits(0);
        sea.sea(&["image", "tag", BUSYBOX, "other:v1"]).exits(0);
        Ok(())
    };
    let again = |sea: &Sea| {
        prune(sea).exits(0);
        Ok(())
    };
    let check = |sea: &Sea| {
        for list in [&["image", "ls"][..], &["ps", "--all", "--everything"], &["volume", "ls"]] {
            let left = sea.json(list);
            ensure!(left.as_array().is_some_and(Vec::is_empty), "{list:?}: {left}");
        }
        let left = sea.sea(&["network", "ls", "-q"]).exits(0);
        ensure!(!left.stdout.contains("unused"), "{left}");
        Ok(())
    };
    survives(
        Role::Serving,
        &Operation { before: &before, act: &|sea| Ok(vec![prune(sea)]), again: &again, check: &check },
    )
}
