//! What `sea route` is told: a request to explain, or answers to throw away.

use clap::{Args, Subcommand};

/// `sea route …`.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Say what would happen to a request, and why, without sending it
    Explain(RouteExplainArgs),
    /// Throw away answers that the edge keeps for services with 'cache'
    #[command(
        after_help = "Examples:\n  sea route purge https://shop.example/news?page=1\n  sea route purge --prefix shop.example/news\n  sea route purge --all shop/web"
    )]
    Purge(RoutePurgeArgs),
}

/// `sea route explain`.
#[derive(Debug, Args)]
pub struct RouteExplainArgs {
    /// Its URL, of HTTP if it names no scheme; a port, if it names one, is one of the edge's
    pub url: String,
    /// The method
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: String,
    /// A field of the request: 'NAME: VALUE'
    #[arg(short = 'H', long = "header")]
    pub headers: Vec<String>,
    /// The client's address
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<std::net::IpAddr>,
}

/// `sea route purge`.
#[derive(Debug, Args)]
pub struct RoutePurgeArgs {
    /// Their URL with its query, in all that it varies by; without a scheme, of HTTP and of HTTPS
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub url: Option<String>,
    /// All whose URL begins so
    #[arg(long, conflicts_with = "all")]
    pub prefix: bool,
    /// All that a service keeps, as in shop/web, or all services of an app
    #[arg(long, value_name = "NAME")]
    pub all: Option<String>,
}
