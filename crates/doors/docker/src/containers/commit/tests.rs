//! What an image says that is made of a container.

use super::*;

fn run(document: Value) -> RunConfig {
    serde_json::from_value(document).unwrap()
}

#[test]
fn what_is_said_goes_over_what_the_container_has() {
    let own = run(json!({
        "User": "www", "Env": ["A=1", "B=2"], "Cmd": ["serve"], "Entrypoint": ["/entry"],
        "Labels": {"x": "1", "y": "2"}, "WorkingDir": "/srv", "ExposedPorts": {"80/tcp": {}},
    }));
    let said = run(json!({ "Env": ["A=9"], "Labels": {"x": "5"}, "ExposedPorts": {"81/tcp": {}} }));
    let made = serde_json::to_value(over(said, own)).unwrap();
    let wanted = json!({
        "User": "www", "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "Env": ["A=9", "B=2"],
        "Entrypoint": ["/entry"], "Cmd": ["serve"], "WorkingDir": "/srv", "Labels": {"x": "5", "y": "2"},
    });
    assert_eq!(made, wanted);
}

#[test]
fn an_entrypoint_of_ones_own_sets_the_command_aside() {
    let own = run(json!({ "Cmd": ["serve"], "Entrypoint": ["/entry"] }));
    let made = over(run(json!({ "Entrypoint": ["/other"] })), own);
    assert_eq!((made.entrypoint, made.cmd), (Some(vec!["/other".into()]), None));
}

#[test]
fn what_containers_alone_have_stays_with_them() {
    let config =
        Config { hostname: "abc".into(), tty: true, cmd: Some(vec!["x".into()]), ..Config::default() };
    let made = serde_json::to_value(of_image(&config).unwrap()).unwrap();
    assert_eq!(made["Cmd"], json!(["x"]));
    assert!(made.get("Hostname").is_none() && made.get("Tty").is_none(), "{made}");
}
