//! What a berth costs: a rate by the ship's length, moved by the tides of the nights it stays.

use std::error::Error;
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::{App, Log, Request, Response, Settings};

/// Where it listens unless it is told otherwise.
pub const PORT: u16 = 8082;

/// Cents for each metre and night.
const RATE_CENTS: f64 = 140.0;
/// The tides, springs and seasons: their periods in hours, and how much each moves the price.
const TIDES: &[(f64, f64)] = &[(12.42, 0.04), (354.37, 0.12), (8_766.0, 0.08)];

/// The service.
pub struct Pricing {
    computed: AtomicU64,
}

impl Pricing {
    /// Opens it; it needs nothing.
    pub fn open(_: &Settings, _: &Log) -> Result<Self, Box<dyn Error>> {
        Ok(Self { computed: AtomicU64::new(0) })
    }

    fn prices(&self, request: &Request) -> Response {
        let route = "/prices";
        let asked = |name: &str| request.asked(name).and_then(|text| text.parse::<u32>().ok());
        let from_day = asked("from_day").unwrap_or_else(today);
        let lengths: Option<Vec<u32>> =
            request.asked("lengths_m").unwrap_or_default().split(',').map(|text| text.parse().ok()).collect();
        let (Some(lengths), Some(nights)) = (lengths, asked("nights")) else {
            return Response::error(route, 400, "give `lengths_m`, as in 8,12, and `nights`");
        };
        if !(1..=30).contains(&nights)
            || lengths.len() > 64
            || lengths.iter().any(|it| !(1..=400).contains(it))
        {
            return Response::error(
                route,
                422,
                "nights are 1 to 30, lengths 1 to 400 metres, at most 64 of them",
            );
        }
        self.computed.fetch_add(lengths.len() as u64, Ordering::Relaxed);
        let prices: Vec<u64> = lengths.iter().map(|length| price_cents(*length, nights, from_day)).collect();
        Response::json(route, 200, &json!({ "nights": nights, "currency": "EUR", "prices_cents": prices }))
    }
}

impl App for Pricing {
    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/prices") => self.prices(request),
            (_, "/prices") => Response::error("/prices", 405, "prices are only read"),
            _ => Response::error("unknown", 404, "there is no such thing; there is /prices"),
        }
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn metrics(&self) -> String {
        let computed = self.computed.load(Ordering::Relaxed);
        format!(
            "# HELP harbour_prices_total Prices computed.\n# TYPE harbour_prices_total counter\nharbour_prices_total {computed}\n"
        )
    }
}

/// The price of a berth of this length for these nights. Every hour of the stay has its tide.
fn price_cents(length_m: u32, nights: u32, from_day: u32) -> u64 {
    let hours = (0..nights * 24).map(|hour| f64::from(from_day) * 24.0 + f64::from(hour));
    let sum: f64 = hours
        .map(|hour| {
            1.0 + TIDES.iter().map(|(period, weight)| weight * (TAU * hour / period).sin()).sum::<f64>()
        })
        .sum();
    let cents = RATE_CENTS * f64::from(length_m) * sum / 24.0;
    // Harbours like round prices.
    (cents / 50.0).round().max(1.0) as u64 * 50
}

/// Days since 1970.
fn today() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs() / 86_400).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
