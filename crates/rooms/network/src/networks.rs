//! The way into the room: each operation waits its turn and then runs to its end off the async threads.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use base::{AppName, Clock, ContainerId, NetworkName, ServiceName, SystemClock};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use store::Store;
use tokio::sync::Mutex;

use crate::events;
use crate::journal::Journal;
use crate::names::Publisher;
use crate::order::{AttachOrder, Attachment, NetworkOrder, NetworkView, ServedOrder, Settings, Settled};
use crate::problems::{AttachError, ChangeError, CreateError, FindError, OpenError, RemoveError};
use crate::realm::Realm;
use crate::tag::Tag;

/// How long a container's links may take to go with its namespace before we remove them.
const LINKS_GONE: Duration = Duration::from_millis(100);
/// How often we look whether they have gone.
const LINKS_LOOK: Duration = Duration::from_millis(5);
/// How long the making of a network waits for the one who answers for names there.
const NAMES_READY: Duration = Duration::from_secs(2);

/// The addresses of services, as they are at this moment.
type Served = Arc<std::sync::Mutex<Vec<(AppName, ServiceName, IpAddr)>>>;

/// Addresses and ports of services, each with the port of the same address at which the edge listens for it.
pub type Answered = BTreeSet<(SocketAddr, u16)>;

/// The networks of one root. Clones are the same.
///
/// Names follow every change at once, a moment after the operation's end; [`Self::names_served`] waits for them.
/// An operation that has begun ends, even if nobody waits for it any more.
#[derive(Clone)]
pub struct Networks {
    realm: Arc<Mutex<Realm>>,
    names: Publisher,
    served: Served,
    journal: Journal,
    clock: Arc<dyn Clock>,
}

impl Networks {
    /// Opens the networks recorded in this folder; touches nothing on the machine. Call [`Self::settle`] next.
    pub async fn open(tag: Tag, dir: &Path, settings: Settings) -> Result<Self, OpenError> {
        let names = Publisher::start(dir, settings.names);
        let dir = dir.to_owned();
        let realm = off_thread(move || Realm::open(tag, &dir, settings.pools)).await?;
        let served = Arc::new(std::sync::Mutex::new(realm.served()));
        let realm = Arc::new(Mutex::new(realm));
        Ok(Self { realm, names, served, journal: Journal::default(), clock: Arc::new(SystemClock) })
    }

    /// The same, and what happens to them is written into this journal.
    pub fn with_journal(self, store: Store) -> Self {
        Self { journal: Journal(Some(store)), ..self }
    }

    /// Makes a network; an equal one may be there already, and one that differs is an error. Labels may change.
    pub async fn create(&self, order: NetworkOrder) -> Result<NetworkView, CreateError> {
        let now = self.clock.wall();
        let journal = self.journal.clone();
        let create = move |realm: &mut Realm| {
            let known = realm.find(order.name.as_str()).is_ok();
            let view = realm.create(&order, now)?;
            if !known {
                journal.created(&view);
            }
            Ok::<_, CreateError>(view)
        };
        let view = self.with(create).await?;
        // Whoever joins may ask for names at once. That nobody answers is no reason to have no network.
        if !self.names.confirmed(NAMES_READY).await {
            events::names_late(&view.name, &self.names.unbound().join("; "));
        }
        Ok(view)
    }

    /// The network of containers that name none, made if need be.
    pub async fn ensure_default(&self) -> Result<NetworkView, CreateError> {
        let name = NetworkName::new(crate::DEFAULT_NETWORK).expect("`bridge` is a network's name");
        if let Ok(there) = self.inspect(crate::DEFAULT_NETWORK).await {
            return Ok(there);
        }
        self.create(NetworkOrder::named(name)).await
    }

