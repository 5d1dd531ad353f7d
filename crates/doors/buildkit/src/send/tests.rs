//! Tests of sending a tree: our own two ends against each other.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use build::tree::Tree;

use super::*;
use crate::grpc::{Answer, Call, serve};
use crate::proto::files::PacketKind;

/// A client that asks for every file while the list still comes.
async fn receiver(
    call: Call,
    outgoing: crate::grpc::Outgoing,
    done: tokio::sync::oneshot::Sender<Vec<(Stat, Vec<u8>)>>,
) {
    let mut messages = call.into_messages();
    let mut all: Vec<(Stat, Vec<u8>)> = Vec::new();
    let (mut listed, mut open) = (false, 0);
    while !listed || open > 0 {
        let packet: Packet = messages.next().await.expect("packets come").expect("it is not over");
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Stat) => match packet.stat {
                Some(stat) => {
                    let id = u32::try_from(all.len()).expect("few files");
                    if stat.mode & mode::KINDS == 0 && stat.linkname.is_empty() {
                        open += 1;
                        outgoing
                            .send(&Packet { kind: PacketKind::Req as i32, id, ..Packet::default() })
                            .await;
                    }
                    all.push((stat, Vec::new()));
                }
                None => listed = true,
            },
            Ok(PacketKind::Data) if packet.data.is_empty() => open -= 1,
            Ok(PacketKind::Data) => all[packet.id as usize].1.extend_from_slice(&packet.data),
            other => panic!("{other:?}"),
        }
    }
    outgoing.send(&Packet { kind: PacketKind::Fin as i32, ..Packet::default() }).await;
    assert_eq!(
        messages.next::<Packet>().await.expect("an answer").expect("to the end").kind,
        PacketKind::Fin as i32
    );
    outgoing.end(Ok(())).await;
    done.send(all).expect("somebody waits");
}

#[tokio::test]
async fn a_tree_of_layers_arrives_merged() {
    let dir = tempfile::tempdir().expect("a folder");
    let (lower, upper) = (dir.path().join("lower"), dir.path().join("upper"));
    fs::create_dir_all(lower.join("d")).expect("a folder");
    fs::create_dir_all(upper.join("d")).expect("a folder");
    fs::write(lower.join("d/old"), "below").expect("a file");
    fs::write(lower.join("d/same"), "below").expect("a file");
    fs::write(upper.join("d/same"), "above").expect("a file");
    fs::write(upper.join("big"), vec![9; 600_000]).expect("a file");
    fs::set_permissions(upper.join("big"), fs::Permissions::from_mode(0o4750)).expect("its owner's");
    fs::hard_link(upper.join("big"), upper.join("twin")).expect("a link");
    symlink("d/same", upper.join("link")).expect("a link");

    let (near, far) = tokio::io::duplex(16 << 10);
    let (sender, taken) = tokio::sync::oneshot::channel();
    let sender = Mutex::new(Some(sender));
    tokio::spawn(serve(far, move |call: Call| {
        let done = sender.lock().expect("no test panics here").take().expect("one call");
        async move {
            let (outgoing, answer) = Answer::stream();
            tokio::spawn(receiver(call, outgoing, done));
            answer
        }
    }));
    let stream = crate::testing::channel(near).await.stream("/x/Y", &[]).expect("a call");
    let tree = Tree::open([&upper, &lower]).expect("the layers");
    let handle = tokio::runtime::Handle::current();
    let sent = tokio::task::spawn_blocking(move || handle.block_on(send(stream, &tree, &|_, _| {})));
    sent.await.expect("no panic").expect("it is taken");
    let all = taken.await.expect("it was taken");
    let shown: Vec<String> =
        all.iter().map(|(stat, bytes)| format!("{} {} {}", stat.path, bytes.len(), stat.linkname)).collect();
    assert_eq!(shown, ["big 600000 ", "d 0 ", "d/old 5 ", "d/same 5 ", "link 0 d/same", "twin 0 big"]);
    assert_eq!(mode::permissions(all[0].0.mode), 0o4750);
    assert_eq!(all[3].1, b"above");
    assert_eq!(
        all[0].0.mod_time / 1_000_000_000,
        fs::metadata(upper.join("big")).expect("it is there").mtime()
    );
}
