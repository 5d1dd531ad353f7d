//! A place for answers, bounded in bytes: new ones must be asked for twice before they may stay.
//!
//! S3-FIFO: a tenth of the bytes is a short queue that all newcomers pass, and whoever was not asked for again leaves
//! at its end; the rest is a long queue whose members go round again as long as they are asked for. A list of the
//! names that left the short queue lets one that comes back soon straight into the long one. Most answers of a web
//! service are asked for once, so the short queue keeps scans from washing out what is popular, which an LRU list does
//! not; and a hit changes one byte and no list.
//!
//! Source: Yang, Zhang, Qiu, Yue, Vigfusson: "FIFO queues are all you need for cache eviction", SOSP 2023. There is no
//! default size: a host's memory is its owner's. An item that nobody asks for goes with the queues, whether it is fresh
//! or not.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use crate::hash::KeyMap;

/// What an item costs beyond its own bytes and twice its key.
const OVERHEAD: u64 = 160;
/// One item takes at most this part of the store.
const LARGEST_PART: u64 = 8;
/// The short queue's part of the store.
const SHORT_PART: u64 = 10;
/// Hits beyond this say nothing more.
const MOST_HITS: u8 = 3;

/// The item is larger than an eighth of the store, and was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

crate::refusal::sentences! {
    TooLarge: |_it, f| f.write_str("the answer is too large to be kept");
}

#[derive(Debug)]
struct Item<V> {
    key: Arc<[u8]>,
    value: V,
    bytes: u64,
    hits: u8,
    long: bool,
}

/// A place in the items, and which item of that place is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seat {
    at: u32,
    number: u32,
}

/// Values by key, together never more than so many bytes.
///
/// ```
/// use resilience::freshness::Store;
///
/// let mut store = Store::new(1 << 20);
/// store.insert(b"/page", "its answer", 2_000)?;
/// assert_eq!(store.get(b"/page"), Some(&mut "its answer"));
/// assert!(store.bytes() > 2_000 && store.bytes() < 3_000);
/// # Ok::<(), resilience::freshness::TooLarge>(())
/// ```
#[derive(Debug)]
pub struct Store<V> {
    most: u64,
    bytes: u64,
    short_bytes: u64,
    by_key: HashMap<Arc<[u8]>, u32>,
    items: Vec<(u32, Option<Item<V>>)>,
    free: Vec<u32>,
    /// Seats of items that have been removed stay until they are met, or until there are too many.
    short: VecDeque<Seat>,
    long: VecDeque<Seat>,
    left: VecDeque<u64>,
    left_count: KeyMap<u32>,
}

impl<V> Store<V> {
    /// Empty, for so many bytes of items with their keys and what it takes to keep them.
    pub fn new(most_bytes: u64) -> Self {
        Self {
            most: most_bytes,
            bytes: 0,
            short_bytes: 0,
            by_key: HashMap::new(),
            items: Vec::new(),
            free: Vec::new(),
            short: VecDeque::new(),
            long: VecDeque::new(),
            left: VecDeque::new(),
            left_count: KeyMap::default(),
        }
    }

    /// The value of a key.
    pub fn get(&mut self, key: &[u8]) -> Option<&mut V> {
        let at = *self.by_key.get(key)?;
        let item = self.items[at as usize].1.as_mut()?;
        item.hits = (item.hits + 1).min(MOST_HITS);
        Some(&mut item.value)
    }

    /// Keeps a value of so many bytes in place of the one that the key had; others may have to go.
    ///
    /// # Errors
    /// When it is too large; the old value is gone all the same, for it is no longer right.
    pub fn insert(&mut self, key: &[u8], value: V, value_bytes: u64) -> Result<(), TooLarge> {
        let hits = self.remove_item(key).map_or(0, |item| item.hits);
        let bytes = value_bytes.saturating_add(OVERHEAD + 2 * key.len() as u64);
        if bytes > self.most / LARGEST_PART {
            return Err(TooLarge);
        }
        while self.bytes + bytes > self.most {
            self.evict();
        }
        let long = hits > 0 || self.has_left(key);
        let key: Arc<[u8]> = key.into();
        let seat = self.seat(Item { key: key.clone(), value, bytes, hits, long });
        self.by_key.insert(key, seat.at);
        self.bytes += bytes;
        if long {
            self.long.push_back(seat);
        } else {
            self.short_bytes += bytes;
            self.short.push_back(seat);
        }
        self.tidy();
        Ok(())
    }

