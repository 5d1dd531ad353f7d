//! Dates as HTTP writes them, in the three forms of RFC 9110, section 5.6.7, read strictly.
//!
//! A two-digit year is within fifty years of what is given as the present year's century, as the section demands.
//!
//! ```
//! use base::Timestamp;
//! let read = resilience::http_date::parse(b"Sun, 06 Nov 1994 08:49:37 GMT", Timestamp::from_secs(0));
//! assert_eq!(read, Some(Timestamp::from_secs(784_111_777)));
//! ```

use base::Timestamp;

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const DAYS: [&[u8]; 7] =
    [b"Sunday", b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday"];
const SECONDS_PER_YEAR: i64 = 31_556_952;

/// Reads a date; `now` tells the century of a two-digit year. None if it has none of the three forms.
pub fn parse(text: &[u8], now: Timestamp) -> Option<Timestamp> {
    let comma = text.iter().position(|c| *c == b',');
    match comma {
        Some(3) => fixed(text),
        Some(at) => old(text, at, now),
        None => asctime(text),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn fixed(text: &[u8]) -> Option<Timestamp> {
    let shape = text.len() == 29 && &text[3..5] == b", " && text[7] == b' ' && text[11] == b' ';
    if !shape || text[16] != b' ' || &text[25..] != b" GMT" || !is_day(&text[..3]) {
        return None;
    }
    moment(digits(&text[12..16])?, month(&text[8..11])?, digits(&text[5..7])?, &text[17..25])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn old(text: &[u8], comma: usize, now: Timestamp) -> Option<Timestamp> {
    let rest = text.get(comma + 1..)?;
    let shape = rest.len() == 23 && rest[0] == b' ' && rest[3] == b'-' && rest[7] == b'-' && rest[10] == b' ';
    if !shape || &rest[19..] != b" GMT" || !DAYS.contains(&&text[..comma]) {
        return None;
    }
    let present = 1970 + now.secs().div_euclid(SECONDS_PER_YEAR);
    let mut year = present - present.rem_euclid(100) + digits(&rest[8..10])?;
    if year > present + 50 {
        year -= 100;
    }
    moment(year, month(&rest[4..7])?, digits(&rest[1..3])?, &rest[11..19])
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<Timestamp> {
    let shape =
        text.len() == 24 && text[3] == b' ' && text[7] == b' ' && text[10] == b' ' && text[19] == b' ';
    if !shape || !is_day(&text[..3]) {
        return None;
    }
    let day = if text[8] == b' ' { &text[9..10] } else { &text[8..10] };
    moment(digits(&text[20..])?, month(&text[4..7])?, digits(day)?, &text[11..19])
}

/// Writes a date in the form that all are to write: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn write(at: Timestamp) -> String {
    let (days, secs) = (at.secs().div_euclid(86_400), at.secs().rem_euclid(86_400));
    // The way of `moment`, backwards.
    let day = days + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + i64::from(month < 2);
    let name = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..3]).into_owned();
    format!(
        "{}, {date:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        // The first of January 1970 was a Thursday.
        name(DAYS[(days + 4).rem_euclid(7) as usize]),
        name(MONTHS[month as usize]),
        secs / 3600,
        secs / 60 % 60,
        secs % 60
    )
}

fn is_day(short: &[u8]) -> bool {
    DAYS.iter().any(|day| &day[..3] == short)
}

fn month(short: &[u8]) -> Option<i64> {
    MONTHS.iter().position(|month| month.as_slice() == short).map(|at| at as i64 + 1)
}

fn digits(text: &[u8]) -> Option<i64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    all.then(|| text.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

/// From the calendar in Greenwich; a leap second counts as the second before it.
fn moment(year: i64, month: i64, day: i64, time: &[u8]) -> Option<Timestamp> {
    if time[2] != b':' || time[5] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&time[..2])?, digits(&time[3..5])?, digits(&time[6..])?);
    if day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970 by counting years from March, so that the leap day comes last (Howard Hinnant's way).
    let from_march = if month <= 2 { year - 1 } else { year };
    let era = from_march.div_euclid(400);
    let year_of_era = from_march - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(Timestamp::from_secs(days * 86_400 + hour * 3600 + minute * 60 + second.min(59)))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests;
