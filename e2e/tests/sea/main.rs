//! What people are promised, tried on the real program: each test has a root folder and a daemon of its own.

mod between;
mod builds;
mod certificates;
mod clients;
mod compose;
mod config;
mod crash;
mod daemon;
mod disk;
mod doctor;
mod engine;
mod hostile;
mod images;
mod limits;
mod logs;
mod pair;
mod registries;
mod release;
mod requests;
mod routes;
mod rules;
mod run;
mod software;
mod splits;
mod streams;
mod volumes;
