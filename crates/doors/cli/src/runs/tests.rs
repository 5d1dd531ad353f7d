//! Docker's flags as an order.

use super::*;

#[test]
fn ports_read_as_docker_reads_them() {
    let read = |text: &str| {
        port(text)
            .ok()
            .map(|all| all.into_iter().next().expect("at least one"))
            .map(|port| (port.host_ip.map(|ip| ip.to_string()), port.host_port, port.port, port.protocol))
    };
    assert_eq!(read("80"), Some((None, 0, 80, Protocol::Auto)));
    assert_eq!(read("8080:80"), Some((None, 8080, 80, Protocol::Auto)));
    assert_eq!(read("127.0.0.1:53:5353/udp"), Some((Some("127.0.0.1".into()), 53, 5353, Protocol::Udp)));
    assert_eq!(read("[::1]:8080:80/tcp"), Some((Some("::1".into()), 8080, 80, Protocol::Auto)));
    for bad in ["", "x", "80:y", "1:2:3:4", "99999", "80/sctp", "nowhere:1:2", "9-8:9-8", "1-2:3"] {
        assert_eq!(read(bad), None, "{bad}");
    }
    let many = port("127.0.0.1:8000-8002:80-82").expect("ports");
    assert_eq!(
        many.iter().map(|one| (one.host_port, one.port)).collect::<Vec<_>>(),
        [(8000, 80), (8001, 81), (8002, 82)]
    );
}

#[test]
fn restart_policies_read_as_docker_reads_them() {
    assert_eq!(restart("on-failure:3").ok(), Some(Restart::OnFailure { max_retries: 3 }));
    assert_eq!(restart("unless-stopped").ok(), Some(Restart::UnlessStopped));
    assert!(restart("sometimes").is_err());
    assert!(restart("on-failure:x").is_err());
}

/// An app of nothing.
fn empty() -> App {
    App {
        name: AppName::new("run").expect("a name"),
        services: IndexMap::new(),
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        secrets: IndexMap::new(),
        configs: IndexMap::new(),
    }
}

#[test]
fn a_mount_is_a_folder_a_volume_or_a_place() {
    let mut app = empty();
    let mut read = |text: &str| mount(text, &mut app).map(|mount| (mount.kind, mount.read_only));
    assert!(matches!(read("/etc:/config:ro"), Ok((MountKind::Bind { .. }, true))));
    assert!(matches!(read("data:/data"), Ok((MountKind::Volume { .. }, false))));
    assert!(matches!(read("/data"), Ok((MountKind::Anonymous, false))));
    assert!(read("data:relative").is_err());
    assert!(read("data:/data:rx").is_err());
    assert!(app.volumes.contains_key("data"));
}

#[test]
fn a_mount_by_words_is_the_mount_that_it_describes() {
    let mut app = empty();
    let mut read = |text: &str| words::mount(text, &mut app).map(|mount| (mount.kind, mount.read_only));
    assert!(matches!(
        read("type=bind,source=/etc,target=/config,readonly"),
        Ok((MountKind::Bind { .. }, true))
    ));
    assert!(matches!(read("source=data,destination=/data"), Ok((MountKind::Volume { .. }, false))));
    assert!(matches!(read("type=volume,dst=/data,ro=true"), Ok((MountKind::Anonymous, true))));
    assert!(matches!(
        read("type=tmpfs,target=/run,tmpfs-size=1m,tmpfs-mode=700"),
        Ok((MountKind::Tmpfs(Tmpfs { size: Some(Bytes(1_048_576)), mode: Some(0o700), .. }), false))
    ));
    for bad in [
        "type=bind,target=/x",
        "type=bind,source=relative,target=/x",
        "type=bind,source=/no/such/place,target=/x",
        "type=tmpfs,source=a,target=/x",
        "type=npipe,source=a,target=/x",
        "source=data",
        "source=data,target=/x,what=else",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn devices_hosts_and_log_options_read_as_docker_reads_them() {
    let device = |text: &str| {
        words::device(text).ok().map(|one| format!("{} {} {}", one.source, one.target, one.permissions))
    };
    assert_eq!(device("/dev/null").as_deref(), Some("/dev/null /dev/null rwm"));
    assert_eq!(device("/dev/null:r").as_deref(), Some("/dev/null /dev/null r"));
    assert_eq!(device("/dev/null:/dev/x:rw").as_deref(), Some("/dev/null /dev/x rw"));
    assert_eq!(device("/dev/null:/dev/x:z"), None);
    assert_eq!(words::host("db:10.0.0.7").ok(), Some(("db".into(), "10.0.0.7".into())));
    assert_eq!(words::host("db=fd00::7").ok(), Some(("db".into(), "fd00::7".into())));
    assert!(words::host("db").is_err());
    let log = |driver, options: &[&str]| {
        let options: Vec<String> = options.iter().map(|text| (*text).to_owned()).collect();
        words::logging(driver, &options).ok().map(|log| (log.keep, log.max_size, log.max_files))
    };
    assert_eq!(log(None, &["max-size=1m", "max-file=2"]), Some((true, Bytes(1 << 20), 2)));
    assert_eq!(log(Some("none"), &[]).map(|(keep, ..)| keep), Some(false));
    assert_eq!(log(Some("syslog"), &[]), None);
    assert_eq!(log(None, &["max-file=0"]), None);
}
