//! The flags of `sea config`, which are compose's.

use std::path::PathBuf;

use clap::Args;

use super::AppArgs;

/// `sea config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Which app.
    #[command(flatten)]
    pub app: AppArgs,
    /// Only these services and what they depend on
    pub services: Vec<String>,
    /// Print the names of the services
    #[arg(long = "services")]
    pub list_services: bool,
    /// Print the keys of the volumes
    #[arg(long)]
    pub volumes: bool,
    /// Print the keys of the networks
    #[arg(long)]
    pub networks: bool,
    /// Print the names of the profiles
    #[arg(long = "profiles")]
    pub list_profiles: bool,
    /// Print the images
    #[arg(long)]
    pub images: bool,
    /// Print the variables that are used
    #[arg(long)]
    pub environment: bool,
    /// Print digests of services; `*` for all
    #[arg(long, value_name = "SERVICE")]
    pub hash: Option<String>,
    /// Print the names of the models
    #[arg(long)]
    pub models: bool,
    /// Print every variable that the files name, with its defaults
    #[arg(long)]
    pub variables: bool,
    /// Leave variables as they are written
    #[arg(long)]
    pub no_interpolate: bool,
    /// Leave out what is implied: default networks, names, dependencies
    #[arg(long)]
    pub no_normalize: bool,
    /// Leave paths as they are written
    #[arg(long)]
    pub no_path_resolution: bool,
    /// Leave files of variables unread
    #[arg(long)]
    pub no_env_resolution: bool,
    /// Do not check that the parts fit together; what is printed may be no app that can run
    #[arg(long)]
    pub no_consistency: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
