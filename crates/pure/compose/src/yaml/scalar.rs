//! What a plain scalar means: a text, unless it looks like something else.
//!
//! The rules are those of the reference implementation's reader: YAML 1.2's words for booleans, but also octals with a
//! leading 0, underscores in numbers, and dates.

use crate::tree::Value;

/// The meaning of a scalar that stood without quotes.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let number = match text.as_bytes()[0] {
        b'.' => point(text),
        b'+' | b'-' | b'0'..=b'9' => date(text).or_else(|| number(text)),
        _ => None,
    };
    number.unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn point(text: &str) -> Option<Value> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if plain && text.len() > 1 { text.parse().ok().map(Value::Float) } else { None }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain.as_str()),
    };
    if let Some(size) = integer(digits) {
        let value = if negative { -size } else { size };
        if value >= i128::from(i64::MIN) && value <= i128::from(u64::MAX) {
            return Some(Value::Int(value));
        }
    }
    // What is too large for a float stays a text.
    if style_of_float(digits) {
        plain.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float)
    } else {
        None
    }
}

fn integer(digits: &str) -> Option<i128> {
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) || digits.len() > 70 {
        return None;
    }
    i128::from_str_radix(digits, base).ok()
}

/// `1`, `1.`, `.5`, `1.5e-3`: what YAML calls a float, without its sign.
fn style_of_float(digits: &str) -> bool {
    let (number, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let good_exponent = exponent.is_none_or(|e| all_digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    let good_number = match number.split_once('.') {
        None => all_digits(number),
        Some(("", after)) => all_digits(after),
        Some((before, after)) => all_digits(before) && after.bytes().all(|b| b.is_ascii_digit()),
    };
    good_number && good_exponent
}

/// A date as `2001-12-14`, alone or with a time.
fn date(text: &str) -> Option<Value> {
    if text.len() < 8 || !text.is_ascii() || text.as_bytes()[4] != b'-' {
        return None;
    }
    let (day, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((text.as_bytes()[at], &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let (year, month, date) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let bound = |text: &str, least: u32, most: u32| -> Option<u32> {
        let good = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n| good && (least..=most).contains(n))
    };
    let year: u32 = year.parse().ok()?;
    let (month, date) = (bound(month, 1, 12)?, bound(date, 1, 31)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if date > days {
        return None;
    }
    let clock = match time {
        None => "00:00:00Z".to_owned(),
        Some((mark, clock)) => time_of_day(clock, mark == b' ', &bound)?,
    };
    Some(Value::Time(format!("{year:04}-{month:02}-{date:02}T{clock}")))
}

fn time_of_day(text: &str, spaced: bool, bound: &dyn Fn(&str, u32, u32) -> Option<u32>) -> Option<String> {
    let (clock, zone) = if spaced {
        (text, "Z")
    } else {
        let at = text.find(['Z', '+', '-'])?;
        (&text[..at], &text[at..])
    };
    let good_zone = zone == "Z" || (zone.len() == 6 && zone.as_bytes()[3] == b':');
    let mut parts = clock.split(':');
    let (hour, minute) = (bound(parts.next()?, 0, 23)?, bound(parts.next()?, 0, 59)?);
    let (second, fraction) = match parts.next()?.split_once(['.', ',']) {
        Some((second, fraction)) => (second.to_owned(), Some(fraction.to_owned())),
        None => (clock.rsplit(':').next()?.to_owned(), None),
    };
    let second = bound(&second, 0, 59)?;
    if parts.next().is_some() || !good_zone {
        return None;
    }
    let fraction = match fraction {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            // Times are kept to the nanosecond.
            let digits = digits[..digits.len().min(9)].trim_end_matches('0');
            if digits.is_empty() { String::new() } else { format!(".{digits}") }
        }
        Some(_) => return None,
        None => String::new(),
    };
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}{zone}"))
}
