//! Docker's socket, spoken to by hand: what Go's server takes, and searches of registries.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use e2e::clients::docker_socket;
use e2e::{GitServer, Sea};

/// Sends bytes and reads all that comes.
fn speak(sea: &Sea, bytes: &str) -> Result<String> {
    let mut stream = UnixStream::connect(docker_socket(sea))?;
    stream.write_all(bytes.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// One request, with its connection.
fn get(sea: &Sea, target: &str) -> Result<String> {
    speak(sea, &format!("GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"))
}

#[test]
fn a_target_may_hold_what_go_takes() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    sea.sea(&["run", "-d", "--name", "one", "busybox:1.36", "sleep", "infinity"]).exits(0);
    let filtered = r#"/containers/json?filters={"status":["running"],"name":["^/one$"]}"#;
    let answer = get(&sea, filtered)?;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"/one\""), "{answer}");
    // On a connection that is kept, behind a request with a body that looks like one.
    let body = "GET /x{ HTTP/1.1\r\n\r\n";
    let first = format!(
        "POST /auth HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = format!("GET {filtered} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
    let answer = speak(&sea, &format!("{first}{last}"))?;
    ensure!(answer.matches("HTTP/1.1 ").count() == 2 && answer.contains("\"/one\""), "{answer}");
    let broken = get(&sea, r#"/containers/json?filters={"status":["running"]"#)?;
    ensure!(broken.starts_with("HTTP/1.1 400") && broken.contains("\"message\""), "{broken}");
    sea.sea(&["rm", "-f", "one"]).exits(0);
    sea.end()
}

/// A registry that can be searched.
fn registry() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read > 0) {
                head.push(byte[0]);
            }
            let (status, body) = match head.starts_with(b"GET /v1/search?q=ship&n=25 ") {
                true => (
                    "200 OK",
                    r#"{"results":[{"name":"ship","star_count":9,"is_official":true},{"name":"a/ship","star_count":2,"description":"of a"}]}"#,
                ),
                false => ("404 Not Found", ""),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // Whoever asked may have gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(address)
}

#[test]
fn a_registry_is_searched_as_docker_does_it() -> Result<()> {
    let sea = Sea::start()?;
    let at = registry()?;
    let names = |query: &str| -> Result<Vec<String>> {
        let answer = get(&sea, &format!("/images/search?term={at}/ship{query}"))?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body = answer.split_once("\r\n\r\n").context("it has a body")?.1;
        let found: serde_json::Value = serde_json::from_str(body)?;
        let found = found.as_array().context("it is a list")?;
        Ok(found.iter().filter_map(|one| one["name"].as_str()).map(str::to_owned).collect())
    };
    ensure!(names("")? == ["ship", "a/ship"]);
    ensure!(names(r#"&filters={"is-official":["true"]}"#)? == ["ship"]);
    ensure!(names(r#"&filters={"stars":["3"]}"#)? == ["ship"]);
    ensure!(names(r#"&filters={"is-automated":["true"]}"#)?.is_empty());
    let refused = |target: &str, status: &str, why: &str| -> Result<()> {
        let answer = get(&sea, &format!("/images/search?{target}"))?;
        ensure!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(why),
            "{target}: {answer}"
        );
        Ok(())
    };
    refused(&format!("term={at}/ship&limit=101"), "400", "limit 101 is outside the range of [1, 100]")?;
    refused(&format!("term={at}/ship&limit=x"), "400", "invalid limit specified")?;
    refused("term=https://x/y", "400", "should not have a scheme")?;
    refused(&format!("term={at}/boat"), "500", "unexpected status code 404")?;
    refused("term=127.0.0.1:1/x", "400", "invalid registry endpoint")?;
    refused(&format!("term={at}/x&filters={{\"name\":[\"a\"]}}"), "400", "invalid filter 'name'")?;
    sea.end()
}

#[test]
fn the_classic_builder_takes_a_repository_by_its_address() -> Result<()> {
    let sea = Sea::with_images(&["busybox"])?;
    let repository = GitServer::start()?;
    let build = |remote: &str| {
        let target = format!("/build?t=app&remote={remote}");
        speak(
            &sea,
            &format!("POST {target} HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        )
    };
    let answer = build(&format!("{}%23v1", repository.url()))?;
    ensure!(answer.contains("Successfully tagged app:latest"), "{answer}");
    let said = sea.sea(&["run", "--rm", "app"]).exits(0);
    ensure!(said.text().trim() == "of v1", "{said}");
    let answer = build(&format!("{}%23none", repository.url()))?;
    ensure!(answer.contains("has no `none`"), "{answer}");
    sea.end()
}
