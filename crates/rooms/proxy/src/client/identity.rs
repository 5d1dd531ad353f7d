//! Which program this is: a digest of its file, as numbers of versions and times of files say too little.

use std::fs::File;
use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;

/// The file of the program that runs, also when another lies in its place by now.
const OURSELVES: &str = "/proc/self/exe";

/// The identity of the program that runs. Takes a tenth of a second or less; not for threads that must not wait.
pub fn identity() -> io::Result<String> {
    of_file(&mut File::open(OURSELVES)?)
}

fn of_file(file: &mut impl Read) -> io::Result<String> {
    let mut digest = Context::new(&SHA256);
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(HEXLOWER.encode(digest.finish().as_ref())),
            count => digest.update(&piece[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    //! A program is what its bytes are.

    use super::*;

    #[test]
    fn one_byte_more_is_another_program() {
        let mut one = &b"program"[..];
        let mut other = &b"program\0"[..];
        assert_ne!(of_file(&mut one).expect("bytes"), of_file(&mut other).expect("bytes"));
        assert_eq!(identity().expect("this test has a file"), identity().expect("this test has a file"));
    }
}
