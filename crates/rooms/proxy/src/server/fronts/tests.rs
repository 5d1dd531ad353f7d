//! Ports that are kept, and those that cannot be.

use std::net::TcpListener;

use super::*;
use crate::handover::Sockets;

/// For two threads.
fn nothing_before() -> Listening {
    Listening::new(2, Sockets::new(), 0)
}

/// Opens these addresses and tells the ports.
async fn ports(folder: &Path, asked: &[&str]) -> (Vec<u16>, Vec<Opened>) {
    let asked: Vec<SocketAddr> = asked.iter().map(|a| a.parse().expect("an address")).collect();
    let (path, patience) = (folder.join("http.json"), Duration::from_millis(30));
    let fronts =
        open(&path, &asked, Purpose::Front, &mut nothing_before(), patience).await.expect("free ports");
    (fronts.iter().map(|(address, _)| address.port()).collect(), fronts)
}

#[tokio::test]
async fn a_chosen_port_is_chosen_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let two = ["127.0.0.1:0", "127.0.0.1:0"];
    let (before, fronts) = ports(folder.path(), &two).await;
    drop(fronts);
    let (after, fronts) = ports(folder.path(), &two).await;
    assert_eq!(after, before, "each keeps its own");
    drop(fronts);
    let (other, _fronts) = ports(folder.path(), &["127.0.0.2:0", "127.0.0.1:0"]).await;
    assert_eq!(other[1], before[0], "by address, not by place");
}

#[tokio::test]
async fn an_edge_that_is_still_ending_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (before, fronts) = ports(folder.path(), &["127.0.0.1:0"]).await;
    let asked = [([127, 0, 0, 1], 0).into()];
    let path = folder.path().join("http.json");
    let mut listening = nothing_before();
    let patience = Duration::from_secs(20);
    let mut opening = std::pin::pin!(open(&path, &asked, Purpose::Front, &mut listening, patience));
    assert!(
        std::future::poll_fn(|cx| std::task::Poll::Ready(opening.as_mut().poll(cx).is_pending())).await,
        "it waits"
    );
    drop(fronts);
    assert_eq!(opening.await.expect("the same port")[0].0.port(), before[0]);
}

#[tokio::test]
async fn a_port_that_another_program_took_is_replaced_and_the_new_one_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (before, fronts) = ports(folder.path(), &["127.0.0.1:0"]).await;
    drop(fronts);
    let taken = TcpListener::bind(("127.0.0.1", before[0])).expect("it is free");
    let (new, fronts) = ports(folder.path(), &["127.0.0.1:0"]).await;
    assert_ne!(new, before);
    drop((fronts, taken));
    let (after, _fronts) = ports(folder.path(), &["127.0.0.1:0"]).await;
    assert_eq!(after, new);
}

#[tokio::test]
async fn a_torn_file_costs_a_port_and_no_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for text in ["", "{\"version\":1,\"addr", "{\"version\":9,\"addresses\":[]}"] {
        fs::write(folder.path().join("http.json"), text).expect("a file");
        let (ports, _fronts) = ports(folder.path(), &["127.0.0.1:0"]).await;
        assert_ne!(ports, [0], "{text}");
    }
}
