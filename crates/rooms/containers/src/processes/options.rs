//! The words that `ps` takes, as columns. Which processes to show is no question here, so words for that change nothing.

use super::columns::Column;

type Columns = Vec<(Column, String)>;

/// What was asked for, before it is known in which of its two tongues.
#[derive(Default)]
struct Asked {
    full: bool,
    extra: bool,
    long: bool,
    jobs: bool,
    /// Any word of the BSD tongue.
    bsd: bool,
    user: bool,
    own: Columns,
}

/// The columns for these words; `-ef` when there are none.
pub(super) fn parse(words: &str) -> Result<Columns, String> {
    let words = if words.trim().is_empty() { "-ef" } else { words };
    let mut asked = Asked::default();
    let mut words = words.split_ascii_whitespace();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            match name {
                "format" => {
                    let list = value.or_else(|| words.next()).unwrap_or_default();
                    asked.own.extend(list_of(list)?);
                }
                "cols" | "columns" | "width" => drop(value.or_else(|| words.next())),
                _ => return Err("ps: error: unknown gnu long option".into()),
            }
            continue;
        }
        let (letters, dashed) = match word.strip_prefix('-') {
            Some(letters) => (letters, true),
            None => (word, false),
        };
        asked.bsd |= !dashed;
        for (at, letter) in letters.char_indices() {
            if letter == 'o' {
                let rest = &letters[at + 1..];
                let list = if rest.is_empty() { words.next().unwrap_or_default() } else { rest };
                asked.own.extend(list_of(list)?);
                break;
            }
            asked.letter(letter, dashed)?;
        }
    }
    let columns = if asked.own.is_empty() { asked.preset() } else { asked.own };
    if columns.iter().any(|(_, title)| title == "PID") {
        Ok(columns)
    } else {
        Err("Couldn't find PID field in ps output".into())
    }
}

impl Asked {
    fn letter(&mut self, letter: char, dashed: bool) -> Result<(), String> {
        match (letter, dashed) {
            ('e' | 'A' | 'a' | 'd' | 'x' | 'w' | 'y' | 'M' | 'c', true)
            | ('a' | 'x' | 'w' | 'e' | 'g' | 'c' | 'n' | 'S', false) => {}
            ('f', true) => self.full = true,
            ('F', true) => (self.full, self.extra) = (true, true),
            ('l', _) => self.long = true,
            ('j', _) => self.jobs = true,
            ('u', false) => self.user = true,
            // `-aux` is what many write for `aux`, and `ps` takes it so.
            ('u', true) => (self.user, self.bsd) = (true, true),
            (_, true) => return Err("ps: error: unsupported SysV option".into()),
            (_, false) => return Err("ps: error: unsupported option (BSD syntax)".into()),
        }
        Ok(())
    }

    fn preset(&self) -> Columns {
        let names = match (self.bsd, self.user, self.long, self.full, self.jobs) {
            (true, true, ..) => "user,pid,%cpu,%mem,vsz,rss,tty,stat,start_time=START,bsdtime,command",
            (true, false, true, ..) => "f,uid,pid,ppid,pri,ni,vsz,rss,wchan,stat,tty,bsdtime,command",
            (true, false, false, _, true) => "ppid,pid,pgid,sid,tty,tpgid,stat,uid,bsdtime,command",
            (true, false, false, _, false) => "pid,tty,stat,bsdtime,command",
            (false, _, true, true, _) => "f,s,user=UID,pid,ppid,c,pri,ni,addr,sz,wchan,stime,tty,time,cmd",
            (false, _, true, false, _) => "f,s,uid,pid,ppid,c,pri,ni,addr,sz,wchan,tty,time,comm=CMD",
            (false, _, false, true, true) => "user=UID,pid,ppid,pgid,sid,c,stime,tty,time,cmd",
            (false, _, false, true, false) if self.extra => {
                "user=UID,pid,ppid,c,sz,rss,psr,stime,tty,time,cmd"
            }
            (false, _, false, true, false) => "user=UID,pid,ppid,c,stime,tty,time,cmd",
            (false, _, false, false, true) => "pid,pgid,sid,tty,time,comm=CMD",
            (false, _, false, false, false) => "pid,tty,time,comm=CMD",
        };
        list_of(names).expect("each of these columns is known")
    }
}

/// `name,name=TITLE …`; a title reaches to the end, as `ps` has it, unless its word is one of several.
fn list_of(list: &str) -> Result<Columns, String> {
    let mut columns = Vec::new();
    for part in list.split(',').filter(|part| !part.is_empty()) {
        let (name, title) = part.split_once('=').map_or((part, None), |(name, title)| (name, Some(title)));
        let column = Column::named(name)
            .ok_or_else(|| format!("ps: error: unknown user-defined format specifier \"{name}\""))?;
        if let Some(title) = title
            && title.starts_with("PID")
            && name != "pid"
        {
            return Err(format!("specifying \"{name}={title}\" is not allowed"));
        }
        columns.push((column, title.unwrap_or_else(|| column.title(name)).to_owned()));
    }
    if columns.is_empty() {
        return Err("ps: error: empty format list".into());
    }
    Ok(columns)
}
