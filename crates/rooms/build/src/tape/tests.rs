//! Archives that end in the middle, and those that only seem to.

use std::io::Read as _;

use super::{TapeError, each};

/// The names and sizes in an archive of these files, cut to so many bytes.
fn names(cut: usize) -> Result<Vec<(String, usize)>, String> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, size) in [("first", 700), ("last", 33)] {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, std::io::repeat(b'x').take(size)).expect("memory takes it");
    }
    let mut archive = builder.into_inner().expect("memory takes it");
    archive.truncate(cut);
    let mut seen = Vec::new();
    let read = each(&archive[..], |item, content| {
        let mut text = Vec::new();
        content.read_to_end(&mut text).map_err(|error| error.to_string())?;
        seen.push((String::from_utf8_lossy(&item.path).into_owned(), text.len()));
        Ok(())
    });
    match read {
        Ok(()) => Ok(seen),
        Err(TapeError::Broken(error)) => Err(error.to_string()),
        Err(TapeError::Refused { why, .. }) => Err(why.to_owned()),
        Err(TapeError::Taker(error)) => Err(error),
    }
}

#[test]
fn what_fills_up_the_end_may_be_missing_but_no_content() {
    // Two headers, two blocks of content, and one of which 33 bytes count.
    let content = 512 + 1024 + 512 + 33;
    let all = Ok(vec![("first".to_owned(), 700), ("last".to_owned(), 33)]);
    for cut in [usize::MAX, content + 1024, content + 479, content + 100, content] {
        assert_eq!(names(cut), all, "{cut}");
    }
    for cut in [content - 1, content - 33 - 100, 512 + 500] {
        assert!(names(cut).is_err(), "{cut}");
    }
}
