//! Finding the program and becoming it, or telling why not in the shell's words and codes.

use std::ffi::CString;
use std::io;

use base::Kind;

use crate::failure::{Failure, NOT_EXECUTABLE, NOT_FOUND};
use crate::sys;

/// Where programs are looked for when the environment does not say; docker's.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Becomes the program; comes back only with the reason why not.
pub(super) fn run(args: &[String], env: &[String]) -> Failure {
    let texts = |texts: &[String]| -> Result<Vec<CString>, Failure> {
        let text = |text: &String| {
            CString::new(text.as_str())
                .map_err(|_| Failure::invalid(format!("`{text}` has a null character in it")))
        };
        texts.iter().map(text).collect()
    };
    let Some(name) = args.first() else {
        return Failure::invalid("no command was given, and the image names none");
    };
    if name.is_empty() {
        return missing(name, "it has no name".into());
    }
    let (list, env_list) = match (texts(args), texts(env)) {
        (Ok(args), Ok(env)) => (args, env),
        (Err(failure), _) | (_, Err(failure)) => return failure,
    };
    if name.contains('/') {
        return explain(name, &attempt(name, &list, &env_list), true);
    }
    let path = env.iter().rev().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(PATH);
    let mut found: Option<io::Error> = None;
    for dir in path.split(':') {
        let dir = if dir.is_empty() { "." } else { dir };
        let error = attempt(&format!("{dir}/{name}"), &list, &env_list);
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
            // Something of that name is there; another folder may have one that runs.
            _ => found = found.or(Some(error)),
        }
    }
    match found {
        Some(error) => explain(name, &error, false),
        None => missing(name, "there is no such program in PATH".into()),
    }
}

fn attempt(path: &str, args: &[CString], env: &[CString]) -> io::Error {
    let Ok(text) = CString::new(path) else { return io::ErrorKind::InvalidInput.into() };
    // The kernel says "permission denied" of a folder, and people would search for the permission.
    match sys::exec(&text, args, env) {
        Err(error)
            if error.kind() == io::ErrorKind::PermissionDenied && std::path::Path::new(path).is_dir() =>
        {
            io::Error::from_raw_os_error(libc::EISDIR)
        }
        Err(error) => error,
    }
}

fn missing(name: &str, because: String) -> Failure {
    let failure = Failure::invalid(format!("could not run `{name}`")).because(because);
    Failure { code: NOT_FOUND, kind: Kind::NotFound, ..failure.hint("name a program that the image has") }
}

fn explain(name: &str, error: &io::Error, by_path: bool) -> Failure {
    let because = match error.raw_os_error() {
        Some(libc::ENOENT) if by_path && std::path::Path::new(name).exists() => {
            return missing(name, "the file is there, but not the interpreter that it names".into());
        }
        Some(libc::ENOENT | libc::ENOTDIR) => return missing(name, "there is no such file".into()),
        Some(libc::EISDIR) => "it is a folder".to_owned(),
        Some(libc::EACCES | libc::EPERM) => "permission to execute it was denied".to_owned(),
        Some(libc::ENOEXEC) => "it is not in a format that this machine can execute".to_owned(),
        _ => error.to_string(),
    };
    let failure = Failure::invalid(format!("could not run `{name}`")).because(because);
    Failure { code: NOT_EXECUTABLE, ..failure }
}
