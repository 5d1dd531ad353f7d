//! Docker's flags as an order.

use super::*;

#[test]
fn ports_read_as_docker_reads_them() {
    let read = |text: &str| {
        port(text)
            .ok()
            .map(|port| (port.host_ip.map(|ip| ip.to_string()), port.host_port, port.port, port.protocol))
    };
    assert_eq!(read("80"), Some((None, 0, 80, Protocol::Auto)));
    assert_eq!(read("8080:80"), Some((None, 8080, 80, Protocol::Auto)));
    assert_eq!(read("127.0.0.1:53:5353/udp"), Some((Some("127.0.0.1".into()), 53, 5353, Protocol::Udp)));
    assert_eq!(read("[::1]:8080:80/tcp"), Some((Some("::1".into()), 8080, 80, Protocol::Auto)));
    for bad in ["", "x", "80:y", "1:2:3:4", "99999", "80/sctp", "nowhere:1:2"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn restart_policies_read_as_docker_reads_them() {
    assert_eq!(restart("on-failure:3").ok(), Some(Restart::OnFailure { max_retries: 3 }));
    assert_eq!(restart("unless-stopped").ok(), Some(Restart::UnlessStopped));
    assert!(restart("sometimes").is_err());
    assert!(restart("on-failure:x").is_err());
}

#[test]
fn a_mount_is_a_folder_a_volume_or_a_place() {
    let mut app = App {
        name: AppName::new("run").expect("a name"),
        services: IndexMap::new(),
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        secrets: IndexMap::new(),
        configs: IndexMap::new(),
    };
    let mut read = |text: &str| mount(text, &mut app).map(|mount| (mount.kind, mount.read_only));
    assert!(matches!(read("/etc:/config:ro"), Ok((MountKind::Bind { .. }, true))));
    assert!(matches!(read("data:/data"), Ok((MountKind::Volume { .. }, false))));
    assert!(matches!(read("/data"), Ok((MountKind::Anonymous, false))));
    assert!(read("data:relative").is_err());
    assert!(read("data:/data:rx").is_err());
    assert!(app.volumes.contains_key("data"));
}
