//! Bulkheads: a flood in one compartment does not sink the others.
//!
//! Model: calls hold a place in each of the compartments on their path (say its route, its service and its instance)
//! while they run, all or none. What finds one full waits in *that* compartment's queue and holds nothing meanwhile, so
//! no two can wait for each other. Queues are bounded in number and in time. A place that comes free goes to the oldest
//! that fits; one that then finds another compartment full moves to that one's queue.
//!
//! Clients share fairly: once a compartment is contended (so much of it is in use), a client that holds its share or
//! more gets no further place, and neither does it fill more than its share of the queue; what it gives back goes to
//! others. While there is no contention it may have all that is free.
//!
//! Every permit must come back by [`Bulkheads::settle`]; one that is lost holds its places for ever, so keep it in a
//! guard. Client numbers that strangers choose must be hashed with a secret by the caller.
//!
//! Sources: Nygard: "Release It!", 2nd edition, 2018, "Bulkheads"; the bounds in number and time are those of
//! resilience4j's thread pool and semaphore bulkheads.
//!
//! Defaults of [`Limits`]: `at_once` 256, more than one instance of most services works on, few enough for its memory;
//! `waiting` 128, half of it, and `wait` 500 ms, for a burst, after which people notice; `client_share` a half from
//! `contended_from` 80 %: one client may be busy, and a fifth stays for the rest.
//!
//! ```
//! use base::Instant;
//! use resilience::bulkhead::{Answer, Bulkheads, Limits, Path};
//!
//! let mut bulkheads = Bulkheads::default();
//! let one = Limits { at_once: 1, ..Limits::default() };
//! let (route, service) = (bulkheads.add(Limits::default()), bulkheads.add(one));
//! let path = Path::new(&[route, service]);
//! let now = Instant::from_secs(1);
//! let Ok(Answer::Go(first)) = bulkheads.ask(path, 1, now) else { panic!("it is empty") };
//! let Ok(Answer::Wait(ticket)) = bulkheads.ask(path, 2, now) else { panic!("there is a queue") };
//! let mut woken = Vec::new();
//! bulkheads.settle(first, now, &mut woken);
//! assert_eq!(woken[0].ticket, ticket);
//! # if let Ok(permit) = woken.remove(0).end { bulkheads.settle(permit, now, &mut woken) }
//! ```

mod compartment;

use std::time::Duration;

use base::Instant;

use crate::refusal::sentences;
use compartment::{Compartment, Waiter};

/// The longest path.
const LONGEST: usize = 4;

/// How much a compartment holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Calls at once; at least 1.
    pub at_once: u32,
    /// Calls that wait.
    pub waiting: u32,
    /// How long a call waits at most.
    pub wait: Duration,
    /// Under contention a client has at most this share of the places, and of the queue; 1 turns it off.
    pub client_share: f64,
    /// It is contended when this share of its places is in use.
    pub contended_from: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 256,
            waiting: 128,
            wait: Duration::from_millis(500),
            client_share: 0.5,
            contended_from: 0.8,
        }
    }
}

/// Names a compartment of one [`Bulkheads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part(u32);

/// The compartments that a call goes through; at most four, each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Path {
    parts: [Part; LONGEST],
    length: u8,
}

impl Path {
    /// Through these; one named twice counts once, and from the fifth on they are left out.
    pub fn new(through: &[Part]) -> Self {
        let mut path = Self { parts: [Part(0); LONGEST], length: 0 };
        for part in through {
            if (path.length as usize) < LONGEST && !path.parts().contains(part) {
                path.parts[path.length as usize] = *part;
                path.length += 1;
            }
        }
        path
    }

    fn parts(&self) -> &[Part] {
        &self.parts[..self.length as usize]
    }
}

/// Leave to make one call; give it back with [`Bulkheads::settle`].
#[must_use = "its places are held until it is settled"]
#[derive(Debug)]
pub struct Permit {
    path: Path,
    client: u64,
}

/// A call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    number: u64,
    path: Path,
}

/// What a call is told that was not refused.
#[derive(Debug)]
pub enum Answer {
    /// It may run.
    Go(Permit),
    /// It waits until its ticket is told of in `woken`, or until its time is up; see [`Bulkheads::tick`].
    Wait(Ticket),
}

/// Why a call cannot run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// The compartment that has no place for it.
    pub part: Part,
    /// What exactly.
    pub why: Why,
}

/// What has no place for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The compartment and its queue are full.
    Queue,
    /// The client has its share of the places and the queue.
    Share,
    /// It waited as long as may be.
    Waited,
}

sentences! {
    Full: |it, f| f.write_str(match it.why {
        Why::Queue => "as many calls run and wait as may",
        Why::Share => "the client has its share of the calls that may run and wait",
        Why::Waited => "the call has waited for a place as long as it may",
    });
}

