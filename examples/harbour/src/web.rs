//! The front: a page with ships, berths and prices, from what booking and pricing say.

mod page;

use std::error::Error;
use std::time::Duration;

use serde_json::{Value, json};

use crate::settings::{number, secret, text};
use crate::{App, CallError, Client, Log, Request, Response, Settings};

/// Where it listens unless it is told otherwise.
pub const PORT: u16 = 8080;

/// The nights that the page shows prices for.
const NIGHTS: u64 = 1;

/// The service.
pub struct Web {
    booking: Client,
    pricing: Client,
    version: String,
    log: Log,
}

/// What the page shows, or why it cannot.
type Harbour = Result<(Vec<Value>, Vec<u64>), CallError>;

impl Web {
    /// Opens it; the other services need not be there yet.
    pub fn open(settings: &Settings, log: &Log) -> Result<Self, Box<dyn Error>> {
        let key = secret("BOOKING_KEY_FILE", "/run/secrets/booking-key")?;
        let patience = Duration::from_millis(number("PATIENCE_MS", 4_000)?);
        Ok(Self {
            booking: Client::new(&text("BOOKING", "booking:8081"), patience, Some(key)),
            pricing: Client::new(&text("PRICING", "pricing:8082"), patience, None),
            version: settings.version.clone(),
            log: log.clone(),
        })
    }

    fn front(&self, request: &Request, status: u16, notice: &str) -> Response {
        let route = "/";
        match self.harbour(request) {
            Ok((berths, prices)) => {
                Response::page(route, status, page::front(&self.version, &berths, &prices, notice))
            }
            Err(error) => {
                self.log.warn("the page is shown without its berths", json!({ "error": error.to_string() }));
                Response::page(route, 503, page::closed(&self.version))
            }
        }
    }

    fn harbour(&self, request: &Request) -> Harbour {
        let (_, answer) = self.booking.get("/berths", request)?;
        let berths = answer["berths"].as_array().cloned().unwrap_or_default();
        let lengths: Vec<String> = berths.iter().map(|berth| berth["length_m"].to_string()).collect();
        let prices = self.prices(&lengths.join(","), NIGHTS, request)?;
        Ok((berths, prices))
    }

    fn prices(&self, lengths_m: &str, nights: u64, request: &Request) -> Result<Vec<u64>, CallError> {
        let path = format!("/prices?nights={nights}&lengths_m={}", crate::http::encoded(lengths_m));
        let (_, answer) = self.pricing.get(&path, request)?;
        Ok(answer["prices_cents"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect())
    }

    fn book(&self, request: &Request) -> Response {
        let route = "/bookings";
        let form = request.form();
        let field =
            |name: &str| form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let (Ok(length_m), Ok(nights)) = (field("length_m").parse::<u64>(), field("nights").parse::<u64>())
        else {
            return self.front(request, 400, "The length and the nights must be numbers.");
        };
        let booked = self.prices(&length_m.to_string(), nights, request).and_then(|prices| {
            let price = prices.first().copied().unwrap_or(0);
            let wish = json!({
                "ship": field("ship"), "berth": field("berth"), "length_m": length_m, "nights": nights,
                "price_cents": price,
            });
            self.booking.send("POST", "/bookings", &wish, request)
        });
        self.after_change(route, request, booked)
    }

    fn cancel(&self, request: &Request, id: &str) -> Response {
        let path = format!("/bookings/{}", crate::http::encoded(id));
        let cancelled = self.booking.send("DELETE", &path, &Value::Null, request);
        self.after_change("/bookings/{id}/cancel", request, cancelled)
    }

    /// Back to the page when the change was made; else the page with what was wrong.
    fn after_change(
        &self,
        route: &'static str,
        request: &Request,
        done: Result<(u16, Value), CallError>,
    ) -> Response {
        match done {
            Ok((200..=299, _)) => Response::see_other(route, "/"),
            Ok((status, answer)) => {
                let why = answer["error"].as_str().unwrap_or("booking did not say why");
                Response { route, ..self.front(request, status, why) }
            }
            Err(error) => {
                self.log.error("a change could not be made", json!({ "error": error.to_string() }));
                Response {
                    route,
                    ..self.front(request, 502, "Booking does not answer; try again in a moment.")
                }
            }
        }
    }

    fn api(&self, request: &Request) -> Response {
        let route = "/api/harbour";
        match self.harbour(request) {
            Ok((berths, prices)) => {
                let body = json!({ "version": self.version, "berths": berths, "prices_cents": prices });
                Response::json(route, 200, &body)
            }
            Err(error) => Response::error(route, 503, &error.to_string()),
        }
    }
}

impl App for Web {
    fn answer(&self, request: &Request) -> Response {
        let cancelled = request.path.strip_prefix("/bookings/").and_then(|rest| rest.strip_suffix("/cancel"));
        match (request.method.as_str(), request.path.as_str(), cancelled) {
            ("GET" | "HEAD", "/", _) => self.front(request, 200, ""),
            ("GET", "/api/harbour", _) => self.api(request),
            // Says which version answers, and asks nobody else.
            ("GET", "/version", _) => Response::text("/version", 200, format!("{}\n", self.version)),
            ("POST", "/bookings", _) => self.book(request),
            ("POST", _, Some(id)) => self.cancel(request, id),
            (_, "/" | "/bookings" | "/api/harbour" | "/version", _) => {
                Response::error("unknown", 405, "not in this way")
            }
            _ => Response::error("unknown", 404, "there is no such page"),
        }
    }

    /// Whether others answer is not asked: their failure must not take this one down as well.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn metrics(&self) -> String {
        String::new()
    }
}
