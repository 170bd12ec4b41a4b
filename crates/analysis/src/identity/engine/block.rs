//! Which pairs are worth comparing: records that share a key.
//!
//! A key is a hash of a few parts of a record. Each record meets those that follow it in its blocks, so a pair is compared once,
//! no list of pairs is ever made, and memory is that of the keys. A block of a value that too many share is left out; the same
//! people meet in narrower blocks. In a block some records are *weak* (an initial for a name, a name read off a mailbox, a
//! rare spelling): two that are not weak would have met elsewhere, and do not meet there.

#![expect(clippy::indexing_slicing, reason = "places are counted from the same records")]
#![expect(clippy::cast_possible_truncation, reason = "records are fewer than 2^31; keys of a record fewer than 256")]

use xxhash_rust::xxh3::xxh3_64;

use super::form::spell_into;
use super::pool::{Pool, Texts};
use super::rates::Counts;
use super::roster::{PLAIN, Record, Roster};

/// What a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rule {
    /// The email address.
    Email,
    /// A phone number.
    Phone,
    /// Both names, in either order.
    Names,
    /// Both names as one word, or initial and surname: of a name or of a mailbox.
    Letters,
    /// The organisation and the beginning of a name.
    OrgName,
    /// A small organisation.
    Org,
    /// The city and a surname.
    CityName,
    /// A given name and a piece of a rare surname.
    Slip,
    /// A plain attribute: date of birth, personal number, or postal parts with a name.
    Attribute,
}

impl Rule {
    const ALL: [Self; 9] = [
        Self::Email,
        Self::Phone,
        Self::Names,
        Self::Letters,
        Self::OrgName,
        Self::Org,
        Self::CityName,
        Self::Slip,
        Self::Attribute,
    ];

    /// The most pairs that a block of this rule may bring.
    pub(super) fn most_pairs(self) -> u64 {
        match self {
            Self::Email | Self::Phone => 20_000,
            Self::Names => 3_000,
            Self::Letters => 2_200,
            Self::OrgName => 2_000,
            Self::Org => 130,
            Self::CityName => 600,
            Self::Slip => 1_000,
            Self::Attribute => 2_000,
        }
    }

    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Names => "names",
            Self::Letters => "letters",
            Self::OrgName => "organisation+name",
            Self::Org => "organisation",
            Self::CityName => "city+surname",
            Self::Slip => "given name+piece of surname",
            Self::Attribute => "attribute",
        }
    }
}

/// A block that was left out, or one of the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// What its key is made of.
    pub rule: Rule,
    /// How many records share it.
    pub records: usize,
    /// How many pairs it would bring.
    pub pairs: u64,
    /// Whether it was too large to use.
    pub is_left_out: bool,
}

/// A record's place in a block. The key's low four bits are the rule; the record's lowest bit says whether it is weak.
pub(super) type Entry = (u64, u32);

/// The blocks of a roster.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    entries: Vec<Entry>,
    /// Where each record's places begin in `places`.
    starts: Vec<u32>,
    places: Vec<u32>,
    /// The largest blocks, used or not.
    pub(super) largest: Vec<Block>,
    /// The keys of blocks that were left out, in order: a model freezes them.
    pub(super) left_out: Vec<u64>,
}

/// A block that a frozen model uses is left out nevertheless when it outgrows its bound so many times.
const GROWN: u64 = 20;
/// How many of the largest blocks are told.
const TOLD: usize = 10;

impl Blocks {
    /// The blocks of a roster. Which are left out is decided by their size, or by the keys that a model froze.
    pub(super) fn of(roster: &Roster, counts: &Counts, frozen: Option<&[u64]>) -> Self {
        Self::build(entries(roster, counts), roster.len(), frozen)
    }

