//! Certificates by an authority: the room, with the edge as what shows them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use acme::{Binding, BoxFuture, Front, Keeper, LETS_ENCRYPT, Settings, SettingsError};
use base::{Clock, Kind, Report, Tasks};
use cli::AcmeArgs;
use plan::tls::Issued;
use proxy::Edge;

/// The edge, as it shows certificates.
struct EdgeFront(Edge);

impl Front for EdgeFront {
    fn wanted(&self) -> BoxFuture<'_, BTreeSet<Vec<String>>> {
        Box::pin(self.0.to_issue())
    }

    fn changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.others_to_issue())
    }

    fn show(&self, issued: Issued) -> BoxFuture<'_, Result<(), Report>> {
        Box::pin(async move { self.0.issue(issued).await.map_err(|problem| Report::of(&problem)) })
    }
}

/// Opens the room, and has it work.
pub(crate) fn begin(
    root: &Path,
    settings: Settings,
    edge: &Edge,
    clock: Arc<dyn Clock>,
    tasks: &Tasks,
) -> Result<Keeper, Report> {
    let front = Arc::new(EdgeFront(edge.clone()));
    let keeper = Keeper::open(&root.join("acme"), settings, front, clock);
    let keeper = keeper.map_err(|problem| Report::of(&problem))?;
    tasks.spawn("certificates", keeper.clone().run());
    base::crash::point("daemon: certificates kept");
    Ok(keeper)
}

/// What the command line says.
pub(crate) fn settings(args: &AcmeArgs) -> Result<Settings, Report> {
    let binding = match (&args.eab_kid, &args.eab_key_file) {
        (None, None) => None,
        (Some(kid), Some(path)) => {
            let key = std::fs::read_to_string(path).map_err(|error| {
                Report::new(Kind::NotFound, format!("could not read `{}`", path.display())).because(error)
            })?;
            Some(Binding::new(kid, &key).map_err(|problem| Report::of(&problem))?)
        }
        (Some(_), None) | (None, Some(_)) => return Err(Report::of(&SettingsError::HalfBinding)),
    };
    let settings = Settings {
        directory: args.directory.clone().unwrap_or_else(|| LETS_ENCRYPT.into()),
        contact: args.contact.clone(),
        agreed: args.agree,
        binding,
    };
    settings.check().map_err(|problem| Report::of(&problem))?;
    Ok(settings)
}
