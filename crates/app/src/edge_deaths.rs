//! Edges that die, as lines of the journal.

use base::Tasks;
use proxy::{Deaths, Edge};
use serde_json::json;
use store::{Entry, Store};

/// Has them told as long as the daemon runs.
pub(crate) fn tell(edge: &Edge, store: Store, tasks: &Tasks) {
    let mut deaths = edge.deaths();
    tasks.spawn("telling of dead edges", async move {
        let mut before = *deaths.borrow_and_update();
        while deaths.changed().await.is_ok() {
            let now = *deaths.borrow_and_update();
            store.tell(entry(before, now));
            before = now;
        }
    });
}

fn entry(before: Deaths, now: Deaths) -> Entry {
    let (event, message) = if now.total == before.total {
        ("EdgeRecovered", format!("the edge serves again, after {} in a row that died at once", before.early))
    } else if now.pause.is_zero() {
        ("EdgeDied", "the edge died; another takes its place".to_owned())
    } else {
        let pause = now.pause.as_millis();
        let message = format!("{} edges in a row died at once; the next is started in {pause} ms", now.early);
        ("EdgeDied", message)
    };
    let pause_ms = u64::try_from(now.pause.as_millis()).unwrap_or(u64::MAX);
    let detail = json!({ "died": now.total, "in_a_row": now.early, "pause_ms": pause_ms });
    Entry { app: None, subject: "edge".into(), event, message, detail }
}
