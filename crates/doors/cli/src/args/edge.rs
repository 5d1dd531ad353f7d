//! What `sea daemon` is told for its edge: addresses, proxies in front, and the authority that issues certificates.

use std::path::PathBuf;

use clap::Args;

/// `sea daemon --acme-…`.
#[derive(Debug, Clone, Args)]
pub struct AcmeArgs {
    /// The authority that services with `certificate: acme` have theirs from; Let's Encrypt unless it is given
    #[arg(id = "acme_directory", long = "acme-directory", env = "SEA_ACME_DIRECTORY", value_name = "URL")]
    pub directory: Option<String>,
    /// Where the authority writes to when something is wrong
    #[arg(id = "acme_contact", long = "acme-contact", env = "SEA_ACME_CONTACT", value_name = "MAIL")]
    pub contact: Option<String>,
    /// Agree to the terms of the authority; nothing is ordered without
    #[arg(id = "acme_agree", long = "acme-agree", env = "SEA_ACME_AGREE", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::SetTrue)]
    pub agree: bool,
    /// The account with the authority that this machine's is bound to, where it asks for that
    #[arg(id = "acme_eab_kid", long = "acme-eab-kid", env = "SEA_ACME_EAB_KID", value_name = "NAME")]
    pub eab_kid: Option<String>,
    /// A file with the key of that account
    #[arg(
        id = "acme_eab_key_file",
        long = "acme-eab-key-file",
        env = "SEA_ACME_EAB_KEY_FILE",
        value_name = "FILE"
    )]
    pub eab_key_file: Option<PathBuf>,
}

/// What the edge of a daemon does.
#[derive(Debug, Clone, Args)]
pub struct EdgeArgs {
    /// Where the edge answers requests by host and path; :8080 without the right to bind :80
    #[arg(long, env = "SEA_HTTP", value_name = "ADDRESS")]
    pub http: Option<String>,
    /// Where the edge answers them over HTTPS; unless it is given, :443 or :8443 from the first route on that needs it
    #[arg(long, env = "SEA_HTTPS", value_name = "ADDRESS")]
    pub https: Option<String>,
    /// Proxies in front of the edge, which are believed in `X-Forwarded-*`: addresses and ranges, as in 10.0.0.0/8
    #[arg(long, env = "SEA_TRUSTED_PROXIES", value_name = "RANGES", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// Proxies whose connections open with the PROXY protocol, and are closed otherwise: addresses and ranges
    #[arg(long, env = "SEA_PROXY_PROTOCOL_FROM", value_name = "RANGES", value_delimiter = ',')]
    pub proxy_protocol_from: Vec<String>,
    /// Certificates by an authority.
    #[command(flatten)]
    pub acme: AcmeArgs,
}
