//! What is said of second requests, of how urgent a request is, and of whom a client is bound to.

use resilience::balance::sticky::CookieValue;
use spec::{Hedge, HedgeAfter};

use super::*;

/// A service with this policy and so many instances.
pub(in crate::explain) fn table(policy: EdgePolicy, instances: u8) -> Table {
    let endpoint =
        |n: u8| Endpoint { instance: ContainerId::from_bytes([n; 32]), address: ([10, 0, 0, n], 80).into() };
    let web = Pool {
        service: "shop/web".into(),
        endpoints: (1..=instances).map(endpoint).collect(),
        policy,
        ..Pool::default()
    };
    let share = RouteShare {
        rules: vec![rule(None, "/", "web", false)],
        pools: [("web".to_owned(), web)].into(),
        ..RouteShare::default()
    };
    let shares = [("shop".to_owned(), share)].into();
    Table::build(&Document { generation: 1, shares, ..Document::default() }, None, 1, |instance, address| {
        Arc::new(EndpointState::new(instance.clone(), address, 2))
    })
    .expect("a table")
}

/// What is said in the step of this name.
#[track_caller]
fn check(table: &Table, text: &str, step: &str, want: Expect) {
    let told = explain(
        &Seen { table, http: &[([0, 0, 0, 0], 80).into()], https: &[], now: NOW, threads: None },
        &ask(text),
    );
    let said = told.steps.iter().find(|it| it.name == step).map_or("nothing", |it| &*it.found);
    want.assert_eq(said);
}

#[test]
fn it_is_said_when_a_second_instance_is_asked_and_why_not() {
    let hedged = |hedge, instances| table(EdgePolicy { hedge, ..EdgePolicy::default() }, instances);
    check(&hedged(None, 2), "GET http://a/", "hedge", expect!["nothing"]);
    let usual = Some(Hedge::USUAL);
    check(
        &hedged(usual, 2),
        "GET http://a/",
        "hedge",
        expect![
            "a second instance is asked when the first says nothing for longer than 95 % of the answers take, for at most 5 % of the requests"
        ],
    );
    let own = Some(Hedge { after: HedgeAfter::Time(Duration::from_micros(1500)), share: 1 });
    check(
        &hedged(own, 2),
        "HEAD http://a/",
        "hedge",
        expect![
            "a second instance is asked when the first says nothing for 1.5 ms, for at most 0.01 % of the requests"
        ],
    );
    check(
        &hedged(usual, 2),
        "POST http://a/",
        "hedge",
        expect![
            "none: only GET, HEAD, OPTIONS and TRACE without a body are sent twice, no streams of events, and none that was sent before"
        ],
    );
    check(&hedged(usual, 1), "GET http://a/", "hedge", expect!["none: there is no second instance"]);
}

#[test]
fn it_is_said_how_urgent_a_request_is_and_why() {
    let matches = vec![spec::PriorityMatch {
        path: Some(PathPrefix("/pay".into())),
        methods: Vec::new(),
        header: None,
        value: None,
        class: spec::Urgency::Critical,
    }];
    let limit = Some(Limit { requests: Some(4), queue: 1, wait: Duration::from_secs(1) });
    let priority = Some(spec::Priority { matches });
    let table = table(EdgePolicy { limit, priority, ..EdgePolicy::default() }, 1);
    check(
        &table,
        "GET http://a/pay",
        "priority",
        expect!["`critical`, by entry 1 of its list; of such clients 100 % are let in now"],
    );
    check(
        &table,
        "GET http://a/",
        "priority",
        expect!["`default`, as nothing says more of it; of such clients 100 % are let in now"],
    );
    check(
        &table,
        "GET http://a/pay\npriority: u=6",
        "priority",
        expect!["`sheddable`, by its field `priority`; of such clients 100 % are let in now"],
    );
}

#[test]
fn it_is_said_which_instance_a_client_is_bound_to() {
    let stick = Some(spec::Stick::default());
    let table = table(EdgePolicy { stick, ..EdgePolicy::default() }, 2);
    let state = &table.pools[0].endpoints[1];
    let cookie = CookieValue::of(state.mark);
    let asked = |value: &str| format!("GET http://a/\ncookie: sea-at-web={value}");
    check(&table, "GET http://a/", "sticky", expect!["none yet: the answer gives the cookie `sea-at-web`"]);
    check(
        &table,
        &asked("0"),
        "sticky",
        expect![
            "its cookie `sea-at-web` is of no instance here: it goes to any, and the answer gives another"
        ],
    );
    check(&table, &asked(cookie.as_str()), "sticky", expect!["to `020202020202` by its cookie `sea-at-web`"]);
    state.ejected(0, Instant(u64::MAX));
    check(
        &table,
        &asked(cookie.as_str()),
        "sticky",
        expect!["to `020202020202` by its cookie `sea-at-web`, which is passed over, so to another"],
    );
}
