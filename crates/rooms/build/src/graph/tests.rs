//! Tests of the graph: which stages are built, and in which order.

use super::*;
use crate::dockerfile::parse;
use expect_test::{Expect, expect};
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, target: Option<&str>, order: Expect) {
    let file = parse(text).expect("every file here can be read");
    let set = |name: &str| (name == "BASE").then(|| "b".to_owned());
    let shown = match Graph::new(&file, &set, target, &BTreeSet::new()) {
        Ok(graph) => {
            let name =
                |number: &usize| graph.stages[*number].name.clone().unwrap_or_else(|| number.to_string());
            let stage = |number: &usize| {
                let needs: Vec<String> = graph.stages[*number].needs.iter().map(name).collect();
                format!("{}({})", name(number), needs.join(" "))
            };
            graph.order.iter().map(stage).collect::<Vec<_>>().join(", ")
        }
        Err(fault) => format!("error: {fault:?}"),
    };
    order.assert_eq(&shown);
}

const FILE: &str = "FROM x AS a\nRUN x\nFROM a AS b\nFROM $BASE AS c\nCOPY --from=a / /\nFROM scratch AS d\nCOPY --from=2 / /\nRUN --mount=from=b,target=/b x\nCOPY --from=other:1 / /\nFROM x AS unused";

#[test]
fn only_what_the_wanted_stage_needs_is_built_each_behind_its_needs() {
    check(FILE, None, expect!["unused()"]);
    check(FILE, Some("d"), expect!["a(), b(a), c(a b), d(b c)"]);
    check(FILE, Some("C"), expect!["a(), b(a), c(a b)"]);
    check(FILE, Some("0"), expect!["a()"]);
    check("FROM x\nFROM 0", None, expect!["1()"]);
    check("FROM x AS n\nFROM n AS n\nFROM n", None, expect!["n(), n(n), 2(n)"]);
}

#[test]
fn what_makes_no_graph_is_an_error() {
    check(
        FILE,
        Some("dd"),
        expect![[
            r#"error: NoTarget { target: "dd", near: Some("d"), names: ["a", "b", "c", "d", "unused"] }"#
        ]],
    );
    check(
        FILE,
        Some("unusd"),
        expect![[
            r#"error: NoTarget { target: "unusd", near: Some("unused"), names: ["a", "b", "c", "d", "unused"] }"#
        ]],
    );
    check(
        "FROM x AS a\nCOPY --from=a / /",
        None,
        expect!["error: Itself { span: Span { start: 2, end: 2 } }"],
    );
    check(
        "FROM $NONE",
        None,
        expect![[r#"error: EmptyBase { text: "$NONE", span: Span { start: 1, end: 1 } }"#]],
    );
}

proptest! {
    #[test]
    fn every_stage_stands_behind_all_that_it_needs(
        links in proptest::collection::vec((0usize..12, 0usize..12), 1..12),
        target in 0usize..12,
    ) {
        // Each stage takes files from two numbers; those of later stages are names of images.
        let stage = |(number, (one, two)): (usize, &(usize, usize))| {
            let from = |other: &usize| if *other < number { format!("COPY --from={other} / /\n") } else { String::new() };
            format!("FROM x AS s{number}\n{}{}", from(one), from(two))
        };
        let text: String = links.iter().enumerate().map(stage).collect();
        let file = parse(&text).expect("it is whole");
        let target = target % links.len();
        let graph = Graph::new(&file, &|_: &str| None, Some(&format!("s{target}")), &BTreeSet::new()).expect("it is whole");
        prop_assert_eq!(graph.target(), target);
        for (place, stage) in graph.order.iter().enumerate() {
            for need in &graph.stages[*stage].needs {
                prop_assert!(graph.order[..place].contains(need));
            }
            let asked = graph.order[place + 1..].iter().any(|later| graph.stages[*later].needs.contains(stage));
            prop_assert!(asked || *stage == target, "a stage that nobody needs is not built");
        }
    }
}
