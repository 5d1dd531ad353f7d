//! Whether a list of paths is one that an honest sender sends: clean, relative, in order, folders before what they hold.

use super::ReceiveError;

/// The longest path, as the kernel has it.
const PATH_BYTES: usize = 4096;
/// The longest name, as the kernel has it.
const NAME_BYTES: usize = 255;

/// Takes paths one after the other. Pure.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The last path.
    last: Vec<String>,
    /// How many of its parts are a folder that is open: all if it is one itself, all but the last otherwise.
    open: usize,
}

impl Order {
    /// Says whether this path may come now.
    pub(crate) fn admit(&mut self, path: &str, is_folder: bool) -> Result<(), ReceiveError> {
        let refuse = |why| ReceiveError::Path { path: path.to_owned(), why };
        if path.len() > PATH_BYTES {
            return Err(ReceiveError::Path { path: path.chars().take(80).collect(), why: "it is too long" });
        }
        let parts: Vec<&str> = path.split('/').collect();
        for part in &parts {
            match *part {
                "" => return Err(refuse("it is empty, absolute or not clean")),
                "." | ".." => return Err(refuse("it could lead out of the folder")),
                name if name.len() > NAME_BYTES => return Err(refuse("a name in it is too long")),
                name if name.contains('\0') => return Err(refuse("it holds a zero")),
                _ => {}
            }
        }
        let (_, parents) = parts.split_last().ok_or_else(|| refuse("it is empty"))?;
        if parts.iter().copied().le(self.last.iter().map(String::as_str)) && !self.last.is_empty() {
            return Err(refuse("it is out of order"));
        }
        let open = self.last.get(..self.open).unwrap_or_default();
        if parents.len() > open.len() || parents.iter().zip(open).any(|(one, other)| one != other) {
            return Err(refuse("the folder that holds it is not in the list"));
        }
        self.open = if is_folder { parts.len() } else { parents.len() };
        self.last = parts.into_iter().map(str::to_owned).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
