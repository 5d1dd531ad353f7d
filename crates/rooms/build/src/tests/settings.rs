//! The configuration and the history that a build writes.

use super::world::World;
use expect_test::{Expect, expect};

/// Builds and shows the image's configuration and history.
#[track_caller]
fn check(dockerfile: &str, config: Expect) {
    let world = World::new();
    show(&world, dockerfile, config);
}

#[track_caller]
fn show(world: &World, dockerfile: &str, config: Expect) {
    let outcome = world.build(dockerfile);
    let shown = match &outcome.built {
        Ok(built) => {
            let image = world.image(built);
            let settings = serde_json::to_string(&image.config.config).expect("it was read from JSON");
            let line = |step: &oci::History| {
                let empty = if step.empty_layer { " (empty)" } else { "" };
                format!("\n{}{empty}", step.created_by.clone().unwrap_or_default())
            };
            settings + &image.config.history.iter().map(line).collect::<String>()
        }
        Err(error) => super::world::describe(error),
    };
    config.assert_eq(&format!(
        "{shown}{}",
        outcome.warnings().iter().map(|w| format!("\nwarning {w}")).collect::<String>()
    ));
}

#[test]
fn instructions_change_the_configuration_as_docker_does() {
    check(
        "FROM scratch\nENV A=1 B=\"x $A\"\nENV B=$A C=${B:-no}\nLABEL a=b \"c d\"='e f'\nEXPOSE 80 53/udp 7000-7002\nVOLUME /data /more\nUSER app:staff\nSTOPSIGNAL SIGINT",
        expect![[r#"
            {"User":"app:staff","ExposedPorts":{"53/udp":{},"7000/tcp":{},"7001/tcp":{},"7002/tcp":{},"80/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","A=1","B=1","C=x "],"Volumes":{"/data":{},"/more":{}},"WorkingDir":"/","Labels":{"a":"b","c d":"e f"},"StopSignal":"SIGINT"}
            ENV A=1 B=x  (empty)
            ENV B=1 C=x  (empty)
            LABEL a=b c d=e f (empty)
            EXPOSE map[53/udp:{} 7000/tcp:{} 7001/tcp:{} 7002/tcp:{} 80/tcp:{}] (empty)
            VOLUME [/data /more] (empty)
            USER app:staff (empty)
            STOPSIGNAL SIGINT (empty)
            warning 2: UndefinedVar: Usage of undefined variable '$A'"#]],
    );
    check(
        "FROM scratch\nSHELL [\"/bin/sh\", \"-ec\"]\nENTRYPOINT run\nCMD a b\nHEALTHCHECK --interval=1m30s --timeout=250ms --retries=3 CMD check it",
        expect![[r#"
            {"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"Entrypoint":["/bin/sh","-ec","run"],"Cmd":["/bin/sh","-ec","a b"],"WorkingDir":"/","Healthcheck":{"Test":["CMD-SHELL","check it"],"Interval":90000000000,"Timeout":250000000,"Retries":3},"Shell":["/bin/sh","-ec"]}
            SHELL [/bin/sh -ec] (empty)
            ENTRYPOINT ["/bin/sh" "-ec" "run"] (empty)
            CMD ["/bin/sh" "-ec" "a b"] (empty)
            HEALTHCHECK &{["CMD-SHELL" "check it"] "1m30s" "250ms" "0s" "0s" '\x03'} (empty)"#]],
    );
    check(
        "FROM scratch\nHEALTHCHECK NONE\nMAINTAINER me\nARG X\nARG Y=1",
        expect![[r#"
            {"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/","Healthcheck":{"Test":["NONE"]}}
            HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\x00'} (empty)
            MAINTAINER me (empty)
            ARG X (empty)
            ARG Y=1 (empty)
            warning 3: MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label"#]],
    );
    check(
        "FROM scratch\nEXPOSE 70000",
        expect![[r#"
            error: Dockerfile line 2: `70000` cannot be a port
               1 | FROM scratch
               2 > EXPOSE 70000
              hint: allowed is a number from 1 to 65535 or a range, with /tcp, /udp or /sctp behind it if need be"#]],
    );
    check(
        "FROM scratch\nSTOPSIGNAL SIGNOTHING",
        expect![[r#"
            error: Dockerfile line 2: `SIGNOTHING` cannot be a signal
               1 | FROM scratch
               2 > STOPSIGNAL SIGNOTHING
              hint: allowed is a name as in `SIGTERM`, or a number from 1 to 64"#]],
    );
}

#[test]
fn an_entrypoint_drops_the_bases_command_and_not_the_stages_own() {
    check(
        "FROM base:1\nENTRYPOINT [\"x\"]",
        expect![[r#"
        {"Env":["PATH=/bin","BASE=yes"],"Entrypoint":["x"]}
        ENTRYPOINT ["x"] (empty)"#]],
    );
    check(
        "FROM base:1\nCMD [\"y\"]\nENTRYPOINT [\"x\"]",
        expect![[r#"
        {"Env":["PATH=/bin","BASE=yes"],"Entrypoint":["x"],"Cmd":["y"]}
        CMD ["y"] (empty)
        ENTRYPOINT ["x"] (empty)"#]],
    );
}

#[test]
fn arguments_reach_from_and_stages_by_dockers_rules() {
    check(
        "ARG TAG=1\nARG NAME=base\nFROM $NAME:${TAG}\nARG TAG\nARG OTHER=$TAG-x\nENV T=$TAG N=$NAME O=$OTHER\nRUN true",
        expect![[r#"
            {"Env":["PATH=/bin","BASE=yes","T=1","N=","O=1-x"],"Cmd":["sh"]}
            ARG TAG=1 (empty)
            ARG OTHER=1-x (empty)
            ENV T=1 N= O=1-x (empty)
            RUN |2 TAG=1 OTHER=1-x /bin/sh -c true # buildkit
            warning 6: UndefinedVar: Usage of undefined variable '$NAME' (did you mean $BASE?)"#]],
    );
    check(
        "FROM --platform=$BUILDPLATFORM base:1\nARG TARGETOS\nENV OS=$TARGETOS NOT=$TARGETARCH",
        expect![[r#"
            {"Env":["PATH=/bin","BASE=yes","OS=linux","NOT="],"Cmd":["sh"]}
            ARG TARGETOS=linux (empty)
            ENV OS=linux NOT= (empty)
            warning 3: UndefinedVar: Usage of undefined variable '$TARGETARCH'"#]],
    );
    check(
        "FROM base:1 AS web\nARG TARGETSTAGE\nRUN echo $TARGETSTAGE",
        expect![[r#"
        {"Env":["PATH=/bin","BASE=yes"],"Cmd":["sh"]}
        ARG TARGETSTAGE=default (empty)
        RUN |1 TARGETSTAGE=default /bin/sh -c echo $TARGETSTAGE # buildkit"#]],
    );
    let world = World::new();
    world.request.borrow_mut().args = [("V", "given"), ("UNUSED", "x"), ("http_proxy", "p")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into();
    world.request.borrow_mut().labels.insert("from".into(), "request".into());
    show(
        &world,
        "FROM base:1\nARG V=default\nENV V2=$V BASE=over\nARG BASE=arg\nENV B=$BASE\nRUN echo $http_proxy",
        expect![[r#"
            {"Env":["PATH=/bin","BASE=over","V2=given","B=over"],"Cmd":["sh"],"Labels":{"from":"request"}}
            ARG V=given (empty)
            ENV V2=given BASE=over (empty)
            ARG BASE=arg (empty)
            ENV B=over (empty)
            RUN |2 V=given BASE=over /bin/sh -c echo $http_proxy # buildkit
            warning 0: the build argument `UNUSED` is declared by no ARG"#]],
    );
}

#[test]
fn triggers_run_in_the_next_build_and_only_there() {
    let world = World::new();
    world.put(&[("app.txt", "app")]);
    show(
        &world,
        "FROM base:1\nONBUILD COPY app.txt /app/\nONBUILD RUN echo $0 > /ran\nONBUILD ENV T=1",
        expect![[
            r#"{"Env":["PATH=/bin","BASE=yes"],"Cmd":["sh"],"OnBuild":["COPY app.txt /app/","RUN echo $0 > /ran","ENV T=1"]}"#
        ]],
    );
    let trigger = world.images.find("built:1").expect("it was just built").id;
    world.images.tag(&trigger.to_string(), &"trigger:1".parse().expect("a name")).expect("it is free");
    show(
        &world,
        "FROM trigger:1\nCMD x",
        expect![[r#"
        {"Env":["PATH=/bin","BASE=yes","T=1"],"Cmd":["/bin/sh","-c","x"]}
        COPY app.txt /app/ # buildkit
        RUN /bin/sh -c echo $0 > /ran # buildkit
        ENV T=1 (empty)
        CMD ["/bin/sh" "-c" "x"] (empty)
        warning 2: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"#]],
    );
    expect![[r#"
        layer 1
          755 0:0 app/
          644 0:0 app/app.txt = app
        layer 2
          644 0:0 ran = /bin/sh"#]]
    .assert_eq(&world.files("FROM trigger:1\nCMD x"));
}
