//! Volumes: folders that outlive containers.
//!
//! Owns the `volumes/` data folder: `<name>/_data` holds the files and `<name>/volume.json` the record.
//! A folder without a record is no volume.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base::{AppName, Clock, Timestamp, VolumeName};
use serde::{Deserialize, Serialize};

use crate::problem::VolumeError;
use crate::volume_events::Journal;

const RECORD: &str = "volume.json";
/// How the name of a folder begins whose volume is being removed. No volume's name begins so.
const GOING: &str = ".going-";

/// A volume as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// When it was made.
    pub created: Timestamp,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Options of the `local` driver.
    pub options: BTreeMap<String, String>,
    /// The app that it belongs to.
    pub app: Option<AppName>,
    /// Nobody gave it a name; mostly it belongs to one container and goes with it.
    pub anonymous: bool,
    /// What was said of labels and options that were none: docker's clients are given it back.
    #[serde(default, skip_serializing_if = "Said::is_nothing")]
    pub said: Said,
    /// The folder of the host that containers see.
    #[serde(skip)]
    pub mountpoint: PathBuf,
}

/// Whether empty labels and options were written as such or left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Said {
    /// Labels were written, if only as none.
    #[serde(default)]
    pub labels: bool,
    /// Options were written, if only as none.
    #[serde(default)]
    pub options: bool,
}

impl Said {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A volume as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOrder {
    /// Its name.
    pub name: VolumeName,
    /// `local`, or none for the same.
    pub driver: Option<String>,
    /// `type`, `o` and `device`, as the `local` driver has them.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The app that it belongs to.
    pub app: Option<AppName>,
    /// Nobody gave it a name.
    pub anonymous: bool,
    /// Whether empty labels and options were written as such.
    pub said: Said,
}

impl VolumeOrder {
    /// A plain volume.
    pub fn named(name: VolumeName) -> Self {
        Self {
            name,
            driver: None,
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
            app: None,
            anonymous: false,
            said: Said::default(),
        }
    }
}

/// The volumes of one root.
#[derive(Clone)]
pub struct Volumes {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    journal: Journal,
    /// Held while volumes come and go.
    changing: Arc<Mutex<()>>,
}

impl Volumes {
    /// The volumes in this folder.
    pub fn open(folder: PathBuf, clock: Arc<dyn Clock>) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        clear_strays(&folder)?;
        Ok(Self { folder, clock, journal: Journal::default(), changing: Arc::default() })
    }

    /// The same, and what happens to them is written into this journal.
    pub(crate) fn with_journal(self, store: store::Store) -> Self {
        Self { journal: Journal(Some(store)), ..self }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The volume, made if there is none of this name.
    pub fn ensure(&self, order: &VolumeOrder) -> Result<Volume, VolumeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(volume) = self.find(&order.name)? {
            return Ok(volume);
        }
        let device = check(order)?;
        let failed = |source| VolumeError::Failed { doing: "make", name: order.name.to_string(), source };
        let home = self.home(&order.name);
        let mut volume = Volume {
            name: order.name.clone(),
            created: self.clock.wall(),
            labels: order.labels.clone(),
            options: order.options.clone(),
            app: order.app.clone(),
            anonymous: order.anonymous,
            said: order.said,
            mountpoint: PathBuf::new(),
        };
        if let Some(device) = &device
            && !device.is_dir()
        {
            let error =
                io::Error::new(io::ErrorKind::NotFound, format!("`{}` is not a folder", device.display()));
            return Err(failed(error));
        }
        // The record comes last: a folder without one is what a crash left, and is taken over here.
        fs::create_dir_all(home.join("_data")).map_err(failed)?;
        base::crash::point("volume: folder made");
        let text = serde_json::to_vec(&volume).map_err(|error| failed(error.into()))?;
        fs::write(home.join("volume.json.new"), text).map_err(failed)?;
        base::crash::point("volume: record beside");
        fs::rename(home.join("volume.json.new"), home.join(RECORD)).map_err(failed)?;
        base::crash::point("volume: record written");
        volume.mountpoint = self.mountpoint(&volume);
        self.journal.created(&volume);
        Ok(volume)
    }

