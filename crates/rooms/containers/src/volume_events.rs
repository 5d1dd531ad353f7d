//! What happens to volumes, for the journal: made, removed, and taken into use and given back by containers.

use serde_json::{Map, Value, json};
use spec::{Mount, MountKind};
use store::{Entry, Store};

use crate::record::Record;
use crate::volumes::Volume;

/// Where lines go; nowhere in tests that keep no journal.
#[derive(Clone, Default)]
pub(crate) struct Journal(pub(crate) Option<Store>);

/// How a container has a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeUse {
    /// The volume's name.
    pub volume: String,
    /// Where the container sees it.
    pub target: String,
    /// It may not write to it.
    pub read_only: bool,
}

impl Record {
    /// The volumes that its mounts lead to, in their order.
    pub fn volume_uses(&self) -> Vec<VolumeUse> {
        let name = |mount: &Mount| match &mount.kind {
            MountKind::Volume { key, .. } => self.volumes.get(key),
            MountKind::Anonymous => self.anonymous.get(&mount.target),
            MountKind::Bind { .. } | MountKind::Image { .. } | MountKind::Tmpfs(_) => None,
        };
        let of = |mount: &Mount| {
            let volume = name(mount)?.to_string();
            Some(VolumeUse { volume, target: mount.target.clone(), read_only: mount.read_only })
        };
        self.service.mounts.iter().filter_map(of).collect()
    }
}

impl Journal {
    pub(crate) fn created(&self, volume: &Volume) {
        let name = &volume.name;
        self.tell(name.as_str(), "VolumeCreated", format!("made the volume `{name}`"), json!({}));
    }

    pub(crate) fn removed(&self, name: &str) {
        self.tell(name, "VolumeRemoved", format!("removed the volume `{name}`"), json!({}));
    }

    /// A container is about to run with its volumes.
    pub(crate) fn mounted(&self, record: &Record) {
        for one in record.volume_uses() {
            let VolumeUse { volume, target, read_only } = one;
            let message = format!("`{}` has the volume `{volume}` at `{target}`", record.name);
            let more = json!({ "container": record.id, "destination": target, "read_only": read_only });
            self.tell(&volume, "VolumeMounted", message, more);
        }
    }

    /// A container has ended and gave its volumes back.
    pub(crate) fn unmounted(&self, record: &Record) {
        for VolumeUse { volume, .. } in record.volume_uses() {
            let message = format!("`{}` gave the volume `{volume}` back", record.name);
            self.tell(&volume, "VolumeUnmounted", message, json!({ "container": record.id }));
        }
    }

    fn tell(&self, name: &str, event: &'static str, message: String, more: Value) {
        let Some(store) = &self.0 else { return };
        let mut detail = Map::from_iter([
            ("name".to_owned(), Value::from(name)),
            ("driver".to_owned(), Value::from("local")),
        ]);
        if let Value::Object(more) = more {
            detail.extend(more);
        }
        let subject = format!("volume {name}");
        store.tell(Entry { app: None, subject, event, message, detail: Value::Object(detail) });
    }
}
