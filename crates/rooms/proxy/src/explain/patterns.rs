//! What is said of second requests.

use spec::{Hedge, HedgeAfter};

use super::{Asked, Told};
use crate::exchange::may_hedge;
use crate::head::Field;
use crate::table::PoolSpec;

impl Told {
    /// Whether a second instance would be asked, and when.
    pub(super) fn hedge(&mut self, pool: &PoolSpec, fields: &[Field], asked: &Asked<'_>) {
        let Some(Hedge { after, share }) = pool.policy.hedge else { return };
        let found = if !may_hedge(asked.head, fields, asked.buf) {
            "none: only GET, HEAD, OPTIONS and TRACE without a body are sent twice, no streams of events, and none that \
             was sent before"
                .to_owned()
        } else if pool.endpoints.len() < 2 {
            "none: there is no second instance".to_owned()
        } else {
            let percent = |of: u32| f64::from(of) / 100.0;
            let silence = match after {
                HedgeAfter::Quantile(of) => format!("for longer than {} % of the answers take", percent(of)),
                HedgeAfter::Time(time) => format!("for {} ms", time.as_secs_f64() * 1e3),
            };
            let share = percent(share);
            format!(
                "a second instance is asked when the first says nothing {silence}, for at most {share} % of the requests"
            )
        };
        self.say("hedge", found);
    }
}
