//! Who of a pool does worse than the rest, by what happened in an interval; the worst first.

use std::time::Duration;

use super::{Endpoint, FailureShare, OutlierPolicy, Reason, SlowerThanRest, SuccessRate};

/// Each once, with the first rule that it breaks, and by how much the rules are broken.
pub(super) fn outliers(policy: &OutlierPolicy, endpoints: &[Endpoint]) -> Vec<(usize, Reason)> {
    let all = || endpoints.iter().enumerate().filter(|(_, endpoint)| endpoint.out_until.is_none());
    let mut found: Vec<(usize, Reason)> = Vec::new();
    let mut add = |more: Vec<(usize, Reason)>| {
        for (place, reason) in more {
            if found.iter().all(|(known, _)| *known != place) {
                found.push((place, reason));
            }
        }
    };
    if let Some(rule) = policy.failures {
        add(failing(rule, &all().collect::<Vec<_>>()));
    }
    if let Some(rule) = policy.success_rate {
        add(below_mean(rule, &all().collect::<Vec<_>>()));
    }
    if let Some(rule) = policy.latency {
        add(slow(rule, &all().collect::<Vec<_>>()));
    }
    found
}

type Judged<'a> = [(usize, &'a Endpoint)];

/// Those with enough requests, if they are enough.
fn known<'a>(
    all: &Judged<'a>,
    endpoints: usize,
    has: impl Fn(&Endpoint) -> bool,
) -> Vec<(usize, &'a Endpoint)> {
    let known: Vec<_> = all.iter().filter(|(_, endpoint)| has(endpoint)).copied().collect();
    if known.len() < endpoints.max(2) { Vec::new() } else { known }
}

fn failing(rule: FailureShare, all: &Judged<'_>) -> Vec<(usize, Reason)> {
    let known = known(all, rule.endpoints, |endpoint| endpoint.tally.requests() >= rule.requests);
    let failed: f64 = known.iter().map(|(_, endpoint)| f64::from(endpoint.tally.failed)).sum();
    let requests: f64 = known.iter().map(|(_, endpoint)| f64::from(endpoint.tally.requests())).sum();
    let mut found: Vec<_> = known
        .iter()
        .map(|(place, endpoint)| {
            let own = &endpoint.tally;
            let others = (failed - f64::from(own.failed)) / (requests - f64::from(own.requests())).max(1.0);
            (*place, own.failure_share(), others)
        })
        .filter(|(_, share, others)| *share >= rule.share && *share >= 2.0 * others)
        .collect();
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.into_iter().map(|(place, share, others)| (place, Reason::Failures { share, others })).collect()
}

fn below_mean(rule: SuccessRate, all: &Judged<'_>) -> Vec<(usize, Reason)> {
    let known = known(all, rule.endpoints, |endpoint| endpoint.tally.requests() >= rule.requests);
    let rate = |endpoint: &Endpoint| 1.0 - endpoint.tally.failure_share();
    let count = known.len().max(1) as f64;
    let mean = known.iter().map(|(_, endpoint)| rate(endpoint)).sum::<f64>() / count;
    let variance = known.iter().map(|(_, endpoint)| (rate(endpoint) - mean).powi(2)).sum::<f64>() / count;
    let least = (mean - rule.deviations * variance.sqrt()).min(mean - rule.gap);
    let mut found: Vec<_> = known
        .iter()
        .map(|(place, endpoint)| (*place, rate(endpoint)))
        .filter(|(_, rate)| *rate < least)
        .collect();
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    found.into_iter().map(|(place, rate)| (place, Reason::SuccessRate { rate, least })).collect()
}

fn slow(rule: SlowerThanRest, all: &Judged<'_>) -> Vec<(usize, Reason)> {
    let known = known(all, rule.endpoints, |endpoint| endpoint.tally.good >= rule.requests.max(1));
    let latencies: Vec<Duration> =
        known.iter().map(|(_, endpoint)| endpoint.tally.quantile(rule.quantile)).collect();
    let mut found: Vec<(usize, Duration, Duration)> = Vec::new();
    for (at, (place, _)) in known.iter().enumerate() {
        let mut others: Vec<Duration> = latencies.clone();
        let own = others.swap_remove(at);
        others.sort_unstable();
        let others = others[others.len() / 2];
        if own >= others.mul_f64(rule.times.max(1.0)) && own >= others + rule.gap {
            found.push((*place, own, others));
        }
    }
    found.sort_by_key(|(_, own, _)| std::cmp::Reverse(*own));
    found.into_iter().map(|(place, latency, others)| (place, Reason::Slow { latency, others })).collect()
}
