//! Members of the remote's own records that came or went.
//!
//! A connector that is data, or a vendor's client, declares which fields it reads; what else the vendor's records hold, and what they
//! hold no more, only the records show. Many members are optional, so one record proves nothing: a member is new when most records have
//! it that come after many had not, and gone when none of many records has it that nearly all had before. The first run learns.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// How many records without a member show that one which comes is new, and how many without one that it is gone.
const MANY: u32 = 10;
/// How many records must have a new member.
const ENOUGH: u32 = 3;
/// After so many records a member that most of them lack is optional, and nothing to tell.
const SETTLED: u32 = 50;
/// How many records are counted: older ones weigh less.
const MOST_COUNTED: u32 = 1000;
/// The share of records that had a member which counts as one of every record: nineteen of twenty.
const NEARLY_ALL: (u32, u32) = (19, 20);
/// The most members that are remembered, and the most of one object: beyond, the names are ids.
const MOST_MEMBERS: usize = 1000;
const MOST_OF_ONE: usize = 100;

/// How many of the records had a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    had: u32,
    of: u32,
}

impl Share {
    fn add(&mut self, had: u32, of: u32) {
        (self.had, self.of) = (self.had + had, self.of + of);
        if self.of > MOST_COUNTED {
            (self.had, self.of) = (self.had / 2, self.of / 2);
        }
    }

    fn is_nearly_all(self) -> bool {
        self.of >= MANY && u64::from(self.had) * u64::from(NEARLY_ALL.1) >= u64::from(self.of) * u64::from(NEARLY_ALL.0)
    }
}

/// What is known of the members of a stream's records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Members {
    /// How many records were looked at.
    #[serde(default)]
    records: u32,
    /// Those that are known.
    #[serde(default)]
    known: BTreeMap<String, Share>,
    /// Those that came since.
    #[serde(default)]
    came: BTreeMap<String, Share>,
    /// In how many records running none of these was, of those that nearly all had.
    #[serde(default)]
    missing: BTreeMap<String, u32>,
}

/// What changed about the members.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) new: Vec<String>,
    pub(super) gone: Vec<String>,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Takes the records of a page. Nothing is told while `learning`.
    pub(super) fn take<'r>(&mut self, records: impl Iterator<Item = &'r str>, learning: bool) -> Change {
        let (mut counts, mut of) = (BTreeMap::<String, u32>::new(), 0_u32);
        for names in records.filter_map(names) {
            of += 1;
            names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
        }
        let mut change = Change::default();
        if of == 0 {
            return change;
        }
        let learning = learning || self.records < MANY;
        for (name, share) in &mut self.known {
            let had = counts.remove(name).unwrap_or_default();
            if had == 0 && share.is_nearly_all() && !learning {
                let missing = self.missing.entry(name.clone()).or_default();
                *missing = missing.saturating_add(of);
                if *missing >= MANY {
                    change.gone.push(name.clone());
                }
                continue;
            }
            self.missing.remove(name);
            share.add(had, of);
        }
        for (name, had) in counts {
            if self.known.len() + self.came.len() >= MOST_MEMBERS && !self.came.contains_key(&name) {
                continue;
            }
            if learning {
                self.known.insert(name, Share { had, of: of + self.records });
            } else {
                self.came.entry(name).or_default().had += had;
            }
        }
        for (name, share) in &mut self.came {
            share.of += of;
            if share.had >= ENOUGH && share.had * 2 >= share.of {
                change.new.push(name.clone());
            }
        }
        for name in &change.gone {
            self.known.remove(name);
            self.missing.remove(name);
        }
        let settled: BTreeSet<String> =
            self.came.iter().filter(|(_, share)| share.of >= SETTLED).map(|(name, _)| name.clone()).collect();
        for name in change.new.iter().chain(&settled) {
            if let Some(share) = self.came.remove(name) {
                self.known.insert(name.clone(), share);
            }
        }
        self.records = (self.records + of).min(MOST_COUNTED);
        change
    }
}

/// The names of a record's members, those of an object inside under dotted names; none where it is no object.
fn names(record: &str) -> Option<Vec<String>> {
    let Inside(Some(outer)) = serde_json::from_str::<Inside<Inside<IgnoredAny>>>(record).ok()? else { return None };
    let mut all = Vec::with_capacity(outer.len());
    for (name, inner) in outer {
        match inner.0 {
            Some(inner) if !inner.is_empty() && inner.len() <= MOST_OF_ONE => {
                all.extend(inner.into_iter().map(|(below, _)| format!("{name}.{below}")));
            }
            _ => all.push(name),
        }
    }
    Some(all)
}

