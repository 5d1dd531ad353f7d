//! Tests of field numbers: messages against bytes written down by the published `.proto` files.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

use super::Moment;
use super::control::{SolveRequest, StatusResponse, Vertex, VertexLog, VertexStatus, WorkerRecord};
use super::files::{Packet, PacketKind, Stat, mode};
use super::gateway::{Place, Ref, Result, ReturnRequest};
use super::ops::{Definition, Op, SourceOp};

/// A field with a text or message.
fn text(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    if number >= 16 {
        out = vec![(number << 3 | 2) | 0x80, number >> 4];
    }
    out.push(u8::try_from(bytes.len()).expect("a short one"));
    out.extend_from_slice(bytes);
    out
}

/// A field with a number.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

#[track_caller]
fn check(message: &impl Message, parts: &[Vec<u8>]) {
    assert_eq!(message.encode_to_vec(), parts.concat());
}

#[test]
fn progress_is_written_as_clients_read_it() {
    let moment = Moment { seconds: 5, nanos: 6 };
    let moment_bytes = [number(1, 5), number(2, 6)].concat();
    let vertex = Vertex {
        digest: "d".into(),
        inputs: vec!["i".into()],
        name: "n".into(),
        cached: true,
        started: Some(moment),
        completed: Some(moment),
        error: "e".into(),
    };
    let vertex_bytes = [
        text(1, b"d"),
        text(2, b"i"),
        text(3, b"n"),
        number(4, 1),
        text(5, &moment_bytes),
        text(6, &moment_bytes),
        text(7, b"e"),
    ];
    let log = VertexLog { vertex: "d".into(), timestamp: Some(moment), stream: 1, msg: b"m".to_vec() };
    let log_bytes = [text(1, b"d"), text(2, &moment_bytes), number(3, 1), text(4, b"m")];
    let status = VertexStatus {
        id: "s".into(),
        vertex: "d".into(),
        current: 3,
        total: 4,
        timestamp: Some(moment),
        started: Some(moment),
        completed: None,
    };
    let status_bytes = [
        text(1, b"s"),
        text(2, b"d"),
        number(4, 3),
        number(5, 4),
        text(6, &moment_bytes),
        text(7, &moment_bytes),
    ];
    let all =
        StatusResponse { vertexes: vec![vertex], statuses: vec![status], logs: vec![log], warnings: vec![] };
    check(
        &all,
        &[text(1, &vertex_bytes.concat()), text(2, &status_bytes.concat()), text(3, &log_bytes.concat())],
    );
}

#[test]
fn packets_are_written_as_senders_read_them() {
    let stat = Stat {
        path: "p".into(),
        mode: 1,
        uid: 2,
        gid: 3,
        size: 4,
        mod_time: 5,
        linkname: "l".into(),
        devmajor: 6,
        devminor: 7,
        xattrs: HashMap::new(),
    };
    let bytes = [
        text(1, b"p"),
        number(2, 1),
        number(3, 2),
        number(4, 3),
        number(5, 4),
        number(6, 5),
        text(7, b"l"),
        number(8, 6),
        number(9, 7),
    ];
    check(&Packet { stat: Some(stat), ..Packet::default() }, &[text(2, &bytes.concat())]);
    let data = Packet { kind: PacketKind::Data as i32, id: 9, data: Bytes::from("x"), stat: None };
    check(&data, &[number(1, 2), number(3, 9), text(4, b"x")]);
    check(&Packet { kind: PacketKind::Fin as i32, ..Packet::default() }, &[number(1, 3)]);
}

#[test]
fn orders_are_read_as_clients_write_them() {
    let pair = |name: &[u8], value: &[u8]| [text(1, name), text(2, value)].concat();
    let exporter = [text(1, b"moby"), text(2, &pair(b"name", b"x"))].concat();
    let bytes = [
        text(1, b"ref"),
        text(5, b"session"),
        text(6, b"dockerfile.v0"),
        text(7, &pair(b"target", b"t")),
        text(9, b"network.host"),
        text(13, &exporter),
        // A field that nobody here knows.
        text(12, b"?"),
    ];
    let request = SolveRequest::decode(Bytes::from(bytes.concat())).expect("it is read");
    assert_eq!(request.reference, "ref");
    assert_eq!(request.session, "session");
    assert_eq!(request.frontend, "dockerfile.v0");
    assert_eq!(request.frontend_attrs["target"], "t");
    assert_eq!(request.entitlements, ["network.host"]);
    assert_eq!(request.exporters[0].attrs["name"], "x");
}

#[test]
fn results_and_graphs_are_those_of_the_gateway() {
    let place = Some(Place::Ref(Ref { id: "i".into(), def: None }));
    let returned = ReturnRequest { result: Some(Result { place, metadata: HashMap::new() }), error: None };
    check(&returned, &[text(1, &text(3, &text(1, b"i")))]);
    let source = SourceOp { identifier: "s".into(), attrs: HashMap::new() };
    check(&Op { inputs: vec![], source: Some(source) }, &[text(3, &text(1, b"s"))]);
    check(&Definition { def: vec![Bytes::from("o")], metadata: HashMap::new() }, &[text(1, b"o")]);
    check(&WorkerRecord { id: "w".into(), ..WorkerRecord::default() }, &[text(1, b"w")]);
}

#[test]
fn permissions_cross_between_the_two_kinds_of_bits() {
    for bits in [0o644, 0o4755, 0o2750, 0o1777, 0] {
        assert_eq!(mode::permissions(mode::from_permissions(bits)), bits, "{bits:o}");
    }
    assert_eq!(mode::permissions(mode::FOLDER | mode::STICKY | 0o777), 0o1777);
}
