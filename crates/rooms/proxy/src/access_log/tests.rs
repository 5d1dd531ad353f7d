//! What becomes of lines while the writer is behind.

use super::*;

fn entry(status: u16) -> Entry {
    Entry { status, ..Entry::over("HTTP/1.1") }
}

#[test]
fn while_the_writer_is_behind_a_share_is_written_and_every_error() {
    let dropped = Arc::new(AtomicU64::new(0));
    // Nobody takes anything.
    let (writer, batches) = sync_channel(0);
    let mut line = Line::new(Some(writer), dropped.clone(), LogFormat::Json);
    let now = SystemClock.now();
    for count in 0..20_000 {
        line.push(&entry(if count % 1000 == 999 { 502 } else { 200 }), now, b"10.0.0.1", (0, 0));
        assert!(line.batch.len() < MOST_BYTES + 1024);
    }
    let text = String::from_utf8(line.batch.clone()).expect("text");
    let written = text.lines().count() as u64;
    assert_eq!(written + dropped.load(Ordering::Relaxed), 20_000, "all are counted");
    assert!(text.lines().all(|line| line.starts_with('{') && line.ends_with('}')));
    assert!(line.share > 1 && text.contains(&format!("\"of\":{}", line.share)), "{}", line.share);
    // The last error is there whatever the share.
    assert!(
        text.lines().last().is_some_and(|line| line.contains("\"status\":502") && !line.contains("\"of\""))
    );
    // When the writer is there again, every line is soon written.
    std::thread::spawn(move || batches.iter().for_each(drop));
    while line.share > 1 {
        line.push(&entry(502), now, b"10.0.0.1", (0, 0));
        line.flush();
        std::thread::yield_now();
    }
}
