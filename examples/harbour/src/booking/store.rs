//! The database: its shape, and the questions put to it.

use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, Error, ErrorCode, OpenFlags, OptionalExtension, params};
use serde_json::{Value, json};

use crate::log::now;

/// Each brings the shape of its number to the next.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE berths (name TEXT PRIMARY KEY, length_m INTEGER NOT NULL) STRICT;
     CREATE TABLE bookings (
         id INTEGER PRIMARY KEY,
         berth TEXT NOT NULL REFERENCES berths (name),
         ship TEXT NOT NULL,
         length_m INTEGER NOT NULL,
         nights INTEGER NOT NULL,
         price_cents INTEGER NOT NULL,
         made_at TEXT NOT NULL,
         cancelled_at TEXT
     ) STRICT;
     CREATE UNIQUE INDEX one_ship_a_berth ON bookings (berth) WHERE cancelled_at IS NULL;",
    "INSERT INTO berths VALUES
         ('A1', 8), ('A2', 8), ('A3', 10), ('A4', 10), ('B1', 12), ('B2', 12),
         ('B3', 15), ('B4', 15), ('C1', 20), ('C2', 20), ('C3', 30), ('C4', 45);
     INSERT INTO bookings (berth, ship, length_m, nights, price_cents, made_at) VALUES
         ('A3', 'Seestern', 9, 3, 3750, '2026-01-01T08:00:00.000Z'),
         ('B2', 'Kittiwake', 11, 2, 3100, '2026-01-02T15:30:00.000Z'),
         ('C4', 'Meridian', 41, 5, 28700, '2026-01-03T06:45:00.000Z');",
];

/// What someone asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) ship: String,
    pub(crate) length_m: u32,
    pub(crate) berth: String,
    pub(crate) nights: u32,
    pub(crate) price_cents: u64,
}

/// Why a wish is not granted, in words for whoever wished.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Invalid(String),
    Taken(String),
}

/// Why the database cannot be used.
#[derive(Debug)]
pub(crate) enum StoreError {
    Shape { has: usize },
    Sqlite(Error),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape { has } => {
                write!(
                    f,
                    "the database has shape {has}, this version needs {}; run `booking migrate`",
                    MIGRATIONS.len()
                )
            }
            Self::Sqlite(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Brings the database to the newest shape, making it if it is not there. The shapes before and after.
pub(crate) fn migrate(path: &str) -> Result<(usize, usize), StoreError> {
    let mut database = connect(path, OpenFlags::SQLITE_OPEN_CREATE)?;
    let from = shape(&database)?;
    let missing = MIGRATIONS.get(from..).ok_or(StoreError::Shape { has: from })?;
    let change = database.transaction()?;
    for migration in missing {
        change.execute_batch(migration)?;
    }
    change.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
    change.commit()?;
    Ok((from, MIGRATIONS.len()))
}

fn connect(path: &str, more: OpenFlags) -> Result<Connection, Error> {
    let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | more)?;
    database.busy_timeout(Duration::from_secs(5))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "foreign_keys", true)?;
    Ok(database)
}

fn shape(database: &Connection) -> Result<usize, Error> {
    database.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0)).map(|shape| shape as usize)
}

/// An open database of the right shape.
#[derive(Debug)]
pub(crate) struct Store {
    database: Mutex<Connection>,
}

impl Store {
    pub(crate) fn open(path: &str) -> Result<Self, StoreError> {
        let database = connect(path, OpenFlags::empty())?;
        let has = shape(&database)?;
        if has != MIGRATIONS.len() {
            return Err(StoreError::Shape { has });
        }
        Ok(Self { database: Mutex::new(database) })
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// All berths, each with the ship that lies there.
    pub(crate) fn berths(&self) -> Result<Vec<Value>, Error> {
        let database = self.database();
        let mut asked = database.prepare(
            "SELECT berths.name, berths.length_m, id, ship, bookings.length_m, nights, price_cents, made_at
             FROM berths LEFT JOIN bookings ON berth = berths.name AND cancelled_at IS NULL ORDER BY berths.name",
        )?;
        let rows = asked.query_map([], |row| {
            let id: Option<i64> = row.get(2)?;
            let booking = match id {
                Some(id) => json!({
                    "id": id,
                    "ship": row.get::<_, String>(3)?,
                    "length_m": row.get::<_, u32>(4)?,
                    "nights": row.get::<_, u32>(5)?,
                    "price_cents": row.get::<_, i64>(6)?,
                    "made_at": row.get::<_, String>(7)?,
                }),
                None => Value::Null,
            };
            Ok(json!({ "name": row.get::<_, String>(0)?, "length_m": row.get::<_, u32>(1)?, "booking": booking }))
        })?;
        rows.collect()
    }

    /// How many berths have a ship.
    pub(crate) fn taken(&self) -> Result<u32, Error> {
        let count = "SELECT count(*) FROM bookings WHERE cancelled_at IS NULL";
        self.database().query_row(count, [], |row| row.get(0))
    }

    /// Books the berth; the booking's id.
    pub(crate) fn book(&self, wish: &Wish) -> Result<Result<i64, Refused>, Error> {
        let database = self.database();
        let berth = "SELECT length_m FROM berths WHERE name = ?1";
        let berth_m: Option<u32> = database.query_row(berth, [&wish.berth], |row| row.get(0)).optional()?;
        if let Some(why) = unfit(wish, berth_m) {
            return Ok(Err(Refused::Invalid(why)));
        }
        let made = database.execute(
            "INSERT INTO bookings (berth, ship, length_m, nights, price_cents, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![wish.berth, wish.ship, wish.length_m, wish.nights, wish.price_cents.cast_signed(), now()],
        );
        match made {
            Ok(_) => Ok(Ok(database.last_insert_rowid())),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Ok(Err(Refused::Taken(format!("berth {} is taken", wish.berth))))
            }
            Err(error) => Err(error),
        }
    }

    /// Frees the berth; false when there is no such booking any more.
    pub(crate) fn cancel(&self, id: i64) -> Result<bool, Error> {
        let change = "UPDATE bookings SET cancelled_at = ?2 WHERE id = ?1 AND cancelled_at IS NULL";
        Ok(self.database().execute(change, params![id, now()])? == 1)
    }
}

/// Why the wish cannot be granted whatever else is booked.
fn unfit(wish: &Wish, berth_m: Option<u32>) -> Option<String> {
    let Some(berth_m) = berth_m else { return Some(format!("there is no berth {}", wish.berth)) };
    if !(1..=40).contains(&wish.ship.chars().count()) {
        return Some("a ship's name has 1 to 40 letters".to_owned());
    }
    if !(1..=30).contains(&wish.nights) {
        return Some("a stay has 1 to 30 nights".to_owned());
    }
    if !(1..=berth_m).contains(&wish.length_m) {
        return Some(format!("berth {} takes ships of 1 to {berth_m} metres", wish.berth));
    }
    (wish.price_cents > i64::MAX as u64).then(|| "nobody has so much money".to_owned())
}

#[cfg(test)]
mod tests;
