//! Tests of image configurations: docker's own output reads, and nothing is lost on the way through.

use serde_json::json;

use super::*;

#[test]
fn what_docker_writes_reads_with_its_nulls() {
    let config: ImageConfig = serde_json::from_value(json!({
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {"Env": null, "Cmd": ["sh"], "Entrypoint": null, "Volumes": null, "Labels": null, "OnBuild": null,
                   "User": "", "ArgsEscaped": true, "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000u64}},
        "rootfs": {"type": "layers", "diff_ids": null}, "history": null,
    }))
    .unwrap();
    assert_eq!(config.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
    assert_eq!((config.config.entrypoint, config.config.args_escaped), (None, true));
    assert_eq!(config.config.healthcheck.unwrap().interval, 1_000_000_000);
}

#[test]
fn unknown_fields_survive_a_round_trip() {
    let text = json!({
        "architecture": "amd64", "os": "linux", "docker_version": "29",
        "config": {"ExposedPorts": {"80/tcp": {}}, "Hostname": "x", "StopSignal": "SIGQUIT"},
        "rootfs": {"type": "layers", "diff_ids": [Digest::sha256(b"")]},
        "history": [{"created_by": "RUN x", "empty_layer": true, "new": 1}],
        "moby.buildkit.buildinfo.v1": "x",
    });
    let config: ImageConfig = serde_json::from_value(text.clone()).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap(), text);
}
