//! Instants, dates and durations as Python has them, and its format codes.

use std::cmp::Ordering;

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp};

/// The microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// A `datetime`: the civil time, and how far it is ahead of UTC where that is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) civil: DateTime,
    pub(crate) offset_secs: Option<i32>,
}

impl Moment {
    pub(crate) fn utc(at: Timestamp) -> Self {
        Self { civil: at.to_zoned(jiff::tz::TimeZone::UTC).datetime(), offset_secs: Some(0) }
    }

    /// Microseconds since 1970; without an offset it counts as UTC.
    pub(crate) fn micros(&self) -> i64 {
        let days = self.civil.date().duration_since(Date::constant(1970, 1, 1)).as_secs() / 86_400;
        let time = self.civil.time().duration_since(Time::midnight()).as_micros();
        let time = i64::try_from(time).unwrap_or_default();
        days * DAY_US + time - i64::from(self.offset_secs.unwrap_or(0)) * 1_000_000
    }

    pub(crate) fn from_micros(micros: i64, offset_secs: Option<i32>) -> Option<Self> {
        let local = micros.checked_add(i64::from(offset_secs.unwrap_or(0)) * 1_000_000)?;
        let at = Timestamp::from_microsecond(local).ok()?;
        Some(Self { offset_secs, ..Self::utc(at) })
    }

    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        (self.offset_secs.is_some() == other.offset_secs.is_some()).then(|| self.micros().cmp(&other.micros()))
    }

    pub(crate) fn moved(&self, span: Span) -> Option<Self> {
        Some(Self { civil: self.civil.checked_add(span).ok()?, ..*self })
    }

    /// As `isoformat` writes it, with `between` date and time.
    pub(crate) fn to_text(self, between: char) -> String {
        let mut out = format!("{}{between}", self.civil.date());
        let time = self.civil.time();
        out.push_str(&format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()));
        if time.subsec_nanosecond() >= 1_000 {
            out.push_str(&format!(".{:06}", time.subsec_nanosecond() / 1_000));
        }
        if let Some(offset) = self.offset_secs {
            out.push_str(&offset_text(offset, true));
        }
        out
    }
}

fn offset_text(offset: i32, colon: bool) -> String {
    let (sign, size) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let (hours, minutes) = (size / 3_600, size / 60 % 60);
    format!("{sign}{hours:02}{}{minutes:02}", if colon { ":" } else { "" })
}

/// A `timedelta` as `str()` writes it.
pub(super) fn delta_text(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(DAY_US), micros.rem_euclid(DAY_US));
    let mut out = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let seconds = rest / 1_000_000;
    out.push_str(&format!("{}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    if rest % 1_000_000 > 0 {
        out.push_str(&format!(".{:06}", rest % 1_000_000));
    }
    out
}

const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn short(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// Writes a moment by Python's codes and those that manifests add: `%s`, `%ms`, `%_ms`, `%s_as_float`, `%epoch_microseconds`.
pub(crate) fn format(moment: &Moment, format: &str) -> String {
    let micros = moment.micros();
    match format {
        "%s" => return micros.div_euclid(1_000_000).to_string(),
        "%ms" => return micros.div_euclid(1_000).to_string(),
        "%epoch_microseconds" => return micros.to_string(),
        #[expect(clippy::cast_precision_loss, reason = "the format asks for a float")]
        "%s_as_float" => return super::py::float_text(micros as f64 / 1e6),
        _ => {}
    }
    let format = format.replace("%_ms", &format!("{:03}", moment.civil.subsec_nanosecond() / 1_000_000));
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut code = letters.next();
        let bare = code == Some('-');
        if bare {
            code = letters.next();
        }
        code_text(moment, code, bare, &mut out);
    }
    out
}