    /// Takes a network away that nobody is attached to.
    pub async fn remove(&self, name: &NetworkName) -> Result<(), RemoveError> {
        let (name, journal) = (name.clone(), self.journal.clone());
        let remove = move |realm: &mut Realm| {
            let view = realm.find(name.as_str()).ok();
            realm.remove(&name)?;
            view.iter().for_each(|view| journal.removed(view));
            Ok(())
        };
        self.with(remove).await
    }

    /// Gives the services of an app these addresses, which the edge answers, and takes back all others that it has.
    pub async fn serve(&self, app: &AppName, orders: Vec<ServedOrder>) -> Result<(), ChangeError> {
        let app = app.clone();
        self.with(move |realm| realm.serve(&app, &orders)).await
    }

    /// Leads what comes to these addresses and ports of services no longer to the edge, but for those kept; the rest goes
    /// to instances. Returns which were led there.
    pub async fn keep_answered(&self, owner: &str, kept: Answered) -> Answered {
        let (mut realm, owner) = (Arc::clone(&self.realm).lock_owned().await, owner.to_owned());
        off_thread(move || realm.keep_answered(&owner, &kept)).await
    }

    /// Leads what comes to these addresses and ports of services to the port of the same address where the edge listens,
    /// if it does.
    pub async fn answer(&self, owner: &str, wanted: Answered) {
        let (mut realm, owner) = (Arc::clone(&self.realm).lock_owned().await, owner.to_owned());
        off_thread(move || realm.answer(&owner, wanted)).await;
    }

    /// The addresses that services of an app have on their networks.
    pub fn served(&self, app: &AppName) -> Vec<(ServiceName, IpAddr)> {
        let all = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let its = all.iter().filter(|(of, ..)| of == app);
        its.map(|(_, service, address)| (service.clone(), *address)).collect()
    }

    /// All networks, by name.
    pub async fn list(&self) -> Vec<NetworkView> {
        self.realm.lock().await.list()
    }

    /// The network of this name, id, or beginning of an id.
    pub async fn inspect(&self, name_or_id: &str) -> Result<NetworkView, FindError> {
        self.realm.lock().await.find(name_or_id)
    }

    /// Takes all networks away that nobody is attached to, but for the default one.
    pub async fn prune(&self) -> Result<Vec<NetworkName>, RemoveError> {
        let journal = self.journal.clone();
        let prune = move |realm: &mut Realm| {
            let before = realm.list();
            let removed = realm.prune()?;
            before.iter().filter(|view| removed.contains(&view.name)).for_each(|view| journal.removed(view));
            Ok(removed)
        };
        self.with(prune).await
    }

    /// Joins a container to a network. Once more is no harm; with a new process it keeps its addresses.
    pub async fn attach(&self, name: &NetworkName, order: AttachOrder) -> Result<Attachment, AttachError> {
        let (name, journal) = (name.clone(), self.journal.clone());
        let attach = move |realm: &mut Realm| {
            let on = realm.attachments(&order.container).iter().any(|on| on.network == name);
            let attachment = realm.attach(&name, &order)?;
            if !on {
                journal.connected(&attachment);
            }
            Ok(attachment)
        };
        self.with(attach).await
    }

    /// What a container is attached to, in the order in which it joined.
    pub async fn attachments(&self, container: &ContainerId) -> Vec<Attachment> {
        self.realm.lock().await.attachments(container)
    }

    /// Lets a container go from a network; it need not be on it.
    pub async fn detach(&self, name: &NetworkName, container: &ContainerId) -> Result<(), ChangeError> {
        let (name, container, journal) = (name.clone(), container.clone(), self.journal.clone());
        let detach = move |realm: &mut Realm| {
            let before = realm.attachments(&container);
            realm.detach(&name, &container)?;
            before.iter().filter(|on| on.network == name).for_each(|on| journal.disconnected(on));
            Ok(())
        };
        self.with(detach).await
    }

    /// Leads a container's way out over this network, on which it is, from now on.
    pub async fn lead_out(&self, container: &ContainerId, name: &NetworkName) -> Result<(), ChangeError> {
        let (name, container) = (name.clone(), container.clone());
        self.with(move |realm| realm.lead_out(&container, &name)).await
    }

