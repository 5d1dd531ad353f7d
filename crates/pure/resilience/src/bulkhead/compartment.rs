//! One compartment: its places, who holds them, and its queue.

use std::collections::VecDeque;
use std::time::Duration;

use base::Instant;

use super::{Limits, Ticket, Why};
use crate::hash::KeyMap;

/// A call in the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) client: u64,
    pub(super) until: Instant,
}

#[derive(Debug)]
pub(super) struct Compartment {
    limits: Limits,
    /// Places of one client under contention, and those of it in the queue.
    share: u32,
    queue_share: u32,
    contended_from: u32,
    in_flight: u32,
    /// Places by client; at most as many as are in flight. Not kept where clients are not told apart.
    held: KeyMap<u32>,
    queue: VecDeque<Waiter>,
}

impl Compartment {
    pub(super) fn new(limits: Limits) -> Self {
        let mut new = Self {
            limits,
            share: 0,
            queue_share: 0,
            contended_from: 0,
            in_flight: 0,
            held: KeyMap::default(),
            queue: VecDeque::new(),
        };
        new.set(limits);
        new
    }

    pub(super) fn set(&mut self, limits: Limits) {
        let at_once = limits.at_once.max(1);
        let part = |share: f64, of: u32| ((f64::from(of) * share.clamp(0.0, 1.0)) as u32).max(1);
        self.share = part(limits.client_share, at_once);
        self.queue_share = part(limits.client_share, limits.waiting);
        self.contended_from = part(limits.contended_from, at_once);
        self.limits = Limits { at_once, ..limits };
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn used(&self) -> f64 {
        f64::from(self.in_flight() + self.waiting()) / f64::from(self.limits.at_once.max(1))
    }

    pub(super) fn waiting(&self) -> u32 {
        self.queue.len() as u32
    }

    pub(super) fn wait(&self) -> Duration {
        self.limits.wait
    }

    pub(super) fn has_room(&self, client: u64) -> bool {
        self.in_flight < self.limits.at_once
            && (self.in_flight < self.contended_from || self.holds(client) < self.share)
    }

    pub(super) fn enter(&mut self, client: u64) {
        self.in_flight += 1;
        *self.held.entry(client).or_insert(0) += 1;
    }

    pub(super) fn leave(&mut self, client: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(held) = self.held.get_mut(&client) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&client);
            }
        }
    }

    pub(super) fn enqueue(&mut self, waiter: Waiter) -> Result<(), Why> {
        if self.queue.len() >= self.limits.waiting as usize {
            return Err(Why::Queue);
        }
        let of_client = || self.queue.iter().filter(|other| other.client == waiter.client).count();
        if self.limits.client_share < 1.0 && of_client() >= self.queue_share as usize {
            return Err(Why::Share);
        }
        self.queue.push_back(waiter);
        Ok(())
    }

    /// Takes the oldest that there is room for.
    pub(super) fn take_fitting(&mut self) -> Option<Waiter> {
        if self.in_flight >= self.limits.at_once {
            return None;
        }
        let at = self.queue.iter().position(|waiter| self.has_room(waiter.client))?;
        self.queue.remove(at)
    }

    /// Takes one whose time is up.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Waiter> {
        let at = self.queue.iter().position(|waiter| now >= waiter.until)?;
        self.queue.remove(at)
    }

    pub(super) fn forget(&mut self, ticket: Ticket) {
        self.queue.retain(|waiter| waiter.ticket != ticket);
    }

    fn holds(&self, client: u64) -> u32 {
        self.held.get(&client).copied().unwrap_or(0)
    }
}