    /// The volume of this name, if there is one.
    pub fn find(&self, name: &VolumeName) -> Result<Option<Volume>, VolumeError> {
        let failed = |source| VolumeError::Failed { doing: "read", name: name.to_string(), source };
        match fs::read(self.home(name).join(RECORD)) {
            Ok(text) => {
                let mut volume: Volume =
                    serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
                volume.mountpoint = self.mountpoint(&volume);
                Ok(Some(volume))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Every volume, by name.
    pub fn list(&self) -> Result<Vec<Volume>, VolumeError> {
        let failed = |source| VolumeError::Failed { doing: "list", name: "*".into(), source };
        let mut volumes = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str().and_then(|name| VolumeName::new(name).ok()) {
                volumes.extend(self.find(&name)?);
            }
        }
        volumes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(volumes)
    }

    /// Takes the volume and its files away. The caller has seen that nobody uses it.
    pub fn remove(&self, name: &VolumeName) -> Result<(), VolumeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let home = self.home(name);
        let failed = |source| VolumeError::Failed { doing: "remove", name: name.to_string(), source };
        if self.find(name)?.is_none() {
            return Err(VolumeError::Missing(name.to_string()));
        }
        // Gone at once and as a whole: what comes under this name later never has these files.
        let going = self.folder.join(format!("{GOING}{name}"));
        match fs::remove_dir_all(&going) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => fs::rename(&home, &going).map_err(failed)?,
        }
        base::crash::point("volume: moved out");
        fs::remove_dir_all(&going).map_err(failed)?;
        base::crash::point("volume: folder removed");
        self.journal.removed(name.as_str());
        Ok(())
    }

    fn home(&self, name: &VolumeName) -> PathBuf {
        self.folder.join(name.as_str())
    }

    fn mountpoint(&self, volume: &Volume) -> PathBuf {
        match device_of(&volume.options) {
            Some(device) => device,
            None => self.home(&volume.name).join("_data"),
        }
    }
}

/// Removes what a crash left: volumes half made or half removed.
fn clear_strays(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let going = entry.file_name().as_encoded_bytes().starts_with(GOING.as_bytes());
        let path = entry.path();
        if !going && path.join(RECORD).try_exists()? {
            continue;
        }
        tracing::warn!("clearing away what is left of a volume in `{}`", path.display());
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!("could not clear away `{}`: {error}", path.display());
        }
    }
    Ok(())
}

/// Refuses what the `local` driver cannot do here; answers with the folder of a bound one.
fn check(order: &VolumeOrder) -> Result<Option<PathBuf>, VolumeError> {
    let unsupported = |what: String| VolumeError::Unsupported { name: order.name.to_string(), what };
    if let Some(driver) = order.driver.as_deref()
        && driver != "local"
    {
        return Err(unsupported(format!("there is no volume driver `{driver}`")));
    }
    for option in order.options.keys() {
        if !["type", "o", "device"].contains(&option.as_str()) {
            return Err(unsupported(format!("the `local` driver has no option `{option}`")));
        }
    }
    match order.options.get("type").map(String::as_str) {
        None | Some("none" | "bind" | "") => Ok(device_of(&order.options)),
        Some(other) => Err(unsupported(format!("file systems of type `{other}` are not mounted by sea"))),
    }
}

/// The folder that `o: bind` and `device` name.
fn device_of(options: &BTreeMap<String, String>) -> Option<PathBuf> {
    let flags = options.get("o")?;
    let bound = flags.split(',').any(|flag| flag == "bind" || flag == "rbind");
    options.get("device").filter(|_| bound).map(|device| Path::new(device).to_owned())
}

#[cfg(test)]
mod tests;
