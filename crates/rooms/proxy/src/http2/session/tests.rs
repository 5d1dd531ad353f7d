//! Sessions by frames: what a server says to each, and that whatever a client sends has its bound.

use std::task::Waker;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::frame::{ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING};
use super::super::frame::{CONTINUATION, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE};
use super::*;
use crate::limits::H2_BLOCK_FRAMES;

/// A client that talks to a session.
struct Client {
    session: Session,
    page: Vec<u8>,
    /// The places of requests that have begun, and their heads.
    begun: Vec<(usize, String)>,
}

impl Client {
    /// Before its hello.
    fn silent() -> Self {
        Self { session: Session::new(), page: Vec::new(), begun: Vec::new() }
    }

    /// Behind both hellos.
    fn new() -> Self {
        let mut client = Self::silent();
        client.send(PREFACE).send(&frame(SETTINGS, 0, 0, &[]));
        client.drain();
        client
    }

    fn send(&mut self, bytes: &[u8]) -> &mut Self {
        let mut at = 0;
        loop {
            match self.session.step(&bytes[at..], &mut self.page) {
                Step::More | Step::Failed => return self,
                Step::Used(count) => at += count,
                Step::Begun(count, begun) => {
                    at += count;
                    let text = String::from_utf8(std::mem::take(&mut self.page)).expect("text");
                    self.begun.push((begun.place, text));
                }
            }
        }
    }

    /// What is said, a word for each frame.
    fn drain(&mut self) -> String {
        let text = words(self.session.out.pending());
        self.session.wrote(self.session.out.pending().len());
        text
    }

    /// Opens a stream; gives its place.
    fn open(&mut self, stream: u32, flags: u8) -> usize {
        self.send(&get(stream, flags));
        self.begun.last().expect("it begins").0
    }

    fn give(&mut self, place: usize, data: &[u8], end: bool) -> Poll<io::Result<usize>> {
        self.session.poll_give(&Context::from_waker(Waker::noop()), place, data, end)
    }

    /// Answers without a body, and is done with the stream.
    fn answer(&mut self, place: usize) {
        self.session.end(place, &[]).expect("the stream is open");
        self.session.leave_place(place, None);
    }

    #[track_caller]
    fn check(&mut self, bytes: &[u8], said: Expect) {
        self.send(bytes);
        said.assert_eq(&self.drain());
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::push_head(&mut bytes, payload.len(), kind, flags, stream);
    bytes.extend(payload);
    bytes
}

/// A GET of `/`.
fn get(stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &[0x82, 0x84, 0x86, 0x01, 1, b'a'])
}

fn more(stream: u32, count: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &count.to_be_bytes())
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn words(mut bytes: &[u8]) -> String {
    let mut all = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        let stream = u32::from_be_bytes(head[5..].try_into().expect("four bytes"));
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four bytes"));
        let end = if head[4] & END_STREAM != 0 { " end" } else { "" };
        all.push(match head[3] {
            DATA => format!("data {stream} {length}{end}"),
            HEADERS => format!("head {stream} {length}{end}"),
            CONTINUATION => format!("more {stream} {length}"),
            RST_STREAM => format!("reset {stream} {}", number(0)),
            SETTINGS if head[4] == ACK => "ack".to_owned(),
            SETTINGS => "settings".to_owned(),
            PING if head[4] == ACK => "pong".to_owned(),
            PING => "ping".to_owned(),
            GOAWAY => format!("goodbye {} {}", number(0), number(4)),
            WINDOW_UPDATE => format!("window {stream} {}", number(0)),
            other => panic!("frame {other}"),
        });
    }
    assert!(bytes.is_empty(), "frames are whole");
    all.join(", ")
}

#[test]
fn both_sides_say_hello_first() {
    let mut client = Client::silent();
    client.check(&[], expect!["settings, window 0 983041"]);
    client.check(PREFACE, expect![""]);
    assert!(!client.session.has_met());
    client.check(&frame(SETTINGS, 0, 0, &[]), expect!["ack"]);
    assert!(client.session.has_met() && client.session.rests() && !client.session.is_over());
    for odd in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nXX"] {
        let mut client = Client::silent();
        client.drain();
        client.check(odd, expect!["goodbye 0 1"]);
        assert!(client.session.is_over());
    }
    for first in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, ACK, 0, &[]), get(1, END_STREAM)] {
        let mut client = Client::silent();
        client.drain();
        client.send(PREFACE).check(&first, expect!["goodbye 0 1"]);
    }
}

