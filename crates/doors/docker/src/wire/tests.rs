//! Documents of real clients are read, and written back as docker writes them.

use serde_json::json;

use super::*;

#[test]
fn null_means_absent_and_one_word_is_a_list() {
    let body: CreateBody = crate::loose::read(json!({
        "Image": "busybox", "Cmd": "true", "Entrypoint": null, "Env": null, "Hostname": null, "Labels": null,
        "HostConfig": {"Binds": null, "RestartPolicy": null, "Memory": null, "CapAdd": "NET_ADMIN", "PortBindings": {"80/tcp": null}},
        "NetworkingConfig": {"EndpointsConfig": {"lane": null, "way": {"IPAMConfig": null, "Aliases": ["a"]}}},
    }))
    .expect("it is read");
    assert_eq!(body.config.cmd, Some(vec!["true".to_owned()]));
    assert_eq!(body.config.entrypoint, None);
    assert_eq!(body.host_config.cap_add, Some(vec!["NET_ADMIN".to_owned()]));
    assert_eq!(body.networking_config.endpoints_config.len(), 1);
}

#[test]
fn what_is_not_said_is_written_as_docker_writes_it() {
    let host = serde_json::to_value(HostConfig::default()).expect("it is written");
    assert_eq!(host["Binds"], Value::Null);
    assert_eq!(host["Dns"], json!([]));
    assert_eq!(host["PidsLimit"], Value::Null);
    assert_eq!(host["ConsoleSize"], json!([0, 0]));
    assert_eq!(host["Devices"], json!([]));
    assert!(host.get("Tmpfs").is_none() && host.get("Init").is_none());
    let config = serde_json::to_value(Config::default()).expect("it is written");
    assert_eq!(
        (&config["Env"], &config["Labels"], &config["Volumes"]),
        (&Value::Null, &json!({}), &Value::Null)
    );
    assert!(config.get("Healthcheck").is_none());
}
