//! `RUN --mount`: folders that a command sees and no layer keeps.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use base::Bytes;
use oci::Digest;

use crate::dockerfile::MountFlag;
use crate::error::StepFault;
use crate::settings::Settings;

/// A mount whose variables are expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPlan {
    /// The absolute path inside.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// Files of the context, a stage or an image.
    Bind { from: Option<String>, source: String },
    /// A folder that lives on between builds.
    Cache { id: String, private: bool, mode: u32, uid: u32, gid: u32 },
    /// Memory.
    Tmpfs(Option<Bytes>),
}

impl MountPlan {
    /// Reads one flag.
    pub(crate) fn new(flag: &MountFlag, settings: &Settings) -> Result<Self, StepFault> {
        let fields = Fields::new(flag, settings)?;
        let kind = match fields.text("type").unwrap_or("bind") {
            "bind" => {
                fields.only(&["from", "source"])?;
                MountKind::Bind {
                    from: fields.owned("from"),
                    source: fields.owned("source").unwrap_or_default(),
                }
            }
            "cache" => fields.cache(settings)?,
            "tmpfs" => {
                fields.only(&["size"])?;
                let wrong = |text: &str| fields.wrong("size", text, "a size, as in `64m`");
                MountKind::Tmpfs(
                    fields.text("size").map(|text| text.parse().map_err(|_| wrong(text))).transpose()?,
                )
            }
            "secret" | "ssh" => {
                return Err(StepFault::Unsupported {
                    what: format!("`--mount=type={}`", fields.text("type").unwrap_or_default()),
                    instead: "secrets and ssh agents do not reach builds yet; fetch before the build",
                });
            }
            other => return Err(fields.wrong("type", other, "bind, cache or tmpfs")),
        };
        let target = match (fields.text("target"), &kind) {
            (Some(target), _) => settings.absolute(target),
            (None, _) => return Err(fields.wrong("target", "", "a path; every mount needs one")),
        };
        let target = target.trim_end_matches('/').to_owned();
        if target.is_empty() {
            return Err(fields.wrong("target", "/", "any path but the root"));
        }
        // A bind mount is read-only unless it says otherwise; the others are for writing.
        let read_only = match kind {
            MountKind::Bind { .. } => {
                fields.switch("readonly")?.unwrap_or(!fields.switch("readwrite")?.unwrap_or(false))
            }
            MountKind::Cache { .. } => fields.switch("readonly")?.unwrap_or(false),
            MountKind::Tmpfs(_) => false,
        };
        Ok(Self { target, read_only, kind })
    }

    /// What counts for the layer cache: a cache mount's content does not.
    pub(crate) fn key(&self) -> String {
        format!("{self:?}")
    }
}

/// The fields of a flag with their values expanded.
struct Fields(Vec<(String, Option<String>)>);

impl Fields {
    fn new(flag: &MountFlag, settings: &Settings) -> Result<Self, StepFault> {
        let expand = |value: &Option<String>| value.as_deref().map(|text| settings.expand(text)).transpose();
        let fields = flag.fields.iter().map(|field| Ok((field.name.clone(), expand(&field.value)?)));
        fields.collect::<Result<_, StepFault>>().map(Self)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name)?.1.as_deref()
    }

    fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    fn switch(&self, name: &'static str) -> Result<Option<bool>, StepFault> {
        let Some((_, value)) = self.0.iter().find(|(known, _)| known == name) else { return Ok(None) };
        match value.as_deref() {
            None | Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(self.wrong(name, other, "true or false")),
        }
    }

    fn number(&self, name: &'static str, radix: u32, default: u32) -> Result<u32, StepFault> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => u32::from_str_radix(text, radix).map_err(|_| self.wrong(name, text, "a number")),
        }
    }

    /// Refuses fields that this type of mount does not have.
    fn only(&self, more: &[&str]) -> Result<(), StepFault> {
        let known =
            |name: &str| ["type", "target", "readonly", "readwrite"].contains(&name) || more.contains(&name);
        match self.0.iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let of = self.text("type").unwrap_or("bind");
                let what = format!("`{name}` in a mount of type {of}");
                Err(StepFault::Unsupported { what, instead: "leave it out" })
            }
        }
    }

    fn wrong(&self, what: &'static str, value: &str, allowed: &'static str) -> StepFault {
        StepFault::Value { value: format!("{what}={value}"), what: "a field of `--mount`", allowed }
    }

    fn cache(&self, settings: &Settings) -> Result<MountKind, StepFault> {
        self.only(&["id", "sharing", "mode", "uid", "gid"])?;
        let private = match self.text("sharing").unwrap_or("shared") {
            // Builds wait for each other for one cache folder, so sharing is always safe.
            "shared" | "locked" => false,
            "private" => true,
            other => return Err(self.wrong("sharing", other, "shared, private or locked")),
        };
        let target = self.text("target").unwrap_or_default();
        Ok(MountKind::Cache {
            id: self.owned("id").unwrap_or_else(|| settings.absolute(target)),
            private,
            mode: self.number("mode", 8, 0o755)?,
            uid: self.number("uid", 10, 0)?,
            gid: self.number("gid", 10, 0)?,
        })
    }
}

/// The folder of a cache mount, made with this mode and owner if it is new.
pub(crate) fn cache_folder(
    caches: &Path,
    id: &str,
    mode: u32,
    owner: (u32, u32),
) -> std::io::Result<PathBuf> {
    let folder = caches.join(Digest::sha256(id.as_bytes()).hex());
    match fs::create_dir(&folder) {
        Ok(()) => {
            chown(&folder, Some(owner.0), Some(owner.1))?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode & 0o7777))?;
            // For people who look into the folder.
            fs::write(caches.join(format!("{}.id", Digest::sha256(id.as_bytes()).hex())), id)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(folder)
}
