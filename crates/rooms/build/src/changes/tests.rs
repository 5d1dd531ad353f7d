//! What instructions make of a configuration.

use oci::ImageConfig;

use super::changed;

#[test]
fn each_instruction_does_what_it_does_in_a_build() {
    let mut before = ImageConfig::scratch();
    before.config.on_build = vec!["RUN make".into()];
    before.config.env = vec!["A=1".into()];
    let after = changed(
        before,
        [
            "CMD [\"serve\", \"-v\"]",
            "ENV B=${A}2 C=3\nLABEL tier=front",
            "EXPOSE 80 53/udp",
            "USER app",
            "VOLUME /data",
            "WORKDIR /srv",
            "WORKDIR web/",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN check",
            "HEALTHCHECK --retries=3 CMD true",
            "",
        ],
    )
    .expect("changed")
    .config;
    assert_eq!(after.cmd.as_deref(), Some(["serve".to_owned(), "-v".to_owned()].as_slice()));
    assert_eq!(after.env, ["A=1", "B=12", "C=3"]);
    assert_eq!(after.labels["tier"], "front");
    assert_eq!(after.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
    assert_eq!((after.user.as_str(), after.working_dir.as_str()), ("app", "/srv/web"));
    assert!(after.volumes.contains_key("/data"));
    assert_eq!(after.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(after.on_build, ["RUN make", "RUN check"]);
    assert_eq!(after.healthcheck.expect("a check").retries, 3);
}

#[test]
fn what_needs_a_build_is_refused() {
    for (change, said) in [
        ("RUN make", "RUN is not a valid change command"),
        ("COPY a b", "COPY is not a valid change command"),
        ("FROM a", "FROM is not a valid change command"),
        ("SHELL [\"a\"]", "SHELL is not a valid change command"),
    ] {
        assert_eq!(changed(ImageConfig::scratch(), [change]).expect_err("refused").to_string(), said);
    }
    assert!(changed(ImageConfig::scratch(), ["NOSUCH a"]).is_err());
    assert!(changed(ImageConfig::scratch(), ["EXPOSE many"]).is_err());
}
