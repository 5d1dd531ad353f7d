//! The edge: every request to healthy instances; a Traffic.
