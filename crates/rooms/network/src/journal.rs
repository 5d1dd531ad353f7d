//! What happens to networks, for the journal: made, removed, joined and left.

use base::ContainerId;
use serde_json::json;
use store::{Entry, Store};

use crate::order::{Attachment, NetworkView};

/// Where lines go; nowhere in tests and tools that keep no journal.
#[derive(Clone, Default)]
pub(crate) struct Journal(pub(crate) Option<Store>);

impl Journal {
    pub(crate) fn created(&self, network: &NetworkView) {
        self.tell(network, "NetworkCreated", format!("made the network `{}`", network.name));
    }

    pub(crate) fn removed(&self, network: &NetworkView) {
        self.tell(network, "NetworkRemoved", format!("removed the network `{}`", network.name));
    }

    pub(crate) fn connected(&self, attachment: &Attachment) {
        self.membership(attachment, "NetworkConnected", "joined");
    }

    pub(crate) fn disconnected(&self, attachment: &Attachment) {
        self.membership(attachment, "NetworkDisconnected", "left");
    }

    fn membership(&self, attachment: &Attachment, event: &'static str, verb: &str) {
        let container: &ContainerId = &attachment.container;
        let name = attachment.names.first().map_or_else(|| container.short(), String::as_str);
        self.put(Entry {
            app: None,
            subject: format!("network {}", attachment.network),
            event,
            message: format!("`{name}` {verb} the network `{}`", attachment.network),
            detail: json!({
                "id": attachment.network_id, "name": attachment.network, "driver": "bridge",
                "container": container,
            }),
        });
    }

    fn tell(&self, network: &NetworkView, event: &'static str, message: String) {
        self.put(Entry {
            app: network.app.clone(),
            subject: format!("network {}", network.name),
            event,
            message,
            detail: json!({ "id": network.id, "name": network.name, "driver": "bridge" }),
        });
    }

    fn put(&self, entry: Entry) {
        if let Some(store) = &self.0 {
            store.tell(entry);
        }
    }
}
