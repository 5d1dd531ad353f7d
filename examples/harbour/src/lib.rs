//! A harbour whose berths are booked: the parts that its three services share, and the services themselves.
//!
//! Each service is one static program that needs nothing around it: no shell, no libraries, no name service.

mod body;
mod client;
mod http;
mod log;
mod metrics;
mod names;
mod server;
mod service;
mod settings;

pub mod booking;
pub mod pricing;
pub mod web;

pub use client::{CallError, Client};
pub use http::{Request, Response};
pub use log::Log;
pub use server::{Running, Timing, start};
pub use service::{App, run};
pub use settings::{SettingError, Settings};
