//! Amounts of money: exact, with six decimals, and never without a currency.

/// Decimals that the lake keeps.
pub const SCALE: u32 = 6;
/// Units of the last decimal in one.
pub const UNIT: i128 = 1_000_000;
/// The largest amount of `decimal(18,6)`.
const MAX: i128 = 999_999_999_999_999_999;

/// How a source writes fractions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberStyle {
    /// `1234.50`
    #[default]
    Point,
    /// `1234,50`, with points or spaces between thousands.
    Comma,
    /// `1,234.50`: points for fractions, commas or spaces between thousands.
    PointGrouped,
}

impl NumberStyle {
    /// The style a mapping's `format` names: `point`, `comma` or `point_grouped`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "point" => Some(Self::Point),
            "comma" => Some(Self::Comma),
            "point_grouped" => Some(Self::PointGrouped),
            _ => None,
        }
    }
}

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAmount {
    /// Points and commas can be read in more than one way.
    #[error(
        "the decimal sign cannot be told: write 1234.50, or declare `format: comma` or `format: point_grouped` for the field"
    )]
    Ambiguous,
    /// It is no number.
    #[error("not an amount: write a plain number such as 1234.50")]
    Unreadable,
    /// It has more digits than the lake keeps.
    #[error("has more than 12 digits before or 6 after the decimal sign")]
    OutOfRange,
}

/// The amount a text names, in millionths.
///
/// # Errors
/// When it names none, or more than one, or does not fit `decimal(18,6)`.
pub fn parse(raw: &str, style: NumberStyle) -> Result<i128, NotAnAmount> {
    let text = raw.trim();
    let plain: String = match style {
        NumberStyle::Point if text.contains(',') => return Err(NotAnAmount::Ambiguous),
        NumberStyle::Point => text.to_owned(),
        NumberStyle::Comma => ungrouped(text, ',', '.')?,
        NumberStyle::PointGrouped => ungrouped(text, '.', ',')?,
    };
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return Err(NotAnAmount::Unreadable);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > SCALE as usize || whole.trim_start_matches('0').len() > 12 {
        return Err(NotAnAmount::OutOfRange);
    }
    let number = |part: &str| part.bytes().fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let missing = SCALE - u32::try_from(fraction.len()).unwrap_or(SCALE);
    let amount = number(whole) * UNIT + number(fraction) * 10_i128.pow(missing);
    if amount > MAX {
        return Err(NotAnAmount::OutOfRange);
    }
    Ok(if negative { -amount } else { amount })
}

/// The number without what stands between its thousands, and with a point for its fraction. A separator that does not stand where
/// thousands do is no such thing: `12.34` is not 1234, whatever style was declared.
fn ungrouped(text: &str, decimal: char, thousands: char) -> Result<String, NotAnAmount> {
    let (whole, fraction) = text.split_once(decimal).map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let separates = |c: char| c == thousands || matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\'');
    let mut groups = whole.split(separates).skip(1).peekable();
    while let Some(group) = groups.next() {
        // In India the groups before the last one have two digits.
        if group.len() != 3 && (groups.peek().is_none() || group.len() != 2) {
            return Err(NotAnAmount::Ambiguous);
        }
    }
    let whole = whole.replace(separates, "");
    Ok(fraction.map_or_else(|| whole.clone(), |fraction| format!("{whole}.{fraction}")))
}

/// An amount in millionths as text, with two decimals or as many as it needs.
#[must_use]
pub fn format(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let absolute = amount.unsigned_abs();
    let unit = UNIT.unsigned_abs();
    let fraction = format!("{:06}", absolute % unit);
    let trimmed = fraction.trim_end_matches('0');
    let shown = if trimmed.len() < 2 { fraction.get(..2).unwrap_or("00") } else { trimmed };
    format!("{sign}{}.{shown}", absolute / unit)
}

/// The ISO 4217 code in a text: three letters, in capitals.
#[must_use]
pub fn currency(raw: &str) -> Option<String> {
    let text = raw.trim();
    match text {
        "€" => return Some("EUR".to_owned()),
        "£" => return Some("GBP".to_owned()),
        _ => {}
    }
    (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts() {
        for (raw, style, expected) in [
            ("4200.00", NumberStyle::Point, Ok(4_200_000_000)),
            ("-5", NumberStyle::Point, Ok(-5_000_000)),
            ("0.10", NumberStyle::Point, Ok(100_000)),
            ("1,234.50", NumberStyle::Point, Err(NotAnAmount::Ambiguous)),
            ("1,234.50", NumberStyle::PointGrouped, Ok(1_234_500_000)),
            ("1 234,5", NumberStyle::Comma, Ok(1_234_500_000)),
            ("1.234.567,89", NumberStyle::Comma, Ok(1_234_567_890_000)),
            ("-1'234'567", NumberStyle::PointGrouped, Ok(-1_234_567_000_000)),
            ("12,34,567.5", NumberStyle::PointGrouped, Ok(1_234_567_500_000)),
            ("12.34", NumberStyle::Comma, Err(NotAnAmount::Ambiguous)),
            ("1,5", NumberStyle::PointGrouped, Err(NotAnAmount::Ambiguous)),
            ("1,234,5", NumberStyle::PointGrouped, Err(NotAnAmount::Ambiguous)),
            ("1,2,3", NumberStyle::Comma, Err(NotAnAmount::Unreadable)),
            ("12 EUR", NumberStyle::Point, Err(NotAnAmount::Unreadable)),
            ("", NumberStyle::Point, Err(NotAnAmount::Unreadable)),
            ("1234567890123", NumberStyle::Point, Err(NotAnAmount::OutOfRange)),
            ("0.1234567", NumberStyle::Point, Err(NotAnAmount::OutOfRange)),
        ] {
            assert_eq!(parse(raw, style), expected, "{raw:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(amount in -MAX..=MAX) {
            prop_assert_eq!(parse(&format(amount), NumberStyle::Point), Ok(amount));
        }
    }
}
