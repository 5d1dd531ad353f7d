//! Tables that change under load: nothing is lost, and nobody is sent to where the table does not say.

use super::*;

/// Sends requests one after the other on one connection until told to stop; gives how many, and panics at a flaw.
async fn load(address: SocketAddr, stop: Arc<std::sync::atomic::AtomicBool>) -> usize {
    let mut stream = TcpStream::connect(address).await.expect("the edge accepts");
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let post = count % 3 == 0;
        let request = if post {
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        } else {
            "GET /g HTTP/1.1\r\nHost: a\r\n\r\n"
        };
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        let answer = read_until(&mut stream, if post { " /p body" } else { " /g " }).await;
        assert_eq!(status(&answer), "200", "{answer}");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_changes_of_the_table_under_load_lose_nothing() {
    let backends = [Backend::plain("a").await, Backend::plain("b").await, Backend::plain("c").await];
    let mut edge = TestEdge::to(quick(), &[&backends[0]]).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..8).map(|_| tokio::spawn(load(edge.http, stop.clone()))).collect();
    for change in 0..50 {
        let (one, two) = (&backends[change % 3], &backends[(change + 1) % 3]);
        let gone = &backends[(change + 2) % 3];
        edge.send_to(&[one, two]).await;
        // From the confirmation on, the third gets nothing new: what it has ends, and then it has nothing.
        edge.at_rest(gone).await;
        let before = edge.server.look().answered[&id(one.address)].good;
        until(|| edge.server.look().answered[&id(one.address)].good > before).await;
        assert_eq!(edge.in_flight(gone), 0, "change {change}");
    }
    stop.store(true, Ordering::SeqCst);
    let mut sum = 0;
    for client in clients {
        sum += client.await.expect("no request is lost");
    }
    let answered = edge.server.look().answered;
    assert_eq!(answered.values().map(|a| a.good).sum::<u64>(), sum as u64);
    assert_eq!(answered.values().map(|a| a.failed + a.lost).sum::<u64>(), 0);
}

#[tokio::test]
async fn what_is_under_way_goes_on_after_its_instance_has_left() {
    let (go, slow) = Backend::gated().await;
    let other = Backend::plain("other").await;
    let mut edge = TestEdge::to(quick(), &[&slow]).await;
    let http = edge.http;
    let waiting = tokio::spawn(async move { ask(http, &get("/")).await });
    until(|| edge.in_flight(&slow) == 1).await;
    edge.send_to(&[&other]).await;
    assert_eq!(edge.server.look().sending, [id(other.address)]);
    assert_eq!(edge.in_flight(&slow), 1, "a drain waits for this");
    assert!(edge.ask(&get("/x")).await.ends_with("other /x "));
    go.send(true).expect("the instance waits");
    assert_eq!(body(&waiting.await.expect("an answer")), "done");
    edge.at_rest(&slow).await;
    assert_eq!(edge.server.look().answered[&id(slow.address)].good, 1);
}

#[tokio::test]
async fn idle_connections_to_an_instance_that_leaves_are_closed_at_once() {
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |stream, _| {
        let ended = ended.clone();
        async move {
            answer_all(stream, "one").await;
            let _ = ended.send(()).await;
        }
    })
    .await;
    let other = Backend::plain("other").await;
    let mut edge = TestEdge::to(Settings { upstream_idle: LONG, ..quick() }, &[&backend]).await;
    edge.ask(&get("/")).await;
    edge.send_to(&[&other]).await;
    tokio::time::timeout(Duration::from_secs(5), ends.recv()).await.expect("the connection is closed");
}

#[tokio::test]
async fn idle_connections_are_kept_shorter_than_instances_keep_them() {
    let (ended, mut ends) = tokio::sync::mpsc::channel(1);
    let backend = Backend::new(move |stream, _| {
        let ended = ended.clone();
        async move {
            answer_all(stream, "one").await;
            let _ = ended.send(()).await;
        }
    })
    .await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    edge.ask(&get("/")).await;
    let began = tokio::time::Instant::now();
    ends.recv().await.expect("the connection is closed");
    assert!(began.elapsed() < Duration::from_millis(1900), "gunicorn closes after two seconds");
}

#[tokio::test]
async fn a_table_that_cannot_be_served_whole_leaves_the_old_one_in_force() {
    let backend = Backend::plain("one").await;
    let mut edge = TestEdge::to(quick(), &[&backend]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (taken_address, free_address) =
        (taken.local_addr().expect("an address"), free.local_addr().expect("an address"));
    drop(free);
    let ports = [(free_address, Protocol::Http), (taken_address, Protocol::Http)];
    let shares = BTreeMap::from([("shop".to_string(), share(&[], &ports))]);
    let error = edge
        .server
        .apply(Document { generation: 9, shares, ..Document::default() })
        .await
        .expect_err("a port is taken");
    let report = base::Report::of(&error);
    assert!(
        report.because[0].starts_with(&format!("TCP address `{taken_address}` is in use by ")),
        "{report}"
    );
    assert!(report.because[0].ends_with(&format!("(process {})", std::process::id())), "{report}");
    assert!(edge.ask(&get("/still")).await.ends_with("one /still "));
    std::net::TcpListener::bind(free_address).expect("nothing was left open");
}

#[tokio::test]
async fn an_edge_that_starts_without_a_daemon_serves_the_last_table() {
    let backend = Backend::plain("one").await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let other = Addresses { http: vec![([127, 0, 0, 2], 0).into()], https: HttpsFront::Never };
    let folder = edge._folder.path().into();
    let mut next = Server::start(folder, &other, 1, quick(), Handover::default()).await.expect("an edge");
    next.resume().await;
    next.open_doors(Vec::new()).await.expect("its threads");
    assert!(ask(next.http()[0], &get("/again")).await.ends_with("one /again "));
    assert_eq!(next.document(), edge.server.document());
}

#[tokio::test]
async fn an_ending_edge_finishes_its_requests_and_says_that_it_ends() {
    let (go, backend) = Backend::gated().await;
    let mut edge = TestEdge::to(quick(), &[&backend]).await;
    let mut resting = edge.connect().await;
    let mut busy = edge.connect().await;
    busy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("the edge reads");
    until(|| edge.in_flight(&backend) == 1).await;
    edge.server.leave(Manner::Told).await;
    let workers = edge.server.threads();
    assert_eq!(rest(&mut resting).await, "", "a connection at rest is closed");
    go.send(true).expect("the instance waits");
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("done"), "{answer}");
    tokio::task::spawn_blocking(|| workers.into_iter().for_each(|w| w.join().expect("no panic")))
        .await
        .expect("all threads end");
    assert!(TcpStream::connect(edge.http).await.is_err(), "nothing is accepted any more");
}
