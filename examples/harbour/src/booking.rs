//! Who lies at which berth: a JSON API over SQLite on a volume.
//!
//! `booking migrate` brings the database to this version's shape and ends; the service itself never changes the shape,
//! and does not start on one that it does not know.

mod store;

use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::settings::{secret, text};
use crate::{App, Log, Request, Response, Settings};
use store::{Refused, Store, Wish};

/// Where it listens unless it is told otherwise.
pub const PORT: u16 = 8081;

/// The service.
pub struct Booking {
    store: Store,
    key: String,
}

impl Booking {
    /// Opens the database, which must have this version's shape.
    pub fn open(_: &Settings, _: &Log) -> Result<Self, Box<dyn Error>> {
        let key = secret("BOOKING_KEY_FILE", "/run/secrets/booking-key")?;
        Ok(Self { store: Store::open(&database())?, key })
    }

    fn berths(&self) -> Response {
        let route = "/berths";
        match self.store.berths() {
            Ok(berths) => Response::json(route, 200, &json!({ "berths": berths })),
            Err(error) => failed(route, &error),
        }
    }

    fn book(&self, request: &Request) -> Response {
        let route = "/bookings";
        if !self.trusts(request) {
            return Response::error(route, 401, "the header `x-api-key` is missing or wrong");
        }
        let wish = serde_json::from_slice(&request.body).ok().as_ref().and_then(wish);
        let Some(wish) = wish else {
            return Response::error(
                route,
                400,
                "give `ship`, `length_m`, `berth`, `nights` and `price_cents`",
            );
        };
        match self.store.book(&wish) {
            Ok(Ok(id)) => Response::json(route, 201, &json!({ "id": id })),
            Ok(Err(Refused::Invalid(why))) => Response::error(route, 422, &why),
            Ok(Err(Refused::Taken(why))) => Response::error(route, 409, &why),
            Err(error) => failed(route, &error),
        }
    }

    fn cancel(&self, request: &Request, id: &str) -> Response {
        let route = "/bookings/{id}";
        if !self.trusts(request) {
            return Response::error(route, 401, "the header `x-api-key` is missing or wrong");
        }
        match id.parse().map(|id| self.store.cancel(id)) {
            Ok(Ok(true)) => Response::json(route, 200, &json!({ "cancelled": true })),
            Ok(Ok(false)) | Err(_) => {
                Response::error(route, 404, "there is no such booking, or it was cancelled")
            }
            Ok(Err(error)) => failed(route, &error),
        }
    }

    /// Compares all bytes whatever they are, so that time tells nothing of the key.
    fn trusts(&self, request: &Request) -> bool {
        let given = request.header("x-api-key").unwrap_or_default().as_bytes();
        let key = self.key.as_bytes();
        given.len() == key.len() && given.iter().zip(key).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

impl App for Booking {
    fn answer(&self, request: &Request) -> Response {
        let under = request.path.strip_prefix("/bookings/");
        match (request.method.as_str(), request.path.as_str(), under) {
            ("GET", "/berths", _) => self.berths(),
            ("POST", "/bookings", _) => self.book(request),
            ("DELETE", _, Some(id)) => self.cancel(request, id),
            (_, "/berths" | "/bookings", _) | (_, _, Some(_)) => {
                Response::error("unknown", 405, "not in this way")
            }
            _ => Response::error("unknown", 404, "there is no such thing; there are /berths and /bookings"),
        }
    }

    fn ready(&self) -> Result<(), String> {
        self.store.berths().map(|_| ()).map_err(|error| format!("the database does not answer: {error}"))
    }

    fn metrics(&self) -> String {
        let name = "harbour_berths_taken";
        match self.store.taken() {
            Ok(taken) => {
                format!("# HELP {name} Berths with a booking.\n# TYPE {name} gauge\n{name} {taken}\n")
            }
            Err(_) => String::new(),
        }
    }
}

/// The one-off command: brings the database to this version's shape.
pub fn migrate() -> ExitCode {
    let log = Log::new("booking", &text("VERSION", env!("CARGO_PKG_VERSION")));
    match store::migrate(&database()) {
        Ok((from, to)) => {
            log.info(&format!("the database has shape {to}"), json!({ "from": from, "to": to }));
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.error("could not migrate the database", json!({ "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn database() -> String {
    text("BOOKING_DB", "/data/harbour.db")
}

fn failed(route: &'static str, error: &dyn Error) -> Response {
    Response::error(route, 500, &format!("the database failed: {error}"))
}

fn wish(body: &Value) -> Option<Wish> {
    Some(Wish {
        ship: body["ship"].as_str()?.trim().to_owned(),
        length_m: u32::try_from(body["length_m"].as_u64()?).ok()?,
        berth: body["berth"].as_str()?.to_owned(),
        nights: u32::try_from(body["nights"].as_u64()?).ok()?,
        price_cents: body["price_cents"].as_u64()?,
    })
}
