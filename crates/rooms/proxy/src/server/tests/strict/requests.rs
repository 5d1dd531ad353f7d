//! Forms of requests: refused with a code, or what arrives at the instance, and whether the connection stays.
//!
//! A verdict is what arrives (`same` is the form itself in the frame, `> text` another), then `stays`, `closes`, or the
//! status and code of a refusal, behind which the connection is closed and nothing more arrives.

use super::*;

const TABLES: [&str; 7] = [
    include_str!("lines.txt"),
    include_str!("targets.txt"),
    include_str!("hosts.txt"),
    include_str!("fields.txt"),
    include_str!("framing.txt"),
    include_str!("chunks.txt"),
    include_str!("connection.txt"),
];

/// An instance that notes whole requests and answers each.
async fn recorder(arrived: Arc<Mutex<Vec<Vec<u8>>>>) -> Backend {
    Backend::new(move |mut stream, _| {
        let arrived = arrived.clone();
        async move {
            while let Some(request) = whole_request(&mut stream).await {
                arrived.lock().expect("no panic").push(request);
                if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// What became of a form.
async fn play(edge: &TestEdge, row: &Row, arrived: &Mutex<Vec<Vec<u8>>>) -> Vec<String> {
    let mut stream = edge.connect().await;
    let mut bytes = row.form.clone();
    if !row.ends {
        bytes.extend_from_slice(SECOND.as_bytes());
    }
    // The edge may have closed already; what it answered is still to be read.
    let _ = stream.write_all(&bytes).await;
    if row.ends {
        let _ = stream.shutdown().await;
    }
    let (text, end) = all(&mut stream).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut requests = std::mem::take(&mut *arrived.lock().expect("no panic"));
    let mut have = Vec::new();
    // The edge says more in its own.
    let answered = text.matches("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n").count();
    if answered != requests.len() {
        have.push(format!("{answered} answers to {} requests", requests.len()));
    }
    let stays = requests.last().is_some_and(|last| is_second(last));
    if stays {
        requests.pop();
    }
    have.extend(requests.iter().map(|request| escaped(request)));
    let refused = text.split_once("x-sea-refused: ").map(|(before, after)| {
        let (status, code) = (before.rfind("HTTP/1.1 "), after.split_once("\r\n"));
        let status = status.map_or("", |at| &before[at + 9..at + 12]);
        let close = after.contains("\r\nconnection: close\r\n");
        format!("{status} {}{}", code.map_or("", |c| c.0), if close { "" } else { " without close" })
    });
    have.extend(refused);
    if stays {
        have.push("stays".into());
    } else if !text.contains("x-sea-refused: ") {
        have.push(end.into());
    }
    have
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_of_requests_get_their_verdict() {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let backend = recorder(arrived.clone()).await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let rows: Vec<_> = TABLES.iter().flat_map(|table| rows(table, edge.http)).collect();
    let mut have = Vec::new();
    for row in &rows {
        have.push(play(&edge, row, &arrived).await);
    }
    compare(&rows, &have);
    assert!(rows.len() >= 300, "the tables hold {} forms", rows.len());
}
