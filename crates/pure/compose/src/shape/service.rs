//! A service and all that it holds.

use super::{Form, Kind, Shape, hidden, shape, shown};

/// A service.
pub(super) static SERVICE: Shape = shape(
    "a service",
    &[
        shown("profiles", Kind::Texts(true)),
        shown("annotations", Kind::Labels),
        shown("attach", Kind::MaybeBool),
        shown("build", Kind::Object(&BUILD, Form::OrText)),
        shown("develop", Kind::Object(&DEVELOP, Form::OrNull)),
        shown("blkio_config", Kind::Object(&BLKIO, Form::Long)),
        shown("cap_add", Kind::Texts(true)),
        shown("cap_drop", Kind::Texts(true)),
        shown("cgroup_parent", Kind::Text),
        shown("cgroup", Kind::Word(&["host", "private"])),
        shown("cpu_count", Kind::Int(0, i64::MAX)),
        shown("cpu_percent", Kind::Percent),
        shown("cpu_period", Kind::Number),
        shown("cpu_quota", Kind::Number),
        shown("cpu_rt_period", Kind::Number),
        shown("cpu_rt_runtime", Kind::Number),
        shown("cpus", Kind::Float),
        shown("cpuset", Kind::Text),
        shown("cpu_shares", Kind::Number),
        shown("command", Kind::Command),
        shown("configs", Kind::Objects(&FILE_MOUNT, Form::OrText)),
        shown("container_name", Kind::ContainerName),
        shown("credential_spec", Kind::Object(&CREDENTIALS, Form::Long)),
        shown("depends_on", Kind::Named(&DEPENDENCY, Form::OrNamesStrict)),
        shown("deploy", Kind::Object(&DEPLOY, Form::OrNull)),
        shown("device_cgroup_rules", Kind::Texts(true)),
        shown("devices", Kind::Objects(&DEVICE, Form::OrText)),
        shown("dns", Kind::TextOrTexts),
        shown("dns_opt", Kind::Texts(true)),
        shown("dns_search", Kind::TextOrTexts),
        shown("domainname", Kind::Text),
        shown("entrypoint", Kind::Command),
        shown("provider", Kind::Object(&PROVIDER, Form::Long)),
        shown("environment", Kind::Env),
        hidden("env_file", Kind::Objects(&ENV_FILE, Form::OrTexts)),
        shown("expose", Kind::Loose),
        shown("extends", Kind::Object(&EXTENDS, Form::OrText)),
        shown("external_links", Kind::Texts(true)),
        shown("extra_hosts", Kind::Hosts),
        shown("group_add", Kind::Loose),
        shown("gpus", Kind::Objects(&GPU, Form::OrAll)),
        shown("hostname", Kind::Text),
        shown("healthcheck", Kind::Object(&HEALTH, Form::Long)),
        shown("image", Kind::Text),
        shown("init", Kind::MaybeBool),
        shown("ipc", Kind::Text),
        shown("isolation", Kind::Text),
        shown("labels", Kind::Labels),
        hidden("label_file", Kind::TextOrTexts),
        shown("links", Kind::Texts(true)),
        shown("logging", Kind::Object(&LOGGING, Form::Long)),
        shown("mem_limit", Kind::Bytes),
        shown("mem_reservation", Kind::Bytes),
        shown("memswap_limit", Kind::Bytes),
        shown("mem_swappiness", Kind::WholeBytes(i64::MIN)),
        shown("mac_address", Kind::Text),
        shown("models", Kind::Named(&SERVICE_MODEL, Form::OrNames)),
        shown("network_mode", Kind::Text),
        shown("networks", Kind::Named(&ATTACHMENT, Form::OrNames)),
        shown("oom_kill_disable", Kind::Bool),
        shown("oom_score_adj", Kind::Int(-1000, 1000)),
        shown("pid", Kind::TextOrNull),
        shown("pids_limit", Kind::Number),
        shown("platform", Kind::Text),
        shown("ports", Kind::Objects(&PORT, Form::OrNumber)),
        shown("privileged", Kind::Bool),
        shown("pull_policy", Kind::PullPolicy),
        hidden("pull_refresh_after", Kind::Text),
        shown("read_only", Kind::Bool),
        shown("restart", Kind::Text),
        shown("runtime", Kind::Text),
        shown("scale", Kind::MaybeInt),
        shown("secrets", Kind::Objects(&FILE_MOUNT, Form::OrText)),
        shown("security_opt", Kind::Texts(true)),
        shown("shm_size", Kind::Bytes),
        shown("stdin_open", Kind::Bool),
        shown("stop_grace_period", Kind::MaybeDuration),
        shown("stop_signal", Kind::Text),
        shown("storage_opt", Kind::Texted),
        shown("sysctls", Kind::Labels),
        shown("tmpfs", Kind::TextOrTexts),
        shown("tty", Kind::Bool),
        shown("ulimits", Kind::Named(&ULIMIT, Form::Ulimit)),
        shown("use_api_socket", Kind::StrictBool),
        shown("user", Kind::Text),
        shown("userns_mode", Kind::Text),
        shown("uts", Kind::Text),
        shown("volumes", Kind::Objects(&MOUNT, Form::OrText)),
        shown("volumes_from", Kind::Texts(true)),
        shown("working_dir", Kind::Text),
        shown("post_start", Kind::Objects(&HOOK, Form::Long)),
        shown("pre_stop", Kind::Objects(&HOOK, Form::Long)),
    ],
);

