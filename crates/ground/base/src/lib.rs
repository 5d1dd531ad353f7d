//! Names and ids, paths and escapes, sizes, time, chance, problems, tasks and crash points: what every layer speaks of.

mod cidr;
pub mod crash;
mod device_rule;
mod name;
pub mod path;
pub mod percent;
mod problem;
mod rng;
mod size;
mod tasks;
pub mod time;

pub use cidr::{Cidr, InvalidCidr};
pub use device_rule::{DeviceRule, InvalidDeviceRule};
pub use name::{
    AppName, ContainerId, ContainerName, InvalidName, NetworkName, ReleaseNumber, Revision, ServiceName,
    VolumeName,
};
pub use problem::{Kind, Problem, Report};
pub use rng::{Rng, kernel_bytes};
pub use size::{Bytes, InvalidSize};
pub use tasks::Tasks;
pub use time::{Clock, Instant, SystemClock, Timestamp};
