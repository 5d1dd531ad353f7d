//! Deadlines of connections, looked at a few times a second for a whole thread.
//!
//! A timer for each request would cost more than the request's parsing. Here a connection only writes a number,
//! and one sweep a tick wakes those that are late; deadlines are as coarse as the tick.

mod room;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use base::{Clock, Instant, SystemClock};

pub(crate) use room::{Activity, Holder};

/// One connection's deadline.
#[derive(Default)]
pub(crate) struct Watch {
    deadline: Cell<Instant>,
    late: Cell<bool>,
    /// When the deadline passes, somebody looks again and nobody is late.
    look: Cell<bool>,
    /// Between two requests, when an ending edge may close it.
    resting: Cell<bool>,
    /// When the deadline was set last.
    moved: Cell<Instant>,
    holder: Cell<Holder>,
    activity: Cell<Activity>,
    /// It is late because it has to make room.
    crowded_out: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// All deadlines of a thread.
pub(crate) struct Watches {
    all: RefCell<Vec<Option<Rc<Watch>>>>,
    free: RefCell<Vec<usize>>,
    now: Cell<Instant>,
    count: Cell<usize>,
    /// The last look for room that found none.
    no_room: Cell<Option<Instant>>,
}

/// A deadline that is looked at until this is dropped.
pub(crate) struct Watched {
    pub(crate) watch: Rc<Watch>,
    place: usize,
    home: Rc<Watches>,
}

impl Watch {
    /// Remembers whom to wake; a connection is one task, so once is enough.
    pub(crate) fn enrol(&self, cx: &Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.late.get()
    }

    /// Whether the deadline that has passed, or is to pass, was one for a look.
    pub(crate) fn is_look(&self) -> bool {
        self.look.get()
    }

    pub(crate) fn set_resting(&self, resting: bool) {
        self.resting.set(resting);
    }

    /// Whose connection it is.
    pub(crate) fn set_holder(&self, holder: Holder) {
        self.holder.set(holder);
    }

    pub(crate) fn holder(&self) -> Holder {
        self.holder.get()
    }

    pub(crate) fn set_activity(&self, activity: Activity) {
        self.activity.set(activity);
    }

    /// Whether it is late only because others need its place.
    pub(crate) fn is_crowded_out(&self) -> bool {
        self.crowded_out.get()
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Watches {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            all: RefCell::default(),
            free: RefCell::default(),
            now: Cell::new(SystemClock.now()),
            count: Cell::new(0),
            no_room: Cell::new(None),
        })
    }

    /// The time of the last sweep: free to read, and good enough for deadlines.
    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.count.get()
    }

    /// A new deadline, far away.
    pub(crate) fn watch(self: &Rc<Self>) -> Watched {
        let (deadline, moved) = (Cell::new(Instant(u64::MAX)), Cell::new(self.now()));
        let watch = Rc::new(Watch { deadline, moved, ..Watch::default() });
        let mut all = self.all.borrow_mut();
        let place = self.free.borrow_mut().pop().unwrap_or_else(|| {
            all.push(None);
            all.len() - 1
        });
        all[place] = Some(watch.clone());
        self.count.set(self.count.get() + 1);
        Watched { watch, place, home: self.clone() }
    }

    /// Wakes whoever is late.
    pub(crate) fn sweep(&self) {
        let now = SystemClock.now();
        self.now.set(now);
        for watch in self.all.borrow().iter().flatten() {
            if watch.deadline.get() <= now && !watch.late.replace(true) {
                watch.wake();
            }
        }
    }

    /// Has some connections end, as there are as many as there may be; tells how many. Those that bytes move on before they
    /// notice stay.
    pub(crate) fn make_room(&self, most: usize) -> usize {
        // A look at all of them is worth it once a tick.
        if self.no_room.get() == Some(self.now()) {
            return 0;
        }
        let all = self.all.borrow();
        let here = all.iter().enumerate().filter_map(|(place, watch)| Some((place, watch.as_ref()?)));
        let held = here.filter(|(_, watch)| !watch.crowded_out.get()).map(|(place, watch)| room::Held {
            place,
            holder: watch.holder.get(),
            activity: watch.activity.get(),
            moved: watch.moved.get(),
        });
        let gone = room::give_way(held.collect(), most, self.now());
        for watch in gone.iter().filter_map(|place| all[*place].as_ref()) {
            watch.crowded_out.set(true);
            watch.look.set(false);
            watch.late.set(true);
            watch.wake();
        }
        self.no_room.set(gone.is_empty().then(|| self.now()));
        gone.len()
    }

    /// Wakes the connections that rest, so that they see the end.
    pub(crate) fn wake_resting(&self) {
        self.all.borrow().iter().flatten().filter(|w| w.resting.get()).for_each(|w| w.wake());
    }
}

impl Watched {
    /// Moves the deadline to so long from now.
    pub(crate) fn within(&self, time: Duration) {
        self.set(time, false);
    }

    /// Has the connection woken so long from now for a look, with no deadline to be late for.
    pub(crate) fn look_within(&self, time: Duration) {
        self.set(time, true);
    }

    fn set(&self, time: Duration, look: bool) {
        self.watch.late.set(false);
        self.watch.look.set(look);
        self.watch.crowded_out.set(false);
        let now = self.home.now();
        self.watch.moved.set(now);
        self.watch.deadline.set(now + time);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.home.all.borrow_mut()[self.place] = None;
        self.home.free.borrow_mut().push(self.place);
        self.home.count.set(self.home.count.get() - 1);
    }
}
