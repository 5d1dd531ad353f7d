//! How long a pick takes with each policy: `cargo bench -p resilience --bench pick`.

use std::hint::black_box;
use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base::{Clock, Instant, Rng, SystemClock};
use resilience::balance::prequal::{LatencyByRif, Local, LocalPolicy, Prequal, PrequalPolicy, Reading};
use resilience::balance::{
    Ewma, EwmaPolicy, Ring, RingPolicy, Roster, RoundRobin, Rules, Weight, choices, least_requests, sticky,
};

const SIZES: [u64; 3] = [3, 30, 300];
const NOW: Instant = Instant(60_000_000_000);
const HALF_LIFE: Duration = Duration::from_secs(4);

fn main() -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{:34} {:>8} {:>8} {:>8}   ns a pick, endpoints:", "", 3, 30, 300)?;
    for uneven in [false, true] {
        let pools: Vec<Pool> = SIZES.iter().map(|size| Pool::new(*size, uneven)).collect();
        let named = |name: &str| format!("{name}{}", if uneven { ", uneven weights" } else { "" });
        row(&named("round robin"), &pools, |pool, rng| {
            let mut turns = RoundRobin::default();
            time(rng, move |rng| turns.pick(&pool.roster.candidates(|place| pool.load(place)), rng))
        })?;
        row(&named("least requests"), &pools, |pool, rng| {
            time(rng, |rng| least_requests::pick(&pool.roster.candidates(|place| pool.load(place)), rng))
        })?;
        row(&named("two choices, load"), &pools, |pool, rng| {
            time(rng, |rng| {
                let candidates = pool.roster.candidates(|place| pool.load(place));
                choices::pick(&candidates, 2, rng, |place| candidates.relative_load(place))
            })
        })?;
        row(&named("two choices, ewma"), &pools, |pool, rng| time(rng, |rng| pool.by_ewma(2, rng)))?;
        row(&named("five choices, ewma"), &pools, |pool, rng| time(rng, |rng| pool.by_ewma(5, rng)))?;
        row(&named("consistent, bounded"), &pools, |pool, rng| {
            let total = pool.roster.candidates(|place| pool.load(place)).total_load();
            time(rng, |rng| {
                let candidates = pool.roster.candidates(|place| pool.load(place));
                pool.ring.pick(&candidates, rng.next_u64(), total)
            })
        })?;
        row(&named("prequal, local"), &pools, |pool, rng| {
            let mut prequal = Local::new(LocalPolicy::default());
            time(rng, move |rng| {
                let candidates = pool.roster.candidates(|place| pool.load(place));
                prequal.pick(&candidates, rng, |place, rif| pool.latencies[place].at(rif, NOW, HALF_LIFE))
            })
        })?;
        row(&named("prequal, 3 probes answered"), &pools, |pool, rng| time(rng, pool.probing()))?;
        row(&named("sticky"), &pools, |pool, rng| {
            let cookie = sticky::CookieValue::of(pool.roster.seats()[1].key);
            time(rng, |_| match sticky::resolve(&pool.roster, Some(black_box(cookie.as_bytes()))) {
                sticky::Affinity::Stay(place) => Some(place),
                sticky::Affinity::Detour | sticky::Affinity::Bind(_) => None,
            })
        })?;
    }
    updates()
}

