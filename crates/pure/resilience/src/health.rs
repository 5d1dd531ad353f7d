//! Who may get traffic: active checks, ejection of outliers, the panic threshold, and endpoints that say "not now".
//!
//! The four are machines of their own, and what they find meets in the seats of a
//! [`Roster`](crate::balance::Roster):
//!
//! | machine | finds | is, in the roster |
//! | --- | --- | --- |
//! | [`checks`] | sick, by asking | out |
//! | [`outliers`] | worse than the pool, by its answers | out |
//! | [`readiness`] | well, but not now | spared |
//! | [`mod@panic`] | that too few are well | a mode, in which the ones that are out are used as well |
//!
//! An endpoint that is both sick and spared is out.

pub mod checks;
pub mod outliers;
pub mod panic;
pub mod readiness;
