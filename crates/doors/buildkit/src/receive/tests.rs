//! Tests of taking trees in: from honest senders, and from hostile ones.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};
use proptest::sample::select;

use super::*;
use crate::grpc::{Answer, Call, Outgoing, serve};
use crate::proto::files::Packet;

const SECOND: i64 = 1_000_000_000;

fn file(path: &str, size: i64) -> Packet {
    entry(Stat { path: path.into(), mode: 0o644, size, mod_time: 7 * SECOND + 5, ..Stat::default() })
}

fn folder(path: &str) -> Packet {
    let bits = mode::FOLDER | 0o755;
    entry(Stat { path: path.into(), mode: bits, mod_time: 9 * SECOND, ..Stat::default() })
}

fn link(path: &str, to: &str) -> Packet {
    entry(Stat { path: path.into(), mode: mode::LINK | 0o777, linkname: to.into(), ..Stat::default() })
}

fn hard(path: &str, to: &str) -> Packet {
    entry(Stat { path: path.into(), mode: 0o644, linkname: to.into(), ..Stat::default() })
}

fn entry(stat: Stat) -> Packet {
    Packet { stat: Some(stat), ..Packet::default() }
}

fn end() -> Packet {
    Packet::default()
}

fn data(id: u32, text: &str) -> Packet {
    Packet { kind: PacketKind::Data as i32, id, data: Bytes::from(text.to_owned()), stat: None }
}

/// What a sender sends for a file that is asked for.
type Reply = fn(u32) -> Vec<Packet>;

fn small() -> Limits {
    Limits { bytes: 1000, entries: 50, names: 1000 }
}

/// What a sender does: lists these, then answers as `reply` says, until the receiver ends.
async fn sender(call: Call, outgoing: Outgoing, list: Vec<Packet>, reply: Reply) {
    for packet in list {
        if !outgoing.send(&packet).await {
            return;
        }
    }
    let mut messages = call.into_messages();
    while let Ok(Some(packet)) = messages.next::<Packet>().await {
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Req) => {
                for packet in reply(packet.id) {
                    outgoing.send(&packet).await;
                }
            }
            Ok(PacketKind::Fin) => {
                outgoing.send(&packet).await;
                break;
            }
            _ => break,
        }
    }
    outgoing.end(Ok(())).await;
}

async fn take_in(
    target: &Path,
    earlier: Option<PathBuf>,
    list: Vec<Packet>,
    reply: Reply,
) -> Result<Received, ReceiveError> {
    let (near, far) = tokio::io::duplex(16 << 10);
    tokio::spawn(serve(far, move |call: Call| {
        let list = list.clone();
        async move {
            let (outgoing, answer) = Answer::stream();
            tokio::spawn(sender(call, outgoing, list, reply));
            answer
        }
    }));
    let channel = crate::testing::channel(near).await;
    let stream = channel.stream("/moby.filesync.v1.FileSync/DiffCopy", &[]).expect("a call");
    let target = target.to_owned();
    let handle = tokio::runtime::Handle::current();
    let taking = tokio::task::spawn_blocking(move || {
        handle.block_on(receive(stream, &target, earlier, small(), &mut |_| {}))
    });
    tokio::time::timeout(Duration::from_secs(20), taking).await.expect("it ends").expect("no panic")
}

fn honest(id: u32) -> Vec<Packet> {
    vec![data(id, "con"), data(id, "tent"), data(id, "")]
}

#[tokio::test]
async fn a_tree_arrives_as_it_is() {
    let dir = tempfile::tempdir().expect("a folder");
    let list =
        vec![file("a", 7), folder("d"), file("d/e", 7), hard("d/f", "a"), link("d/g", "../../out"), end()];
    let received = take_in(dir.path(), None, list, honest).await.expect("it is honest");
    assert_eq!((received.sent, received.shared, received.bytes), (2, 0, 14));
    let status = |name: &str| fs::symlink_metadata(dir.path().join(name)).expect("it is there");
    assert_eq!(fs::read_to_string(dir.path().join("d/e")).expect("a file"), "content");
    assert_eq!((status("a").mtime(), status("a").mtime_nsec()), (7, 5));
    assert_eq!(status("a").permissions().mode() & 0o7777, 0o644);
    assert_eq!(status("a").ino(), status("d/f").ino());
    assert_eq!(status("d").mtime(), 9);
    assert_eq!(fs::read_link(dir.path().join("d/g")).expect("a link"), Path::new("../../out"));
}

