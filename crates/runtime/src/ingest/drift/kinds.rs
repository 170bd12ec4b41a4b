//! What kind of value a column of text holds.

use serde::{Deserialize, Serialize};

/// How many values tell a kind, and how many of another one that it changed: one dirty value is no change.
const ENOUGH: u32 = 3;
/// The longest whole number that is taken for one: what is longer is an id.
const LONGEST_NUMBER: usize = 18;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A day, year first.
    Day,
    /// A day with a time, year first.
    Time,
    /// A day as people write it, `31/01/2026`.
    WrittenDay,
    /// Anything.
    Text,
}

impl Kind {
    /// What a trimmed text that is not empty looks like.
    pub(super) fn of(text: &str) -> Self {
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Self::Boolean;
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        // `0012` is a postcode, no number.
        let whole = |part: &str| digits(part) && part.len() <= LONGEST_NUMBER && (part == "0" || !part.starts_with('0'));
        if whole(unsigned) {
            return Self::Integer;
        }
        if unsigned.split_once('.').is_some_and(|(before, after)| whole(before) && digits(after)) {
            return Self::Number;
        }
        if let Some((day, rest)) = text.split_at_checked(10)
            && is_day(day)
        {
            return match rest.bytes().next() {
                None => Self::Day,
                Some(b'T' | b't' | b' ') => Self::Time,
                Some(_) => Self::Text,
            };
        }
        let mut parts = text.split(['/', '.', '-']);
        let short = |part: Option<&str>| part.is_some_and(|part| digits(part) && part.len() <= 2);
        let rest = |part: &str| part.get(..4).or_else(|| part.get(..2)).is_some_and(digits);
        if short(parts.next()) && short(parts.next()) && parts.next().is_some_and(rest) {
            return Self::WrittenDay;
        }
        Self::Text
    }

    /// The kind that holds both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Integer, Self::Number) | (Self::Number, Self::Integer) => Self::Number,
            (Self::Day, Self::Time) | (Self::Time, Self::Day) => Self::Time,
            _ => Self::Text,
        }
    }

    /// Whether a value of this kind in a column of that one is nothing to tell.
    fn fits(self, column: Self) -> bool {
        column == Self::Text || column.with(self) != Self::Text
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Boolean => "true and false",
            Self::Integer => "whole numbers",
            Self::Number => "numbers",
            Self::Day => "days",
            Self::Time => "times",
            Self::WrittenDay => "days written otherwise",
            Self::Text => "text",
        }
    }
}

fn is_day(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() })
}

/// What a column held in the runs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Learned {
    kind: Kind,
    /// How many values said so, up to as many as are enough.
    seen: u32,
    /// How many values in a row said otherwise.
    #[serde(default)]
    against: u32,
}

impl Learned {
    fn is_known(self) -> bool {
        self.seen >= ENOUGH
    }
}

/// What a column holds in this run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Observed {
    /// What it held while its kind was not known.
    first: Option<Learned>,
    /// What it holds instead of what was known, and how many values in a row.
    other: Option<(Kind, u32)>,
    /// Whether a value was as it was known.
    fitted: bool,
    /// Whether the change was told.
    told: bool,
}

impl Observed {
    /// Takes values of a page; what the column held and holds now, where that is another kind.
    pub(super) fn take(&mut self, known: Option<Learned>, values: impl Iterator<Item = Kind>) -> Option<(Kind, Kind)> {
        let Some(known) = known.filter(|known| known.is_known()) else {
            for value in values {
                let before = self.first.or(known);
                let (kind, seen) = before.map_or((value, 0), |before| (before.kind.with(value), before.seen));
                self.first = Some(Learned { kind, seen: (seen + 1).min(ENOUGH), against: 0 });
            }
            return None;
        };
        let (mut fit, mut misfit, mut to) = (0_u32, 0_u32, None::<Kind>);
        for value in values {
            if value.fits(known.kind) {
                fit += 1;
                // A column of whole numbers that gets fractions is one of numbers.
                let wider = self.first.map_or(known.kind, |first| first.kind).with(value);
                self.first = Some(Learned { kind: wider, ..known });
            } else {
                misfit += 1;
                to = Some(to.map_or(value, |to| to.with(value)));
            }
        }
        match to {
            Some(to) if misfit > fit => {
                let (kind, count) = self.other.unwrap_or((to, known.against));
                self.other = Some((kind.with(to), count.saturating_add(misfit)));
            }
            _ if fit > 0 => (self.other, self.fitted) = (None, true),
            _ => {}
        }
        let (to, count) = self.other?;
        if count < ENOUGH || self.told {
            return None;
        }
        self.told = true;
        Some((known.kind, to))
    }

