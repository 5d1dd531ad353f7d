//! Tests of who hears what of a build.

use super::*;
use crate::proto::control::Vertex;

fn vertex(name: &str) -> StatusResponse {
    StatusResponse {
        vertexes: vec![Vertex { name: name.into(), ..Vertex::default() }],
        ..StatusResponse::default()
    }
}

async fn all(mut reader: Reader) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(status) = reader.next().await {
        names.push(status.vertexes[0].name.clone());
    }
    names
}

#[tokio::test]
async fn everybody_hears_everything_whenever_they_come() {
    let hub = Hub::new();
    let early = tokio::spawn(all(hub.reader()));
    hub.tell(vertex("one"));
    hub.tell(StatusResponse::default());
    let middle = tokio::spawn(all(hub.reader()));
    hub.tell(vertex("two"));
    hub.end();
    hub.tell(vertex("too late"));
    let late = all(hub.reader()).await;
    for names in [early.await.expect("no panic"), middle.await.expect("no panic"), late] {
        assert_eq!(names, ["one", "two"]);
    }
}