#[test]
fn the_client_may_send_as_much_again_when_half_a_window_was_read() {
    let mut client = Client::new();
    let place = client.open(1, 0);
    let piece = frame(DATA, 0, 1, &[b'x'; FRAME_BYTES]);
    client.check(&piece.repeat(16), expect![""]);
    assert_eq!(client.session.body(place).len(), H2_STREAM_WINDOW as usize);
    client.session.consume(place, H2_STREAM_WINDOW as usize / 2 - 1);
    client.check(&[], expect![""]);
    client.session.consume(place, 1);
    client.check(&[], expect!["window 1 131072"]);
    // What nobody read goes back to the connection with the stream.
    client.session.leave_place(place, Some(Reason::INTERNAL_ERROR));
    client.check(&[], expect!["reset 1 2"]);
    let place = client.open(3, 0);
    client.send(&frame(DATA, 0, 3, &[b'x'; FRAME_BYTES]).repeat(16));
    client.session.consume(place, H2_STREAM_WINDOW as usize);
    client.check(&[], expect!["window 3 262144, window 0 524288"]);
}

#[test]
fn windows_are_kept_and_padding_counts() {
    let padded = |stream| {
        let mut payload = vec![255];
        payload.resize(FRAME_BYTES, 0);
        frame(DATA, PADDED, stream, &payload)
    };
    let mut client = Client::new();
    let place = client.open(1, 0);
    client.send(&padded(1));
    assert_eq!(client.session.body(place).len(), FRAME_BYTES - 256);
    // The padding was read as it came, so there is room for it and no more.
    let slot = &client.session.slots[place];
    assert_eq!((slot.room, slot.owed), (i64::from(H2_STREAM_WINDOW) - FRAME_BYTES as i64, 256));
    client.check(&padded(1).repeat(15), expect![""]);
    client.check(&padded(1), expect!["reset 1 3"]);
    // Four streams' windows are the connection's.
    let mut client = Client::new();
    for stream in [1, 3, 5, 7] {
        client.open(stream, 0);
        client.send(&frame(DATA, 0, stream, &[b'x'; FRAME_BYTES]).repeat(16));
    }
    client.open(9, 0);
    client.check(&frame(DATA, 0, 9, b"x"), expect!["goodbye 9 3"]);
}

#[test]
fn answers_go_as_far_as_both_windows_are_open() {
    let mut client = Client::new();
    client.send(&setting(4, 10));
    client.drain();
    let place = client.open(1, END_STREAM);
    assert!(matches!(client.give(place, &[0; 30], true), Poll::Ready(Ok(10))));
    assert!(client.give(place, &[0; 20], true).is_pending());
    client.check(&more(1, 5), expect!["data 1 10"]);
    assert!(matches!(client.give(place, &[0; 20], true), Poll::Ready(Ok(5))));
    // A smaller window makes that of streams less than nothing.
    client.check(&setting(4, 0), expect!["data 1 5, ack"]);
    client.send(&more(1, 10));
    assert!(client.give(place, &[0; 15], true).is_pending());
    client.send(&more(1, 15));
    assert!(matches!(client.give(place, &[0; 15], true), Poll::Ready(Ok(15))));
    client.check(&[], expect!["data 1 15 end"]);
    client.session.leave_place(place, None);
    client.check(&[], expect![""]);
    // The connection's own.
    client.send(&setting(4, 1 << 20));
    let place = client.open(3, END_STREAM);
    let mut sent = 30;
    client.drain();
    while let Poll::Ready(count) = client.give(place, &[0; 20_000], false) {
        sent += count.expect("the stream is open");
        client.drain();
    }
    assert_eq!(sent, 65_535);
    client.send(&more(0, 1));
    assert!(matches!(client.give(place, &[0; 20], true), Poll::Ready(Ok(1))));
}

