//! Addresses of services, and how many connections may be open to one.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use plan::traffic::{Listener, RouteShare};
use spec::{EdgePolicy, Protocol, ProxyProtocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ports::free_port;
use super::secure::mirror;
use super::*;
use crate::listen::ListenError;
use crate::server::ApplyError;

/// Says `hi` and then what it hears.
async fn greeter() -> Backend {
    Backend::new(|mut stream, _| async move {
        let _ = stream.write_all(b"hi").await;
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

/// A connection that was greeted; none if the edge hangs up.
async fn greeted(port: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(port).await.ok()?;
    let mut said = [0; 2];
    let heard = tokio::time::timeout(LONG, stream.read_exact(&mut said)).await.expect("a word in time");
    (heard.is_ok() && said == *b"hi").then_some(stream)
}

#[tokio::test]
async fn so_many_connections_as_a_service_takes_are_open_at_once() {
    let backend = greeter().await;
    let mut edge = TestEdge::start(quick()).await;
    for protocol in [Protocol::Tcp, Protocol::Auto] {
        let port = free_port();
        let mut share = share(&[backend.address], &[(port, protocol)]);
        let policy = EdgePolicy { connections: Some(2), ..EdgePolicy::default() };
        share.pools.get_mut("web").expect("its pool").policy = policy;
        edge.apply(share.clone()).await;
        let first = greeted(port).await.expect("a seat");
        let second = greeted(port).await.expect("another");
        // Another table does not begin to count anew.
        edge.apply(share).await;
        assert!(greeted(port).await.is_none(), "{protocol:?}");
        drop(first);
        let next = async {
            loop {
                if let Some(next) = greeted(port).await {
                    return next;
                }
            }
        };
        let next = tokio::time::timeout(LONG, next).await.expect("the seat of the first");
        assert!(greeted(port).await.is_none(), "{protocol:?}");
        drop((second, next));
        edge.at_rest(&backend).await;
    }
}

#[tokio::test]
async fn an_address_that_is_not_there_yet_is_listened_on_beside_its_port_on_all_others() {
    let backend = Backend::plain("one").await;
    let mut edge = TestEdge::start(quick()).await;
    let port = free_port().port();
    let behind = Listener::bound((Ipv4Addr::LOCALHOST, port).into());
    let all: SocketAddr = (Ipv4Addr::UNSPECIFIED, behind.port()).into();
    let absent: SocketAddr = (Ipv4Addr::new(192, 0, 2, 77), port).into();
    let own: SocketAddr = (Ipv4Addr::new(127, 0, 0, 77), port).into();
    let with = |addresses: &[(SocketAddr, bool)]| with(&backend, addresses);
    edge.apply(with(&[(absent, true), (own, true)])).await;
    assert!(ask(Listener::bound(own), &get("/a")).await.ends_with("one /a "));
    // What comes later may have the port on all addresses, and goes without taking the others along.
    edge.apply(with(&[(absent, true), (own, true), (all, false)])).await;
    assert!(ask(behind, &get("/b")).await.ends_with("one /b "));
    edge.apply(with(&[(own, true)])).await;
    assert!(ask(Listener::bound(own), &get("/c")).await.ends_with("one /c "));
    edge.apply(with(&[(all, false)])).await;
    edge.apply(with(&[(all, false), (absent, true)])).await;
    assert!(ask(Listener::bound(own), &get("/d")).await.ends_with("one /d "), "by the port on all addresses");
}

#[tokio::test]
async fn a_foreign_program_on_all_addresses_is_in_the_way_of_nothing_else() {
    let backend = Backend::plain("one").await;
    let mut edge = TestEdge::start(quick()).await;
    let everywhere = |port| std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    // At the port itself it disturbs nobody, nor is it disturbed. Both ports may be others' at the moment.
    let (own, beside) = loop {
        let own: SocketAddr = (Ipv4Addr::new(127, 0, 0, 78), free_port().port()).into();
        if let (Ok(beside), Ok(_)) = (everywhere(own.port()), everywhere(Listener::bound(own).port())) {
            break (own, beside);
        }
    };
    edge.apply(with(&backend, &[(own, true)])).await;
    assert!(ask(Listener::bound(own), &get("/a")).await.ends_with("one /a "));
    edge.apply(with(&backend, &[])).await;
    drop(beside);
    // Behind it, it keeps the edge from this address alone, until it is gone.
    let taken = everywhere(Listener::bound(own).port()).expect("it is free");
    let other = free_port();
    edge.apply(with(&backend, &[(own, true), (other, false)])).await;
    assert!(ask(other, &get("/b")).await.ends_with("one /b "));
    drop(taken);
    edge.apply(with(&backend, &[(own, true), (other, false)])).await;
    assert!(ask(Listener::bound(own), &get("/c")).await.ends_with("one /c "));
}

#[tokio::test]
async fn a_services_address_in_ipv6_tells_the_instance_who_called() {
    let backend = mirror().await;
    let mut edge = TestEdge::start(quick()).await;
    let own: SocketAddr = (Ipv6Addr::LOCALHOST, free_port().port()).into();
    let absent: SocketAddr = ("2001:db8::77".parse::<Ipv6Addr>().expect("an address"), own.port()).into();
    let mut share = with(&backend, &[(absent, true), (own, true)]);
    edge.apply(share.clone()).await;
    let answer = ask(Listener::bound(own), &get("/a")).await;
    assert!(answer.contains("x-forwarded-for: ::1\r\n"), "{answer}");
    share.pools.get_mut("web").expect("its pool").policy.proxy_protocol = Some(ProxyProtocol::V1);
    edge.apply(share).await;
    let answer = ask(Listener::bound(own), &get("/b")).await;
    let (_, told) = answer.split_once("PROXY TCP6 ::1 ::1 ").unwrap_or_else(|| panic!("{answer}"));
    let ports = told.split(['\r', '\n']).next().unwrap_or_default();
    assert!(ports.ends_with(&format!(" {}", own.port())), "not the port behind it: {answer}");
}

/// A share with these addresses, which are services' or published.
fn with(backend: &Backend, addresses: &[(SocketAddr, bool)]) -> RouteShare {
    let mut share = share(&[backend.address], &[]);
    share.listeners.extend(addresses.iter().map(|(address, between)| Listener {
        address: *address,
        protocol: Protocol::Http,
        pool: "web".into(),
        between: *between,
    }));
    share
}

#[tokio::test]
async fn a_published_port_is_still_for_one_alone() {
    let backend = Backend::plain("one").await;
    let (mut first, mut second) = (TestEdge::start(quick()).await, TestEdge::start(quick()).await);
    let port = free_port();
    first.apply(share(&[backend.address], &[(port, Protocol::Http)])).await;
    let again = Document {
        generation: 1,
        shares: [("shop".to_owned(), share(&[backend.address], &[(port, Protocol::Http)]))].into(),
        ..Document::default()
    };
    let refused = second.server.apply(again).await.expect_err("it is in use");
    assert!(matches!(refused, ApplyError::Listen { source: ListenError::InUse { .. } }), "{refused:?}");
}
