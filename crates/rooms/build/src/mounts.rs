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
    /// The absolute path inside; empty if nothing is mounted: a secret that is a variable alone.
    pub target: String,
    pub read_only: bool,
    pub kind: MountKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MountKind {
    /// Files of the context, a stage or an image.
    Bind { from: Option<String>, source: String },
    /// A folder that lives on between builds.
    Cache(CachePlan),
    /// Memory.
    Tmpfs(Option<Bytes>),
    /// Bytes that nothing keeps, as a file, and as a variable if `env` names one.
    Secret { id: String, env: Option<String>, required: bool, access: Access },
    /// The socket of an ssh agent.
    Ssh { id: String, required: bool, access: Access },
}

/// A folder that lives on between builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachePlan {
    pub id: String,
    pub sharing: Sharing,
    /// What it holds at first.
    pub from: Option<(String, String)>,
    pub access: Access,
}

/// Who may use a cache folder at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// All.
    Shared,
    /// One at a time; others use one of their own.
    Private,
    /// One at a time; others wait.
    Locked,
}

/// The owner and permissions of what is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

impl MountPlan {
    /// Reads one flag. `index` is its place among those of the RUN.
    pub(crate) fn new(flag: &MountFlag, index: usize, settings: &Settings) -> Result<Self, StepFault> {
        let fields = Fields::new(flag, settings)?;
        let kind = match fields.text("type").unwrap_or("bind").to_lowercase().as_str() {
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
            "secret" => fields.secret()?,
            "ssh" => {
                fields.only(&["id", "required", "mode", "uid", "gid"])?;
                MountKind::Ssh {
                    id: fields.owned("id").unwrap_or_else(|| "default".into()),
                    required: fields.switch("required")?.unwrap_or(false),
                    access: fields.access(0o600)?,
                }
            }
            other => return Err(fields.wrong("type", other, "bind, cache, tmpfs, secret or ssh")),
        };
        let target = match (fields.text("target"), &kind) {
            (Some(target), _) => settings.absolute(target),
            (None, MountKind::Secret { env: Some(_), .. }) => String::new(),
            (None, MountKind::Secret { id, .. }) => {
                format!("/run/secrets/{}", id.rsplit('/').next().unwrap_or(id))
            }
            (None, MountKind::Ssh { .. }) => format!("/run/buildkit/ssh_agent.{index}"),
            // The stage's folder, as for any path that says nothing.
            (None, _) => settings.folder().to_owned(),
        };
        let bare = target.trim_end_matches('/').to_owned();
        if bare.is_empty() && !target.is_empty() {
            return Err(fields.wrong("target", "/", "any path but the root"));
        }
        Ok(Self { target: bare, read_only: fields.read_only(&kind)?, kind })
    }

    /// What counts for the layer cache: the content of caches and secrets does not, nor whether there is an agent.
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
            None | Some("true" | "1" | "t" | "T" | "TRUE" | "True") => Ok(Some(true)),
            Some("false" | "0" | "f" | "F" | "FALSE" | "False") => Ok(Some(false)),
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

    /// A bind mount is read-only unless it says otherwise; the others are for writing.
    fn read_only(&self, kind: &MountKind) -> Result<bool, StepFault> {
        let said = match (self.switch("readonly")?, self.switch("readwrite")?) {
            (Some(read_only), _) => Some(read_only),
            (None, read_write) => read_write.map(|read_write| !read_write),
        };
        Ok(match kind {
            MountKind::Bind { .. } => said.unwrap_or(true),
            MountKind::Cache(_) | MountKind::Tmpfs(_) => said.unwrap_or(false),
            MountKind::Secret { .. } | MountKind::Ssh { .. } => false,
        })
    }

    fn access(&self, mode: u32) -> Result<Access, StepFault> {
        Ok(Access {
            mode: self.number("mode", 8, mode)?,
            uid: self.number("uid", 10, 0)?,
            gid: self.number("gid", 10, 0)?,
        })
    }

    fn cache(&self, settings: &Settings) -> Result<MountKind, StepFault> {
        self.only(&["id", "sharing", "from", "source", "mode", "uid", "gid"])?;
        let sharing = match self.text("sharing").unwrap_or("shared").to_lowercase().as_str() {
            "shared" => Sharing::Shared,
            "locked" => Sharing::Locked,
            "private" => Sharing::Private,
            other => return Err(self.wrong("sharing", other, "shared, private or locked")),
        };
        let target = self.text("target").unwrap_or_default();
        let source = self.owned("source").unwrap_or_default();
        Ok(MountKind::Cache(CachePlan {
            id: self.owned("id").unwrap_or_else(|| settings.absolute(target)),
            sharing,
            from: self.owned("from").map(|from| (from, source)),
            access: self.access(0o755)?,
        }))
    }

    fn secret(&self) -> Result<MountKind, StepFault> {
        self.only(&["id", "source", "env", "required", "mode", "uid", "gid"])?;
        if self.text("id").is_some() && self.text("source").is_some() {
            return Err(self.wrong(
                "source",
                self.text("source").unwrap_or_default(),
                "either `id` or `source`",
            ));
        }
        let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or(path).to_owned();
        let id = self.owned("id").or_else(|| self.owned("source")).or_else(|| self.text("target").map(last));
        let id = id.filter(|id| !id.is_empty());
        Ok(MountKind::Secret {
            id: id.ok_or_else(|| self.wrong("id", "", "the secret's name"))?,
            env: self.owned("env"),
            required: self.switch("required")?.unwrap_or(false),
            access: self.access(0o400)?,
        })
    }
}

/// The folder of a cache mount, and whether it is new. It is made with this mode and owner then.
pub(crate) fn cache_folder(caches: &Path, id: &str, access: Access) -> std::io::Result<(PathBuf, bool)> {
    let folder = caches.join(Digest::sha256(id.as_bytes()).hex());
    match fs::create_dir(&folder) {
        Ok(()) => {
            chown(&folder, Some(access.uid), Some(access.gid))?;
            fs::set_permissions(&folder, fs::Permissions::from_mode(access.mode & 0o7777))?;
            // For people who look into the folder.
            fs::write(caches.join(format!("{}.id", Digest::sha256(id.as_bytes()).hex())), id)?;
            Ok((folder, true))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok((folder, false)),
        Err(error) => Err(error),
    }
}
