//! What all parts of the door share.

use std::sync::Arc;

use base::Clock;
use build::Fetcher;
use images::Images;

use crate::contexts::Contexts;
use crate::job::Jobs;
use crate::legacy::Bodies;
use crate::order::Builds;
use crate::proto::control::{BuildkitVersion, GcPolicy, WorkerRecord};
use crate::proto::ops;
use crate::session::Sessions;

/// Sessions, contexts and builds, and who does the builds.
pub(crate) struct Engine {
    pub sessions: Sessions,
    pub contexts: Contexts,
    pub jobs: Jobs,
    pub bodies: Bodies,
    pub builds: Arc<dyn Builds>,
    pub images: Images,
    /// The way to the web, if there is one.
    pub fetcher: Option<Arc<dyn Fetcher>>,
    pub clock: Arc<dyn Clock>,
    /// This program's version.
    pub version: String,
    /// The address at which containers reach this machine, if there is one.
    pub host_gateway: Option<std::net::IpAddr>,
    /// The worker's id: the same as long as this program runs.
    pub worker: String,
}

impl Engine {
    /// The version, as clients read it: some ask whether it is new enough.
    pub(crate) fn version(&self) -> BuildkitVersion {
        BuildkitVersion {
            package: "seaworthy".to_owned(),
            version: self.version.clone(),
            revision: String::new(),
        }
    }

    /// The one worker, described as dockerd describes its own without a containerd store: so clients know that the
    /// result goes into this store and nowhere else.
    pub(crate) fn worker(&self) -> WorkerRecord {
        let ours = oci::Platform::ours();
        let platform = ops::Platform {
            architecture: ours.architecture,
            os: ours.os,
            variant: ours.variant.unwrap_or_default(),
        };
        let gateway = self.host_gateway.map(|address| {
            ("org.mobyproject.buildkit.worker.moby.host-gateway-ip".to_owned(), address.to_string())
        });
        WorkerRecord {
            id: self.worker.clone(),
            labels: gateway.into_iter().collect(),
            platforms: vec![platform],
            gc_policy: vec![GcPolicy {
                all: true,
                max_used_space: i64::try_from(self.contexts.bound()).unwrap_or(i64::MAX),
                ..GcPolicy::default()
            }],
            version: Some(self.version()),
        }
    }
}