    /// What is to be remembered of it after the run.
    pub(super) fn learned(&self, known: Option<Learned>) -> Option<Learned> {
        let Some(known) = known.filter(|known| known.is_known()) else { return self.first };
        match self.other {
            Some((kind, count)) if count >= ENOUGH => Some(Learned { kind, seen: ENOUGH, against: 0 }),
            Some((_, count)) => Some(Learned { against: count, ..known }),
            None if self.fitted => Some(Learned { against: 0, ..self.first.unwrap_or(known) }),
            None => Some(known),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(values: &[&str]) -> Vec<Kind> {
        values.iter().map(|value| Kind::of(value)).collect()
    }

    /// What is told of a run with these pages, and what is remembered after it.
    fn run(known: Option<Learned>, pages: &[&[&str]]) -> (Option<(Kind, Kind)>, Option<Learned>) {
        let mut observed = Observed::default();
        let mut told = None;
        for page in pages {
            told = told.or(observed.take(known, kinds(page).into_iter()));
        }
        (told, observed.learned(known))
    }

    #[test]
    fn values_are_what_they_look_like() {
        for (text, kind) in [
            ("true", Kind::Boolean),
            ("-17", Kind::Integer),
            ("0", Kind::Integer),
            ("12.50", Kind::Number),
            ("0012", Kind::Text),
            ("12345678901234567890", Kind::Text),
            ("2026-01-31", Kind::Day),
            ("2026-01-31T08:00:00Z", Kind::Time),
            ("2026-01-31 08:00", Kind::Time),
            ("31/01/2026", Kind::WrittenDay),
            ("31.1.26", Kind::WrittenDay),
            ("+33 1 99 00", Kind::Text),
            ("é", Kind::Text),
            ("2026-01-31é", Kind::Text),
        ] {
            assert_eq!(Kind::of(text), kind, "{text}");
        }
    }

    #[test]
    fn a_kind_is_learned_in_a_run_and_its_change_is_told_in_the_next_and_once() {
        let (told, known) = run(None, &[&["1", "2"], &["3"]]);
        assert_eq!((told, known), (None, Some(Learned { kind: Kind::Integer, seen: 3, against: 0 })));
        let (told, after) = run(known, &[&["a", "b", "c"]]);
        assert_eq!(told, Some((Kind::Integer, Kind::Text)));
        assert_eq!(run(after, &[&["d", "e", "f"]]).0, None, "what was accepted is known");
        let (told, after) = run(known, &[&["1768900501", "x", "2"]]);
        assert_eq!((told, after), (None, known), "one dirty value is no change, and teaches nothing");
    }

    #[test]
    fn a_change_is_told_when_it_comes_in_small_runs() {
        let known = run(None, &[&["2026-01-31", "2026-02-01", "2026-02-02"]]).1;
        let (told, known) = run(known, &[&["1768900501"]]);
        assert_eq!(told, None);
        let (told, known) = run(known, &[&["1768900502"]]);
        assert_eq!(told, None);
        assert_eq!(run(known, &[&["1768900503"]]).0, Some((Kind::Day, Kind::Integer)));
    }

    #[test]
    fn a_wider_kind_and_free_text_are_nothing_to_tell() {
        let known = run(None, &[&["1", "2", "3"]]).1;
        let (told, known) = run(known, &[&["1.5", "2.5", "3.5"]]);
        assert_eq!((told, known.map(|known| known.kind)), (None, Some(Kind::Number)));
        let text = run(None, &[&["1", "2", "Alder"]]).1;
        assert_eq!(run(text, &[&["1", "2", "3", "4"]]).0, None);
        assert_eq!(run(None, &[&[]]), (None, None));
    }
}
