//! The port through which this room knows what shows certificates and proofs.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use base::Report;
use plan::tls::Issued;

/// A future behind a port.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What shows certificates to clients, and proofs to authorities.
pub trait Front: Send + Sync {
    /// The names of certificates that are wanted, each list for one certificate.
    fn wanted(&self) -> BoxFuture<'_, BTreeSet<Vec<String>>>;

    /// Comes when others may be wanted than before.
    fn changed(&self) -> BoxFuture<'_, ()>;

    /// Shows this and nothing else; answers when it is in force for every new connection.
    fn show(&self, issued: Issued) -> BoxFuture<'_, Result<(), Report>>;
}
