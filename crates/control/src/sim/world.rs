//! The world: instances that start, become ready, fail and end; an edge; and time.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{ContainerId, Instant, Revision, Rng, ServiceName, VolumeName};
use plan::seen::{Seen, State};
use plan::traffic::{RouteShare, TrafficSeen};

use super::files::Nature;

/// An instance, and what will happen to it next.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) id: ContainerId,
    pub(super) service: ServiceName,
    pub(super) revision: Revision,
    pub(super) number: u32,
    pub(super) nature: Nature,
    pub(super) state: State,
    pub(super) since: Instant,
    pub(super) started: Instant,
    pub(super) ready_after: Option<Duration>,
    pub(super) restarts: u32,
    pub(super) writes: bool,
    pub(super) job: bool,
    /// When it lost its readiness by itself.
    pub(super) lost: Option<Instant>,
    /// The next change that comes by itself.
    pub(super) next: Option<(Instant, State)>,
    /// Until when requests to it take after the edge let go of it.
    pub(super) busy_until: Instant,
    /// When the edge let go of it.
    pub(super) let_go: Option<Instant>,
}

impl Body {
    pub(super) fn is_alive(&self) -> bool {
        match self.state {
            State::Starting | State::Ready | State::Spared | State::Unhealthy | State::Stopping => true,
            State::Created | State::Exited { .. } => false,
        }
    }
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) bodies: Vec<Body>,
    /// By what the edge goes.
    pub(super) edge: RouteShare,
    /// Nothing fails by itself any more.
    pub(super) calm: bool,
    pub(super) failures: u32,
    /// How often each job was started, and whether it ended well.
    pub(super) jobs: BTreeMap<Revision, u32>,
    made: u64,
}

pub(super) fn ms(rng: &mut Rng, from: u64, to: u64) -> Duration {
    Duration::from_millis(from + rng.below(to - from + 1))
}

impl World {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            now: Instant::from_secs(10),
            rng,
            bodies: Vec::new(),
            edge: RouteShare::default(),
            calm: false,
            failures: 0,
            jobs: BTreeMap::new(),
            made: 0,
        }
    }

    pub(super) fn new_id(&mut self) -> ContainerId {
        self.made += 1;
        ContainerId::new(format!("{:064x}", self.made)).expect("an id")
    }

    pub(super) fn body(&mut self, id: &ContainerId) -> Option<&mut Body> {
        self.bodies.iter_mut().find(|body| body.id == *id)
    }

    /// Starts the process of an instance.
    pub(super) fn begin(&mut self, id: &ContainerId) {
        let (now, calm) = (self.now, self.calm);
        let rng = &mut self.rng;
        let Some(body) = self.bodies.iter_mut().find(|body| body.id == *id) else { return };
        body.state = State::Starting;
        (body.since, body.started, body.ready_after) = (now, now, None);
        body.next = Some(match (body.job, body.nature) {
            (true, Nature::FailsJob) => (now + ms(rng, 50, 3000), State::Exited { code: 1, asked: false }),
            (true, _) => (now + ms(rng, 50, 3000), State::Exited { code: 0, asked: false }),
            (false, Nature::Crashes) => (now + ms(rng, 10, 500), State::Exited { code: 1, asked: false }),
            (false, Nature::NeverReady) => (now + ms(rng, 3000, 9000), State::Unhealthy),
            (false, _) if !calm && rng.chance(0.03) => {
                (now + ms(rng, 10, 900), State::Exited { code: 137, asked: false })
            }
            (false, _) => (now + ms(rng, 20, 3000), State::Ready),
        });
    }

    /// Makes the change of an instance that is due.
    pub(super) fn happen(&mut self, at: usize) {
        let (now, calm) = (self.now, self.calm);
        let rng = &mut self.rng;
        let body = &mut self.bodies[at];
        let Some((_, state)) = body.next.take() else { return };
        if body.state == State::Ready {
            body.lost = Some(now);
        }
        body.state = state;
        body.since = now;
        match state {
            State::Ready => {
                body.ready_after.get_or_insert(now.since(body.started));
                body.next = if body.nature == Nature::DiesLate {
                    Some((now + ms(rng, 100, 4000), State::Exited { code: 1, asked: false }))
                } else if !calm && rng.chance(0.1) {
                    let end = match rng.below(3) {
                        0 => State::Unhealthy,
                        1 => State::Spared,
                        _ => State::Exited { code: 139, asked: false },
                    };
                    Some((now + ms(rng, 100, 60_000), end))
                } else {
                    None
                };
            }
            State::Unhealthy => {
                self.failures += 1;
                let recovers = body.nature != Nature::NeverReady && rng.chance(0.4);
                body.next = recovers.then(|| (now + ms(rng, 100, 9000), State::Ready));
            }
            // Nobody mends it, so in the end it answers again.
            State::Spared => {
                self.failures += 1;
                body.next = Some((now + ms(rng, 100, 9000), State::Ready));
            }
            State::Exited { .. } => self.failures += 1,
            State::Created | State::Starting | State::Stopping => {}
        }
    }

    /// The edge goes by a new share.
    pub(super) fn apply(&mut self, share: RouteShare) {
        let now = self.now;
        for body in &mut self.bodies {
            match (self.edge.sends_to(&body.id), share.sends_to(&body.id)) {
                (true, false) => {
                    body.let_go = Some(now);
                    let slow = self.rng.chance(0.1);
                    body.busy_until = now + ms(&mut self.rng, 0, if slow { 30_000 } else { 300 });
                }
                (_, true) => body.let_go = None,
                (false, false) => {}
            }
        }
        self.edge = share;
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        let now = self.now;
        let volume = VolumeName::new("shop_data").expect("a name");
        let one = |body: &Body| {
            let age = now.since(body.since);
            let up = match body.state {
                State::Exited { .. } => body.since.since(body.started),
                State::Created => Duration::ZERO,
                State::Starting | State::Ready | State::Spared | State::Unhealthy | State::Stopping => {
                    now.since(body.started)
                }
            };
            Seen {
                id: body.id.clone(),
                service: body.service.clone(),
                revision: body.revision.clone(),
                number: body.number,
                state: body.state,
                age,
                up,
                ready_after: body.ready_after,
                error: None,
                sick: matches!(body.state, State::Exited { .. })
                    && body.lost.is_some_and(|lost| lost >= body.started),
                restarts: body.restarts,
                address: Some([10, 0, 0, body.number as u8].into()),
                volumes: if body.writes { vec![volume.clone()] } else { Vec::new() },
                served: Vec::new(),
            }
        };
        self.bodies.iter().map(one).collect()
    }

    pub(super) fn traffic(&self) -> TrafficSeen {
        let ends = self.edge.pools.values().flat_map(|pool| &pool.endpoints);
        let sending = ends.map(|end| end.instance.clone()).collect();
        let busy =
            |body: &&Body| body.is_alive() && (body.busy_until > self.now || self.edge.sends_to(&body.id));
        let in_flight = self.bodies.iter().filter(busy).map(|body| (body.id.clone(), 1)).collect();
        TrafficSeen { sending, in_flight, answered: BTreeMap::new() }
    }

    /// When the next thing happens by itself, and to whom.
    pub(super) fn next(&self) -> Option<(Instant, usize)> {
        let due = self.bodies.iter().enumerate().filter_map(|(at, body)| Some((body.next?.0, at)));
        due.min()
    }
}
