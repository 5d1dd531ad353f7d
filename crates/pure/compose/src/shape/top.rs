//! The top level: networks, volumes, secrets, configs, models.

use super::service::SERVICE;
use super::{Form, Kind, Shape, hidden, shape, shown};

/// A whole file.
pub(crate) static PROJECT: Shape = shape(
    "a compose file",
    &[
        hidden("version", Kind::Text),
        shown("name", Kind::Text),
        hidden("include", Kind::Objects(&INCLUDE, Form::OrText)),
        shown("services", Kind::Named(&SERVICE, Form::ResourceStrict)),
        shown("networks", Kind::Named(&NETWORK, Form::Resource)),
        shown("volumes", Kind::Named(&VOLUME, Form::Resource)),
        shown("secrets", Kind::Named(&SECRET, Form::ResourceStrict)),
        shown("configs", Kind::Named(&CONFIG, Form::ResourceStrict)),
        shown("models", Kind::Named(&MODEL, Form::ResourceStrict)),
    ],
);

static INCLUDE: Shape = shape(
    "an include",
    &[
        hidden("path", Kind::TextOrTexts),
        hidden("project_directory", Kind::Text),
        hidden("env_file", Kind::TextOrTexts),
    ],
)
.closed();

static NETWORK: Shape = shape(
    "a network",
    &[
        shown("name", Kind::Text),
        shown("driver", Kind::Text),
        shown("driver_opts", Kind::Options(false)),
        shown("ipam", Kind::Object(&IPAM, Form::Solid)),
        shown("external", Kind::External),
        shown("internal", Kind::Bool),
        shown("attachable", Kind::Bool),
        shown("labels", Kind::Labels),
        shown("enable_ipv4", Kind::MaybeBool),
        shown("enable_ipv6", Kind::MaybeBool),
    ],
);

static IPAM: Shape = shape(
    "an address plan",
    &[
        shown("driver", Kind::Text),
        shown("config", Kind::Objects(&POOL, Form::Long)),
        hidden("options", Kind::Texted),
    ],
);

static POOL: Shape = shape(
    "an address range",
    &[
        shown("subnet", Kind::Text),
        shown("gateway", Kind::Text),
        shown("ip_range", Kind::Text),
        shown("aux_addresses", Kind::Texted),
    ],
);

static VOLUME: Shape = shape(
    "a volume",
    &[
        shown("name", Kind::Text),
        shown("driver", Kind::Text),
        shown("driver_opts", Kind::Options(false)),
        shown("external", Kind::External),
        shown("labels", Kind::Labels),
    ],
);

static SECRET: Shape = shape(
    "a secret",
    &[
        shown("name", Kind::Text),
        shown("file", Kind::Text),
        shown("environment", Kind::Text),
        shown("external", Kind::External),
        shown("labels", Kind::Labels),
        shown("driver", Kind::Text),
        shown("driver_opts", Kind::Options(false)),
        shown("template_driver", Kind::Text),
    ],
);

static CONFIG: Shape = shape(
    "a config",
    &[
        shown("name", Kind::Text),
        shown("file", Kind::Text),
        shown("environment", Kind::Text),
        shown("content", Kind::Text),
        shown("external", Kind::External),
        shown("labels", Kind::Labels),
        shown("template_driver", Kind::Text),
    ],
);

static MODEL: Shape = shape(
    "a model",
    &[
        shown("name", Kind::Text),
        shown("model", Kind::Text),
        shown("context_size", Kind::BareInt),
        shown("runtime_flags", Kind::Texts(false)),
    ],
)
.requires(&["model"]);
