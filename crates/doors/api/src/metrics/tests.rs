//! The text as Prometheus reads it.

use expect_test::expect;
use proxy::{ClassStatus, HedgeStatus, RefusedStatus, RuleStatus, StickStatus};

use super::*;

const CACHE: CacheStatus = CacheStatus {
    hits: 30,
    stale: 4,
    on_error: 1,
    misses: 5,
    confirmed: 2,
    joined: 99,
    passed: 7,
    renewed: 3,
    purged: 11,
    answers: 8,
    bytes: 12_345,
    most_bytes: 1 << 20,
    fetches: 1,
    waiting: 6,
};

fn pool(classes: [u64; 6]) -> PoolStatus {
    let instance: ContainerId = "ab".repeat(32).parse().expect("an id");
    let mut latency = vec![0; 22];
    (latency[0], latency[5], latency[21]) = (1, 2, 1);
    let endpoint = EndpointStatus {
        instance,
        address: "10.0.0.2:80".parse().expect("an address"),
        avoided: false,
        ejected_by: 1,
        spared_by: 0,
        in_flight: 2,
        answered: plan::traffic::Answered { good: 3, failed: 1, lost: 5 },
        retried: 6,
        ejected: 7,
        spared: 8,
        classes,
        latency,
        took_us: 70_000_500,
    };
    PoolStatus {
        owner: "shop".into(),
        name: "web:80".into(),
        service: "shop/web".into(),
        endpoints: vec![endpoint],
        breaker_opened: 2,
        replaced: 9,
        files: 10,
        sides: vec![
            SideStatus { pool: "next:80".into(), weight: 10, taken: 12, fell: 1 },
            SideStatus { pool: "web:80".into(), weight: 90, taken: 100, fell: 0 },
        ],
        mirror: Some(MirrorStatus {
            pool: "shadow:80".into(),
            of_10_000: 500,
            under_way: 1,
            sent: 20,
            classes: [0, 13, 0, 0, 2],
            lost: 4,
            skipped: 3,
        }),
        classes: vec![ClassStatus { class: "critical".into(), let_in: 31, refused: 2 }],
        sticky: Some(StickStatus { stayed: 41, bound: 7, moved: 3, detours: 9 }),
        hedges: Some(HedgeStatus { sent: 21, won: 17, unpaid: 6, busy: 5, alone: 1 }),
        cache: Some(CACHE),
    }
}

fn status() -> EdgeStatus {
    let mut classes = [0; 6];
    classes[1] = 3;
    classes[4] = 1;
    let rule = RuleStatus {
        owner: "shop".into(),
        host: None,
        path: "/a\"b\\".into(),
        strip: false,
        pool: "web:80".into(),
        https_only: false,
        hsts_secs: None,
        answers: Tally { classes, ..Tally::default() },
    };
    let refused = |pool: Option<(&str, &str)>, reason: &str, count| RefusedStatus {
        pool: pool.map(|(owner, name)| (owner.to_owned(), name.to_owned())),
        reason: reason.to_owned(),
        count,
    };
    EdgeStatus {
        generation: 9,
        pools: vec![pool(classes)],
        rules: vec![rule],
        refused: vec![
            refused(None, "no-route", 4),
            refused(Some(("", "")), "no-route", 1),
            refused(Some(("shop", "web:80")), "rate", 11),
        ],
        ..EdgeStatus::default()
    }
}

fn page() -> String {
    let releases = HashMap::from([("ab".repeat(32).parse().expect("an id"), 4)]);
    Page { version: "1.2.3", releases }.write(&status()).0
}

