//! The edge: every request to healthy instances; a Traffic.
//!
//! Two halves that meet at a socket. [`edge_main`] is the process that serves: one thread a core, each with its own
//! runtime, its own listening sockets and its own connections to the instances, all of which go by one table.
//! [`Edge`] is the daemon's hand on it: it starts the process or finds the one that runs, gives it tables, and
//! replaces it when it dies. The process serves its last table while there is no daemon.
//!
//! Owns the folder `edge/` under the root.

mod access_log;
mod balance;
mod buffer;
mod cache;
mod chunk;
mod client;
mod connection;
mod datagram;
mod detect;
mod endpoint;
mod events;
mod exchange;
mod explain;
mod files;
mod fork;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gate;
mod handover;
mod head;
mod http2;
mod limits;
mod link;
mod listen;
mod local;
#[cfg(any(test, fuzzing))]
mod peers;
mod places;
mod preface;
mod priority;
mod protocol;
mod range;
mod refusal;
mod rules;
mod seats;
mod secure;
mod server;
mod status;
mod stick;
mod stream;
mod table;
mod tally;
mod tls;
mod today;
mod trace;
mod tunnel;
mod watch;
mod worker;

pub use cache::{Address, Purge, Purged};
pub use client::{Deaths, Edge, EdgeConfig, EdgeError, identity};
pub use explain::{Ask, Candidate, Explanation, Step, Verdict};
pub use files::{FileStore, FilesError, Swept};
pub use limits::{LogFormat, Settings};
pub use listen::ListenError;
pub use refusal::Refusal;
pub use server::{EdgeOptions, HttpsFront, StartError, edge_main};
pub use status::{
    CacheStatus, ClassStatus, EdgeStatus, EndpointStatus, HedgeStatus, MirrorStatus, PoolStatus, PortStatus,
    RefusedStatus, RuleStatus, SideStatus, StickStatus, TlsStatus,
};
pub use table::{Document, TableFlaw};
pub use tally::Tally;
pub use tls::TlsFlaw;
