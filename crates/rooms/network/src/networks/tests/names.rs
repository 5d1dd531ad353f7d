//! Names as containers ask for them, over real sockets, with `hickory-proto` on the other side.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::sync::watch;

use crate::names::{Confirmation, Serving, run, serve, tell};
use crate::order::{AttachOrder, NetworkOrder};
use crate::testbed::{Place, container, ip, joins, network, open, order, wait_for};

/// A question as other programs write it.
fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// The answer to a question asked by datagram from this place.
fn dig(place: &Place, server: IpAddr, name: &str, kind: RecordType) -> Option<Message> {
    let bytes = question(name, kind).to_vec().unwrap();
    place.inside(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.connect(SocketAddr::new(server, 53)).ok()?;
        socket.send(&bytes).ok()?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).ok()?;
        Some(Message::from_vec(&buffer[..length]).unwrap())
    })
}

/// The same over a stream.
fn dig_by_stream(place: &Place, server: IpAddr, name: &str, kind: RecordType) -> Message {
    let bytes = question(name, kind).to_vec().unwrap();
    place.inside(|| {
        let mut stream = TcpStream::connect(SocketAddr::new(server, 53)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut answer).unwrap();
        Message::from_vec(&answer).unwrap()
    })
}

/// An answer in one line.
fn say(answer: Option<Message>) -> String {
    let Some(answer) = answer else { return "silence".to_owned() };
    let mut found: Vec<_> = answer
        .answers
        .iter()
        .map(|record| match &record.data {
            RData::A(a) => a.0.to_string(),
            RData::AAAA(a) => a.0.to_string(),
            RData::PTR(name) => name.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    found.sort();
    match (answer.metadata.response_code, found.is_empty()) {
        (ResponseCode::NoError, true) => "nothing".to_owned(),
        (ResponseCode::NoError, false) => found.join(" "),
        (code, _) => format!("{code:?}"),
    }
}

#[test]
fn names_lead_to_ready_instances_within_the_askers_network() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let (one, two, other) = (Place::new(), Place::new(), Place::new());
    host.shell("ip link set lo up");
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(NetworkOrder { enable_ipv6: true, internal: true, ..order("shop") }).await.unwrap();
        networks.create(NetworkOrder { internal: true, ..order("else") }).await.unwrap();
        let web = |number, place| AttachOrder { aliases: vec!["Web".to_owned()], ..joins(number, place) };
        let first = networks.attach(&network("shop"), web(1, &one)).await.unwrap();
        let second = networks.attach(&network("shop"), web(2, &two)).await.unwrap();
        let third = networks.attach(&network("else"), joins(3, &other)).await.unwrap();
        assert!(networks.names_served(Duration::from_secs(5)).await, "{:?}", networks.names_unserved());
        let server = ip(first.ipv4_gateway);
        let (a, b) = (ip(first.ipv4).to_string(), ip(second.ipv4).to_string());
        let ask = |name: &str, kind| say(dig(&one, server, name, kind));
        assert_eq!(ask("c2.", RecordType::A), b);
        assert_eq!(ask("C2.", RecordType::A), b);
        assert_eq!(ask("c2.shop.", RecordType::A), b);
        assert_eq!(ask("c2.", RecordType::AAAA), second.ipv6.unwrap().to_string());
        assert_eq!(ask("c2.", RecordType::MX), "nothing");
        let mut both = [a.clone(), b.clone()];
        both.sort();
        assert_eq!(ask("web.", RecordType::A), both.join(" "));
        assert_eq!(say(Some(dig_by_stream(&one, server, "web.", RecordType::A))), both.join(" "));
        assert_eq!(ask("c3.", RecordType::A), "NXDomain", "another network's name");
        assert_eq!(ask("example.com.", RecordType::A), "NXDomain", "internal networks ask nobody");
        let reverse = Name::from(ip(second.ipv4)).to_string();
        assert_eq!(ask(&reverse, RecordType::PTR), "c2.shop.");
        other.shell(&format!("ip route add default via {}", ip(third.ipv4_gateway)));
        assert_eq!(say(dig(&other, server, "c2.", RecordType::A)), "silence", "the bridge tells who asks");

        networks.set_ready(&container(2), false).await.unwrap();
        assert!(networks.names_served(Duration::from_secs(5)).await);
        assert_eq!(ask("web.", RecordType::A), a);
        assert_eq!(ask("c2.", RecordType::A), b, "its own name leads to it, ready or not");
        networks.set_ready(&container(1), false).await.unwrap();
        assert!(networks.names_served(Duration::from_secs(5)).await);
        assert_eq!(ask("web.", RecordType::A), "nothing", "the name is there, though nobody is ready");
        networks.detach_all(&container(2)).await.unwrap();
        assert!(networks.names_served(Duration::from_secs(5)).await);
        assert_eq!(ask("c2.", RecordType::A), "NXDomain");
        networks.destroy_all().await.unwrap();
    });
}