fn code_text(moment: &Moment, code: Option<char>, bare: bool, out: &mut String) {
    let (date, time) = (moment.civil.date(), moment.civil.time());
    let two = |number: i64| if bare { number.to_string() } else { format!("{number:02}") };
    let hour12 = i64::from((time.hour() + 11) % 12 + 1);
    let month = usize::try_from(date.month() - 1).unwrap_or_default();
    let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or_default();
    let name = |names: &[&'static str], at: usize| names.get(at).copied().unwrap_or_default();
    let text = match code {
        Some('Y') => format!("{:04}", date.year()),
        Some('y') => format!("{:02}", date.year().rem_euclid(100)),
        Some('m') => two(date.month().into()),
        Some('d') => two(date.day().into()),
        Some('e') => format!("{:2}", date.day()),
        Some('H') => two(time.hour().into()),
        Some('I') => two(hour12),
        Some('M') => two(time.minute().into()),
        Some('S') => two(time.second().into()),
        Some('f') => format!("{:06}", time.subsec_nanosecond() / 1_000),
        Some('j') => format!("{:03}", date.day_of_year()),
        Some('p') => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        Some('B') => name(&MONTHS, month).to_owned(),
        Some('b' | 'h') => short(name(&MONTHS, month)).to_owned(),
        Some('A') => name(&DAYS, weekday).to_owned(),
        Some('a') => short(name(&DAYS, weekday)).to_owned(),
        Some('u') => (weekday + 1).to_string(),
        Some('w') => ((weekday + 1) % 7).to_string(),
        Some('F') => date.to_string(),
        Some('T') => format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second()),
        Some('z') => moment.offset_secs.map(|offset| offset_text(offset, false)).unwrap_or_default(),
        Some('Z') => match moment.offset_secs {
            Some(0) => "UTC".to_owned(),
            Some(offset) => format!("UTC{}", offset_text(offset, true)),
            None => String::new(),
        },
        Some('s') => moment.micros().div_euclid(1_000_000).to_string(),
        Some('V') => format!("{:02}", date.iso_week_date().week()),
        Some('G') => format!("{:04}", date.iso_week_date().year()),
        Some('%') => "%".to_owned(),
        Some(other) => format!("%{other}"),
        None => "%".to_owned(),
    };
    out.push_str(&text);
}

/// Reads a moment by a format; what the format does not say counts from 1900-01-01, as Python has it.
pub(crate) fn parse(text: &str, format: &str) -> Option<Moment> {
    let scaled = |per_second: i64| {
        let number: i64 = text.trim().parse().ok()?;
        Moment::from_micros(number.checked_mul(1_000_000 / per_second)?, Some(0))
    };
    match format {
        "%s" => return scaled(1),
        "%ms" => return scaled(1_000),
        "%epoch_microseconds" => return scaled(1_000_000),
        #[expect(clippy::cast_possible_truncation, reason = "an instant far beyond any calendar is refused by the next step")]
        "%s_as_float" => return Moment::from_micros((text.trim().parse::<f64>().ok()? * 1e6).round() as i64, Some(0)),
        _ => {}
    }
    let mut parts = Parts { year: 1900, month: 1, day: 1, ..Parts::default() };
    let mut rest = text;
    let format = format.replace("%_ms", "%f").replace("%F", "%Y-%m-%d").replace("%T", "%H:%M:%S");
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => {
                let mut code = letters.next()?;
                if code == '-' {
                    code = letters.next()?;
                }
                rest = parts.read(code, rest)?;
            }
            space if space.is_whitespace() => rest = rest.trim_start(),
            plain => rest = rest.strip_prefix(plain)?,
        }
    }
    rest.is_empty().then_some(())?;
    parts.moment()
}

#[derive(Default)]
struct Parts {
    year: i16,
    month: i8,
    day: i8,
    hour: i8,
    minute: i8,
    second: i8,
    micros: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    at: Option<i64>,
}

/// Up to `most` digits at the beginning, as a number, and what follows.
fn digits(text: &str, most: usize) -> Option<(i64, &str)> {
    let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    Some((text.get(..end)?.parse().ok()?, text.get(end..)?))
}

fn named<'t>(text: &'t str, names: &[&str]) -> Option<(usize, &'t str)> {
    let fits = |name: &str| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    let (at, used) = names
        .iter()
        .enumerate()
        .find_map(|(at, name)| fits(name).then_some((at, name.len())))
        .or_else(|| names.iter().enumerate().find_map(|(at, name)| fits(short(name)).then_some((at, 3))))?;
    Some((at, text.get(used..)?))
}

