//! The table of events: what the journal says, and what docker's clients hear.

use base::Timestamp;
use serde_json::{Value, json};
use store::Line;

use super::words;
use crate::version::{ApiVersion, NEWEST};

fn line(subject: &str, event: &str, detail: Value) -> Line {
    Line {
        number: 7,
        at: Timestamp(1_795_791_608_439_870_425),
        app: None,
        subject: subject.into(),
        event: event.into(),
        message: String::new(),
        detail,
    }
}

/// Each event as `type action id name=value …`.
fn said(subject: &str, event: &str, detail: Value) -> Vec<String> {
    let said = words(&line(subject, event, detail)).into_iter().map(|event| {
        let attributes = event.attributes.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{} {} {}{}", event.kind, event.action, event.id, attributes.collect::<String>())
    });
    said.collect()
}

fn container(event: &str, more: Value) -> Vec<String> {
    let mut detail = json!({
        "id": "abc", "name": "web", "image": "redis:7", "service": null, "release": null, "labels": { "a": "b" },
    });
    if let (Value::Object(detail), Value::Object(more)) = (&mut detail, more) {
        detail.extend(more);
    }
    said("container web", event, detail)
}

#[test]
fn containers() {
    for (event, more, expected) in [
        ("ContainerCreated", json!({}), "container create abc a=b image=redis:7 name=web"),
        ("ContainerStarted", json!({}), "container start abc a=b image=redis:7 name=web"),
        ("ContainerAttached", json!({}), "container attach abc a=b image=redis:7 name=web"),
        (
            "ContainerEnded",
            json!({ "code": 3, "oom": false }),
            "container die abc a=b exitCode=3 image=redis:7 name=web",
        ),
        ("ContainerLost", json!({}), "container die abc a=b exitCode=137 image=redis:7 name=web"),
        (
            "ContainerKilled",
            json!({ "signal": 15 }),
            "container kill abc a=b image=redis:7 name=web signal=15",
        ),
        ("ContainerStopped", json!({}), "container stop abc a=b image=redis:7 name=web"),
        ("ContainerRestarted", json!({}), "container restart abc a=b image=redis:7 name=web"),
        ("ContainerPaused", json!({}), "container pause abc a=b image=redis:7 name=web"),
        ("ContainerUnpaused", json!({}), "container unpause abc a=b image=redis:7 name=web"),
        ("ContainerUpdated", json!({}), "container update abc a=b image=redis:7 name=web"),
        (
            "ContainerRenamed",
            json!({ "oldName": "/www" }),
            "container rename abc a=b image=redis:7 name=web oldName=/www",
        ),
        (
            "ContainerResized",
            json!({ "rows": 24, "columns": 80 }),
            "container resize abc a=b height=24 image=redis:7 name=web width=80",
        ),
        (
            "ContainerHealthy",
            json!({ "exit_code": 0 }),
            "container health_status: healthy abc a=b image=redis:7 name=web",
        ),
        (
            "ContainerUnhealthy",
            json!({ "exit_code": 1 }),
            "container health_status: unhealthy abc a=b image=redis:7 name=web",
        ),
        ("ContainerRemoved", json!({}), "container destroy abc a=b image=redis:7 name=web"),
        (
            "ExecCreated",
            json!({ "exec": "e1", "command": ["ls", "-l"] }),
            "container exec_create: ls -l abc a=b execID=e1 image=redis:7 name=web",
        ),
        (
            "ExecStarted",
            json!({ "exec": "e1", "command": ["ls", "-l"] }),
            "container exec_start: ls -l abc a=b execID=e1 image=redis:7 name=web",
        ),
        (
            "ExecEnded",
            json!({ "exec": "e1", "command": ["ls"], "code": 2 }),
            "container exec_die abc a=b execID=e1 exitCode=2 image=redis:7 name=web",
        ),
    ] {
        assert_eq!(container(event, more), [expected], "{event}");
    }
}

#[test]
fn memory_that_is_used_up_is_two_events() {
    assert_eq!(
        container("ContainerOutOfMemory", json!({ "code": 137, "oom": true })),
        [
            "container oom abc a=b image=redis:7 name=web",
            "container die abc a=b exitCode=137 image=redis:7 name=web"
        ]
    );
}

