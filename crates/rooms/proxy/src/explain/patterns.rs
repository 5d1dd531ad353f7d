//! What is said of second requests, of how urgent a request is, and of the instance that a client is bound to.

use resilience::balance::sticky::CookieValue;
use spec::{Hedge, HedgeAfter};

use super::{Asked, Stop, Threads, Told};
use crate::endpoint::Stands;
use crate::exchange::may_hedge;
use crate::gate::{Work, line_of};
use crate::head::Field;
use crate::priority::{Why, class_of, name_of};
use crate::refusal::Refusal;
use crate::rules::Incoming;
use crate::stick::Brought;
use crate::table::PoolSpec;

impl Told {
    /// Which instance its client is bound to.
    pub(super) fn sticky(&mut self, pool: &PoolSpec, fields: &[Field], buf: &[u8]) {
        let Some(stick) = &pool.stick else { return };
        let name = &stick.name;
        let bound = match stick.read(fields, buf) {
            Brought::Nothing => {
                return self.say("sticky", format!("none yet: the answer gives the cookie `{name}`"));
            }
            Brought::Garbled => None,
            Brought::Value(value) => {
                pool.endpoints.iter().find(|e| CookieValue::of(e.mark).as_bytes() == value)
            }
        };
        let found = match bound {
            None => format!(
                "its cookie `{name}` is of no instance here: it goes to any, and the answer gives another"
            ),
            Some(state) => {
                let stands = state.stands(self.now);
                let well = stands == Stands { threads: stands.threads, ..Stands::default() };
                let but = if well { "" } else { ", which is passed over, so to another" };
                format!("to `{}` by its cookie `{name}`{but}", state.instance.short())
            }
        };
        self.say("sticky", found);
    }

    /// How urgent it is, and whether such requests are let in.
    pub(super) fn priority(
        &mut self,
        pool: &PoolSpec,
        asked: &Incoming<'_>,
        work: &Work,
    ) -> Result<(), Stop> {
        let (Some(priority), Some(let_in)) = (&pool.policy.priority, work.let_in) else { return Ok(()) };
        let (class, why) = class_of(priority, asked, false);
        let share = let_in[line_of(class)];
        let why = match why {
            Why::Match(at) => format!("by entry {} of its list", at + 1),
            Why::Field => "by its field `priority`".to_owned(),
            Why::Usual => "as nothing says more of it".to_owned(),
        };
        let percent = (share * 100.0).round();
        self.say(
            "priority",
            format!("`{}`, {why}; of such clients {percent} % are let in now", name_of(class)),
        );
        if share > 0.0 { Ok(()) } else { Err(Refusal::SHED.into()) }
    }

    /// Whether a second instance would be asked, and when.
    pub(super) fn hedge(
        &mut self,
        pool: &PoolSpec,
        threads: Option<Threads<'_>>,
        (fields, asked): (&[Field], &Asked<'_>),
    ) {
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
            let learnt = match after {
                HedgeAfter::Quantile(_) => self.learnt(threads, pool),
                HedgeAfter::Time(_) => String::new(),
            };
            let share = percent(share);
            format!(
                "a second instance is asked when the first says nothing {silence}, for at most {share} % of the \
                 requests{learnt}"
            )
        };
        self.say("hedge", found);
    }
}
