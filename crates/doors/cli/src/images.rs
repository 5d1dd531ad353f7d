//! `sea image …`.

use std::io::IsTerminal;
use std::path::Path;

use base::{Clock, Kind, Report, SystemClock, percent};
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use indicatif::ProgressBar;
use talk::{HistoryView, ImageView, Loaded, Pruned, TagOrder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::args::ImageCommand;
use crate::output::{note, say, say_json};
use crate::table::{self, ago, short};
use crate::{Done, Session, report};

/// What is read at once from an archive.
const PIECE: usize = 256 << 10;

impl Session {
    /// `sea image …`.
    pub(crate) async fn image(&self, command: ImageCommand) -> Done {
        match command {
            ImageCommand::Ls => self.images().await,
            ImageCommand::Pull(args) => self.pull(args).await,
            ImageCommand::Push(args) => self.push(args).await,
            ImageCommand::Load { input } => self.load_images(input.as_deref()).await,
            ImageCommand::Save { images, output } => self.save_images(&images, output.as_deref()).await,
            ImageCommand::Here { layers } => {
                say(self
                    .client
                    .call::<usize>(Method::POST, "/v1/images/here", &layers)
                    .await
                    .map_err(report)?);
                Ok(0)
            }
            ImageCommand::Rm { images, force } => self.remove_images(&images, force).await,
            ImageCommand::Tag { image, name } => {
                let order = TagOrder { image, name };
                self.client.call::<()>(Method::POST, "/v1/images/tag", &order).await.map_err(report)?;
                Ok(0)
            }
            ImageCommand::Inspect { images } => {
                let mut views = Vec::new();
                for image in images {
                    let target = format!("/v1/images/{}", percent::encode(&image));
                    views.push(self.client.get::<ImageView>(&target).await.map_err(report)?);
                }
                say_json(&views);
                Ok(0)
            }
            ImageCommand::History { image } => self.image_history(&image).await,
            ImageCommand::Prune { all } => {
                let target = format!("/v1/images/prune?all={all}");
                let pruned: Pruned = self.client.call(Method::POST, &target, &()).await.map_err(report)?;
                self.show_pruned(&pruned);
                Ok(0)
            }
            ImageCommand::Fsck => {
                let found: Vec<String> =
                    self.client.call(Method::POST, "/v1/images/fsck", &()).await.map_err(report)?;
                if self.json() {
                    say_json(&found);
                } else if found.is_empty() {
                    say("every layer and image is whole");
                } else {
                    found.iter().for_each(say);
                }
                Ok(u8::from(!found.is_empty()))
            }
        }
    }

    async fn images(&self) -> Done {
        let images: Vec<ImageView> = self.client.get("/v1/images").await.map_err(report)?;
        if self.json() {
            say_json(&images);
        } else if self.quiet() {
            images.iter().for_each(|image| say(short(&image.id)));
        } else {
            let now = SystemClock.wall();
            let rows: Vec<_> = images.iter().flat_map(|image| image_rows(image, now)).collect();
            table::print(["NAME", "IMAGE", "CREATED", "SIZE", "CONTAINERS"], &rows);
        }
        Ok(0)
    }

    async fn load_images(&self, input: Option<&Path>) -> Done {
        if input.is_none() && std::io::stdin().is_terminal() {
            return Err(Report::new(Kind::Invalid, "no archive is given")
                .hint("as in `sea image load -i app.tar`, or `… | sea image load`"));
        }
        self.ensure_daemon().await?;
        let (source, length): (Box<dyn AsyncRead + Send + Sync + Unpin>, Option<u64>) = match input {
            None => (Box::new(tokio::io::stdin()), None),
            Some(path) => {
                let cannot = |error| {
                    Report::new(Kind::NotFound, format!("could not read `{}`", path.display())).because(error)
                };
                let file = tokio::fs::File::open(path).await.map_err(cannot)?;
                let about = file.metadata().await.map_err(cannot)?;
                if about.is_dir() {
                    let text = format!("`{}` is a folder, not an archive", path.display());
                    return Err(Report::new(Kind::Invalid, text)
                        .hint("an OCI layout is loaded as in `tar -C FOLDER -c . | sea image load`"));
                }
                (Box::new(file), about.is_file().then_some(about.len()))
            }
        };
        let bar = self.bar(length);
        let mut lines =
            self.client.upload(Method::POST, "/v1/images/load", pieces(source)).await.map_err(report)?;
        while let Some(line) = lines.next::<Loaded>().await.map_err(report)? {
            match line {
                Loaded::Read { bytes } => bar.set_position(bytes.0),
                Loaded::Image { id, names } => {
                    let text = if names.is_empty() { short(&id).to_owned() } else { names.join(", ") };
                    bar.suspend(|| say(if self.quiet() { text } else { format!("loaded {text}") }));
                }
                Loaded::Failed { report } => {
                    bar.finish_and_clear();
                    return Err(report.from_afar());
                }
            }
        }
        bar.finish_and_clear();
        Ok(0)
    }

    async fn save_images(&self, images: &[String], output: Option<&Path>) -> Done {
        if output.is_none() && std::io::stdout().is_terminal() {
            return Err(
                Report::new(Kind::Invalid, "an archive is not for a terminal").hint("name a file with `-o`")
            );
        }
        let target = format!("/v1/images/save?names={}", percent::encode(&images.join(",")));
        let body = self.client.download(&target).await.map_err(report)?;
        match output {
            None => copy(body, tokio::io::stdout(), &self.bar(None)).await,
            Some(path) => {
                // Under another name until it is whole.
                let part = path.with_extension("part");
                let cannot = |error| {
                    Report::new(Kind::Unavailable, format!("could not write `{}`", path.display()))
                        .because(error)
                };
                let file = tokio::fs::File::create(&part).await.map_err(cannot)?;
                let bar = self.bar(None);
                if let Err(problem) = copy(body, file, &bar).await {
                    // What arrived is of no use.
                    let _ = tokio::fs::remove_file(&part).await;
                    return Err(problem);
                }
                tokio::fs::rename(&part, path).await.map_err(cannot)?;
                Ok(0)
            }
        }
    }

    async fn remove_images(&self, images: &[String], force: bool) -> Done {
        for image in images {
            let target = format!("/v1/images/{}?force={force}", percent::encode(image));
            let gone: Vec<String> = self.client.call(Method::DELETE, &target, &()).await.map_err(report)?;
            gone.iter().for_each(say);
        }
        Ok(0)
    }

    async fn image_history(&self, image: &str) -> Done {
        let target = format!("/v1/images/{}/history", percent::encode(image));
        let steps: Vec<HistoryView> = self.client.get(&target).await.map_err(report)?;
        if self.json() {
            say_json(&steps);
            return Ok(0);
        }
        let now = SystemClock.wall();
        let rows: Vec<_> = steps
            .iter()
            .map(|step| {
                let created = step.created.map_or_else(String::new, |created| ago(created, now));
                [created, step.size.map_or_else(|| "-".into(), |size| size.to_string()), step.by.clone()]
            })
            .collect();
        table::print(["CREATED", "SIZE", "BY"], &rows);
        Ok(0)
    }

    pub(crate) fn show_pruned(&self, pruned: &Pruned) {
        if self.json() {
            say_json(pruned);
            return;
        }
        pruned.removed.iter().for_each(say);
        say(format!("freed {}", pruned.freed));
    }

    /// A bar of bytes on a terminal; nothing elsewhere.
    fn bar(&self, length: Option<u64>) -> ProgressBar {
        if self.quiet() || self.json() || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        match length {
            Some(length) => {
                let style = indicatif::ProgressStyle::with_template(
                    "[{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}",
                )
                .unwrap_or_else(|_| indicatif::ProgressStyle::default_bar())
                .progress_chars("=> ");
                ProgressBar::new(length).with_style(style)
            }
            None => ProgressBar::new_spinner(),
        }
    }
}

fn image_rows(image: &ImageView, now: base::Timestamp) -> Vec<[String; 5]> {
    let none = ["<none>".to_owned()];
    let names = if image.names.is_empty() { &none[..] } else { &image.names[..] };
    let row = |name: &String| {
        let created = image.created.map_or_else(String::new, |created| ago(created, now));
        let id = short(&image.id).to_owned();
        [name.clone(), id, created, image.size.to_string(), image.containers.to_string()]
    };
    names.iter().map(row).collect()
}

/// A reader as the pieces of a request's body.
pub(crate) fn pieces(
    source: Box<dyn AsyncRead + Send + Sync + Unpin>,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static {
    futures_util::stream::try_unfold(source, |mut source| async move {
        let mut piece = Vec::with_capacity(PIECE);
        source.read_buf(&mut piece).await?;
        Ok(if piece.is_empty() { None } else { Some((Bytes::from(piece), source)) })
    })
}

async fn copy(mut body: Incoming, mut to: impl AsyncWrite + Unpin, bar: &ProgressBar) -> Done {
    let broken = |error: &dyn std::fmt::Display| {
        Report::new(Kind::Unavailable, "the archive did not arrive whole").because(error)
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        if let Ok(data) = frame.into_data() {
            bar.inc(data.len() as u64);
            to.write_all(&data).await.map_err(|error| broken(&error))?;
        }
    }
    to.flush().await.map_err(|error| broken(&error))?;
    bar.finish_and_clear();
    if bar.position() == 0 {
        note("warning: the archive is empty");
    }
    Ok(0)
}
