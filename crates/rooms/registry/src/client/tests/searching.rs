//! Searching: what is asked, what is taken of the answer, and how it fails.

use std::net::SocketAddr;
use std::time::Duration;

use base::Report;
use hyper::header::HeaderName;

use crate::testing::{Heard, client_with, say, scripted};
use crate::{Found, Keyring, Login, Search, SearchError};

fn search(registry: &str) -> Search {
    let headers = vec![(HeaderName::from_static("x-meta-a"), "b".to_owned())];
    Search {
        registry: Some(registry.into()),
        term: "a&b".into(),
        limit: 7,
        keys: Keyring::anonymous(),
        headers,
    }
}

/// A registry that answers a search with this.
async fn answering(status: &'static str, headers: &'static str, body: &'static str) -> (SocketAddr, Heard) {
    scripted(move |head, mut stream| async move {
        match head.starts_with("GET /v1/search") {
            true => say(&mut stream, status, headers, body.as_bytes()).await,
            false => say(&mut stream, "404 Not Found", "", b"").await,
        }
    })
    .await
}

async fn ask(search: &Search) -> Result<Vec<Found>, SearchError> {
    let client = client_with(|settings| {
        settings.timeouts.answer = Duration::from_millis(200);
        settings.timeouts.stall = Duration::from_millis(200);
    });
    client.search(search).await
}

/// The search that was heard.
fn asked(heard: &Heard) -> Vec<String> {
    let heard = heard.lock().unwrap();
    heard.iter().filter(|head| head.starts_with("GET /v1/search")).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_finds_is_read() {
    let body = r#"{"num_results":2,"results":[
        {"name":"a","description":"x","star_count":3,"is_official":true,"is_automated":true,"more":1},
        {"name":"b/c","description":null,"star_count":0}]}"#;
    let (address, heard) = answering("200 OK", "", body).await;
    let mut search = search(&address.to_string());
    let first = Found { name: "a".into(), description: "x".into(), star_count: 3, is_official: true };
    let second = Found { name: "b/c".into(), ..Found::default() };
    assert_eq!(ask(&search).await.unwrap(), [first, second]);
    let head = asked(&heard).remove(0);
    assert!(head.starts_with("GET /v1/search?q=a%26b&n=7 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("x-docker-token: true\r\n") && head.contains("x-meta-a: b\r\n"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    let login = Login::Password { user: "ann".into(), password: "secret".into() };
    search.keys = Keyring::anonymous().with(&address.to_string(), login);
    ask(&search).await.unwrap();
    assert!(asked(&heard)[1].contains("authorization: Basic YW5uOnNlY3JldA==\r\n"), "{heard:?}");
    let (address, _) = answering("200 OK", "", r#"{"results":null}"#).await;
    assert_eq!(ask(&self::search(&address.to_string())).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_another_host_takes_no_login_along() {
    let (other, heard) = answering("200 OK", "", r#"{"results":[{"name":"far"}]}"#).await;
    let location: &'static str =
        Box::leak(format!("location: http://{other}/v1/search?x\r\n").into_boxed_str());
    let (address, _) = answering("302 Found", location, "").await;
    let mut search = search(&address.to_string());
    let login = Login::Password { user: "ann".into(), password: "secret".into() };
    search.keys = Keyring::anonymous().with(&address.to_string(), login);
    assert_eq!(ask(&search).await.unwrap()[0].name, "far");
    assert!(!asked(&heard)[0].contains("authorization"), "{heard:?}");
    let (address, _) = answering("302 Found", "location: /v1/search\r\n", "").await;
    let error = ask(&self::search(&address.to_string())).await.unwrap_err();
    assert!(Report::of(&error).to_string().contains("it redirects without an end"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_cannot_be_searched_is_told() {
    let told = |error: SearchError| error.to_string();
    let (address, _) = answering("404 Not Found", "", "<html>").await;
    assert_eq!(told(ask(&search(&address.to_string())).await.unwrap_err()), "unexpected status code 404");
    let (address, _) = answering("200 OK", "", "<html>").await;
    let error = told(ask(&search(&address.to_string())).await.unwrap_err());
    assert_eq!(error, "error decoding registry search results");
    let (address, _) = answering("200 OK", "", Box::leak(" ".repeat(5 << 20).into_boxed_str())).await;
    let error = ask(&search(&address.to_string())).await.unwrap_err();
    assert!(Report::of(&error).to_string().contains("longer than 4.0 MiB"), "{error:?}");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = ask(&search(&closed.to_string())).await.unwrap_err();
    assert!(matches!(error, SearchError::Endpoint { .. }), "{error:?}");
    let (address, _) = scripted(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let error = ask(&search(&address.to_string())).await.unwrap_err();
    assert!(Report::of(&error).to_string().contains("did not answer within"), "{error:?}");
}
