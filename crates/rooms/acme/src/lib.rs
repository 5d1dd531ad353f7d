//! Certificates from an authority, by ACME (RFC 8555): ordered, proven, renewed.
//!
//! Owns `acme/` under the root: the key of the account with each authority, and a file for each certificate with its key,
//! for their owner alone. When something is ordered [`plan::renewal`] decides; what the edge shows goes through a
//! [`Front`], which the daemon makes of the edge.
//!
//! Invariant: what a file says was issued has come whole, belongs to its key and is for its names. Files are written
//! beside and renamed.

mod client;
mod error;
mod front;
mod http;
mod keeper;
mod keys;
mod retry;
mod settings;
mod store;
mod x509;

pub use error::{AcmeError, RetryError, SettingsError};
pub use front::{BoxFuture, Front};
pub use keeper::{Keeper, State, Status};
pub use retry::Retried;
pub use settings::{Binding, LETS_ENCRYPT, Settings};

#[cfg(test)]
mod tests;