#[test]
fn what_the_edge_counts_is_written_with_its_labels() {
    let lines = page();
    let shown: Vec<&str> = lines
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket") && !line.ends_with(" 0"))
        .collect();
    expect![[r#"
        daemon_info{version="1.2.3"} 1
        proxy_table_generation 9
        proxy_route_requests_total{app="shop",host="*",path="/a\"b\\",class="2xx"} 3
        proxy_route_requests_total{app="shop",host="*",path="/a\"b\\",class="5xx"} 1
        proxy_requests_refused_total{app="",service="",pool="",reason="no-route"} 5
        proxy_requests_refused_total{app="shop",service="web",pool="web:80",reason="rate"} 11
        proxy_breaker_opened_total{app="shop",service="web",pool="web:80"} 2
        proxy_answers_replaced_total{app="shop",service="web",pool="web:80"} 9
        proxy_files_served_total{app="shop",service="web",pool="web:80"} 10
        proxy_side_weight{app="shop",service="web",pool="web:80",to="next:80"} 10
        proxy_side_weight{app="shop",service="web",pool="web:80",to="web:80"} 90
        proxy_side_requests_total{app="shop",service="web",pool="web:80",to="next:80"} 12
        proxy_side_requests_total{app="shop",service="web",pool="web:80",to="web:80"} 100
        proxy_side_fallen_total{app="shop",service="web",pool="web:80",to="next:80"} 1
        proxy_copies_in_flight{app="shop",service="web",pool="web:80",to="shadow:80"} 1
        proxy_copies_total{app="shop",service="web",pool="web:80",to="shadow:80"} 20
        proxy_copies_lost_total{app="shop",service="web",pool="web:80",to="shadow:80"} 4
        proxy_copies_skipped_total{app="shop",service="web",pool="web:80",to="shadow:80"} 3
        proxy_copies_answered_total{app="shop",service="web",pool="web:80",to="shadow:80",class="2xx"} 13
        proxy_copies_answered_total{app="shop",service="web",pool="web:80",to="shadow:80",class="5xx"} 2
        proxy_hedges_total{app="shop",service="web",pool="web:80"} 21
        proxy_hedges_won_total{app="shop",service="web",pool="web:80"} 17
        proxy_hedges_left_out_total{app="shop",service="web",pool="web:80",reason="share"} 6
        proxy_hedges_left_out_total{app="shop",service="web",pool="web:80",reason="load"} 5
        proxy_hedges_left_out_total{app="shop",service="web",pool="web:80",reason="alone"} 1
        proxy_priority_requests_total{app="shop",service="web",pool="web:80",priority="critical"} 31
        proxy_priority_refused_total{app="shop",service="web",pool="web:80",priority="critical"} 2
        proxy_sticky_answers_total{app="shop",service="web",pool="web:80",outcome="stayed"} 41
        proxy_sticky_answers_total{app="shop",service="web",pool="web:80",outcome="bound"} 7
        proxy_sticky_answers_total{app="shop",service="web",pool="web:80",outcome="moved"} 3
        proxy_sticky_answers_total{app="shop",service="web",pool="web:80",outcome="detour"} 9
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="hit"} 30
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="stale"} 4
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="error"} 1
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="miss"} 5
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="confirmed"} 2
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="joined"} 99
        proxy_cache_requests_total{app="shop",service="web",pool="web:80",result="passed"} 7
        proxy_cache_renewals_total{app="shop",service="web",pool="web:80"} 3
        proxy_cache_purged_total{app="shop",service="web",pool="web:80"} 11
        proxy_cache_answers{app="shop",service="web",pool="web:80"} 8
        proxy_cache_bytes{app="shop",service="web",pool="web:80"} 12345
        proxy_cache_limit_bytes{app="shop",service="web",pool="web:80"} 1048576
        proxy_cache_fetches{app="shop",service="web",pool="web:80"} 1
        proxy_cache_waiting{app="shop",service="web",pool="web:80"} 6
        proxy_requests_total{app="shop",service="web",pool="web:80",release="4",container="abababababab",class="2xx"} 3
        proxy_requests_total{app="shop",service="web",pool="web:80",release="4",container="abababababab",class="5xx"} 1
        proxy_request_duration_seconds_sum{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 70.0005
        proxy_request_duration_seconds_count{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 4
        proxy_requests_in_flight{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 2
        proxy_requests_lost_total{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 5
        proxy_requests_retried_total{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 6
        proxy_instance_ejected_total{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 7
        proxy_instance_spared_total{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 8
        proxy_instance_avoided{app="shop",service="web",pool="web:80",release="4",container="abababababab"} 1"#]].assert_eq(&shown.join("\n"));
}

#[test]
fn histograms_count_what_is_at_most_so_long() {
    let lines = page();
    let shown: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("proxy_request_duration_seconds_bucket"))
        .filter_map(|line| Some(line.split_once("le=")?.1))
        .collect();
    expect![[r#"
        "0.000064"} 1
        "0.000128"} 1
        "0.000256"} 1
        "0.000512"} 1
        "0.001024"} 1
        "0.002048"} 3
        "0.004096"} 3
        "0.008192"} 3
        "0.016384"} 3
        "0.032768"} 3
        "0.065536"} 3
        "0.131072"} 3
        "0.262144"} 3
        "0.524288"} 3
        "1.048576"} 3
        "2.097152"} 3
        "4.194304"} 3
        "8.388608"} 3
        "16.777216"} 3
        "33.554432"} 3
        "67.108864"} 3
        "+Inf"} 4"#]]
    .assert_eq(&shown.join("\n"));
}

#[test]
fn each_family_is_declared_once_before_its_samples_and_no_series_is_there_twice() {
    let lines = page();
    let (mut declared, mut seen) = (Vec::new(), Vec::new());
    for line in lines.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            let name = name.split(' ').next().expect("a name");
            assert!(!declared.contains(&name), "{line}");
            declared.push(name);
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            value.parse::<f64>().expect("a number");
            let name = series.split('{').next().expect("a name");
            let last = declared.last().expect("a family");
            let own = name.strip_prefix(last).expect("samples follow their family");
            assert!(["", "_bucket", "_sum", "_count"].contains(&own), "{line}");
            assert!(!seen.contains(&series), "{line}");
            seen.push(series);
        }
    }
    assert!(seen.len() > 60);
}
