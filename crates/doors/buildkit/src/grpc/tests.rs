//! Tests of calls between our own two ends, and of frames and trailers.

use bytes::Bytes;
use proptest::prelude::{any, proptest};
use prost::Message as _;

use super::frame::{Decoder, encode};
use super::*;
use crate::proto::errors::Any;
use crate::proto::{Chunk, Empty};

async fn channel(handle: fn(Call) -> futures_util::future::BoxFuture<'static, Answer>) -> Channel {
    let (near, far) = tokio::io::duplex(16 << 10);
    tokio::spawn(serve(far, handle));
    crate::testing::channel(near).await
}

fn chunk(length: usize) -> Chunk {
    Chunk { data: Bytes::from(vec![7; length]) }
}

async fn service(mut call: Call) -> Answer {
    match call.path.as_str() {
        "/t/Echo" => match call.message::<Chunk>().await {
            Ok(chunk) => Answer::one(&chunk),
            Err(status) => Answer::failed(status),
        },
        "/t/Double" => {
            let (outgoing, answer) = Answer::stream();
            tokio::spawn(async move {
                let mut messages = call.into_messages();
                while let Ok(Some(chunk)) = messages.next::<Chunk>().await {
                    outgoing.send(&chunk).await;
                    outgoing.send(&chunk).await;
                }
                outgoing.end(Ok(())).await;
            });
            answer
        }
        "/t/Cut" => {
            let (outgoing, answer) = Answer::stream();
            outgoing.send(&chunk(1)).await;
            answer
        }
        "/t/Fail" => {
            let mut status = Status::new(Code::NotFound, "nichts, 100 % nichts: ∅");
            status.details.push(Any { type_url: "kind".into(), value: vec![0, 1, 255] });
            Answer::failed(status)
        }
        _ => Answer::failed(Status::unimplemented("that")),
    }
}

fn boxed(call: Call) -> futures_util::future::BoxFuture<'static, Answer> {
    Box::pin(service(call))
}

#[tokio::test]
async fn one_message_goes_each_way() {
    let channel = channel(boxed).await;
    for length in [0, 1, 100_000, 5 << 20] {
        let answer: Chunk = channel.call("/t/Echo", &chunk(length)).await.expect("an answer");
        assert_eq!(answer.data.len(), length);
    }
}

#[tokio::test]
async fn a_message_beyond_the_bound_ends_its_call_alone() {
    let channel = channel(boxed).await;
    let status = channel.call::<Chunk>("/t/Echo", &chunk(MESSAGE_BYTES)).await.expect_err("it is too long");
    assert_eq!(status.code, Code::ResourceExhausted);
    let answer: Chunk = channel.call("/t/Echo", &chunk(3)).await.expect("the connection lives");
    assert_eq!(answer.data.len(), 3);
}

#[tokio::test]
async fn streams_flow_both_ways_at_once() {
    let channel = channel(boxed).await;
    let mut stream = channel.stream("/t/Double", &[]).expect("a call");
    for length in 1..50 {
        stream.send(&chunk(length)).await.expect("it is taken");
        for _ in 0..2 {
            let answer = stream.next::<Chunk>().await.expect("no failure").expect("no end");
            assert_eq!(answer.data.len(), length);
        }
    }
    stream.finish().await.expect("it ends well");
}

#[tokio::test]
async fn a_failure_comes_with_its_details() {
    let status = channel(boxed).await.call::<Empty>("/t/Fail", &Empty {}).await.expect_err("it fails");
    assert_eq!(status.code, Code::NotFound);
    assert_eq!(status.message, "nichts, 100 % nichts: ∅");
    assert_eq!(status.details, [Any { type_url: "kind".into(), value: vec![0, 1, 255] }]);
}

#[tokio::test]
async fn an_answer_that_is_cut_is_no_success() {
    let channel = channel(boxed).await;
    let mut stream = channel.stream("/t/Cut", &[]).expect("a call");
    stream.close();
    assert!(stream.next::<Chunk>().await.expect("the first came").is_some());
    assert_eq!(stream.next::<Chunk>().await.expect_err("it was cut").code, Code::Internal);
}

#[test]
fn compressed_and_endless_messages_are_refused() {
    let code = |bytes: &[u8]| {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        decoder.next::<Chunk>().expect_err("it is refused").code
    };
    assert_eq!(code(&[1, 0, 0, 0, 0]), Code::Unimplemented);
    assert_eq!(code(&[0, 255, 255, 255, 255]), Code::ResourceExhausted);
    assert_eq!(code(&[0, 0, 0, 0, 1, 0xff]), Code::Internal);
}

#[test]
fn details_that_are_too_large_stay_behind_and_the_message_does_not() {
    let mut status = Status::failed("why");
    status.details.push(Any { type_url: "big".into(), value: vec![1; 1 << 20] });
    let read = Status::from_trailers(&status.to_trailers()).expect("a status");
    assert_eq!(read, Status::failed("why"));
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut(
        lengths in proptest::collection::vec(0usize..300, 0..8),
        cuts in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let sent: Vec<Chunk> = lengths.iter().map(|length| chunk(*length)).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(|chunk| encode(chunk).to_vec()).collect();
        let (mut decoder, mut got, mut rest) = (Decoder::default(), Vec::new(), bytes.as_slice());
        for cut in cuts.iter().cycle() {
            while let Some(message) = decoder.next::<Chunk>().expect("it is whole") {
                got.push(message);
            }
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*cut).min(rest.len()));
            decoder.push(piece);
            rest = behind;
        }
        assert_eq!(got, sent);
        assert!(decoder.is_empty());
    }

    #[test]
    fn any_message_survives_the_trailers(message in ".{0,80}", number in 1i32..17) {
        let status = Status::new(Code::from(number), message);
        assert_eq!(Status::from_trailers(&status.to_trailers()), Some(status));
    }

    #[test]
    fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        while let Ok(Some(message)) = decoder.next::<Chunk>() {
            assert!(message.encoded_len() <= bytes.len());
        }
    }
}