    /// Lets a container go from all its networks.
    ///
    /// The kernel takes a link away together with the namespace that its other end is in. It needs some 10 ms for each
    /// removal, in which nobody else can change a link; so of a container that has ended we leave it to that, and remove
    /// only what is there still.
    pub async fn detach_all(&self, container: &ContainerId) -> Result<(), ChangeError> {
        let container = container.clone();
        let links = self.realm.lock().await.links(&container);
        // What is there after this is removed by us.
        let _ = tokio::time::timeout(LINKS_GONE, gone(&links)).await;
        let journal = self.journal.clone();
        let detach = move |realm: &mut Realm| {
            let before = realm.attachments(&container);
            realm.detach_all(&container)?;
            before.iter().for_each(|on| journal.disconnected(on));
            Ok(())
        };
        self.with(detach).await
    }

    /// Whether names that containers share, as a service's, lead to this one.
    pub async fn set_ready(&self, container: &ContainerId, ready: bool) -> Result<(), ChangeError> {
        let container = container.clone();
        self.with(move |realm| realm.set_ready(&container, ready).map(drop)).await
    }

    /// The names that mean a container alone, on all its networks, from now on.
    pub async fn rename(&self, container: &ContainerId, names: Vec<String>) -> Result<(), ChangeError> {
        let container = container.clone();
        self.with(move |realm| realm.rename(&container, &names)).await
    }

    /// The names that a container alone has for others on one network, from now on: each with whom it means.
    pub async fn set_links(
        &self,
        container: &ContainerId,
        network: &NetworkName,
        links: Vec<(String, String)>,
    ) -> Result<(), ChangeError> {
        let (container, network) = (container.clone(), network.clone());
        self.with(move |realm| realm.set_links(&container, &network, &links)).await
    }

    /// Makes the machine agree with the record, of which only live containers' attachments are kept. To be
    /// called when the daemon starts.
    pub async fn settle(&self, live: &[ContainerId]) -> Result<Settled, ChangeError> {
        let live = live.to_vec();
        self.with(move |realm| realm.settle(&live)).await
    }

    /// Takes everything away that this root has on the machine and in its record.
    pub async fn destroy_all(&self) -> Result<(), ChangeError> {
        let gone = self.with(Realm::destroy).await;
        self.names.end().await;
        gone
    }

    /// Waits until names are served as of the last change; false if they were not within this time.
    pub async fn names_served(&self, within: Duration) -> bool {
        self.names.confirmed(within).await
    }

    /// Gateways on which nobody answers for names, with the reason.
    pub fn names_unserved(&self) -> Vec<String> {
        self.names.unbound()
    }

    /// The names as they are published.
    #[cfg(test)]
    async fn names_table_for_tests(&self) -> crate::names::NamesTable {
        let networks = self.realm.lock().await.names();
        crate::names::NamesTable { epoch: 7, generation: 1, networks }
    }

    /// Runs a change when its turn comes.
    async fn with<T: Send + 'static>(&self, change: impl FnOnce(&mut Realm) -> T + Send + 'static) -> T {
        let mut realm = Arc::clone(&self.realm).lock_owned().await;
        let (names, served) = (self.names.clone(), self.served.clone());
        off_thread(move || {
            let outcome = change(&mut realm);
            realm.lead_services();
            // Still in turn, so that tables follow each other as changes did.
            names.publish(realm.names());
            *served.lock().unwrap_or_else(PoisonError::into_inner) = realm.served();
            outcome
        })
        .await
    }
}

/// Waits until none of these links is there.
async fn gone(links: &[String]) {
    let Ok(socket) = socket(AddressFamily::INET, SocketType::DGRAM, None) else { return };
    while links.iter().any(|name| name_to_index(&socket, name).is_ok()) {
        tokio::time::sleep(LINKS_LOOK).await;
    }
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that shuts down refuses to begin work.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