impl Parts {
    fn read<'t>(&mut self, code: char, text: &'t str) -> Option<&'t str> {
        let small = |most: usize| digits(text, most).and_then(|(number, rest)| Some((i8::try_from(number).ok()?, rest)));
        let rest;
        match code {
            'Y' => {
                let (year, after) = digits(text, 4)?;
                (text.len() - after.len() == 4).then_some(())?;
                (self.year, rest) = (i16::try_from(year).ok()?, after);
            }
            'y' => {
                let (year, after) = digits(text, 2)?;
                (self.year, rest) = (i16::try_from(if year < 69 { 2000 + year } else { 1900 + year }).ok()?, after);
            }
            'm' => (self.month, rest) = small(2)?,
            'd' | 'e' => (self.day, rest) = small(2)?,
            'H' | 'I' => (self.hour, rest) = small(2)?,
            'M' => (self.minute, rest) = small(2)?,
            'S' => (self.second, rest) = small(2)?,
            'f' => {
                let (number, after) = digits(text, 6)?;
                let used = u32::try_from(text.len() - after.len()).ok()?;
                (self.micros, rest) = (i32::try_from(number * 10_i64.pow(6 - used)).ok()?, after);
            }
            'p' => {
                let (at, after) = named(text, &["AM ", "PM "]).or_else(|| {
                    let word = text.get(..2)?;
                    let at = ["AM", "PM"].iter().position(|name| name.eq_ignore_ascii_case(word))?;
                    Some((at, text.get(2..)?))
                })?;
                (self.afternoon, rest) = (Some(at == 1), after);
            }
            'B' | 'b' | 'h' => {
                let (at, after) = named(text, &MONTHS)?;
                (self.month, rest) = (i8::try_from(at + 1).ok()?, after);
            }
            'A' | 'a' => rest = named(text, &DAYS)?.1,
            'z' => {
                let (offset, after) = zone(text)?;
                (self.offset, rest) = (Some(offset), after);
            }
            'Z' => {
                let name = ["UTC", "GMT"].into_iter().find(|name| text.starts_with(name))?;
                (self.offset, rest) = (Some(0), text.get(name.len()..)?);
            }
            's' => {
                let (at, after) = digits(text, 18)?;
                (self.at, rest) = (Some(at), after);
            }
            '%' => rest = text.strip_prefix('%')?,
            _ => return None,
        }
        Some(rest)
    }

    fn moment(&self) -> Option<Moment> {
        if let Some(at) = self.at {
            return Moment::from_micros(at.checked_mul(1_000_000)?, Some(0));
        }
        let hour = match self.afternoon {
            Some(afternoon) => self.hour % 12 + if afternoon { 12 } else { 0 },
            None => self.hour,
        };
        let civil = DateTime::new(self.year, self.month, self.day, hour, self.minute, self.second, self.micros * 1_000).ok()?;
        Some(Moment { civil, offset_secs: self.offset })
    }
}

/// `Z`, `+01:00`, `+0100`, `+01`.
fn zone(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix(['Z', 'z']) {
        return Some((0, rest));
    }
    let sign = match text.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, rest) = digits(text.get(1..)?, 2)?;
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (minutes, rest) = digits(rest, 2).unwrap_or((0, rest));
    let offset = i32::try_from(hours * 3_600 + minutes * 60).ok()?;
    (offset < 86_400).then_some((sign * offset, rest))
}

/// Reads what Airbyte's own parser reads: ISO 8601 in its usual spellings, and seconds of Unix time. Without an offset it is UTC.
pub(crate) fn parse_any(text: &str) -> Option<Moment> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        return Moment::from_micros(number.checked_mul(1_000_000)?, Some(0));
    }
    if let Ok(at) = jiff::fmt::rfc2822::parse(text) {
        let offset = at.offset().seconds();
        return Some(Moment { civil: at.datetime(), offset_secs: Some(offset) });
    }
    let mut parts = Parts { month: 1, day: 1, ..Parts::default() };
    let mut rest = parts.read('Y', text)?;
    for (mark, code) in [(['-', '/'], 'm'), (['-', '/'], 'd')] {
        match rest.strip_prefix(mark) {
            Some(after) => rest = parts.read(code, after)?,
            None if rest.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) => rest = parts.read(code, rest)?,
            None => {}
        }
    }
    if let Some(after) = rest.strip_prefix(['T', 't', ' ']) {
        rest = parts.read('H', after.trim_start())?;
        for code in ['M', 'S'] {
            if let Some(after) = rest.strip_prefix(':') {
                rest = parts.read(code, after)?;
            }
        }
        if let Some(after) = rest.strip_prefix(['.', ',']) {
            // Beyond microseconds nothing is kept.
            let used = after.bytes().take_while(u8::is_ascii_digit).count();
            parts.read('f', after.get(..used.min(6))?)?;
            rest = after.get(used..)?;
        }
        rest = rest.trim_start();
        if let Some((offset, after)) = zone(rest) {
            (parts.offset, rest) = (Some(offset), after);
        }
    }
    let rest = rest.strip_prefix("UTC").unwrap_or(rest);
    rest.is_empty().then_some(())?;
    parts.offset = parts.offset.or(Some(0));
    parts.moment()
}

/// An ISO 8601 duration.
pub(crate) fn duration(text: &str) -> Option<Span> {
    text.trim().parse().ok()
}

/// A duration that has a fixed length, in microseconds.
pub(crate) fn fixed_micros(span: &Span) -> Option<i64> {
    if span.get_years() != 0 || span.get_months() != 0 {
        return None;
    }
    let days = i64::from(span.get_weeks()) * 7 + i64::from(span.get_days());
    let seconds = i64::from(span.get_hours()) * 3_600 + span.get_minutes() * 60 + span.get_seconds();
    let micros = span.get_milliseconds() * 1_000 + span.get_microseconds() + span.get_nanoseconds() / 1_000;
    days.checked_mul(DAY_US)?.checked_add(seconds.checked_mul(1_000_000)?)?.checked_add(micros)
}
