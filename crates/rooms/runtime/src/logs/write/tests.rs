//! Writing logs within their bounds.

use base::Bytes;
use proptest::prelude::*;

use super::super::{Line, Query, read};
use super::*;

fn policy(max_size: u64, max_files: u32) -> LogPolicy {
    LogPolicy { keep: true, max_size: Bytes(max_size), max_files }
}

fn all(dir: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    read(dir, &Query::default(), |line| {
        lines.push(line);
        true
    })
    .unwrap();
    lines
}

#[test]
fn files_stay_few_and_small_and_the_newest_lines_stay() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(temp.path(), policy(1000, 3)).unwrap();
    for number in 0..1000 {
        writer.take(Stream::Stdout, format!("line {number}\n").as_bytes(), Timestamp::from_secs(number));
    }
    let sizes: Vec<u64> =
        (0..4).map_while(|n| file(temp.path(), n).metadata().ok()).map(|m| m.len()).collect();
    assert!(sizes.len() == 3 && sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
    let lines = all(temp.path());
    assert_eq!(lines.last().unwrap().text, b"line 999");
    assert!(
        lines.windows(2).all(|pair| pair[0].time.secs() + 1 == pair[1].time.secs()),
        "a hole in the middle"
    );
}

#[test]
fn one_file_only_is_begun_anew() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(temp.path(), policy(200, 1)).unwrap();
    for _ in 0..100 {
        writer.take(Stream::Stdout, b"0123456789\n", Timestamp::from_secs(1));
    }
    assert!(!file(temp.path(), 1).exists() && file(temp.path(), 0).metadata().unwrap().len() <= 200);
}

#[test]
fn a_later_run_goes_on_behind_the_earlier_one() {
    let temp = tempfile::tempdir().unwrap();
    for run in ["one\n", "two\n"] {
        let mut writer = Writer::open(temp.path(), policy(1000, 3)).unwrap();
        writer.take(Stream::Stdout, run.as_bytes(), Timestamp::from_secs(1));
    }
    let texts: Vec<_> = all(temp.path()).into_iter().map(|line| line.text).collect();
    assert_eq!(texts, [b"one", b"two"]);
}

#[test]
fn nothing_is_kept_when_nothing_shall_be() {
    let temp = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(temp.path(), LogPolicy { keep: false, ..policy(1000, 3) }).unwrap();
    writer.take(Stream::Stdout, b"secret\n", Timestamp::from_secs(1));
    assert!(!file(temp.path(), 0).exists());
}

proptest! {
    #[test]
    fn what_was_written_is_read_again_however_it_was_cut(
        text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..2000),
        cuts in proptest::collection::vec(1usize..400, 1..20),
    ) {
        let temp = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(temp.path(), policy(1 << 20, 3)).unwrap();
        let mut rest = text.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            writer.take(Stream::Stdout, now, Timestamp::from_secs(1));
            rest = later;
        }
        writer.end(Stream::Stdout, Timestamp::from_secs(2));
        let read: Vec<u8> = all(temp.path()).iter().flat_map(Line::written).collect();
        prop_assert_eq!(read, text);
    }
}
