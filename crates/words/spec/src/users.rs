//! Lists of users as `htpasswd -B` writes them: a line each, with a name and the bcrypt hash of a password.

/// The dearest hash that is taken: 2^14 rounds are about a second.
pub const MOST_COST: u32 = 14;
/// The most users of one list.
pub const MOST_USERS: usize = 1000;

/// The users of such a list, each with his hash, or what is wrong with which line.
pub fn users(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let flaw = |why: &str| format!("line {}: {why}", number + 1);
        let (name, hash) = line.split_once(':').ok_or_else(|| flaw("it is not `NAME:HASH`"))?;
        if name.is_empty() || name.len() > 255 {
            return Err(flaw("a name has 1 to 255 letters"));
        }
        let cost =
            cost(hash).ok_or_else(|| flaw("its hash is not one of bcrypt, which `htpasswd -B` makes"))?;
        if !(4..=MOST_COST).contains(&cost) {
            return Err(flaw("its hash has a cost above 14 or below 4"));
        }
        if users.iter().any(|(other, _)| *other == name) {
            return Err(flaw("the name was there before"));
        }
        users.push((name, hash));
    }
    match users.len() {
        0 => Err("there is no user in it".into()),
        1..=MOST_USERS => Ok(users),
        _ => Err(format!("there are more than {MOST_USERS} users in it")),
    }
}

/// The cost of a hash as in `$2y$10$` and 53 letters.
fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2y$", "$2b$", "$2a$"].iter().find_map(|kind| hash.strip_prefix(kind))?;
    let (cost, rest) = rest.split_once('$')?;
    let letters =
        rest.len() == 53 && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    cost.parse().ok().filter(|_| letters && cost.len() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_a_name_and_a_hash_of_bcrypt() {
        let hash = "$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";
        let two = format!("# who\nann:{hash}\n\n  bob:{hash}\n");
        assert_eq!(users(&two), Ok(vec![("ann", hash), ("bob", hash)]));
        let flaw = |text: &str| users(text).expect_err("a flaw");
        assert_eq!(flaw("# nobody\n"), "there is no user in it");
        assert_eq!(flaw("ann"), "line 1: it is not `NAME:HASH`");
        assert_eq!(flaw(&format!(":{hash}")), "line 1: a name has 1 to 255 letters");
        for hash in
            ["plain", "$apr1$abc$def", "{SHA}x", "$6$a$b", &hash[..59], "$2y$5$abc", &hash.replace('a', " ")]
        {
            let want = "line 1: its hash is not one of bcrypt, which `htpasswd -B` makes";
            assert_eq!(flaw(&format!("ann:{hash}")), want);
        }
        assert_eq!(
            flaw(&format!("a:{}", hash.replace("05", "15"))),
            "line 1: its hash has a cost above 14 or below 4"
        );
        assert_eq!(flaw(&format!("ann:{hash}\nann:{hash}")), "line 2: the name was there before");
    }
}