static BUILD: Shape = shape(
    "a build",
    &[
        shown("context", Kind::Text),
        shown("dockerfile", Kind::Text),
        shown("dockerfile_inline", Kind::Text),
        shown("entitlements", Kind::Texts(false)),
        shown("args", Kind::Env),
        shown("provenance", Kind::TextOrBool),
        shown("sbom", Kind::TextOrBool),
        shown("ssh", Kind::Ssh),
        shown("labels", Kind::Labels),
        shown("cache_from", Kind::Texts(false)),
        shown("cache_to", Kind::Texts(false)),
        shown("no_cache", Kind::Bool),
        shown("additional_contexts", Kind::Labels),
        shown("pull", Kind::Bool),
        shown("extra_hosts", Kind::Hosts),
        shown("isolation", Kind::Text),
        shown("network", Kind::Text),
        shown("target", Kind::Text),
        shown("secrets", Kind::Objects(&FILE_MOUNT, Form::OrText)),
        shown("shm_size", Kind::WholeBytes(i64::MIN)),
        shown("tags", Kind::Texts(false)),
        shown("ulimits", Kind::Named(&ULIMIT, Form::Ulimit)),
        shown("platforms", Kind::Texts(false)),
        shown("privileged", Kind::Bool),
    ],
);

static DEVELOP: Shape = shape("a develop section", &[shown("watch", Kind::Objects(&WATCH, Form::Long))]);

