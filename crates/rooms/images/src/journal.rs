//! What happens to images, for the journal.

use std::collections::BTreeMap;

use serde_json::json;
use store::Entry;

use crate::image::ImageId;
use crate::store::{Images, State};

/// Something that happened to an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It came from a registry.
    Pulled {
        /// Under which name.
        name: String,
    },
    /// It went to a registry.
    Pushed {
        /// Under which name.
        name: String,
    },
    /// It came in an archive.
    Loaded,
    /// It was made of an archive of files.
    Imported,
    /// It was made here.
    Created,
    /// It went out in an archive.
    Saved,
    /// It got a name.
    Tagged {
        /// Which.
        name: String,
    },
    /// It lost a name.
    Untagged {
        /// Which.
        name: String,
    },
    /// It is gone.
    Removed,
}

impl Happening {
    fn event(&self) -> &'static str {
        match self {
            Self::Pulled { .. } => "ImagePulled",
            Self::Pushed { .. } => "ImagePushed",
            Self::Loaded => "ImageLoaded",
            Self::Imported => "ImageImported",
            Self::Created => "ImageCreated",
            Self::Saved => "ImageSaved",
            Self::Tagged { .. } => "ImageTagged",
            Self::Untagged { .. } => "ImageUntagged",
            Self::Removed => "ImageRemoved",
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Pulled { name }
            | Self::Pushed { name }
            | Self::Tagged { name }
            | Self::Untagged { name } => Some(name),
            Self::Loaded | Self::Imported | Self::Created | Self::Saved | Self::Removed => None,
        }
    }

    fn message(&self, id: &ImageId) -> String {
        let id = id.short();
        match self {
            Self::Pulled { name } => format!("pulled `{name}`, image {id}"),
            Self::Pushed { name } => format!("pushed `{name}`, image {id}"),
            Self::Loaded => format!("loaded the image {id}"),
            Self::Imported => format!("imported the image {id}"),
            Self::Created => format!("made the image {id}"),
            Self::Saved => format!("saved the image {id}"),
            Self::Tagged { name } => format!("gave the image {id} the name `{name}`"),
            Self::Untagged { name } => format!("took the name `{name}` from the image {id}"),
            Self::Removed => format!("removed the image {id}"),
        }
    }
}

impl Images {
    /// Writes a line of the journal about an image that is here.
    pub fn tell(&self, id: &ImageId, what: Happening) {
        if self.0.journal.is_some() {
            let labels = self.labels(&mut self.0.state(), id);
            self.tell_with(id, what, &labels);
        }
    }

    /// The same about one that may be gone, with the labels that it had.
    pub(crate) fn tell_with(&self, id: &ImageId, what: Happening, labels: &BTreeMap<String, String>) {
        let Some(store) = &self.0.journal else { return };
        store.tell(Entry {
            app: None,
            subject: format!("image {}", what.name().unwrap_or_else(|| id.short())),
            event: what.event(),
            message: what.message(id),
            detail: json!({ "id": id, "name": what.name(), "labels": labels }),
        });
    }

    /// The labels of an image, as far as it can be read.
    pub(crate) fn labels(&self, state: &mut State, id: &ImageId) -> BTreeMap<String, String> {
        if self.0.journal.is_none() {
            return BTreeMap::new();
        }
        self.0.image(state, id).map(|image| image.config.config.labels.clone()).unwrap_or_default()
    }
}
