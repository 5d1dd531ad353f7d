//! From texts to references and images; what does not fit is refused in docker's words.

use images::{FindError, Image};
use oci::{Digest, Platform, Reference};

use crate::Docker;
use crate::answer::Refusal;

/// A reference, whole.
pub(crate) fn reference(text: &str) -> Result<Reference, Refusal> {
    text.parse().map_err(|_| Refusal::invalid(why(text)))
}

/// What docker says of a text that is no reference.
pub(crate) fn why(text: &str) -> String {
    const PLAIN: &str = "invalid reference format";
    let lower = text.to_ascii_lowercase();
    if lower == text || lower.parse::<Reference>().is_err() {
        return PLAIN.into();
    }
    let name = text.split('@').next().unwrap_or_default();
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let name = name[slash..].find(':').map_or(name, |colon| &name[..slash + colon]);
    let (domain, path) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("", name),
    };
    let library = if domain.is_empty() && !path.contains('/') { "library/" } else { "" };
    format!("{PLAIN}: repository name ({library}{path}) must be lowercase")
}

/// A repository and a tag as two texts; a tag in the first gives way to the second.
pub(crate) fn tagged(repository: &str, tag: Option<&str>) -> Result<Reference, Refusal> {
    let reference = reference(repository)?;
    if reference.digest().is_some() {
        return Err(Refusal::invalid("cannot import digest reference"));
    }
    match tag {
        None => Ok(reference),
        Some(tag) => reference.with_tag(tag).map_err(|_| Refusal::invalid("invalid tag format")),
    }
}

/// A repository with a tag or a digest in its own text, as a pull names it.
pub(crate) fn pulled(repository: &str, tag: Option<&str>) -> Result<Reference, Refusal> {
    // `docker pull -a` may send a colon that nothing follows.
    let repository = repository.strip_suffix(':').unwrap_or(repository);
    let reference = reference(repository)?;
    let reference = match tag {
        None => reference,
        Some(digest) if digest.parse::<Digest>().is_ok() => {
            self::reference(&format!("{}@{digest}", reference.repository()))?
        }
        Some(tag) => reference.with_tag(tag).map_err(|_| Refusal::invalid("invalid tag format"))?,
    };
    if reference.familiar_repository() == "scratch" {
        return Err(Refusal::new(axum::http::StatusCode::FORBIDDEN, "'scratch' is a reserved name"));
    }
    Ok(reference)
}

/// Whether a text is the beginning of this image's id.
pub(crate) fn is_id(image: &Image, text: &str) -> bool {
    let id = image.id.to_string();
    id.starts_with(text) || image.id.0.hex().starts_with(text)
}

/// The image that a text means.
pub(crate) fn find(docker: &Docker, text: &str) -> Result<Image, Refusal> {
    docker.images.find(text).map_err(|problem| match problem {
        FindError::NoImage { .. } => match text.parse::<Reference>() {
            Ok(reference) => Refusal::missing(format!("No such image: {}", reference.familiar())),
            Err(_) if is_digest(text) => Refusal::missing(format!("No such image: {text}")),
            Err(_) => Refusal::invalid(why(text)),
        },
        FindError::Ambiguous { .. } => {
            Refusal::invalid(format!("multiple IDs found with provided prefix: {text}"))
        }
        other @ FindError::Damaged { .. } => Refusal::of(&other),
    })
}

fn is_digest(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Refuses an image that is for another machine than the one asked for: `linux/arm64`, or the same as a document.
pub(crate) fn check_platform(image: &Image, text: &str, platform: Option<&str>) -> Result<(), Refusal> {
    let Some(asked) = platform else { return Ok(()) };
    let wanted = platform_of(asked)?;
    let is = image.config.platform();
    let same = wanted.os == is.os
        && wanted.architecture == is.architecture
        && (wanted.variant.is_none() || wanted.variant == is.variant);
    if same {
        return Ok(());
    }
    let title = text.parse::<Reference>().map_or_else(|_| text.to_owned(), |reference| reference.familiar());
    Err(Refusal::missing(format!(
        "image with reference {title} was found but does not provide the specified platform ({})",
        shown(&wanted)
    )))
}

fn shown(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture)
}

/// A platform as a text or a document.
pub(crate) fn platform_of(text: &str) -> Result<Platform, Refusal> {
    let refused = || Refusal::invalid(format!("invalid platform: {text}"));
    if text.trim_start().starts_with('{') {
        let document: serde_json::Value = serde_json::from_str(text).map_err(|_| refused())?;
        let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
        let (os, architecture, variant) = (word("os"), word("architecture"), word("variant"));
        if os.is_empty() || architecture.is_empty() {
            let words = format!("{os}{architecture}");
            return if words.is_empty() { Err(refused()) } else { platform_of(&words) };
        }
        let variant = Some(variant).filter(|variant| !variant.is_empty());
        return Ok(Platform { variant, ..Platform::new(&os, &architecture) });
    }
    let mut parts = text.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(os), Some(architecture), variant, None) if !os.is_empty() && !architecture.is_empty() => {
            let variant = variant.map(str::to_owned);
            Ok(Platform { variant, ..Platform::new(os, architecture) })
        }
        // A system alone, or a machine alone.
        (Some("linux"), None, ..) => Ok(Platform::ours()),
        (Some(machine @ ("amd64" | "arm64")), None, ..) => Ok(Platform::new("linux", machine)),
        (Some(_), None, ..) if !text.is_empty() => Err(Refusal::invalid(format!(
            "\"{text}\": unknown operating system or architecture: invalid argument"
        ))),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests;
