//! What `sea certificate` is told: certificates by an authority that are to be ordered again.

use clap::{Args, Subcommand};

/// `sea certificate …`.
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Order again now, after an order came to nothing, without waiting for the next try
    #[command(
        after_help = "Examples:\n  sea certificate retry\n  sea certificate retry shop.example\n\nEach certificate can be ordered again by hand 3 times an hour."
    )]
    Retry(CertificateRetryArgs),
}

/// `sea certificate retry`.
#[derive(Debug, Args)]
pub struct CertificateRetryArgs {
    /// Hosts whose certificates are meant; all whose last order came to nothing if none is named
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
}
