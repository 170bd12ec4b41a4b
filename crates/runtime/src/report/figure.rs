//! Figures as people read them.

use std::fmt;

use super::{Metric, MoneyText};

impl Metric {
    /// The figure alone: `12.4 %`, `420`, `3.20 EUR`; `–` where there is none.
    #[must_use]
    pub fn figure(&self) -> String {
        let Some(value) = self.value else { return "–".to_owned() };
        match self.unit.as_deref() {
            Some("share") => format!("{} %", self.number(value)),
            Some("records" | "persons" | "ratio") | None => self.number(value),
            Some(currency) => format!("{} {currency}", self.number(value)),
        }
    }

    /// Its 95 % interval, `[9.1–16.6]`, in the figure's unit.
    #[must_use]
    pub fn interval(&self) -> Option<String> {
        let (low, high) = (self.low.map(|low| self.number(low)), self.high.map(|high| self.number(high)));
        match (low, high) {
            (Some(low), Some(high)) => Some(format!("[{low}–{high}]")),
            (Some(low), None) => Some(format!("[{low} or more]")),
            (None, Some(high)) => Some(format!("[at most {high}]")),
            (None, None) => None,
        }
    }

    /// Whether it can be relied on, in words; empty where it can.
    #[must_use]
    pub fn caveat(&self) -> &str {
        match self.state.as_str() {
            "ok" => "",
            "immature" => "immature: the leads are too young to judge",
            "not_rankable" => "not rankable: cannot be told from the average",
            "unchecked" => "not measured",
            other => other,
        }
    }

    fn number(&self, value: f64) -> String {
        match self.unit.as_deref() {
            Some("share") => format!("{:.1}", value * 100.0),
            Some("records" | "persons" | "days") => format!("{value:.0}"),
            Some(_) | None => format!("{value:.2}"),
        }
    }
}

/// The figure with its interval and the cases it rests on: `12.4 % [9.1–16.6] n=420`.
impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.figure())?;
        if let Some(interval) = self.interval() {
            write!(f, " {interval}")?;
        }
        if matches!(self.unit.as_deref(), Some("records" | "persons")) || self.n == 0 {
            Ok(())
        } else {
            write!(f, " n={}", self.n)
        }
    }
}

/// Amounts for people: `1200.00 EUR + 80.00 USD`; `–` where there is none.
#[must_use]
pub fn money_text(amounts: &MoneyText) -> String {
    let parts: Vec<String> = amounts.iter().map(|(currency, amount)| format!("{amount} {currency}")).collect();
    if parts.is_empty() { "–".to_owned() } else { parts.join(" + ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(value: Option<f64>, interval: (Option<f64>, Option<f64>), n: i64, unit: &str) -> Metric {
        let (low, high) = interval;
        Metric { name: "m".to_owned(), value, n, numerator: None, low, high, state: "ok".to_owned(), unit: Some(unit.to_owned()) }
    }

    #[test]
    fn figures_read_as_a_person_would_write_them() {
        for (metric, expected) in [
            (metric(Some(0.1238), (Some(0.091), Some(0.166)), 420, "share"), "12.4 % [9.1–16.6] n=420"),
            (metric(Some(0.0), (Some(0.0), Some(0.0094)), 409, "share"), "0.0 % [0.0–0.9] n=409"),
            (metric(Some(1200.0), (None, None), 1300, "records"), "1200"),
            (metric(Some(4.2), (None, None), 1000, "EUR"), "4.20 EUR n=1000"),
            (metric(None, (Some(80.0), None), 0, "EUR"), "– [80.00 or more]"),
            (metric(Some(2.5), (None, None), 7, "ratio"), "2.50 n=7"),
            (metric(None, (None, None), 0, "share"), "–"),
        ] {
            assert_eq!(metric.to_string(), expected);
        }
    }

    #[test]
    fn amounts_of_two_currencies_stand_side_by_side() {
        let amounts = [("EUR", "12.00"), ("USD", "3.50")].map(|(currency, amount)| (currency.to_owned(), amount.to_owned()));
        assert_eq!(money_text(&amounts.into()), "12.00 EUR + 3.50 USD");
        assert_eq!(money_text(&MoneyText::new()), "–");
    }
}
