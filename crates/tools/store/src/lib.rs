//! Durable versioned tables, the journal, and watches, on SQLite.
