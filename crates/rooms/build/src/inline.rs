//! `--cache-from`: what an image tells of the steps that led to it, for builds elsewhere.
//!
//! With the build argument `BUILDKIT_INLINE_CACHE=1` the image's configuration names the key of each step with the
//! number of layers behind it. A key stands for all that decides what a step does, so whoever trusts the image may take
//! its layers for those of a step with the same key.

use std::collections::BTreeMap;

use images::Image;
use oci::ImageConfig;
use serde_json::Value;

use crate::build::Builder;
use crate::order::Cancel;
use crate::progress::Teller;

/// The member of the configuration.
const MEMBER: &str = "sea.cache.v1";
/// So many steps of one image are read.
const MAX_STEPS: usize = 10_000;

/// Writes the steps into the configuration.
pub(crate) fn write(config: &mut ImageConfig, steps: &[(String, usize)]) {
    let list = steps.iter().map(|(key, layers)| serde_json::json!({ "key": key, "layers": layers }));
    config.extra.insert(MEMBER.to_owned(), Value::Array(list.collect()));
}

/// Takes them out: they tell of a base image, not of what is made on it.
pub(crate) fn forget(config: &mut ImageConfig) {
    config.extra.remove(MEMBER);
}

/// The steps of these images, by their keys. An image that is not to be had is told, and no reason to end.
pub(crate) fn read(
    builder: &Builder,
    names: &[String],
    pull: bool,
    teller: &Teller<'_>,
    cancel: &Cancel,
) -> BTreeMap<String, (Image, usize)> {
    let mut steps = BTreeMap::new();
    for name in names {
        // As docker and buildx write them: a name, or fields.
        let name = name.split(',').find_map(|field| field.strip_prefix("ref=")).unwrap_or(name);
        if name.starts_with("type=") {
            teller.warn(0, format!("`--cache-from {name}` is not read: only images are"));
            continue;
        }
        let mut found = builder.images.find(name);
        if (found.is_err() || pull)
            && let Some(puller) = &builder.puller
            && puller.pull(name, &mut |_| (), cancel).is_ok()
        {
            found = builder.images.find(name);
        }
        match found {
            Ok(image) => steps.extend(steps_of(&image)),
            Err(_) => teller.warn(
                0,
                format!("the image `{name}` of `--cache-from` is not here, so no step is taken from it"),
            ),
        }
    }
    steps
}

fn steps_of(image: &Image) -> Vec<(String, (Image, usize))> {
    let list =
        image.config.extra.get(MEMBER).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let step = |step: &Value| {
        let key = step.get("key")?.as_str()?.to_owned();
        let layers = usize::try_from(step.get("layers")?.as_u64()?).ok()?;
        (layers <= image.chain.len()).then(|| (key, (image.clone(), layers)))
    };
    list.iter().take(MAX_STEPS).filter_map(step).collect()
}
