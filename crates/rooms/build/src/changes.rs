//! Instructions on top of a configuration, without a build: what `docker commit --change` and `docker import --change`
//! take. Pure.

use std::collections::BTreeMap;

use base::{Kind, Problem};
use oci::ImageConfig;

use crate::dockerfile::{self, Command, ParseError};
use crate::error::StepFault;
use crate::scope::Global;
use crate::settings::Settings;

/// Why a change cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is no instruction.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// It is one that needs a build.
    #[error("{0} is not a valid change command")]
    NotHere(&'static str),
    /// A value in it makes no sense.
    #[error("{0}")]
    Value(StepFault),
}

impl Problem for ChangeError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed(_) | Self::Value(_) => None,
            Self::NotHere(_) => Some(
                "there are CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR"
                    .into(),
            ),
        }
    }
}

/// The configuration with these instructions done to it, each of which may be several lines of one instruction each.
pub fn changed<'a>(
    config: ImageConfig,
    changes: impl IntoIterator<Item = &'a str>,
) -> Result<ImageConfig, ChangeError> {
    let mut file = dockerfile::parse("FROM scratch")?;
    file.instructions.clear();
    for text in changes.into_iter().filter(|text| !text.trim().is_empty()) {
        // A first line makes a whole file of them.
        let read = dockerfile::parse(&format!("FROM scratch\n{text}\n"))?;
        file.instructions.extend(read.instructions.into_iter().skip(1));
    }
    let triggers = config.config.on_build.clone();
    let global =
        Global::new(&file, &BTreeMap::new(), None).map_err(|(_, fault)| ChangeError::Value(fault.into()))?;
    let mut settings = Settings::new(config, '\\');
    settings.config.config.on_build = triggers;
    for one in &file.instructions {
        match &one.command {
            Command::Workdir(path) => {
                let path =
                    settings.expand(&path.to_string()).map_err(|fault| ChangeError::Value(fault.into()))?;
                let path = settings.absolute(&path);
                let clean = path.trim_end_matches('/');
                settings.config.config.working_dir = if clean.is_empty() { "/" } else { clean }.to_owned();
            }
            Command::Cmd(_)
            | Command::Entrypoint(_)
            | Command::Env(_)
            | Command::Expose(_)
            | Command::Healthcheck(_)
            | Command::Label(_)
            | Command::Onbuild(_)
            | Command::StopSignal(_)
            | Command::User(_)
            | Command::Volume(_) => {
                settings.apply(&one.command, &global).map_err(ChangeError::Value)?;
            }
            other => return Err(ChangeError::NotHere(other.name())),
        }
    }
    Ok(settings.config)
}

#[cfg(test)]
mod tests;