/// A call that waits no more.
#[derive(Debug)]
pub struct Woken {
    /// Which.
    pub ticket: Ticket,
    /// Whether it may run.
    pub end: Result<Permit, Full>,
}

/// All compartments of a caller.
#[derive(Debug, Default)]
pub struct Bulkheads {
    parts: Vec<Compartment>,
    next_ticket: u64,
}

impl Bulkheads {
    /// Adds a compartment. Limits out of range are brought into it.
    pub fn add(&mut self, limits: Limits) -> Part {
        self.parts.push(Compartment::new(limits));
        Part(self.parts.len() as u32 - 1)
    }

    /// Changes the limits of a compartment. Calls that run or wait are not taken back.
    pub fn set(&mut self, part: Part, limits: Limits) {
        if let Some(compartment) = self.parts.get_mut(part.0 as usize) {
            compartment.set(limits);
        }
    }

    /// Calls that run in a compartment, and those that wait for it.
    pub fn load(&self, part: Part) -> (u32, u32) {
        self.parts.get(part.0 as usize).map_or((0, 0), |it| (it.in_flight(), it.waiting()))
    }

    /// How much of a compartment is in use, 1 being all; what waits for it counts too.
    pub fn used(&self, part: Part) -> f64 {
        self.parts.get(part.0 as usize).map_or(0.0, Compartment::used)
    }

    /// Asks for a place in each compartment of the path.
    ///
    /// # Errors
    /// When one is full, and its queue too. Compartments that are not of this set hold nobody.
    pub fn ask(&mut self, path: Path, client: u64, now: Instant) -> Result<Answer, Full> {
        let Some(part) = self.blocking(path, client) else {
            return Ok(Answer::Go(self.enter(path, client)));
        };
        let compartment = &mut self.parts[part.0 as usize];
        let ticket = Ticket { number: self.next_ticket, path };
        let until = now + compartment.wait();
        compartment.enqueue(Waiter { ticket, client, until }).map_err(|why| Full { part, why })?;
        self.next_ticket += 1;
        Ok(Answer::Wait(ticket))
    }

    /// Takes the permit back and tells who may run in its place, or has waited too long.
    pub fn settle(&mut self, permit: Permit, now: Instant, woken: &mut Vec<Woken>) {
        let Permit { path, client } = permit;
        for part in path.parts() {
            if let Some(compartment) = self.parts.get_mut(part.0 as usize) {
                compartment.leave(client);
            }
        }
        for part in path.parts() {
            self.serve(*part, now, woken);
        }
    }

    /// A call that waits has gone away. Nothing happens if it waits no more.
    pub fn give_up(&mut self, ticket: Ticket) {
        for part in ticket.path.parts() {
            if let Some(compartment) = self.parts.get_mut(part.0 as usize) {
                compartment.forget(ticket);
            }
        }
    }

    /// Tells which calls have waited too long, and which may run since limits were raised; ask about as often as the
    /// shortest wait is long.
    pub fn tick(&mut self, now: Instant, woken: &mut Vec<Woken>) {
        for at in 0..self.parts.len() {
            let part = Part(at as u32);
            while let Some(late) = self.parts[at].take_late(now) {
                woken.push(Woken { ticket: late.ticket, end: Err(Full { part, why: Why::Waited }) });
            }
            self.serve(part, now, woken);
        }
    }

    /// The first compartment on the path without a place for this client.
    fn blocking(&self, path: Path, client: u64) -> Option<Part> {
        let has_room = |part: &&Part| {
            self.parts.get(part.0 as usize).is_none_or(|compartment| compartment.has_room(client))
        };
        path.parts().iter().find(|part| !has_room(part)).copied()
    }

    fn enter(&mut self, path: Path, client: u64) -> Permit {
        for part in path.parts() {
            if let Some(compartment) = self.parts.get_mut(part.0 as usize) {
                compartment.enter(client);
            }
        }
        Permit { path, client }
    }

    /// Lets in those that wait for this compartment, while it has room.
    fn serve(&mut self, part: Part, now: Instant, woken: &mut Vec<Woken>) {
        while let Some(compartment) = self.parts.get_mut(part.0 as usize) {
            let Some(waiter) = compartment.take_fitting() else { return };
            let Waiter { ticket, client, until } = waiter;
            let end = if now >= until {
                Err(Full { part, why: Why::Waited })
            } else {
                match self.blocking(ticket.path, client) {
                    None => Ok(self.enter(ticket.path, client)),
                    Some(other) => match self.parts[other.0 as usize].enqueue(waiter) {
                        Ok(()) => continue,
                        Err(why) => Err(Full { part: other, why }),
                    },
                }
            };
            woken.push(Woken { ticket, end });
        }
    }
}

#[cfg(test)]
mod tests;
