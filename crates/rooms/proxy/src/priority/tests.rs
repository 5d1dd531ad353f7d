//! How urgent requests are, by what stands in their heads.

use super::*;
use crate::head::request;

fn priority() -> Priority {
    let any = PriorityMatch {
        path: None,
        methods: Vec::new(),
        header: None,
        value: None,
        class: Urgency::Sheddable,
    };
    let path = |path: &str| Some(spec::PathPrefix(path.into()));
    Priority {
        matches: vec![
            PriorityMatch { header: Some("x-vip".into()), class: Urgency::Critical, ..any.clone() },
            PriorityMatch { header: Some("x-batch".into()), value: Some("1".into()), ..any.clone() },
            PriorityMatch { path: path("/pay/"), class: Urgency::Critical, ..any.clone() },
            PriorityMatch {
                path: path("/export"),
                methods: vec!["GET".into(), "HEAD".into()],
                ..any.clone()
            },
            PriorityMatch { methods: vec!["POST".into()], class: Urgency::Default, ..any },
        ],
    }
}

/// How urgent it is for a stranger, and for a service.
#[track_caller]
fn check(priority: &Priority, request: &str, stranger: &str, internal: &str) {
    let (line, lines) = request.split_once('\n').unwrap_or((request, ""));
    let lines: String = lines.lines().map(|line| format!("{line}\r\n")).collect();
    let text = format!("{line} HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let mut fields = Vec::new();
    let head = request::parse(text.as_bytes(), &mut fields).expect("a good head");
    let asked = Incoming {
        client: [10, 0, 0, 1].into(),
        head: &head,
        fields: &fields,
        buf: text.as_bytes(),
        prefix: 0,
    };
    for (inside, wanted) in [(false, stranger), (true, internal)] {
        let (class, why) = class_of(priority, &asked, inside);
        assert_eq!(format!("{} {why:?}", name_of(class)), wanted, "{request}, internal: {inside}");
    }
}

#[test]
fn the_service_says_it_by_path_method_and_field() {
    let own = priority();
    let both = |request, wanted| check(&own, request, wanted, wanted);
    both("GET /", "default Usual");
    both("GET /pay", "critical Match(2)");
    both("POST /pay/now?a=b", "critical Match(2)");
    both("GET /payments", "default Usual");
    both("GET /export/all", "sheddable Match(3)");
    both("POST /export/all", "default Match(4)");
    both("GET /pay\nX-Batch: 1", "sheddable Match(1)");
    both("GET /pay\nx-batch: 2", "critical Match(2)");
    // A field that anybody can write makes nobody urgent.
    check(&own, "GET /\nX-Vip: yes", "default Usual", "critical Match(0)");
}

#[test]
fn a_stranger_may_only_lower_himself() {
    let none = Priority::default();
    check(&none, "GET /\nPriority: u=0, i", "default Usual", "critical Field");
    check(&none, "GET /\nPriority: u=3", "default Usual", "default Usual");
    check(&none, "GET /\nPriority: i, u=5", "sheddable Field", "sheddable Field");
    check(&priority(), "GET /pay\nPriority: u=7;x=1", "sheddable Field", "sheddable Field");
    check(&priority(), "GET /export\nPriority: u=1", "sheddable Match(3)", "critical Field");
    // The last one counts, over all lines.
    check(&none, "GET /\nPriority: u=7, u=4\nPriority: i", "default Usual", "default Usual");
    for odd in ["u=8", "u=", "u", "u=-1", "u=5.0", "U=7", "5", "\"u=7\"", "u=55"] {
        check(&none, &format!("GET /\nPriority: {odd}"), "default Usual", "default Usual");
    }
}
