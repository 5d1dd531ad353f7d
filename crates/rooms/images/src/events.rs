//! What happens in the image store, for the log.

use tracing::{info, warn};

use crate::image::ImageId;

pub(crate) fn loaded(image: &ImageId, names: &str) {
    info!(image.id = %image, image.names = names, "loaded image `{}` ({names})", image.short());
}

pub(crate) fn pulled(image: &ImageId, name: &str) {
    info!(image.id = %image, image.name = name, "pulled `{name}`");
}

pub(crate) fn pushed(image: &ImageId, name: &str) {
    info!(image.id = %image, image.name = name, "pushed `{name}`");
}

pub(crate) fn removed(image: &ImageId) {
    info!(image.id = %image, "removed image `{}`", image.short());
}

pub(crate) fn collected(items: usize, bytes: u64) {
    info!(items, bytes, "collected {items} things that nobody needed");
}

pub(crate) fn without_devices(devices: &[String]) {
    let first = devices.first().map_or("", String::as_str);
    let count = devices.len();
    warn!(
        devices = count,
        "{count} devices of a container, first `{first}`, are not in the image made of it: a container gets its devices with `--device`"
    );
}

pub(crate) fn damaged(what: &str) {
    warn!(what, "the image store is damaged: {what}");
}

pub(crate) fn left_behind(path: &std::path::Path, error: &dyn std::error::Error) {
    warn!(path = %path.display(), error = %error, "could not remove a stray in the image store; the next start tries again");
}
