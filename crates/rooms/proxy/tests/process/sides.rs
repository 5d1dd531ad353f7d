//! Clients of a split stay at their side whatever becomes of the edge's process, which remembers none of them.

use spec::{Side, Split, Sticky};

use super::*;

/// Two sides of equal weight.
async fn halves() -> RouteShare {
    let mut share = share("a.example", instance("old").await, &[]);
    let next = Endpoint { instance: ContainerId::from_bytes([8; 32]), address: instance("new").await };
    let pool = Pool { service: "shop/next".into(), endpoints: vec![next], ..Pool::default() };
    share.pools.insert("next".into(), pool);
    let name = |text: &str| text.parse::<base::ServiceName>().expect("a name");
    let side = Side { weight: 1, port: None };
    let web = share.pools.get_mut("web").expect("a pool");
    let sides = [(name("web"), side), (name("next"), side)].into();
    web.policy.split = Some(Split { sides, matches: Vec::new(), sticky: Sticky::Edge });
    web.sides.insert(name("next"), "next".into());
    share
}

/// Who answers the client at each of some places.
async fn answers(address: SocketAddr) -> Vec<String> {
    let mut answers = Vec::new();
    for place in 0..32 {
        let host = format!("a.example\r\nCookie: sea-side={:04x}", place * 2011);
        let answer = ask(address, &host).await;
        assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("set-cookie"), "{answer}");
        answers.push(answer.rsplit("\r\n").next().unwrap_or_default().to_owned());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_stay_at_their_side_over_an_upgrade_and_over_tables() {
    let root = tempfile::tempdir().expect("a folder");
    let share = halves().await;
    let first = Edge::open(of_program("one", root.path(), 0)).await.expect("an edge");
    first.apply("shop", share.clone()).await.expect("a table");
    let http = first.http().await[0];
    let before = answers(http).await;
    assert!(before.iter().any(|who| who == "old") && before.iter().any(|who| who == "new"), "{before:?}");
    first.release().await;
    let edge = Edge::open(of_program("two", root.path(), 0)).await.expect("another edge");
    assert_eq!(answers(http).await, before);
    edge.apply("shop", RouteShare::default()).await.expect("a table");
    edge.apply("shop", share).await.expect("a table");
    assert_eq!(answers(http).await, before);
    alone(&edge).await;
    edge.stop().await.expect("it ends");
}