fn row(name: &str, pools: &[Pool], measure: impl Fn(&'static Pool, &mut Rng) -> f64) -> std::io::Result<()> {
    write!(std::io::stdout(), "{name:34}")?;
    for pool in pools {
        // Lives as long as the program, which ends soon.
        let pool: &'static Pool = Box::leak(Box::new(pool.clone()));
        write!(std::io::stdout(), " {:>8.1}", measure(pool, &mut Rng::seeded(1)))?;
    }
    writeln!(std::io::stdout())
}

/// What is done once for each answer, or now and then.
fn updates() -> std::io::Result<()> {
    let mut rng = Rng::seeded(1);
    let mut ewma = Ewma::default();
    let mut now = NOW;
    let noted = time(&mut rng, |rng| {
        now.0 += 1_000;
        ewma.answered(Duration::from_micros(1 + rng.below(5_000)), now, EwmaPolicy::default());
        Some(1)
    });
    writeln!(std::io::stdout(), "ewma, an answer                    {noted:>8.1}")?;
    let mut latencies = LatencyByRif::default();
    let noted = time(&mut rng, |rng| {
        latencies.answered(rng.below(8) as u32, Duration::from_micros(1 + rng.below(5_000)), NOW);
        Some(1)
    });
    writeln!(std::io::stdout(), "latency by rif, an answer          {noted:>8.1}")?;
    let mut outliers = resilience::health::outliers::Outliers::new(Default::default(), 30, NOW);
    let noted = time(&mut rng, |rng| {
        let (place, took) = (rng.below(30) as usize, Duration::from_micros(rng.below(5_000)));
        let good = resilience::health::outliers::Outcome::Good;
        outliers.settle(place, good, took, NOW, rng).map(|_| 1)
    });
    writeln!(std::io::stdout(), "outliers, an answer                {noted:>8.1}")?;
    row("refresh of a roster", &SIZES.map(|size| Pool::new(size, true)), |pool, rng| {
        let mut roster = pool.roster.clone();
        time(rng, move |_| {
            roster.refresh(NOW);
            Some(1)
        })
    })
}

#[derive(Clone)]
struct Pool {
    roster: Roster,
    ring: Ring,
    /// As the edge has it: counters that other threads read.
    loads: std::sync::Arc<[AtomicU32]>,
    ewmas: Vec<Ewma>,
    latencies: Vec<LatencyByRif>,
}

impl Pool {
    fn new(size: u64, uneven: bool) -> Self {
        let mut rng = Rng::seeded(size);
        let mut roster = Roster::new(Rules::default());
        let weight =
            |key: u64| Weight::of_thousandths(if uneven { 500 + 500 * (key % 4) as u32 } else { 1_000 });
        roster.replace((0..size).map(|key| (key, weight(key))), Instant::from_secs(1));
        roster.refresh(NOW);
        let ring = Ring::new(&roster, RingPolicy::default());
        let mut ewmas = vec![Ewma::default(); size as usize];
        let mut latencies = vec![LatencyByRif::default(); size as usize];
        for place in 0..size as usize {
            for rif in 0..8 {
                let took = Duration::from_micros(1_000 + rng.below(9_000));
                ewmas[place].answered(
                    took,
                    NOW - Duration::from_millis(rng.below(900)),
                    EwmaPolicy::default(),
                );
                latencies[place].answered(rif, took, NOW);
            }
        }
        let loads = (0..size).map(|_| AtomicU32::new(rng.below(8) as u32)).collect();
        Self { roster, ring, loads, ewmas, latencies }
    }

    fn load(&self, place: usize) -> u32 {
        self.loads[place].load(Ordering::Relaxed)
    }

    fn by_ewma(&self, count: usize, rng: &mut Rng) -> Option<usize> {
        let candidates = self.roster.candidates(|place| self.load(place));
        choices::pick(&candidates, count, rng, |place| {
            self.ewmas[place].cost(candidates.relative_load(place), NOW, EwmaPolicy::default())
        })
    }

    fn probing(&'static self) -> impl FnMut(&mut Rng) -> Option<usize> {
        let mut prequal = Prequal::new(PrequalPolicy::default());
        move |rng| {
            let candidates = self.roster.candidates(|place| self.load(place));
            for place in prequal.probes(&candidates, rng) {
                let reading = Reading { rif: self.load(place), latency: Duration::from_millis(3) };
                prequal.answered(place, reading, &candidates, NOW, rng);
            }
            prequal.pick(&candidates, NOW, rng)
        }
    }
}

/// The median of many runs, in nanoseconds a call.
fn time(rng: &mut Rng, mut pick: impl FnMut(&mut Rng) -> Option<usize>) -> f64 {
    const RUNS: usize = 31;
    const CALLS: u32 = 20_000;
    let clock = SystemClock;
    let mut took: Vec<_> = (0..RUNS)
        .map(|_| {
            let begun = clock.now();
            for _ in 0..CALLS {
                black_box(pick(black_box(rng)));
            }
            clock.now().since(begun)
        })
        .collect();
    took.sort_unstable();
    took[RUNS / 2].as_nanos() as f64 / f64::from(CALLS)
}
