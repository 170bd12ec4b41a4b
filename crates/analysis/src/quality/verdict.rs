//! Which source is best, and how sure that is.
//!
//! The yardstick is the share of the records received whose person was new, came with a valid address and became a customer. A
//! list full of known people, typing errors or silence cannot win by volume.

use std::fmt;

use super::{
    Z_95,
    interval::{Interval, wilson},
    scorecard::{Settings, SourceCounts},
};

/// One source on the yardstick.
#[derive(Debug, Clone, PartialEq)]
pub struct Contender {
    /// The source.
    pub source: String,
    /// Its new customers with a valid address.
    pub customers: u64,
    /// The records it sent.
    pub records: u64,
    /// The one by the other.
    pub rate: f64,
    /// Wilson's 95 % interval of it.
    pub interval: Interval,
    /// Whether its leads are too young for a judgement.
    pub is_immature: bool,
}

/// How sure a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// The interval of the best lies above those of all others.
    Clear,
    /// It does, but some source is too young to be judged.
    Provisional,
    /// Another source could be as good or better.
    Overlapping,
    /// There is nothing to compare it with.
    OnlyOne,
    /// No source has a new customer with a valid address.
    NoEvidence,
}

/// The best source by the lower end of its interval. Its text form is one sentence for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The best, if any source has something to show.
    pub best: Option<Contender>,
    /// Those that could be as good or better, the most promising first.
    pub rivals: Vec<Contender>,
    /// The sources whose leads are too young, by name; the best may be among them.
    pub immature: Vec<String>,
    /// How sure it is.
    pub certainty: Certainty,
}

/// Compares the sources. Their order does not matter; sources without records take no part.
#[must_use]
pub fn compare(sources: &[SourceCounts], settings: Settings) -> Verdict {
    let mut contenders: Vec<Contender> = sources.iter().filter_map(|counts| contender(counts, settings)).collect();
    contenders.sort_by(|a, b| b.interval.low.total_cmp(&a.interval.low).then_with(|| a.source.cmp(&b.source)));
    let mut immature: Vec<String> =
        contenders.iter().filter(|contender| contender.is_immature).map(|contender| contender.source.clone()).collect();
    immature.sort();

    let mut ranked = contenders.into_iter();
    let Some(best) = ranked.next().filter(|best| best.customers > 0) else {
        return Verdict { best: None, rivals: Vec::new(), immature, certainty: Certainty::NoEvidence };
    };
    let is_alone = ranked.len() == 0;
    let mut rivals: Vec<Contender> = ranked.filter(|other| other.interval.high >= best.interval.low).collect();
    rivals.sort_by(|a, b| b.interval.high.total_cmp(&a.interval.high).then_with(|| a.source.cmp(&b.source)));
    let certainty = if is_alone {
        Certainty::OnlyOne
    } else if !rivals.is_empty() {
        Certainty::Overlapping
    } else if immature.is_empty() {
        Certainty::Clear
    } else {
        Certainty::Provisional
    };
    Verdict { best: Some(best), rivals, immature, certainty }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { best, rivals, immature, certainty } = self;
        let Some(Contender { source, customers, records, rate, interval, is_immature: _ }) = best else {
            return f.write_str("no source has brought a new customer with a valid address yet");
        };
        let [rate, low, high] = [*rate, interval.low, interval.high].map(|share| share * 100.0);
        write!(
            f,
            "{source} is best: {customers} of {records} records became new customers with a valid address \
             ({rate:.1} %, 95 % interval {low:.1} to {high:.1} %)"
        )?;
        match certainty {
            Certainty::Clear => f.write_str("; no other source reaches that range"),
            Certainty::Provisional => f.write_str("; no other source reaches that range so far"),
            Certainty::Overlapping => {
                f.write_str("; not certain, since the range overlaps with ")?;
                list(f, rivals.iter().map(|rival| rival.source.as_str()))
            }
            Certainty::OnlyOne => f.write_str("; there is no other source to compare with"),
            Certainty::NoEvidence => Ok(()),
        }?;
        if !immature.is_empty() {
            f.write_str("; still too young to judge: ")?;
            list(f, immature.iter().map(String::as_str))?;
        }
        Ok(())
    }
}

fn contender(counts: &SourceCounts, settings: Settings) -> Option<Contender> {
    let (customers, records) = (counts.net_new_valid_customers, counts.received);
    let interval = wilson(customers, records, Z_95)?;
    Some(Contender {
        source: counts.source.clone(),
        customers,
        records,
        rate: customers as f64 / records as f64,
        interval,
        is_immature: counts.is_immature(settings),
    })
}

fn list<'a>(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'a str>) -> fmt::Result {
    for (at, name) in names.enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        f.write_str(name)?;
    }
    Ok(())
}
