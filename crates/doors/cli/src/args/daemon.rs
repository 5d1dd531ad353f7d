//! The command line of `sea daemon`.

use std::path::PathBuf;

use clap::Args;

use super::EdgeArgs;

/// `sea daemon`.
#[derive(Debug, Clone, Args)]
pub struct DaemonArgs {
    /// What its edge does.
    #[command(flatten)]
    pub edge: EdgeArgs,
    /// How the edge writes its access log: json, common, combined, or off
    #[arg(long, env = "SEA_ACCESS_LOG", value_name = "FORMAT", default_value = "json")]
    #[arg(value_parser = ["json", "common", "combined", "off"])]
    pub access_log: String,
    /// Serve metrics for Prometheus at this address, under /metrics; whoever reaches it reads them
    #[arg(long, env = "SEA_METRICS", value_name = "ADDRESS")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Serve a registry too, at this address
    #[arg(long, env = "SEA_REGISTRY", value_name = "ADDRESS")]
    pub registry: Option<std::net::SocketAddr>,
    /// Who may use that registry: a file made with `htpasswd -B`
    #[arg(long, value_name = "FILE", requires = "registry")]
    pub registry_htpasswd: Option<PathBuf>,
    /// Keep so many of the newest tags of each repository there, and what runs or a release keeps
    #[arg(long, value_name = "N", requires = "registry")]
    pub registry_keep: Option<usize>,
    /// Ask this address before docker's own registry; may be given several times
    #[arg(long, env = "SEA_MIRROR", value_name = "URL")]
    pub mirror: Vec<String>,
    /// A registry that may lack TLS or a certificate that somebody signed; may be given several times
    #[arg(long, value_name = "HOST[:PORT]")]
    pub insecure_registry: Vec<String>,
    /// What to log, as in `info` or `network=debug`
    #[arg(long, env = "SEA_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// Log lines of JSON
    #[arg(long)]
    pub log_json: bool,
    /// Log to this file, of at most 10 MiB, with one older beside it
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}