#[test]
fn streams_take_turns_where_the_client_reads_slowly() {
    let mut client = Client::new();
    client.send(&[setting(4, 1 << 20), more(0, 1 << 20)].concat());
    client.drain();
    let [one, two] = [1, 3].map(|stream| client.open(stream, END_STREAM));
    let data = [0; 100_000];
    assert!(matches!(client.give(one, &data, false), Poll::Ready(Ok(H2_OUT_BYTES))));
    assert!(client.give(one, &data, false).is_pending());
    assert!(client.give(two, &data, false).is_pending());
    client.session.wrote(1000);
    assert!(client.give(one, &data, false).is_pending(), "so little is not worth a frame");
    client.session.wrote(client.session.out.pending().len());
    // Each of those that wait has one frame, and then it is another's turn.
    assert!(client.give(one, &data, false).is_ready());
    assert!(client.give(two, &data, false).is_pending());
    client.session.wrote(client.session.out.pending().len());
    client.session.wait(one);
    assert!(matches!(client.give(two, &data, false), Poll::Ready(Ok(FRAME_BYTES))));
    client.check(&[], expect!["data 3 16384"]);
}

#[test]
fn a_client_that_is_never_through_holds_no_more_for_that() {
    let mut client = Client::new();
    client.send(&[setting(4, 1 << 30), more(0, 1 << 30)].concat());
    client.drain();
    let place = client.open(1, END_STREAM);
    for _ in 0..1000 {
        let _ = client.give(place, &[0; 30_000], false);
        client.session.wrote(client.session.out.pending().len() / 2);
        assert!(client.session.out.bytes.len() < 2 * H2_OUT_BYTES);
    }
}

#[test]
fn a_head_that_is_longer_than_a_frame_goes_in_several() {
    let mut client = Client::new();
    client.send(&setting(1, 0));
    client.drain();
    let place = client.open(1, END_STREAM);
    let text = format!("HTTP/1.1 200 OK\r\nx: {}\r\nconnection: close\r\n\r\n", "y".repeat(40_000));
    let cx = Context::from_waker(Waker::noop());
    let done = client.session.poll_head(&cx, place, text.as_bytes(), |_| true);
    assert!(matches!(done, Poll::Ready(Ok(_))));
    let block: Vec<u8> = client.session.out.pending().to_vec();
    assert_eq!(block[9], 0x20, "our table is said to be empty");
    client.check(&[], expect!["head 1 16384 end, more 1 16384, more 1 7241"]);
}

#[test]
fn a_request_that_is_answered_before_its_end_may_still_say_it() {
    let mut client = Client::new();
    let place = client.open(1, 0);
    client.session.end(place, &[]).expect("the stream is open");
    client.session.leave_place(place, None);
    client.check(&[], expect!["data 1 0 end, reset 1 0"]);
    client.check(&frame(DATA, 0, 1, &[0; 100]), expect![""]);
    client.check(&more(1, 1), expect![""]);
    client.check(&get(1, END_STREAM), expect![""]);
    // Another that has ended may not.
    let place = client.open(3, END_STREAM);
    client.answer(place);
    client.drain();
    client.check(&frame(DATA, 0, 3, b"x"), expect!["reset 3 5"]);
    let place = client.open(5, END_STREAM);
    client.answer(place);
    client.drain();
    client.check(&get(5, END_STREAM), expect!["goodbye 5 5"]);
}

#[test]
fn a_goodbye_is_said_in_two_steps() {
    let mut client = Client::new();
    let place = client.open(1, END_STREAM);
    client.session.leave();
    client.session.leave();
    client.check(&[], expect!["goodbye 2147483647 0, ping"]);
    let late = client.open(3, END_STREAM);
    client.check(&frame(PING, ACK, 0, &FAREWELL), expect!["goodbye 3 0"]);
    client.check(&[get(5, 0), frame(DATA, 0, 5, b"x")].concat(), expect![""]);
    assert_eq!(client.begun.len(), 2, "what comes behind the goodbye is not served");
    client.answer(place);
    assert!(!client.session.is_over());
    client.answer(late);
    assert!(client.session.is_over());
    client.check(&frame(SETTINGS, 0, 1, &[]), expect!["data 1 0 end, data 3 0 end, goodbye 3 1"]);
}

