//! The tables of apps and releases, and how changes of a ledger get into them, each with its lines of the journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{AppName, ReleaseNumber};
use plan::ledger::AppRecord;
use plan::{Change, Event, Ledger, Release};
use serde_json::Value;
use store::{Entry, Store, StoreError, Table};

const APPS: Table<AppRecord> = Table::new("app");
const RELEASES: Table<Release> = Table::new("release");

/// Every app's ledger.
pub(crate) fn load(store: &Store) -> Result<BTreeMap<AppName, Ledger>, StoreError> {
    store.read(|view| {
        let mut ledgers = BTreeMap::new();
        for row in APPS.list(view)? {
            let prefix = format!("{}/", row.value.name);
            let releases: BTreeMap<ReleaseNumber, Arc<Release>> = RELEASES
                .list_under(view, &prefix)?
                .into_iter()
                .map(|row| (row.value.number, Arc::new(row.value)))
                .collect();
            ledgers.insert(row.value.name.clone(), Ledger { record: row.value, releases });
        }
        Ok(ledgers)
    })
}

/// Writes down what changed, all or nothing.
pub(crate) async fn write(store: &Store, ledger: &Ledger, change: Change) -> Result<(), StoreError> {
    let record = ledger.record.clone();
    let changed: Vec<Arc<Release>> =
        change.releases.iter().filter_map(|number| ledger.releases.get(number)).cloned().collect();
    store
        .write(move |tx| {
            for release in &changed {
                RELEASES.put(tx, &record.release_key(release.number), release)?;
            }
            for number in &change.dropped {
                RELEASES.remove(tx, &record.release_key(*number))?;
            }
            if change.gone {
                APPS.remove(tx, record.name.as_str())?;
            } else {
                APPS.put(tx, record.name.as_str(), &record)?;
            }
            for event in change.events {
                tx.journal(&entry(&record.name, event))?;
            }
            Ok(())
        })
        .await
}

fn entry(app: &AppName, event: Event) -> Entry {
    let Event { name, subject, message } = event;
    Entry { app: Some(app.clone()), subject, event: name, message, detail: Value::Null }
}