    /// Takes the value of a key out.
    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        self.remove_item(key).map(|item| item.value)
    }

    /// All keys with their values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.items.iter().filter_map(|(_, item)| item.as_ref()).map(|item| (&*item.key, &item.value))
    }

    /// Takes the values out for which this holds. Looks at every one.
    pub fn remove_where(&mut self, mut holds: impl FnMut(&[u8], &V) -> bool) {
        let meant = self.items.iter().filter_map(|(_, item)| item.as_ref());
        let meant: Vec<_> =
            meant.filter(|item| holds(&item.key, &item.value)).map(|item| item.key.clone()).collect();
        for key in meant {
            self.remove_item(&key);
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// The bytes of all, as they count against the bound.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn remove_item(&mut self, key: &[u8]) -> Option<Item<V>> {
        let at = self.by_key.remove(key)?;
        let (number, item) = &mut self.items[at as usize];
        let item = item.take()?;
        *number = number.wrapping_add(1);
        self.free.push(at);
        self.bytes -= item.bytes;
        if !item.long {
            self.short_bytes -= item.bytes;
        }
        Some(item)
    }

    fn seat(&mut self, item: Item<V>) -> Seat {
        let at = self.free.pop().unwrap_or_else(|| {
            self.items.push((0, None));
            self.items.len() as u32 - 1
        });
        let (number, place) = &mut self.items[at as usize];
        *place = Some(item);
        Seat { at, number: *number }
    }

    /// The item that a seat means, if it is still there.
    fn sits(&mut self, seat: Seat) -> Option<&mut Item<V>> {
        let (number, item) = &mut self.items[seat.at as usize];
        if *number == seat.number { item.as_mut() } else { None }
    }

    /// Lets at least one item go, or moves one on its way.
    fn evict(&mut self) {
        let from_short = self.short_bytes >= self.most / SHORT_PART || self.long.is_empty();
        if from_short { self.evict_short() } else { self.evict_long() }
    }

    fn evict_short(&mut self) {
        let Some(seat) = self.short.pop_front() else { return };
        let Some(item) = self.sits(seat) else { return };
        let (key, bytes) = (item.key.clone(), item.bytes);
        if item.hits > 1 {
            item.hits = 0;
            item.long = true;
            self.short_bytes -= bytes;
            self.long.push_back(seat);
        } else {
            self.remember(&key);
            self.remove_item(&key);
        }
    }

    fn evict_long(&mut self) {
        let Some(seat) = self.long.pop_front() else { return };
        let Some(item) = self.sits(seat) else { return };
        if item.hits > 0 {
            item.hits -= 1;
            self.long.push_back(seat);
        } else {
            let key = item.key.clone();
            self.remove_item(&key);
        }
    }

    /// Notes a name that left the short queue; as many as there are items, and a few.
    fn remember(&mut self, key: &[u8]) {
        let hash = self.by_key.hasher().hash_one(key);
        self.left.push_back(hash);
        *self.left_count.entry(hash).or_insert(0) += 1;
        while self.left.len() > self.by_key.len() + 16 {
            let Some(old) = self.left.pop_front() else { return };
            if let Some(count) = self.left_count.get_mut(&old) {
                *count -= 1;
                if *count == 0 {
                    self.left_count.remove(&old);
                }
            }
        }
    }

    fn has_left(&self, key: &[u8]) -> bool {
        !self.left.is_empty() && self.left_count.contains_key(&self.by_key.hasher().hash_one(key))
    }

    /// Drops the seats of items that are gone, when most are.
    fn tidy(&mut self) {
        if self.short.len() + self.long.len() > 2 * self.by_key.len() + 64 {
            let items = &self.items;
            let sits = |seat: &Seat| items[seat.at as usize].0 == seat.number;
            self.short.retain(sits);
            self.long.retain(sits);
        }
    }
}

#[cfg(test)]
mod tests;