/// The members of a value, where it is an object.
struct Inside<T>(Option<Vec<(String, T)>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Inside<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(std::marker::PhantomData<T>);
        macro_rules! nothing {
            ($($name:ident: $type:ty),*) => {$(
                fn $name<E>(self, _: $type) -> Result<Self::Value, E> {
                    Ok(Inside(None))
                }
            )*};
        }
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = Inside<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            nothing! { visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Inside(None))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Inside(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Inside(Some(members)))
            }
        }
        deserializer.deserialize_any(Object(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = r#"{"id":1,"name":"Ada","p":{"city":"Ely"},"tags":[{"x":1}]}"#;

    fn run(members: &mut Members, page: &[&str], learning: bool) -> Change {
        members.take(page.iter().copied(), learning)
    }

    fn many(record: &str) -> Vec<&str> {
        vec![record; 12]
    }

    fn change(new: &[&str], gone: &[&str]) -> Change {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Change { new: own(new), gone: own(gone) }
    }

    #[test]
    fn names_are_those_of_members_and_of_objects_inside() {
        assert_eq!(names(ADA).unwrap(), ["id", "name", "p.city", "tags"]);
        assert_eq!(names(r#"{"a":{},"b":null,"c":{"d":{"e":1}}}"#).unwrap(), ["a", "b", "c.d"]);
        assert_eq!((names("[1]"), names("1"), names("{")), (None, None, None));
    }

    #[test]
    fn what_most_records_have_that_none_had_is_new_and_told_once() {
        let mut members = Members::default();
        assert_eq!(run(&mut members, &many(ADA), true), Change::default(), "the first run learns");
        let with = r#"{"id":2,"name":"Bo","p":{"city":"Ely","zip":"1"},"tags":[],"score":3}"#;
        assert_eq!(run(&mut members, &[with, with], false), Change::default(), "two are not enough");
        assert_eq!(run(&mut members, &[with], false), change(&["p.zip", "score"], &[]), "in a later run the third is");
        assert_eq!(run(&mut members, &many(with), false), Change::default());
    }

    #[test]
    fn what_nearly_all_records_had_and_none_has_is_gone_and_may_come_back() {
        let mut members = Members::default();
        run(&mut members, &many(ADA), true);
        let without = r#"{"id":2,"p":{"city":"Ely"},"tags":[]}"#;
        assert_eq!(run(&mut members, &[without; 9], false), Change::default());
        assert_eq!(run(&mut members, &[without], false), change(&[], &["name"]));
        assert_eq!(run(&mut members, &many(without), false), Change::default());
        assert_eq!(run(&mut members, &many(ADA), false), change(&["name"], &[]));
    }

    #[test]
    fn optional_members_are_nothing_to_tell() {
        let mut members = Members::default();
        let (with, without) = (r#"{"id":1,"fax":"2"}"#, r#"{"id":1}"#);
        run(&mut members, &[[with; 6], [without; 6]].concat(), true);
        for _ in 0..20 {
            assert_eq!(run(&mut members, &many(without), false), Change::default(), "half of them had it");
        }
        let rare = r#"{"id":1,"note":"x"}"#;
        for _ in 0..20 {
            assert_eq!(run(&mut members, &[rare, without, without, without], false), Change::default(), "few have it");
        }
    }

    #[test]
    fn one_record_that_has_it_begins_the_count_anew() {
        let mut members = Members::default();
        let (with, without) = (r#"{"id":1,"name":"A"}"#, r#"{"id":1}"#);
        run(&mut members, &[with; 60], true);
        for _ in 0..4 {
            assert_eq!(run(&mut members, &[without; 9], false), Change::default());
            assert_eq!(run(&mut members, &[with; 60], false), Change::default());
        }
    }

    #[test]
    fn ids_as_names_do_not_fill_memory() {
        let mut members = Members::default();
        for page in 0..200 {
            let records: Vec<String> = (0..20).map(|n| format!("{{\"id\":1,\"u{}\":1}}", page * 20 + n)).collect();
            assert_eq!(members.take(records.iter().map(String::as_str), page == 0), Change::default());
        }
        assert!(members.known.len() + members.came.len() <= MOST_MEMBERS);
    }
}
