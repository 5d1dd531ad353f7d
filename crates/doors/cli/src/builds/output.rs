//! Where a build goes besides the store: folders, archives, and files that say what was built.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use base::{Kind, Report, percent};
use http_body_util::BodyExt;
use talk::ImageView;
use tokio::sync::mpsc;

use super::order::fields;
use crate::{Session, report};

/// So many pieces of an archive wait for the disk.
const WAITING: usize = 16;

/// Where a build goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The store alone.
    Store,
    /// All files of the image, into a folder.
    Folder(PathBuf),
    /// All files of the image, as one archive; on standard output when no file is named.
    Tar(Option<PathBuf>),
    /// The image, as an archive that `docker load` reads, and that is an OCI layout too.
    Image(Option<PathBuf>),
}

/// Reads one `--output`.
pub(super) fn target(text: &str) -> Result<Target, Report> {
    let bad = |why: &str| {
        Report::new(Kind::Invalid, format!("`{text}` is no output: {why}"))
            .hint("write a FOLDER, `-`, type=local,dest=FOLDER, or type=tar|docker|oci,dest=FILE")
    };
    let file = |text: &str| (text != "-").then(|| PathBuf::from(text));
    if !text.contains('=') {
        return Ok(if text == "-" { Target::Tar(None) } else { Target::Folder(text.into()) });
    }
    let (mut kind, mut dest) = ("", None);
    for (name, value) in fields(text) {
        match name {
            "type" => kind = value,
            "dest" | "destination" => dest = Some(value),
            // They hold for what we write anyway.
            "tar" | "name" | "compression" | "oci-mediatypes" | "rewrite-timestamp" | "push" | "unpack"
            | "store" => {}
            _ => return Err(bad(&format!("it has no field `{name}`"))),
        }
    }
    match (kind, dest) {
        ("local", Some(dest)) => Ok(Target::Folder(dest.into())),
        ("local", None) => Err(bad("`dest` is missing")),
        ("tar", dest) => Ok(Target::Tar(dest.and_then(file))),
        ("oci", dest) => Ok(Target::Image(dest.and_then(file))),
        ("docker", Some(dest)) => Ok(Target::Image(file(dest))),
        ("docker" | "image", None) | ("cacheonly", _) => Ok(Target::Store),
        ("registry", _) => Err(Report::new(Kind::Unsupported, "a build is not pushed by `--output`")
            .hint("name the image with `-t`, and push it with `sea push`")),
        (other, _) => Err(bad(&format!("`{other}` is no type"))),
    }
}

impl Session {
    /// Brings what was built where it is to go.
    pub(super) async fn deliver(&self, id: &str, names: &[String], target: &Target) -> Result<(), Report> {
        match target {
            Target::Store => Ok(()),
            Target::Tar(file) => self.fetch(&files(id), file.as_deref()).await,
            Target::Image(file) => {
                let names = if names.is_empty() { id.to_owned() } else { names.join(",") };
                self.fetch(&format!("/v1/images/save?names={}", percent::encode(&names)), file.as_deref())
                    .await
            }
            Target::Folder(dir) => self.unpack(&files(id), dir).await,
        }
    }