#[test]
fn more_streams_than_were_offered_are_refused() {
    let mut client = Client::new();
    for number in 0..H2_STREAMS {
        client.open(2 * number + 1, END_STREAM);
    }
    client.check(&get(2 * H2_STREAMS + 1, END_STREAM), expect!["reset 257 7"]);
    let (first, _) = client.begun[0];
    client.answer(first);
    client.drain();
    client.check(&get(2 * H2_STREAMS + 3, END_STREAM), expect![""]);
    assert_eq!(client.begun.len(), H2_STREAMS as usize + 1);
}

/// Sends as much as it takes until the session ends; gives how often, and the end.
fn flood(client: &mut Client, mut next: impl FnMut(u32) -> Vec<u8>) -> (u32, String) {
    for number in 0..100_000 {
        client.send(&next(number));
        let said = client.drain();
        if client.session.has_failed() {
            return (number + 1, said.rsplit(", ").next().unwrap_or_default().to_owned());
        }
    }
    panic!("it goes on for ever");
}

#[test]
fn streams_that_come_to_nothing_end_the_connection_whoever_ends_them() {
    let reset = |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]);
    let open = |stream| get(stream, 0);
    let itself = |stream: u32| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[0]].concat());
    for (name, provoke) in [
        ("a window that grows by nothing", &(|stream| more(stream, 0)) as &dyn Fn(u32) -> Vec<u8>),
        ("a window that overflows", &|stream| more(stream, (1 << 31) - 1)),
        ("a dependency on itself", &itself),
        ("a head in the middle", &open),
    ] {
        let mut client = Client::new();
        let (count, end) =
            flood(&mut client, |number| [open(2 * number + 1), provoke(2 * number + 1)].concat());
        assert_eq!((count, end), (H2_RESETS + 1, format!("goodbye {} 11", 2 * count - 1)), "{name}");
    }
    let mut client = Client::new();
    let (count, _) = flood(&mut client, |number| [open(2 * number + 1), reset(2 * number + 1)].concat());
    assert_eq!(count, H2_RESETS + 1);
    // Requests that are malformed, and so never begin.
    let mut client = Client::new();
    let (count, _) =
        flood(&mut client, |number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &[0x82]));
    assert_eq!((count, client.begun.len()), (H2_RESETS + 1, 0));
}

#[test]
fn a_client_that_changes_its_mind_now_and_then_is_served() {
    let mut client = Client::new();
    for number in 0..1000 {
        let stream = 4 * number + 1;
        let place = client.open(stream, 0);
        client.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        client.session.leave_place(place, Some(Reason::INTERNAL_ERROR));
        let place = client.open(stream + 2, END_STREAM);
        client.answer(place);
        assert_eq!(client.drain(), format!("data {} 0 end", stream + 2));
    }
}

#[test]
fn frames_that_move_nothing_are_bounded() {
    let kinds: [(&str, Vec<u8>); 6] = [
        ("pings", frame(PING, 0, 0, &[0; 8])),
        ("settings", frame(SETTINGS, 0, 0, &[])),
        ("priorities", frame(PRIORITY, 0, 3, &[0; 5])),
        ("unknown frames", frame(99, 0, 0, &[])),
        ("windows", more(0, 1)),
        ("data without content", frame(DATA, 0, 1, &[])),
    ];
    for (name, bytes) in kinds {
        let mut client = Client::new();
        client.open(1, 0);
        let (count, end) = flood(&mut client, |_| bytes.clone());
        assert_eq!((count, &*end), (H2_IDLE_FRAMES + 1, "goodbye 1 11"), "{name}");
    }
    // Those of a client that is at work are not.
    let mut client = Client::new();
    let place = client.open(1, 0);
    for _ in 0..3 * H2_IDLE_FRAMES {
        client.send(&frame(PING, 0, 0, &[0; 8])).send(&frame(DATA, 0, 1, b"x"));
        client.session.consume(place, 1);
        client.drain();
    }
    assert!(!client.session.has_failed());
}

