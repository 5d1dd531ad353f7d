//! Forms of answers: refused, or what the client gets, and what becomes of the two connections.
//!
//! A verdict is what the client gets (`same`, or `> text`) or the status and code of a refusal; then `stays` or `closes`
//! or `breaks` for the client's connection, and after `stays`, `kept` or `dropped` for the instance's.

use super::*;

const TABLE: &str = include_str!("answers.txt");

/// What an instance answers to the next request that is not the second, and which connections were used.
#[derive(Default)]
struct Script {
    answer: Vec<u8>,
    ends: bool,
    used: Vec<usize>,
}

async fn actor(script: Arc<Mutex<Script>>) -> Backend {
    Backend::new(move |mut stream, number| {
        let script = script.clone();
        async move {
            while let Some(request) = whole_request(&mut stream).await {
                let (answer, ends) = {
                    let mut script = script.lock().expect("no panic");
                    script.used.push(number);
                    if is_second(&request) {
                        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond".to_vec(), false)
                    } else {
                        (script.answer.clone(), script.ends)
                    }
                };
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
                if ends {
                    // To close over bytes that nobody read would reset the connection.
                    let _ = stream.shutdown().await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                    return;
                }
            }
        }
    })
    .await
}

/// The requests by which the sections of the table begin.
fn request(name: &str) -> &'static str {
    match name {
        "GET" => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "HEAD" => "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OLD" => "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "OLD HEAD" => "HEAD / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "TRAILERS" => "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n",
        "UPGRADE" => "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        _ => panic!("no request {name:?}"),
    }
}

async fn play(edge: &TestEdge, asked: &str, row: &Row, script: &Mutex<Script>) -> Vec<String> {
    *script.lock().expect("no panic") = Script { answer: row.form.clone(), ends: row.ends, used: Vec::new() };
    let mut stream = edge.connect().await;
    stream.write_all(format!("{asked}{SECOND}").as_bytes()).await.expect("the edge reads");
    let (text, end) = all(&mut stream).await;
    let used = std::mem::take(&mut script.lock().expect("no panic").used);
    let second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nconnection: close\r\n\r\nsecond";
    let stays = text.ends_with(second);
    let first = text.strip_suffix(second).unwrap_or(&text);
    let told = String::from_utf8_lossy(first);
    let mut have = Vec::new();
    match told.split_once("x-sea-refused: ") {
        Some((head, rest)) => {
            let before = head.rfind("HTTP/1.1 ").unwrap_or_default();
            if before > 0 {
                have.push(escaped(&first[..before]));
            }
            let code = rest.split_once("\r\n").map_or("", |(code, _)| code);
            have.push(format!("{} {code}", &head[before + 9..before + 12]));
        }
        None if end == "breaks" => {
            // How much of a cut answer gets through is up to the kernel, but not more than came.
            let want = row.want.first().map_or("", String::as_str);
            have.push(if want.starts_with(&escaped(first)) { want.into() } else { escaped(first) });
        }
        None => have.push(escaped(first)),
    }
    have.push(if stays { "stays" } else { end }.into());
    if stays {
        have.push(if used.first() == used.last() && used.len() == 2 { "kept" } else { "dropped" }.into());
    }
    have
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_of_answers_get_their_verdict() {
    let script = Arc::new(Mutex::new(Script::default()));
    let backend = actor(script.clone()).await;
    let edge = TestEdge::to(quick(), &[&backend]).await;
    let (mut all, mut have) = (Vec::new(), Vec::new());
    for section in TABLE.split("\n== ").skip(1) {
        let (name, table) = section.split_once('\n').expect("a section has lines");
        for row in rows(table, edge.http) {
            have.push(play(&edge, request(name), &row, &script).await);
            all.push(row);
        }
    }
    compare(&all, &have);
    assert!(all.len() >= 60, "the table holds {} forms", all.len());
}