    /// Writes a body to a file, under another name until it is whole; to standard output when none is named.
    async fn fetch(&self, what: &str, file: Option<&Path>) -> Result<(), Report> {
        if file.is_none() && std::io::stdout().is_terminal() {
            return Err(
                Report::new(Kind::Invalid, "an archive is not for a terminal").hint("name a file: dest=FILE")
            );
        }
        let mut body = self.client.download(what).await.map_err(report)?;
        let part = file.map(|path| path.with_extension("part"));
        let shown = file.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        let cannot = |error: std::io::Error| {
            Report::new(Kind::Unavailable, format!("could not write `{shown}`")).because(error)
        };
        let mut out: Box<dyn Write + Send> = match &part {
            Some(path) => Box::new(std::fs::File::create(path).map_err(cannot)?),
            None => Box::new(std::io::stdout()),
        };
        let outcome = async {
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| broken_off(&error))?;
                if let Ok(data) = frame.into_data() {
                    out.write_all(&data).map_err(cannot)?;
                }
            }
            out.flush().map_err(cannot)
        };
        let outcome = outcome.await;
        let (Some(part), Some(file)) = (part, file) else { return outcome };
        if outcome.is_err() {
            // What arrived is of no use.
            let _ = std::fs::remove_file(&part);
            return outcome;
        }
        std::fs::rename(&part, file).map_err(cannot)
    }

    /// Unpacks a body into a folder, which is made if need be; what is there already stays.
    async fn unpack(&self, what: &str, dir: &Path) -> Result<(), Report> {
        std::fs::create_dir_all(dir).map_err(|error| {
            Report::new(Kind::Unavailable, format!("could not make the folder `{}`", dir.display()))
                .because(error)
        })?;
        let mut body = self.client.download(what).await.map_err(report)?;
        let (pieces, archive) = mpsc::channel::<std::io::Result<bytes::Bytes>>(WAITING);
        let dir = dir.to_owned();
        let unpacking = tokio::task::spawn_blocking(move || {
            let reader = Pieces { archive, left: bytes::Bytes::new() };
            build::context::unpack(reader, &dir, build::context::Limits::default())
        });
        while let Some(frame) = body.frame().await {
            let piece = match frame {
                Ok(frame) => frame.into_data().map_err(|_| std::io::ErrorKind::InvalidData.into()),
                Err(error) => Err(std::io::Error::other(error)),
            };
            // It may have ended with an error, which is told below.
            if pieces.send(piece).await.is_err() {
                break;
            }
        }
        drop(pieces);
        match unpacking.await {
            Ok(unpacked) => unpacked.map(drop).map_err(report),
            Err(error) => Err(Report::new(Kind::Internal, "the unpacking broke off").because(error)),
        }
    }

    /// `--metadata-file`.
    pub(super) async fn write_metadata(&self, path: &Path, id: &str, names: &[String]) -> Result<(), Report> {
        let view: ImageView =
            self.client.get(&format!("/v1/images/{}", percent::encode(id))).await.map_err(report)?;
        let text = serde_json::json!({
            "containerimage.config.digest": view.id,
            "containerimage.digest": view.id,
            "image.name": names.join(","),
        });
        write_file(path, &format!("{text:#}\n"))
    }
}

/// `--iidfile` and its like.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Report> {
    std::fs::write(path, text).map_err(|error| {
        Report::new(Kind::Unavailable, format!("could not write `{}`", path.display())).because(error)
    })
}

fn files(id: &str) -> String {
    format!("/v1/build/files?image={}", percent::encode(id))
}

fn broken_off(error: &dyn std::fmt::Display) -> Report {
    Report::new(Kind::Unavailable, "the daemon broke off in the middle of an archive").because(error)
}

/// The pieces of a body, read by a thread that may wait.
struct Pieces {
    archive: mpsc::Receiver<std::io::Result<bytes::Bytes>>,
    left: bytes::Bytes,
}

impl std::io::Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        while self.left.is_empty() {
            match self.archive.blocking_recv() {
                Some(piece) => self.left = piece?,
                None => return Ok(0),
            }
        }
        let piece = self.left.split_to(buf.len().min(self.left.len()));
        buf[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_written_as_docker_has_them() {
        let is = |text: &str, wanted: Target| assert_eq!(target(text), Ok(wanted), "`{text}`");
        is("out", Target::Folder("out".into()));
        is("-", Target::Tar(None));
        is("type=local,dest=out", Target::Folder("out".into()));
        is("type=tar,dest=out.tar", Target::Tar(Some("out.tar".into())));
        is("type=tar,dest=-", Target::Tar(None));
        is("type=tar", Target::Tar(None));
        is("type=docker", Target::Store);
        is("type=docker,dest=x.tar", Target::Image(Some("x.tar".into())));
        is("type=oci,dest=-", Target::Image(None));
        is("type=image,name=x,push=false", Target::Store);
        for text in ["type=local", "type=floppy", "dest=x", "type=tar,colour=red", "type=registry"] {
            assert!(target(text).is_err(), "`{text}`");
        }
    }
}
