//! Numbers, sizes, durations and order as the reference implementation's language prints and reads them.
//!
//! The canonical output is compared byte by byte, so the small rules matter: when a float turns to exponents, how a
//! duration is cut into units, how keys with digits sort.

use std::cmp::Ordering;

use base::path::clean;

/// A float with so many digits before its point is written with an exponent.
const MOST_DIGITS: i32 = 6;

/// A float as `%v` prints it: the shortest digits, exponents below -4 and from a million up.
pub(crate) fn float(value: f64) -> String {
    general(&format!("{value:e}"), value.is_finite(), value.is_nan(), value < 0.0)
}

/// A single-precision float, likewise.
pub(crate) fn float32(value: f32) -> String {
    general(&format!("{value:e}"), value.is_finite(), value.is_nan(), value < 0.0)
}

/// A float for JSON: never an exponent between 1e-6 and 1e21.
pub(crate) fn json_float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            Some((digits, exponent)) => format!("{digits}e{exponent}"),
            None => text,
        };
    }
    format!("{value}")
}

/// A single-precision float for JSON.
pub(crate) fn json_float32(value: f32) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        json_float(f64::from(value))
    } else {
        format!("{value}")
    }
}

fn general(scientific: &str, finite: bool, nan: bool, negative: bool) -> String {
    if nan {
        return "NaN".into();
    }
    if !finite {
        return if negative { "-Inf".into() } else { "+Inf".into() };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, digits) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    if !(-4..MOST_DIGITS).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let mark = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}e{mark}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// Nanoseconds of a text such as `1h30m`, `1.5s` or `2w3d`; none when it is no duration.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    let mut whole: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let stop = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(stop);
        let scale: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        match number.parse::<i64>() {
            Ok(number) => whole += i128::from(number) * i128::from(scale),
            Err(_) if number.contains('.') && number.len() > 1 => {
                total += number.parse::<f64>().ok()? * scale as f64;
            }
            Err(_) => return None,
        }
        rest = tail;
    }
    i64::try_from(sign * (whole + total as i128)).ok()
}

/// A duration as `1h30m0s`, `1.5s` or `10ms`.
pub(crate) fn print_duration(nanos: i64) -> String {
    if nanos == 0 {
        return "0s".into();
    }
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let part = |scale: u64, unit: &str| {
        let fraction = format!("{:0width$}", size % scale, width = scale.ilog10() as usize);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() || scale == 1 { "" } else { "." };
        let fraction = if scale == 1 { "" } else { fraction };
        format!("{sign}{}{point}{fraction}{unit}", size / scale)
    };
    if size < 1_000 {
        return part(1, "ns");
    }
    if size < 1_000_000 {
        return part(1_000, "µs");
    }
    if size < 1_000_000_000 {
        return part(1_000_000, "ms");
    }
    let seconds = size / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = size % 60_000_000_000;
    let fraction = format!("{:09}", rest % 1_000_000_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    let tail = format!("{}{point}{fraction}s", rest / 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{tail}"),
        (0, _) => format!("{sign}{minutes}m{tail}"),
        _ => format!("{sign}{hours}h{minutes}m{tail}"),
    }
}

/// A number with or without a point; underscores may stand between digits.
pub(crate) fn parse_float<F: std::str::FromStr>(text: &str) -> Option<F> {
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let between = |(at, _): (usize, &u8)| digit(at.checked_sub(1)) && digit(Some(at + 1));
    let good = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(between);
    if good { text.replace('_', "").parse().ok() } else { None }
}

/// Bytes of a text such as `64m`, `1.5 GiB` or `1024`; none when it is no size.
pub(crate) fn bytes(text: &str) -> Option<i64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = if text.as_bytes()[last] == b' ' {
        (&text[..last], &text[last + 1..])
    } else {
        (&text[..=last], &text[last + 1..])
    };
    let number: f64 = parse_float(number)?;
    if number < 0.0 || unit.len() > 3 || !number.is_finite() {
        return None;
    }
    let unit = unit.to_ascii_lowercase();
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    Some((number * 1024f64.powi(power)) as i64)
}

/// Puts keys into the order of the reference implementation's YAML writer.
///
/// That order may run in a circle, which a sort of the standard library answers with a panic. This one ends for any.
pub(crate) fn sort_keys<T>(mut pairs: Vec<(String, T)>) -> Vec<(String, T)> {
    if pairs.len() < 2 {
        return pairs;
    }
    let right = pairs.split_off(pairs.len() / 2);
    let (mut left, mut right) =
        (sort_keys(pairs).into_iter().peekable(), sort_keys(right).into_iter().peekable());
    let mut all = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let later = key_order(&a.0, &b.0) == Ordering::Greater;
        all.extend(if later { right.next() } else { left.next() });
    }
    all.extend(left.chain(right));
    all
}

/// Which of two keys comes first: digits count as numbers.
fn key_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut digits = false;
    for i in 0..a.len().min(b.len()) {
        if a[i] == b[i] {
            digits = a[i].is_numeric();
            continue;
        }
        let (a_letter, b_letter) = (a[i].is_alphabetic(), b[i].is_alphabetic());
        if a_letter && b_letter {
            return a[i].cmp(&b[i]);
        }
        if a_letter || b_letter {
            return if a_letter == digits { Ordering::Less } else { Ordering::Greater };
        }
        return number_order(&a, &b, i);
    }
    a.len().cmp(&b.len())
}

fn number_order(a: &[char], b: &[char], i: usize) -> Ordering {
    let zero = a[i] == '0' || b[i] == '0';
    let earlier = a[..i].iter().rev().take_while(|c| c.is_numeric());
    let start = i64::from(zero && earlier.into_iter().any(|c| *c != '0'));
    let read = |text: &[char]| {
        let run = text[i..].iter().take_while(|c| c.is_numeric());
        run.fold((start, 0usize), |(number, len), c| {
            let digit = i64::from(u32::from(*c)) - i64::from(u32::from('0'));
            (number.wrapping_mul(10).wrapping_add(digit), len + 1)
        })
    };
    let ((a_number, a_len), (b_number, b_len)) = (read(a), read(b));
    a_number.cmp(&b_number).then(a_len.cmp(&b_len)).then(a[i].cmp(&b[i]))
}

/// Two paths joined and cleaned; the second counts from the first.
pub(crate) fn join(base: &str, path: &str) -> String {
    match (base.is_empty(), path.is_empty()) {
        (true, true) => String::new(),
        (true, false) => clean(path),
        (false, true) => clean(base),
        (false, false) => clean(&format!("{base}/{path}")),
    }
}

/// The folder of a path.
pub(crate) fn parent(path: &str) -> String {
    match path.rfind('/') {
        Some(slash) => clean(&path[..=slash]),
        None => ".".into(),
    }
}

/// The way from a folder to a path, both cleaned and both absolute or both relative; none when there is no way.
pub(crate) fn relative(base: &str, path: &str) -> Option<String> {
    let (base, path) = (clean(base), clean(path));
    if base.starts_with('/') != path.starts_with('/') {
        return None;
    }
    let split = |text: &str| -> Vec<String> {
        text.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
    };
    let (base, path) = (split(&base), split(&path));
    let same = base.iter().zip(&path).take_while(|(a, b)| a == b).count();
    if base[same..].iter().any(|part| part == "..") {
        return None;
    }
    let mut parts = vec!["..".to_owned(); base.len() - same];
    parts.extend_from_slice(&path[same..]);
    Some(if parts.is_empty() { ".".into() } else { parts.join("/") })
}

#[cfg(test)]
mod tests;
