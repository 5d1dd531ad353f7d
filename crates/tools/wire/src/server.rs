//! The server: a router on a unix socket, until it is told to stop.

mod accepted;
mod heads;

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use axum::Router;
use base::{Kind, Problem};
use tokio::net::UnixListener;

use crate::socket;
pub use accepted::Accepted;
use accepted::Accepting;

/// A socket that is listened on.
pub struct Server {
    path: PathBuf,
    listener: UnixListener,
}

/// Why a socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody answers there.
    #[error("another program answers on `{}`", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("could not listen on `{}`", path.display())]
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Problem for ServeError {
    fn kind(&self) -> Kind {
        match self {
            Self::Taken { .. } => Kind::Conflict,
            Self::Failed { .. } => Kind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Taken { .. } => {
                Some("stop the other daemon, or choose another folder with `--root`".into())
            }
            Self::Failed { .. } => Some("see that the folder exists and may be written to".into()),
        }
    }
}

impl Server {
    /// Listens at this path, for its owner only.
    pub fn bind(path: &Path) -> Result<Self, ServeError> {
        let listener = socket::listen(path).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::Taken { path: path.into() },
            _ => ServeError::Failed { path: path.into(), source },
        })?;
        Ok(Self { path: path.into(), listener })
    }

    /// Serves until `stop` is done, then lets the requests that are under way end.
    pub async fn run(
        self,
        router: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), ServeError> {
        axum::serve(Accepting(self.listener), router)
            .with_graceful_shutdown(stop)
            .await
            .map_err(|source| ServeError::Failed { path: self.path, source })
    }
}

#[cfg(test)]
mod tests;