#[tokio::test]
async fn files_of_an_earlier_tree_are_shared_unless_they_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::create_dir(&one).expect("a folder");
    fs::create_dir(&two).expect("a folder");
    take_in(&one, None, vec![file("a", 7), file("b", 7), end()], honest).await.expect("it is honest");
    let list = vec![file("a", 7), file("b", 8), file("c", 7), end()];
    let received = take_in(&two, Some(one.clone()), list, honest).await.expect("it is honest");
    assert_eq!((received.sent, received.shared, received.bytes), (2, 1, 21));
    let inode = |path: &Path| fs::metadata(path).expect("it is there").ino();
    assert_eq!(inode(&one.join("a")), inode(&two.join("a")));
    assert_ne!(inode(&one.join("b")), inode(&two.join("b")));
}

#[tokio::test]
async fn a_link_of_an_earlier_tree_is_not_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    fs::create_dir(&two).expect("a folder");
    fs::create_dir_all(dir.path().join("outside")).expect("a folder");
    fs::write(dir.path().join("outside/e"), "secrets").expect("a file");
    fs::create_dir(&one).expect("a folder");
    std::os::unix::fs::symlink("../outside", one.join("d")).expect("a link");
    let e = fs::metadata(dir.path().join("outside/e")).expect("it is there");
    let stat = Stat {
        path: "d/e".into(),
        mode: e.permissions().mode() & 0o777,
        size: 7,
        mod_time: e.mtime() * SECOND + e.mtime_nsec(),
        ..Stat::default()
    };
    let received =
        take_in(&two, Some(one), vec![folder("d"), entry(stat), end()], honest).await.expect("it is taken");
    assert_eq!((received.sent, received.shared), (1, 0));
    assert_eq!(fs::read_to_string(two.join("d/e")).expect("a file"), "content");
}

#[tokio::test]
async fn special_files_are_left_out() {
    let dir = tempfile::tempdir().expect("a folder");
    let special = |path: &str, bits| entry(Stat { path: path.into(), mode: bits | 0o600, ..Stat::default() });
    let list =
        vec![special("a", mode::PIPE), special("b", mode::DEVICE | mode::CHARACTERS), file("c", 7), end()];
    let received = take_in(dir.path(), None, list, honest).await.expect("it is taken");
    assert_eq!((received.skipped, received.sent), (2, 1));
    let names: Vec<_> = fs::read_dir(dir.path()).expect("a folder").collect();
    assert_eq!(names.len(), 1);
}

/// The message of the error with which a tree is refused; nothing may be outside its folder.
async fn refused(list: Vec<Packet>, reply: Reply) -> String {
    let dir = tempfile::tempdir().expect("a folder");
    let target = dir.path().join("target");
    fs::create_dir(&target).expect("a folder");
    let error = take_in(&target, None, list, reply).await.expect_err("it is refused");
    let around: Vec<_> = fs::read_dir(dir.path()).expect("a folder").collect();
    assert_eq!(around.len(), 1, "nothing beside the target");
    error.to_string()
}

