//! Fakes and fixtures that the tests of many crates share.
