//! The flags of `sea pull`, `push`, `login`, `logout` and `registry`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::AppArgs;

/// `sea pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Images, or services of the app; all services when none
    pub names: Vec<String>,
    /// For another machine, as in linux/arm64
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Option<String>,
}

/// `sea push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Images, or services of the app that are built; all of these when none
    pub names: Vec<String>,
    /// Send them straight to another sea, which need not be a registry: `ssh://[USER@]HOST[:PORT]` or `unix://PATH`
    #[arg(long, value_name = "URL")]
    pub to: Option<String>,
}

/// `sea login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The registry; docker's own when none
    pub registry: Option<String>,
    /// Who
    #[arg(short, long)]
    pub username: Option<String>,
    /// The password; others may see it in the list of processes
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Take the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

/// `sea logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    /// The registry; docker's own when none
    pub registry: Option<String>,
}

/// `sea registry`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RegistryArgs {
    /// What to do with it; serve it when nothing is said
    #[command(subcommand)]
    pub command: Option<RegistryCommand>,
    /// How it is served.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// How a registry is served.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where it answers
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Who may use it: a file made with `htpasswd -B`
    #[arg(long, value_name = "FILE")]
    pub htpasswd: Option<PathBuf>,
    /// Give tokens for passwords, instead of asking for the password each time
    #[arg(long, requires = "htpasswd")]
    pub tokens: bool,
    /// Everybody may pull, those in the file may push
    #[arg(long, requires = "htpasswd")]
    pub anonymous_pull: bool,
    /// Everybody may do everything, also from other machines
    #[arg(long, conflicts_with = "htpasswd")]
    pub open: bool,
    /// How clients reach it, for tokens, as in `https://registry.example`
    #[arg(long, value_name = "URL")]
    pub address: Option<String>,
    /// The certificate, with its chain
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Hand on the images of this registry and keep them; it takes no pushes then
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Do not delete anything when asked over HTTP
    #[arg(long)]
    pub no_delete: bool,
    /// Keep so many of the newest tags of each repository
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Keep tags that are younger, as in 30d
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub keep_within: Option<std::time::Duration>,
    /// What to log, as in `info` or `registry=debug`
    #[arg(long, env = "SEA_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// What to do with a registry that is not being served.
#[derive(Debug, Clone, Subcommand)]
pub enum RegistryCommand {
    /// Take what no manifest names; a registry that is served does so by itself
    Gc,
    /// List repositories, or the tags of one
    Tags {
        /// Which repository
        repository: Option<String>,
    },
    /// Take tags away, or manifests by digest
    Rm {
        /// REPOSITORY:TAG or REPOSITORY@DIGEST
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// An age, as in `30d` or `12h`.
fn age(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is not an age; write it as in 30d, 12h or 90m");
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(std::time::Duration::from_secs).ok_or_else(wrong)
}
