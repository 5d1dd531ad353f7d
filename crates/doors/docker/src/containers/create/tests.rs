//! What docker's clients send, and what becomes of it.

use oci::ImageConfig;
use serde_json::json;

use serde_json::Value;

use super::*;
use crate::loose;

fn image() -> ImageConfig {
    serde_json::from_value(json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
        "config": {
            "Env": ["PATH=/bin", "A=image"], "Cmd": ["serve"], "Entrypoint": ["/entry"], "WorkingDir": "/srv",
            "Labels": {"of": "image"}, "ExposedPorts": {"80/tcp": {}}, "User": "app",
        },
    }))
    .expect("an image's configuration")
}

fn config(text: Value) -> Result<Config, Refusal> {
    merged(loose::read(text).expect("a configuration"), &image())
}

#[track_caller]
fn command(text: Value, entrypoint: Option<&[&str]>, cmd: Option<&[&str]>) {
    let merged = config(text).expect("it is merged");
    let words = |words: Option<&[&str]>| {
        words.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    };
    assert_eq!((merged.entrypoint, merged.cmd), (words(entrypoint), words(cmd)));
}

#[test]
fn entrypoint_and_command_are_merged_as_docker_merges_them() {
    command(json!({}), Some(&["/entry"]), Some(&["serve"]));
    command(json!({"Cmd": ["x"]}), Some(&["/entry"]), Some(&["x"]));
    command(json!({"Entrypoint": ["/own"]}), Some(&["/own"]), None);
    command(json!({"Entrypoint": ["/own"], "Cmd": ["x"]}), Some(&["/own"]), Some(&["x"]));
    command(json!({"Entrypoint": [""], "Cmd": ["x"]}), None, Some(&["x"]));
    command(json!({"Entrypoint": [], "Cmd": ["x"]}), Some(&[]), Some(&["x"]));
}

#[test]
fn what_the_client_says_goes_over_what_the_image_says() {
    let merged = config(
        json!({"Env": ["A=own", "B=1", "PATH"], "Labels": {"own": "1"}, "ExposedPorts": {"90/udp": {}}}),
    )
    .expect("it is merged");
    // A name alone is kept, and takes the image's away.
    let expected = ["A=own", "B=1", "PATH"].map(str::to_owned).to_vec();
    assert_eq!(merged.env, Some(expected));
    assert_eq!(merged.labels.len(), 2);
    assert_eq!(merged.exposed_ports.map(|ports| ports.len()), Some(2));
    assert_eq!((merged.user.as_str(), merged.working_dir.as_str()), ("app", "/srv"));
    assert!(config(json!({"WorkingDir": "srv"})).is_err());
    assert!(config(json!({"Env": ["=x"]})).is_err());
}

#[test]
fn restart_policies_are_taken_or_refused() {
    let check = |text: Value| {
        restart(&loose::read(text).expect("a host configuration")).map_err(|refusal| refusal.message)
    };
    assert_eq!(check(json!({})), Ok(Restart::No));
    assert_eq!(
        check(json!({"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}})),
        Ok(Restart::OnFailure { max_retries: 3 })
    );
    assert!(check(json!({"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}})).is_err());
    assert!(check(json!({"RestartPolicy": {"Name": "sometimes"}})).is_err());
    assert!(check(json!({"RestartPolicy": {"Name": "always"}, "AutoRemove": true})).is_err());
}

#[test]
fn bounds_that_docker_refuses_are_refused() {
    let check =
        |text: Value| bounds::limits(&loose::read(text).expect("a host configuration"), &mut Vec::new());
    assert!(check(json!({"Memory": 6 << 20, "MemorySwap": -1})).is_ok());
    for wrong in [
        json!({"Memory": 1024}),
        json!({"Memory": 16 << 20, "MemorySwap": 8 << 20}),
        json!({"MemorySwap": 8 << 20}),
        json!({"NanoCpus": 1, "CpuPeriod": 1000}),
        json!({"NanoCpus": 1_000_000_000_000_i64}),
        json!({"CpuPeriod": 10}),
        json!({"BlkioWeight": 5}),
        json!({"OomScoreAdj": 2000}),
        json!({"DeviceRequests": [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]}),
        json!({"CpuCount": 1}),
    ] {
        assert!(check(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn health_checks_are_read() {
    let check = |text: Value| health(&loose::read(text).expect("a check"));
    assert!(
        check(json!({"Test": ["CMD-SHELL", "true"], "Interval": 1_000_000_000}))
            .is_ok_and(|check| check.is_some())
    );
    assert!(check(json!({"Test": ["NONE"]})).is_ok_and(|check| check.is_some()));
    assert!(check(json!({})).is_ok_and(|check| check.is_none()));
    assert!(check(json!({"Test": ["CMD", "true"], "Interval": 10})).is_err());
    assert!(check(json!({"Test": ["ASK", "true"]})).is_err());
}
