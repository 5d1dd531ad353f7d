//! `sea network …`.

use base::percent;
use hyper::Method;
use talk::{NetworkCreate, NetworkView, Pruned};

use crate::args::NetworkCommand;
use crate::output::{say, say_json};
use crate::table::{self, pairs, short};
use crate::{Done, Session, report};

impl Session {
    /// `sea network …`.
    pub(crate) async fn network(&self, command: NetworkCommand) -> Done {
        match command {
            NetworkCommand::Ls => {
                let networks: Vec<NetworkView> = self.client.get("/v1/networks").await.map_err(report)?;
                self.list_networks(&networks);
            }
            NetworkCommand::Create { name, internal, ipv6, subnet, gateway, label } => {
                self.ensure_daemon().await?;
                let labels = pairs(&label, "--label")?.into_iter().collect();
                let order = NetworkCreate { name, internal, ipv6, subnet, gateway, labels };
                let network: NetworkView =
                    self.client.call(Method::POST, "/v1/networks", &order).await.map_err(report)?;
                say(network.id);
            }
            NetworkCommand::Inspect { names } => {
                let mut views = Vec::new();
                for name in names {
                    let target = format!("/v1/networks/{}", percent::encode(&name));
                    views.push(self.client.get::<NetworkView>(&target).await.map_err(report)?);
                }
                say_json(&views);
            }
            NetworkCommand::Rm { names } => {
                for name in names {
                    let target = format!("/v1/networks/{}", percent::encode(&name));
                    self.client.call::<()>(Method::DELETE, &target, &()).await.map_err(report)?;
                    say(name);
                }
            }
            NetworkCommand::Prune => {
                let pruned: Pruned =
                    self.client.call(Method::POST, "/v1/networks/prune", &()).await.map_err(report)?;
                pruned.removed.iter().for_each(say);
            }
        }
        Ok(0)
    }

    fn list_networks(&self, networks: &[NetworkView]) {
        if self.json() {
            say_json(&networks);
        } else if self.quiet() {
            networks.iter().for_each(|network| say(&network.name));
        } else {
            let row = |network: &NetworkView| {
                let kind = if network.internal { "internal" } else { "bridge" };
                [
                    network.name.clone(),
                    short(&network.id).to_owned(),
                    kind.to_owned(),
                    network.subnets.join(", "),
                    network.containers.len().to_string(),
                ]
            };
            let rows: Vec<_> = networks.iter().map(row).collect();
            table::print(["NETWORK", "ID", "KIND", "SUBNETS", "CONTAINERS"], &rows);
        }
    }
}
