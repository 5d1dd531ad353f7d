//! `sea volume …`.

use base::percent;
use hyper::Method;
use talk::{Pruned, VolumeCreate, VolumeView};

use crate::args::VolumeCommand;
use crate::output::{say, say_json};
use crate::table::{self, pairs};
use crate::{Done, Session, report};

impl Session {
    /// `sea volume …`.
    pub(crate) async fn volume(&self, command: VolumeCommand) -> Done {
        match command {
            VolumeCommand::Ls => {
                let volumes: Vec<VolumeView> = self.client.get("/v1/volumes").await.map_err(report)?;
                self.list_volumes(&volumes);
            }
            VolumeCommand::Create { name, label, opt } => {
                self.ensure_daemon().await?;
                let order = VolumeCreate {
                    name,
                    driver: None,
                    options: pairs(&opt, "--opt")?.into_iter().collect(),
                    labels: pairs(&label, "--label")?.into_iter().collect(),
                };
                let volume: VolumeView =
                    self.client.call(Method::POST, "/v1/volumes", &order).await.map_err(report)?;
                say(volume.name);
            }
            VolumeCommand::Inspect { names } => {
                let mut views = Vec::new();
                for name in names {
                    let target = format!("/v1/volumes/{}", percent::encode(&name));
                    views.push(self.client.get::<VolumeView>(&target).await.map_err(report)?);
                }
                say_json(&views);
            }
            VolumeCommand::Rm { names } => {
                for name in names {
                    let target = format!("/v1/volumes/{}", percent::encode(&name));
                    self.client.call::<()>(Method::DELETE, &target, &()).await.map_err(report)?;
                    say(name);
                }
            }
            VolumeCommand::Prune { all } => {
                let target = format!("/v1/volumes/prune?all={all}");
                let pruned: Pruned = self.client.call(Method::POST, &target, &()).await.map_err(report)?;
                self.show_pruned(&pruned);
            }
        }
        Ok(0)
    }

    fn list_volumes(&self, volumes: &[VolumeView]) {
        if self.json() {
            say_json(&volumes);
        } else if self.quiet() {
            volumes.iter().for_each(|volume| say(&volume.name));
        } else {
            let row = |volume: &VolumeView| {
                let app = volume.app.clone().unwrap_or_default();
                [volume.name.clone(), app, volume.used_by.join(", "), volume.mountpoint.clone()]
            };
            let rows: Vec<_> = volumes.iter().map(row).collect();
            table::print(["VOLUME", "APP", "USED BY", "FOLDER"], &rows);
        }
    }
}