    pub(super) fn build(mut entries: Vec<Entry>, records: usize, frozen: Option<&[u64]>) -> Self {
        let mut blocks = Self::default();
        let mut kept = 0;
        let mut at = 0;
        while at < entries.len() {
            let key = entries[at].0;
            let mut end = at + 1;
            while end < entries.len() && entries[end].0 == key {
                end += 1;
            }
            if blocks.keeps(&entries[at..end], frozen) {
                entries.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        entries.truncate(kept);
        entries.shrink_to_fit();
        let mut starts = vec![0_u32; records + 2];
        for (_, row) in &entries {
            starts[(row >> 1) as usize + 2] += 1;
        }
        for row in 2..starts.len() {
            starts[row] += starts[row - 1];
        }
        let mut places = vec![0_u32; entries.len()];
        for (place, (_, row)) in (0_u32..).zip(&entries) {
            let next = &mut starts[(row >> 1) as usize + 1];
            places[*next as usize] = place;
            *next += 1;
        }
        blocks.entries = entries;
        blocks.starts = starts;
        blocks.places = places;
        blocks
    }

    /// Whether a block is worth its pairs; notes the largest.
    fn keeps(&mut self, block: &[Entry], frozen: Option<&[u64]>) -> bool {
        if block.len() < 2 {
            return false;
        }
        let (rule, pairs) = (rule_of(block[0].0), pairs_of(block));
        let is_left_out = match frozen {
            None => pairs > rule.most_pairs(),
            Some(keys) => keys.binary_search(&block[0].0).is_ok() || is_outgrown(block),
        };
        if is_left_out {
            self.left_out.push(block[0].0);
        }
        if self.largest.len() < TOLD || self.largest.last().is_some_and(|least| least.pairs < pairs) {
            self.largest.push(Block { rule, records: block.len(), pairs, is_left_out });
            self.largest.sort_unstable_by_key(|block| (std::cmp::Reverse(block.pairs), block.rule));
            self.largest.truncate(TOLD);
        }
        pairs > 0 && !is_left_out
    }

    /// The records after `row` that share a block with it, each once, in order.
    pub(super) fn after(&self, row: u32, out: &mut Vec<u32>) {
        out.clear();
        for place in self.places_of(row) {
            let (key, me) = self.entries[*place as usize];
            for (other, you) in &self.entries[*place as usize + 1..] {
                if *other != key {
                    break;
                }
                if (me | you) & 1 == 1 {
                    out.push(you >> 1);
                }
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    /// All records that share a block with `row`, each once, in order.
    pub(super) fn around(&self, row: u32, out: &mut Vec<u32>) {
        self.after(row, out);
        for place in self.places_of(row) {
            let (key, me) = self.entries[*place as usize];
            for (other, you) in self.entries[..*place as usize].iter().rev() {
                if *other != key {
                    break;
                }
                if (me | you) & 1 == 1 {
                    out.push(you >> 1);
                }
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    fn places_of(&self, row: u32) -> &[u32] {
        &self.places[self.starts[row as usize] as usize..self.starts[row as usize + 1] as usize]
    }
}

/// How many pairs a block brings: at least one of the two must be weak.
fn pairs_of(block: &[Entry]) -> u64 {
    let weak = block.iter().filter(|(_, row)| row & 1 == 1).count() as u64;
    weak * (block.len() as u64 - weak) + weak * weak.saturating_sub(1) / 2
}

/// Whether a block that a frozen model uses is left out nevertheless.
pub(super) fn is_outgrown(block: &[Entry]) -> bool {
    block.first().is_some_and(|(key, _)| pairs_of(block) > GROWN * rule_of(*key).most_pairs())
}

/// Ordered entries, parted by their keys.
pub(super) fn runs(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    entries.chunk_by(|one, two| one.0 == two.0)
}

/// Every key of every record, in order.
pub(super) fn entries(roster: &Roster, counts: &Counts) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::with_capacity(roster.len() * 11);
    keys_of(roster, counts, 0..roster.len() as u32, &mut out);
    sorted(out)
}

/// Adds the keys of some records.
pub(super) fn keys_of(roster: &Roster, counts: &Counts, rows: std::ops::Range<u32>, out: &mut Vec<Entry>) {
    let hashes = (rows.len() > roster.len() / 2).then(|| Hashes::of(roster));
    let mut keys = Keys { roster, counts, hashes, joined: String::new() };
    let mut own = Vec::with_capacity(32);
    for row in rows {
        own.clear();
        keys.of_record(row, &mut own);
        tidy(&mut own);
        out.extend(own.iter().map(|(key, is_weak)| (*key, row << 1 | u32::from(*is_weak))));
    }
}

/// Sorts by key, then record: first into 256 parts by the key's top bits, which the processor's cache holds one at a time.
fn sorted(entries: Vec<Entry>) -> Vec<Entry> {
    let mut starts = [0_usize; 257];
    for (key, _) in &entries {
        starts[(key >> 56) as usize + 1] += 1;
    }
    for part in 0..256 {
        starts[part + 1] += starts[part];
    }
    let mut next = starts;
    let mut out = vec![(0, 0); entries.len()];
    for entry in entries {
        let place = &mut next[(entry.0 >> 56) as usize];
        out[*place] = entry;
        *place += 1;
    }
    for part in 0..256 {
        out[starts[part]..starts[part + 1]].sort_unstable();
    }
    out
}

pub(super) fn rule_of(key: u64) -> Rule {
    Rule::ALL.get((key & 15) as usize).copied().unwrap_or(Rule::Attribute)
}

/// Leaves each key once; it is weak only where nothing gives it in full.
fn tidy(keys: &mut Vec<(u64, bool)>) {
    keys.sort_unstable();
    keys.dedup_by_key(|(key, _)| *key);
}

/// The keys of records: stable hashes of texts, the same in every run.
struct Keys<'a> {
    roster: &'a Roster,
    counts: &'a Counts,
    /// Made where most texts are asked for.
    hashes: Option<Hashes>,
    /// Room for words that are put together.
    joined: String,
}

/// The hashes of texts, by their numbers: texts of many records lie far from each other, and are read once in a row instead.
struct Hashes {
    names: Vec<NameHash>,
    emails: Vec<u64>,
    phones: Vec<u64>,
    cities: Vec<u64>,
    domains: Vec<u64>,
    companies: Vec<u64>,
}

impl Hashes {
    fn of(roster: &Roster) -> Self {
        let all = |pool: &Pool| forms(pool.len()).map(|form| hash(pool.get(form))).collect();
        let stems = |stems: &Texts| forms(stems.len()).map(|form| stem_hash(stems.get(form))).collect();
        Self {
            names: forms(roster.names.len()).map(|form| NameHash::of(spelled(roster, form))).collect(),
            emails: all(&roster.emails),
            phones: all(&roster.phones),
            cities: all(&roster.cities),
            domains: stems(&roster.domain_stems),
            companies: stems(&roster.company_stems),
        }
    }
}

/// A name without what transliteration adds.
fn spelled(roster: &Roster, form: u32) -> &str {
    roster.names.get(roster.name_facts[form as usize].spelled)
}

fn forms(many: usize) -> impl Iterator<Item = u32> {
    0..many as u32
}

fn stem_hash(stem: &str) -> u64 {
    if stem.len() < 3 { 0 } else { hash(head(stem, STEM_LETTERS)) }
}

/// Hashes of the pieces of a name.
#[derive(Debug, Clone, Copy, Default)]
struct NameHash {
    whole: u64,
    head3: u64,
    tail3: u64,
    head4: u64,
}

/// So many first letters of a company's name or of a domain stand for the organisation.
const STEM_LETTERS: usize = 8;

impl Keys<'_> {
    fn name(&self, form: u32) -> NameHash {
        match &self.hashes {
            Some(hashes) => hashes.names[form as usize],
            None => NameHash::of(spelled(self.roster, form)),
        }
    }

    fn email(&self, form: u32) -> u64 {
        self.hashes.as_ref().map_or_else(|| hash(self.roster.emails.get(form)), |hashes| hashes.emails[form as usize])
    }

    fn phone(&self, form: u32) -> u64 {
        self.hashes.as_ref().map_or_else(|| hash(self.roster.phones.get(form)), |hashes| hashes.phones[form as usize])
    }

    fn city(&self, form: u32) -> u64 {
        self.hashes.as_ref().map_or_else(|| hash(self.roster.cities.get(form)), |hashes| hashes.cities[form as usize])
    }

    fn domain(&self, form: u32) -> u64 {
        let texts = &self.roster.domain_stems;
        self.hashes.as_ref().map_or_else(|| stem_hash(texts.get(form)), |hashes| hashes.domains[form as usize])
    }

    fn company(&self, form: u32) -> u64 {
        let texts = &self.roster.company_stems;
        self.hashes.as_ref().map_or_else(|| stem_hash(texts.get(form)), |hashes| hashes.companies[form as usize])
    }

    fn of_record(&mut self, row: u32, out: &mut Vec<(u64, bool)>) {
        let roster = self.roster;
        let record = &roster.records[row as usize];
        let weak = |out: &mut Vec<(u64, bool)>, rule: Rule, one: u64, two: u64| out.push((key(rule, one, two), false));
        // In rules without weak records everybody meets everybody: all are weak there.
        let mut all = |rule: Rule, one: u64, two: u64| weak(out, rule, one, two);
        if record.email != 0 {
            all(Rule::Email, self.email(record.email), 0);
        }
        for phone in [record.phone, record.mobile] {
            if phone != 0 {
                all(Rule::Phone, self.phone(phone), 0);
            }
        }
        self.names(record, out);
        self.organisations(record, out);
        if record.city != 0 && record.last != 0 {
            out.push((key(Rule::CityName, self.city(record.city), self.name(record.last).whole), false));
        }
        if let Some(plain) = roster.plain.get(row as usize) {
            self.attributes(record, plain, out);
        }
        // Written as "is strong" so far, so that a sort puts the weak one of two equal keys last.
        for (key, is_weak) in out.iter_mut() {
            *is_weak = match rule_of(*key) {
                Rule::Letters | Rule::Slip => *is_weak,
                _ => true,
            };
        }
    }

    fn names(&mut self, record: &Record, out: &mut Vec<(u64, bool)>) {
        let roster = self.roster;
        let (first, last) = (record.first as usize, record.last as usize);
        if first != 0 && last != 0 {
            let (given, family) = (roster.name_facts[first], roster.name_facts[last]);
            let root = |form: u32| self.name(roster.name_facts[form as usize].root).whole;
            let given_root = root(record.first);
            if !given.is_initial && !family.is_initial {
                out.push((key(Rule::Names, given_root.wrapping_add(root(record.last)), 0), true));
                for part in roster.double_parts[record.double as usize].into_iter().filter(|part| *part != 0) {
                    out.push((key(Rule::Names, given_root.wrapping_add(root(part)), 0), true));
                }
            }
            let whole = self.name(record.last);
            let (given_text, family_text) = (spelled(roster, record.first), spelled(roster, record.last));
            let is_rare = |form: usize, count: u32| count <= RARE && form != 0;
            let rare_given = is_rare(first, self.counts.first.of[first]);
            let rare_family = is_rare(last, self.counts.last.of[last]);
            let mut letters = |parts: [&str; 2], is_weak: bool| {
                out.push((key(Rule::Letters, hash(letters_of(&mut self.joined, parts)), 0), is_weak));
            };
            letters([initial(given_text), family_text], given.is_initial || rare_given);
            if !given.is_initial {
                letters([given_text, family_text], false);
                if given.root != given.spelled {
                    letters([roster.names.get(given.root), family_text], false);
                }
                let hash_of = |piece: u64| key(Rule::Slip, given_root, piece);
                out.push((hash_of(whole.head3), rare_family));
                out.push((hash_of(whole.tail3.rotate_left(7)), rare_family));
            }
        }
        if record.local != 0 {
            let letters = self.roster.local_fact(record.local).letters;
            let text = self.roster.locals.get(letters);
            if text.len() >= MIN_LETTERS {
                out.push((key(Rule::Letters, hash(text), 0), true));
            }
        }
    }

    fn organisations(&mut self, record: &Record, out: &mut Vec<(u64, bool)>) {
        let mut organisations = [self.domain(record.domain), self.domain(record.web), self.company(record.company)];
        organisations.sort_unstable();
        let mut before = 0;
        for organisation in organisations {
            if organisation == 0 || organisation == before {
                continue;
            }
            before = organisation;
            out.push((key(Rule::Org, organisation, 0), true));
            let roster = self.roster;
            let mut pieces = [0; 3];
            if record.last != 0 {
                pieces[0] = self.name(record.last).head4;
            }
            if record.first != 0 && !self.roster.name_facts[record.first as usize].is_initial {
                pieces[1] = self.name(record.first).head4;
                pieces[2] = self.name(self.roster.name_facts[record.first as usize].root).head4;
            }
            let mut add = |piece: u64| out.push((key(Rule::OrgName, organisation, piece), true));
            pieces.into_iter().filter(|piece| *piece != 0).for_each(&mut add);
            if record.first != 0 && record.last != 0 {
                add(hash(head(
                    letters_of(&mut self.joined, [initial(spelled(roster, record.first)), spelled(roster, record.last)]),
                    4,
                )));
            }
            if record.local != 0 {
                let letters = self.roster.locals.get(self.roster.local_fact(record.local).letters);
                add(hash(head(letters, 4)));
            }
        }
    }

    fn attributes(&self, record: &Record, plain: &[u32; PLAIN.len()], out: &mut Vec<(u64, bool)>) {
        let [birth, person, street, number, postcode, region] =
            std::array::from_fn(|at| if plain[at] == 0 { 0 } else { hash(self.roster.plains[at].get(plain[at])) });
        let (first, last) = (self.name(record.first), self.name(record.last));
        let mut pair = |salt: u64, one: u64, two: u64| {
            if one != 0 && two != 0 {
                out.push((key(Rule::Attribute, one.wrapping_add(salt), two), true));
            }
        };
        pair(1, birth, 1);
        pair(2, person, 1);
        pair(3, last.whole, postcode);
        pair(3, first.whole, postcode);
        pair(4, street, number);
        pair(4, street, postcode);
        pair(5, first.head3, last.head3);
        pair(6, last.whole, region);
        pair(7, first.whole, number);
        pair(7, last.whole, number);
        pair(8, postcode, number);
        let text = |at: usize| if plain[at] == 0 { "" } else { self.roster.plains[at].get(plain[at]) };
        let id = text(1);
        if let (Some(one), Some(two)) = (id.get(..id.len() / 2), id.get(id.len() / 2..))
            && !one.is_empty()
        {
            pair(9, hash(one), 1);
            pair(10, hash(two), 1);
        }
        let born = text(0);
        if born.len() >= 8
            && let (Some(year), Some(day)) = (born.get(..4), born.get(4..))
        {
            pair(11, hash(day), first.head3);
            pair(12, hash(day), last.head3);
            pair(13, hash(year), first.head3.rotate_left(9) ^ postcode);
        }
        let city = if record.city == 0 { 0 } else { self.city(record.city) };
        pair(14, city, number);
        pair(15, city, first.whole);
    }
}

/// A name in no more records than this may be a slip.
const RARE: u32 = 2;
/// Shorter mailboxes say too little.
const MIN_LETTERS: usize = 4;

impl NameHash {
    fn of(text: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let skip = text.chars().count().saturating_sub(3);
        let tail: String = text.chars().skip(skip).collect();
        Self { whole: hash(text), head3: hash(head(text, 3)), tail3: hash(&tail), head4: hash(head(text, 4)) }
    }
}

/// The first letter of a text.
fn initial(text: &str) -> &str {
    head(text, 1)
}

/// Words put together, without what transliteration adds.
fn letters_of<'a>(room: &'a mut String, parts: [&str; 2]) -> &'a str {
    room.clear();
    parts.iter().for_each(|part| spell_into(part, room));
    room
}

fn hash(text: &str) -> u64 {
    xxh3_64(text.as_bytes())
}

fn head(text: &str, letters: usize) -> &str {
    let end = text.char_indices().nth(letters).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or(text)
}

/// Mixes the parts into a key whose low bits are the rule.
fn key(rule: Rule, one: u64, two: u64) -> u64 {
    let mixed =
        (one ^ two.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (rule as u64) << 5).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (mixed ^ mixed >> 29) & !15 | rule as u64
}
