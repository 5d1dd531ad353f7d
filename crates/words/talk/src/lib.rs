//! What the command and the daemon say to each other: the bodies of the API under `/v1`, and the frames of its streams.
//!
//! Both doors use these words, `api` to answer and `cli` to ask, so that they cannot drift apart. They are wire types:
//! a field may be added with a default; none changes its meaning.

mod app;
mod builds;
mod container;
mod edge;
mod files;
mod frame;
mod machine;
mod registry;
mod store;

pub use app::{
    AppSummary, Change, DeployOrder, DownOrder, InstanceView, Outcome, PlanView, Progress, ReceiptView,
    ReleaseView, RollbackOrder, ScaleOrder, ServiceChange, ServiceView, ServicesOrder, ShareView, Status,
};
pub use builds::{BuildContext, BuildEvent, BuildOrder, MAX_BUILD_ORDER, SecretBytes};
pub use container::{
    ContainerView, Created, ExecOrder, Exited, HealthView, KillOrder, LogLine, LogQuery, OwnerView, PortView,
    RemoveOrder, RunOrder, StatsView, StopOrder,
};
pub use edge::{
    CertificateRetry, CertificatesRetried, RouteCandidate, RouteCertificate, RouteExplained, RouteInstance,
    RouteMirror, RoutePurge, RoutePurged, RouteQuestion, RouteSide, RouteStep, RouteView, RoutesView,
    ServicePurged,
};
pub use files::TreeView;
pub use frame::{BadFrame, Frame, FrameKind, HEAD, LIMIT, decode, encode};
pub use machine::{Check, DaemonView, Event, Verdict};
pub use registry::{Credential, LayerStage, LoginOrder, PullImage, Pulling, PushImage, Pushing, Secret};
pub use store::{
    HistoryView, ImageView, Loaded, NetworkCreate, NetworkView, Pruned, TagOrder, VolumeCreate, VolumeView,
};
