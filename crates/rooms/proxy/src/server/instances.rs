//! The instances that the edge knows: those of the table, and for a while those that have left it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use base::ContainerId;
use plan::traffic::{Answered, TrafficSeen};

use crate::endpoint::EndpointState;
use crate::limits::RETIRED_KEPT;
use crate::table::Table;

use super::secret::Marks;

type Key = (ContainerId, SocketAddr);

/// The states of instances by container and address.
pub(crate) struct Instances {
    threads: usize,
    marks: Marks,
    known: HashMap<Key, Arc<EndpointState>>,
    /// Those that have left the table, from the first to the last.
    retired: VecDeque<Key>,
}

impl Instances {
    pub(super) fn new(threads: usize, marks: Marks) -> Self {
        Self { threads, marks, known: HashMap::new(), retired: VecDeque::new() }
    }

    /// The state of an instance, which is made when it is new.
    pub(crate) fn state(&mut self, instance: &ContainerId, address: SocketAddr) -> Arc<EndpointState> {
        let made = || {
            let state = EndpointState::new(instance.clone(), address, self.threads);
            Arc::new(state.marked(self.marks.mark(instance, address)))
        };
        self.known.entry((instance.clone(), address)).or_insert_with(made).clone()
    }

    /// Notes which instances have left the table; forgets the oldest of them that are at rest.
    pub(crate) fn keep_only(&mut self, table: &Table) {
        let present: HashSet<Key> = table
            .pools
            .iter()
            .flat_map(|pool| &pool.endpoints)
            .map(|e| (e.instance.clone(), e.address))
            .collect();
        self.retired.retain(|key| !present.contains(key));
        let listed: HashSet<Key> = self.retired.iter().cloned().collect();
        let left = self.known.keys().filter(|key| !present.contains(*key) && !listed.contains(*key));
        self.retired.extend(left.cloned().collect::<Vec<_>>());
        let surplus = self.retired.len().saturating_sub(RETIRED_KEPT);
        let mut forgotten = 0;
        let known = &mut self.known;
        self.retired.retain(|key| {
            let rests = known.get(key).is_none_or(|state| state.in_flight() == 0);
            let forget = forgotten < surplus && rests;
            if forget {
                forgotten += 1;
                known.remove(key);
            }
            !forget
        });
    }

    /// What all instances do.
    pub(crate) fn look(&self, table: &Table) -> TrafficSeen {
        let mut sending: Vec<_> =
            table.pools.iter().flat_map(|pool| &pool.endpoints).map(|e| e.instance.clone()).collect();
        sending.sort();
        sending.dedup();
        let mut in_flight = BTreeMap::new();
        let mut answered: BTreeMap<ContainerId, Answered> = BTreeMap::new();
        for ((instance, _), state) in &self.known {
            let sums = state.sums();
            if sums.in_flight > 0 {
                *in_flight.entry(instance.clone()).or_default() += sums.in_flight;
            }
            let all = answered.entry(instance.clone()).or_default();
            all.good += sums.answered.good;
            all.failed += sums.answered.failed;
            all.lost += sums.answered.lost;
        }
        TrafficSeen { sending, in_flight, answered }
    }
}