static WATCH: Shape = shape(
    "a watch rule",
    &[
        shown("path", Kind::TextAlways),
        shown("action", Kind::Word(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
        shown("target", Kind::Text),
        shown("exec", Kind::Object(&HOOK, Form::Solid)),
        shown("include", Kind::TextOrTexts),
        shown("ignore", Kind::TextOrTexts),
        shown("initial_sync", Kind::StrictBool),
    ],
)
.requires(&["path", "action"]);

static BLKIO: Shape = shape(
    "a block device section",
    &[
        shown("weight", Kind::Int(0, 65_535)),
        shown("weight_device", Kind::Objects(&WEIGHT, Form::Long)),
        shown("device_read_bps", Kind::Objects(&RATE, Form::Long)),
        shown("device_read_iops", Kind::Objects(&RATE, Form::Long)),
        shown("device_write_bps", Kind::Objects(&RATE, Form::Long)),
        shown("device_write_iops", Kind::Objects(&RATE, Form::Long)),
    ],
)
.closed();

/// Its keys are capitals in the JSON of the reference implementation; see the output.
pub(crate) static WEIGHT: Shape =
    shape("a device's weight", &[shown("path", Kind::TextAlways), shown("weight", Kind::AlwaysInt)]).closed();

pub(crate) static RATE: Shape =
    shape("a device's rate", &[shown("path", Kind::TextAlways), shown("rate", Kind::AlwaysBytes)]).closed();

static FILE_MOUNT: Shape = shape(
    "a file in a container",
    &[
        shown("source", Kind::Text),
        shown("target", Kind::Text),
        shown("uid", Kind::Text),
        shown("gid", Kind::Text),
        shown("mode", Kind::Mode),
    ],
);

static CREDENTIALS: Shape = shape(
    "a credential spec",
    &[shown("config", Kind::Text), shown("file", Kind::Text), shown("registry", Kind::Text)],
);

static DEPENDENCY: Shape = shape(
    "a dependency",
    &[
        shown(
            "condition",
            Kind::Word(&["service_started", "service_healthy", "service_completed_successfully"]),
        ),
        shown("restart", Kind::Bool),
        shown("required", Kind::AlwaysBool),
    ],
)
.requires(&["condition"]);

static DEPLOY: Shape = shape(
    "a deploy section",
    &[
        shown("mode", Kind::Text),
        shown("replicas", Kind::MaybeInt),
        shown("labels", Kind::Labels),
        shown("update_config", Kind::Object(&UPDATE, Form::Long)),
        shown("rollback_config", Kind::Object(&UPDATE, Form::Long)),
        shown("resources", Kind::Object(&RESOURCES, Form::Solid)),
        shown("restart_policy", Kind::Object(&RESTART, Form::Long)),
        shown("placement", Kind::Object(&PLACEMENT, Form::Solid)),
        shown("endpoint_mode", Kind::Text),
    ],
);

static UPDATE: Shape = shape(
    "an update policy",
    &[
        shown("parallelism", Kind::MaybeInt),
        shown("delay", Kind::Duration),
        shown("failure_action", Kind::Text),
        shown("monitor", Kind::Duration),
        shown("max_failure_ratio", Kind::Float),
        shown("order", Kind::Word(&["start-first", "stop-first"])),
    ],
);

static RESOURCES: Shape = shape(
    "a resources section",
    &[
        shown("limits", Kind::Object(&LIMITS, Form::Long)),
        shown("reservations", Kind::Object(&RESERVATIONS, Form::Long)),
    ],
);

static LIMITS: Shape = shape(
    "a set of limits",
    &[
        shown("cpus", Kind::Float),
        shown("memory", Kind::BytesText),
        shown("pids", Kind::Int(i64::MIN, i64::MAX)),
    ],
);

static RESERVATIONS: Shape = shape(
    "a set of reservations",
    &[
        shown("cpus", Kind::Float),
        shown("memory", Kind::BytesText),
        shown("devices", Kind::Objects(&REQUEST, Form::Long)),
        shown("generic_resources", Kind::Objects(&GENERIC, Form::Long)),
    ],
);

static REQUEST: Shape = shape(
    "a device request",
    &[
        shown("capabilities", Kind::Texts(true)),
        shown("driver", Kind::Text),
        shown("count", Kind::Count),
        shown("device_ids", Kind::Texts(true)),
        shown("options", Kind::Labels),
    ],
)
.requires(&["capabilities"]);

static GPU: Shape = shape(
    "a GPU request",
    &[
        shown("capabilities", Kind::Texts(true)),
        shown("driver", Kind::Text),
        shown("count", Kind::Count),
        shown("device_ids", Kind::Texts(true)),
        shown("options", Kind::Labels),
    ],
)
.closed()
.open();

static GENERIC: Shape =
    shape("a generic resource", &[shown("discrete_resource_spec", Kind::Object(&DISCRETE, Form::Long))]);

static DISCRETE: Shape =
    shape("a discrete resource", &[shown("kind", Kind::TextAlways), shown("value", Kind::AlwaysNumber)]);

static RESTART: Shape = shape(
    "a restart policy",
    &[
        shown("condition", Kind::Text),
        shown("delay", Kind::MaybeDuration),
        shown("max_attempts", Kind::MaybeInt),
        shown("window", Kind::MaybeDuration),
    ],
);

static PLACEMENT: Shape = shape(
    "a placement",
    &[
        shown("constraints", Kind::Texts(false)),
        shown("preferences", Kind::Objects(&PREFERENCE, Form::Long)),
        shown("max_replicas_per_node", Kind::Int(0, i64::MAX)),
    ],
);

static PREFERENCE: Shape = shape("a placement preference", &[shown("spread", Kind::Text)]);

static DEVICE: Shape = shape(
    "a device",
    &[shown("source", Kind::Text), shown("target", Kind::Text), shown("permissions", Kind::Text)],
)
.requires(&["source"]);

static PROVIDER: Shape =
    shape("a provider", &[shown("type", Kind::Text), shown("options", Kind::MultiOptions)])
        .requires(&["type"]);

static ENV_FILE: Shape = shape(
    "an env file",
    &[hidden("path", Kind::Text), hidden("required", Kind::Bool), hidden("format", Kind::Text)],
)
.requires(&["path"])
.closed();

static EXTENDS: Shape = shape("an extends", &[shown("file", Kind::Text), shown("service", Kind::Text)])
    .requires(&["service"])
    .closed();

static HEALTH: Shape = shape(
    "a health check",
    &[
        shown("test", Kind::Test),
        shown("timeout", Kind::MaybeDuration),
        shown("interval", Kind::MaybeDuration),
        shown("retries", Kind::MaybeNumber),
        shown("start_period", Kind::MaybeDuration),
        shown("start_interval", Kind::MaybeDuration),
        shown("disable", Kind::Bool),
    ],
);

static LOGGING: Shape =
    shape("a logging section", &[shown("driver", Kind::Text), shown("options", Kind::Options(true))]);

static SERVICE_MODEL: Shape =
    shape("a model of a service", &[shown("endpoint_var", Kind::Text), shown("model_var", Kind::Text)]);

static ATTACHMENT: Shape = shape(
    "a network of a service",
    &[
        shown("aliases", Kind::Texts(true)),
        shown("driver_opts", Kind::Options(false)),
        shown("gw_priority", Kind::BareNumber),
        shown("interface_name", Kind::Text),
        shown("ipv4_address", Kind::Text),
        shown("ipv6_address", Kind::Text),
        shown("link_local_ips", Kind::Texts(true)),
        shown("mac_address", Kind::Text),
        shown("priority", Kind::BareNumber),
    ],
);

static PORT: Shape = shape(
    "a port",
    &[
        shown("name", Kind::Text),
        shown("mode", Kind::Text),
        shown("host_ip", Kind::Text),
        shown("target", Kind::Int(0, 65_535)),
        shown("published", Kind::TextOrInt),
        shown("protocol", Kind::Text),
        shown("app_protocol", Kind::Text),
    ],
);

static ULIMIT: Shape =
    shape("a process limit", &[shown("soft", Kind::AlwaysInt), shown("hard", Kind::AlwaysInt)])
        .requires(&["soft", "hard"]);

static MOUNT: Shape = shape(
    "a mount",
    &[
        shown("type", Kind::Word(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
        shown("source", Kind::Text),
        shown("target", Kind::Text),
        shown("read_only", Kind::Bool),
        shown("consistency", Kind::Text),
        shown("bind", Kind::Object(&BIND, Form::Long)),
        shown("volume", Kind::Object(&MOUNT_VOLUME, Form::Long)),
        shown("tmpfs", Kind::Object(&TMPFS, Form::Long)),
        shown("image", Kind::Object(&MOUNT_IMAGE, Form::Long)),
    ],
)
.requires(&["type"]);

static BIND: Shape = shape(
    "bind options",
    &[
        shown("selinux", Kind::Word(&["z", "Z"])),
        shown("propagation", Kind::Text),
        shown("create_host_path", Kind::Bool),
        shown("recursive", Kind::Word(&["enabled", "disabled", "writable", "readonly"])),
    ],
);

static MOUNT_VOLUME: Shape = shape(
    "volume options",
    &[shown("labels", Kind::Labels), shown("nocopy", Kind::Bool), shown("subpath", Kind::Text)],
);

static TMPFS: Shape =
    shape("tmpfs options", &[shown("size", Kind::WholeBytes(0)), shown("mode", Kind::BareNumber)]);

static MOUNT_IMAGE: Shape = shape("image options", &[shown("subpath", Kind::Text)]);

static HOOK: Shape = shape(
    "a hook",
    &[
        shown("command", Kind::Command),
        shown("user", Kind::Text),
        shown("privileged", Kind::Bool),
        shown("working_dir", Kind::Text),
        shown("environment", Kind::Env),
    ],
)
.requires(&["command"]);