/// A name server of the host that knows one name, and over a stream one more.
fn upstream(host: &Place, address: &str) {
    let at = SocketAddr::new(address.parse().unwrap(), 53);
    let socket = host.inside(|| UdpSocket::bind(at).unwrap());
    let listener = host.inside(|| std::net::TcpListener::bind(at).unwrap());
    let answer = |bytes: &[u8], known: &str, truncated: bool| {
        let asked = Message::from_vec(bytes).unwrap();
        let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        let query = asked.queries[0].clone();
        answer.metadata.truncation = truncated;
        if query.name().to_string() == known {
            let data = RData::A(Ipv4Addr::new(198, 51, 100, 7).into());
            answer.add_answer(hickory_proto::rr::Record::from_rdata(query.name().clone(), 60, data));
        } else if !truncated {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_query(query);
        answer.to_vec().unwrap()
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((length, asker)) = socket.recv_from(&mut buffer) {
            let long = buffer[..length].windows(4).any(|w| w == b"long");
            let _ = socket.send_to(&answer(&buffer[..length], "example.com.", long), asker);
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut bytes = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut bytes).unwrap();
            let answer = answer(&bytes, "long.example.com.", false);
            stream.write_all(&u16::try_from(answer.len()).unwrap().to_be_bytes()).unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
}

#[test]
fn other_names_are_asked_of_the_hosts_servers_and_the_table_outlives_its_daemon() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    let resolv_conf = root.path().join("resolv.conf");
    // The first is silent: nobody listens there. The file is read again after it changed.
    std::fs::write(&resolv_conf, "nameserver 127.0.0.52\nnameserver 127.0.0.53\n").unwrap();
    let one = Place::new();
    host.shell("ip link set lo up");
    upstream(&host, "127.0.0.53");
    upstream(&host, "127.0.0.54");
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        let first = networks.attach(&network("shop"), joins(1, &one)).await.unwrap();
        let table = networks.names_table_for_tests().await;
        let server = ip(first.ipv4_gateway);
        // The names of the daemon end with it; a role of its own takes over, and knows the same.
        drop(networks);
        let dir = root.path().join("network");
        let serving = Serving { resolv_conf: resolv_conf.clone() };
        let role = tokio::spawn(async move { run(&dir, serving).await });
        let dir = root.path().join("network");
        tell(&dir, &table).await.unwrap();
        let ask = |name: &str| tokio::task::block_in_place(|| say(dig(&one, server, name, RecordType::A)));
        assert_eq!(ask("c1."), ip(first.ipv4).to_string(), "nobody is connected any more, and names go on");
        assert_eq!(ask("example.com."), "198.51.100.7");
        assert_eq!(ask("example.org."), "NXDomain");
        let cut =
            tokio::task::block_in_place(|| dig(&one, server, "long.example.com.", RecordType::A)).unwrap();
        assert!(cut.metadata.truncation, "the asker is told to come by stream");
        let whole =
            tokio::task::block_in_place(|| dig_by_stream(&one, server, "long.example.com.", RecordType::A));
        assert_eq!(say(Some(whole)), "198.51.100.7");
        std::fs::write(&resolv_conf, "nameserver 127.0.0.54 # moved\n").unwrap();
        assert_eq!(ask("example.com."), "198.51.100.7");
        std::fs::write(&resolv_conf, "# nobody\n").unwrap();
        assert_eq!(ask("example.com."), "ServFail");
        // The next daemon finds the role, and has it end with the networks.
        let second = crate::names::Publisher::start(
            &dir,
            crate::NamesLaunch::Process { program: "/nowhere".into(), args: Vec::new() },
        );
        second.publish(table.networks.clone());
        assert!(second.confirmed(Duration::from_secs(5)).await);
        second.end().await;
        role.await.unwrap().unwrap();
        open(root.path()).await.destroy_all().await.unwrap();
    });
}

#[test]
fn a_gateway_that_is_not_there_yet_is_told_and_bound_later() {
    let host = Place::new();
    let root = tempfile::tempdir().unwrap();
    host.shell("ip link set lo up");
    host.run(async || {
        let networks = open(root.path()).await;
        networks.create(order("shop")).await.unwrap();
        let table = networks.names_table_for_tests().await;
        networks.destroy_all().await.unwrap();
        let bridge = table.networks[0].bridge.clone();
        let (tables, seen) = watch::channel(Arc::new(table.clone()));
        let (confirmations, mut confirmed) = watch::channel(Confirmation::default());
        let serving = tokio::spawn(serve(Serving::default(), seen, confirmations));
        let waits = confirmed.wait_for(|c| !c.unbound.is_empty()).await.unwrap().clone();
        assert!(waits.unbound[0].contains(&bridge), "{waits:?}");
        let gateway = table.networks[0].listen[0];
        tokio::task::block_in_place(|| {
            host.shell(&format!("ip link add {bridge} type bridge; ip addr add {gateway}/24 dev {bridge}"));
            host.shell(&format!("ip link set {bridge} up"));
            wait_for("the gateway to be bound", || confirmed.borrow_and_update().unbound.is_empty());
        });
        drop(tables);
        serving.await.unwrap();
    });
}