#[test]
fn a_client_that_reads_nothing_is_not_read() {
    let ping = frame(PING, 0, 0, &[0; 8]);
    let mut client = Client::new();
    while !client.session.is_clogged() {
        client.send(&ping);
    }
    assert!(client.session.out.pending().len() < 2 * H2_CONTROL_BYTES);
    client.drain();
    assert!(!client.session.is_clogged());
}

#[test]
fn heads_that_do_not_end_are_bounded() {
    let begin = frame(HEADERS, END_STREAM, 1, &[0x82]);
    let mut client = Client::new();
    client.send(&begin);
    let (count, end) = flood(&mut client, |_| frame(CONTINUATION, 0, 1, &[]));
    assert_eq!((count, &*end), (H2_BLOCK_FRAMES + 1, "goodbye 0 11"));
    let mut client = Client::new();
    client.send(&begin);
    let (count, end) = flood(&mut client, |_| frame(CONTINUATION, 0, 1, &[0x82; FRAME_BYTES]));
    assert_eq!((count, &*end), (4, "goodbye 0 11"));
}

/// Frames as a client with little sense would send them.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0u32), 0u32..12];
    let block = prop_oneof![
        Just(vec![0x82, 0x84, 0x86, 0x01, 1, b'a']),
        Just(vec![0x83, 0x84, 0x86, 0x01, 1, b'a', 0x0f, 13, 1, b'3']),
        Just(vec![0x40, 1, b'x', 1, b'y']),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    prop_oneof![
        4 => (stream.clone(), any::<u8>(), block.clone())
            .prop_map(|(stream, flags, block)| frame(HEADERS, flags & 0x25 | END_HEADERS, stream, &block)),
        1 => (stream.clone(), block).prop_map(|(stream, block)| frame(CONTINUATION, END_HEADERS, stream, &block)),
        3 => (stream.clone(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(stream, flags, data)| frame(DATA, flags & 9, stream, &data)),
        1 => (stream.clone(), any::<u32>()).prop_map(|(stream, count)| more(stream, count)),
        1 => (0u16..9, any::<u32>()).prop_map(|(name, value)| setting(name, value % 100_000)),
        1 => (any::<u8>(), stream.clone(), proptest::collection::vec(any::<u8>(), 0..10))
            .prop_map(|(kind, stream, payload)| frame(kind % 12, 0, stream, &payload)),
        1 => stream.prop_map(|stream| frame(RST_STREAM, 0, stream, &[0; 4])),
    ]
}

proptest! {
    /// However the bytes come, the same requests begin and the same is said; and counts agree with what they count.
    #[test]
    fn any_bytes_in_any_pieces_mean_the_same(
        frames in proptest::collection::vec(any_frame(), 0..40),
        cuts in proptest::collection::vec(1usize..50, 1..20),
        tail: Vec<u8>,
    ) {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[]));
        bytes.extend(frames.concat());
        bytes.extend(tail);
        let mut whole = Client::silent();
        whole.send(&bytes);
        let mut pieces = Client::silent();
        let (mut from, mut to) = (0, 0);
        for cut in cuts.iter().cycle() {
            to = (to + cut).min(bytes.len());
            loop {
                match pieces.session.step(&bytes[from..to], &mut pieces.page) {
                    Step::More | Step::Failed => break,
                    Step::Used(count) => from += count,
                    Step::Begun(count, begun) => {
                        from += count;
                        let text = String::from_utf8_lossy(&std::mem::take(&mut pieces.page)).into_owned();
                        pieces.begun.push((begun.place, text));
                    }
                }
            }
            if to == bytes.len() {
                break;
            }
        }
        prop_assert_eq!(&whole.begun, &pieces.begun);
        prop_assert_eq!(whole.session.out.pending(), pieces.session.out.pending());
        let session = &mut whole.session;
        prop_assert_eq!(session.active, session.slots.iter().filter(|slot| slot.is_active()).count());
        for (place, _) in &whole.begun {
            session.leave_place(*place, Some(Reason::INTERNAL_ERROR));
        }
        prop_assert_eq!((session.lanes, session.active), (0, 0));
        prop_assert!(session.ids.iter().all(|id| *id == 0));
        words(session.out.pending());
    }
}