#[tokio::test]
async fn hostile_senders_are_refused() {
    let long = |count: usize| (0..count).map(|number| file(&format!("f{number:06}"), 0)).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<Packet>, Reply, &str)> = vec![
        ("leads out", vec![file("../x", 1), end()], honest, "it could lead out of the folder"),
        ("absolute", vec![file("/x", 1), end()], honest, "it is empty, absolute or not clean"),
        ("below a link", vec![link("l", "/tmp"), file("l/x", 1), end()], honest, "is not in the list"),
        (
            "a link in place of a folder",
            vec![folder("d"), link("d", "/tmp"), file("d/x", 1)],
            honest,
            "out of order",
        ),
        ("twice", vec![file("a", 1), file("a", 1), end()], honest, "it is out of order"),
        ("a link to nothing", vec![hard("a", "b"), end()], honest, "it is a link to no earlier file"),
        ("a link to what is outside", vec![hard("a", "../../etc/passwd"), end()], honest, "no earlier file"),
        ("an empty link", vec![link("a", ""), end()], honest, "its link leads nowhere"),
        ("unasked content", vec![data(0, "x"), end()], honest, "it sends a file that nobody asked for"),
        ("content of a folder", vec![folder("d"), data(0, "x"), end()], honest, "that nobody asked for"),
        (
            "another's content",
            vec![file("a", 1), end()],
            |id| vec![data(id + 1, "x")],
            "that nobody asked for",
        ),
        (
            "content after its end",
            vec![file("a", 1), file("b", 1), end()],
            |_| vec![data(0, "x"), data(0, ""), data(0, "y")],
            "that nobody asked for",
        ),
        (
            "more after the end",
            vec![file("a", 1), end(), file("b", 1)],
            honest,
            "it lists more after the end of its list",
        ),
        (
            "endless names",
            (10..30).map(|number| file(&format!("{number}{}", "x".repeat(90)), 0)).collect(),
            honest,
            "more than 1000 B of names",
        ),
        ("endless entries", long(51), honest, "the context has more than 50 files and folders"),
        (
            "endless content",
            vec![file("a", 1), end()],
            |id| (0..100).map(|_| data(id, &"x".repeat(99))).collect(),
            "the context has more than 1000 B of files",
        ),
        (
            "an error",
            vec![Packet { kind: PacketKind::Err as i32, ..data(0, "no such dir") }],
            honest,
            "error from sender: no such dir",
        ),
        (
            "an early end",
            vec![Packet { kind: PacketKind::Fin as i32, ..end() }],
            honest,
            "it ends before the receiver does",
        ),
        ("a question", vec![Packet { kind: PacketKind::Req as i32, ..end() }], honest, "it asks for a file"),
        ("nonsense", vec![Packet { kind: 99, ..end() }], honest, "a packet of no known kind"),
    ];
    for (name, list, reply, expected) in cases {
        let message = refused(list, reply).await;
        assert!(message.contains(expected), "{name}: {message}");
    }
}

/// A packet out of few, so that lists of them often make some sense.
fn any_packet() -> impl Strategy<Value = Packet> {
    let names = ["a", "a/b", "a/b/c", "b", "..", "../x", "a/../../x", "/abs", "", "b/c"];
    let targets = ["", "a", "b", "../..", "/", "a/b"];
    let bits = [0o644, mode::FOLDER | 0o755, mode::LINK | 0o777, mode::PIPE, mode::FOLDER | mode::LINK];
    let stat = (select(names.to_vec()), select(targets.to_vec()), select(bits.to_vec()), -1i64..3);
    let stat = stat.prop_map(|(path, linkname, mode, size)| {
        entry(Stat {
            path: path.into(),
            linkname: linkname.into(),
            mode,
            size,
            mod_time: size,
            ..Stat::default()
        })
    });
    prop_oneof![
        6 => stat,
        1 => Just(end()),
        2 => (0u32..4, select(vec!["", "x", "text"])).prop_map(|(id, text)| data(id, text)),
        1 => (0i32..6).prop_map(|kind| Packet { kind, ..Packet::default() }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_list_of_packets_writes_outside_or_hangs(packets in proptest::collection::vec(any_packet(), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let dir = tempfile::tempdir().expect("a folder");
        let target = dir.path().join("target");
        fs::create_dir(&target).expect("a folder");
        let ended = [packets, vec![end(), Packet { kind: PacketKind::Err as i32, ..Packet::default() }]].concat();
        let _ = runtime.block_on(take_in(&target, None, ended, honest));
        let around: Vec<_> = fs::read_dir(dir.path()).expect("a folder").collect();
        assert_eq!(around.len(), 1, "nothing beside the target");
    }
}