#[test]
fn images() {
    let detail = |name: Value| json!({ "id": "sha256:1", "name": name, "labels": { "a": "b" } });
    for (event, name, expected) in [
        ("ImagePulled", json!("busybox:1.36"), "image pull busybox:1.36 a=b name=busybox"),
        (
            "ImagePushed",
            json!("localhost:5000/x:1"),
            "image push localhost:5000/x:1 a=b name=localhost:5000/x",
        ),
        ("ImageTagged", json!("x/y:2"), "image tag sha256:1 a=b name=x/y:2"),
        ("ImageUntagged", json!("x/y:2"), "image untag sha256:1 a=b name=sha256:1"),
        ("ImageLoaded", Value::Null, "image load sha256:1 a=b name=sha256:1"),
        ("ImageImported", Value::Null, "image import sha256:1 a=b name=sha256:1"),
        ("ImageSaved", Value::Null, "image save sha256:1 a=b name=sha256:1"),
        ("ImageCreated", Value::Null, "image create sha256:1 a=b name=sha256:1"),
        ("ImageRemoved", Value::Null, "image delete sha256:1 a=b name=sha256:1"),
    ] {
        assert_eq!(said("image x", event, detail(name)), [expected], "{event}");
    }
}

#[test]
fn networks_and_volumes() {
    let network = json!({ "id": "n1", "name": "front", "driver": "bridge" });
    let joined = json!({ "id": "n1", "name": "front", "driver": "bridge", "container": "abc" });
    assert_eq!(
        said("network front", "NetworkCreated", network.clone()),
        ["network create n1 name=front type=bridge"]
    );
    assert_eq!(
        said("network front", "NetworkRemoved", network),
        ["network destroy n1 name=front type=bridge"]
    );
    assert_eq!(
        said("network front", "NetworkConnected", joined.clone()),
        ["network connect n1 container=abc name=front type=bridge"]
    );
    assert_eq!(
        said("network front", "NetworkDisconnected", joined),
        ["network disconnect n1 container=abc name=front type=bridge"]
    );
    let volume = json!({ "name": "data", "driver": "local" });
    assert_eq!(said("volume data", "VolumeCreated", volume.clone()), ["volume create data driver=local"]);
    assert_eq!(said("volume data", "VolumeRemoved", volume), ["volume destroy data driver=local"]);
    let mounted = json!({ "name": "data", "driver": "local", "container": "abc", "destination": "/x", "read_only": true });
    assert_eq!(
        said("volume data", "VolumeMounted", mounted),
        ["volume mount data container=abc destination=/x driver=local propagation= read/write=false"]
    );
    let given_back = json!({ "name": "data", "driver": "local", "container": "abc" });
    assert_eq!(
        said("volume data", "VolumeUnmounted", given_back),
        ["volume unmount data container=abc driver=local"]
    );
}

#[test]
fn pruning_and_what_docker_has_no_word_for() {
    let pruned = json!({ "what": "volume", "reclaimed": 42 });
    assert_eq!(said("volumes", "Pruned", pruned), ["volume prune  reclaimed=42"]);
    assert_eq!(said("service web", "ReleaseCreated", json!({})), Vec::<String>::new());
    assert_eq!(said("container web", "SomethingNew", json!({})), Vec::<String>::new());
}

#[test]
fn clients_of_before_get_a_few_things_twice() {
    let started =
        line("container web", "ContainerStarted", json!({ "id": "abc", "name": "web", "image": "redis:7" }));
    let event = &words(&started)[0];
    assert_eq!(
        event.document(ApiVersion(1, 51)).to_string(),
        r#"{"status":"start","id":"abc","from":"redis:7","Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"image":"redis:7","name":"web"}},"scope":"local","time":1795791608,"timeNano":1795791608439870425}"#
    );
    assert_eq!(
        event.document(NEWEST).to_string(),
        r#"{"Type":"container","Action":"start","Actor":{"ID":"abc","Attributes":{"image":"redis:7","name":"web"}},"scope":"local","time":1795791608,"timeNano":1795791608439870425}"#
    );
    let pruned = line("images", "Pruned", json!({ "what": "image", "reclaimed": 0 }));
    assert!(words(&pruned)[0].document(ApiVersion(1, 41)).get("id").is_none());
}
