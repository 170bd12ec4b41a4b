//! The records to be resolved, every distinct value normalised once and kept under a number.

#![expect(clippy::indexing_slicing, reason = "forms are looked up by numbers that the pool of the same column gave")]

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{In, Out};
use super::edit::sketch;
use super::form::{self, Host, Mailbox};
use super::pool::{Pool, Texts};
use super::{Problem, lists};

macro_rules! attributes {
    ($($(#[doc = $doc:literal])* $variant:ident $name:literal)*) => {
        /// A column that may speak for or against two records being one person.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Attribute {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Attribute {
            /// Every attribute.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name of its column.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The attribute of a column name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

attributes! {
    /// Given name.
    FirstName "first_name"
    /// Family name.
    LastName "last_name"
    /// Both names in one; read where one of the two is empty.
    FullName "full_name"
    /// Email address.
    Email "email"
    /// Phone number.
    Phone "phone"
    /// A second phone number.
    Mobile "mobile"
    /// Employer.
    Company "company"
    /// Job title.
    Title "title"
    /// City.
    City "city"
    /// Country, as a code or a name.
    Country "country"
    /// Website of the employer.
    Website "website"
    /// Date of birth.
    BirthDate "birth_date"
    /// A number given to one person: social security, tax, membership.
    PersonalId "personal_id"
    /// Street or first line of the postal address.
    Street "street"
    /// House number.
    StreetNumber "street_number"
    /// Postal code.
    Postcode "postcode"
    /// State, county, region.
    Region "region"
}

/// The plain attributes: compared as texts, each on its own.
pub(super) const PLAIN: [Attribute; 6] = [
    Attribute::BirthDate,
    Attribute::PersonalId,
    Attribute::Street,
    Attribute::StreetNumber,
    Attribute::Postcode,
    Attribute::Region,
];

/// The forms of one record. 0 means that it says nothing. Records are looked up in any order, so each lies in one line of the cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(super) struct Record {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) email: u32,
    pub(super) local: u32,
    pub(super) domain: u32,
    pub(super) web: u32,
    pub(super) company: u32,
    pub(super) phone: u32,
    pub(super) mobile: u32,
    pub(super) city: u32,
    pub(super) title: u32,
    pub(super) country: u32,
    pub(super) is_work: bool,
    /// Where a double surname is taken apart.
    pub(super) double: u32,
    /// A hash of the id: an order of records that does not depend on theirs in the input.
    pub(super) order: u64,
}

/// What is known of a name besides its text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Name {
    /// The name that it is a familiar form of, or the way it is spelled.
    pub(super) root: u32,
    /// The name without what transliteration adds, or itself.
    pub(super) spelled: u32,
    /// Its first letter, hashed.
    pub(super) initial: u32,
    /// Whether it is that letter alone.
    pub(super) is_initial: bool,
    /// Whether the list of familiar forms knows it.
    pub(super) is_form: bool,
}

/// What is known of the part of an address before the `@`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Local {
    /// The number of its letters alone, without what transliteration adds, in the pool of locals.
    pub(super) letters: u32,
    /// Whether digits tell it from its namesakes.
    pub(super) has_digits: bool,
}

/// What is known of a stem besides its text: enough to tell most from each other without reading them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stem {
    pub(super) sketch: u32,
    /// Its first four bytes.
    pub(super) head: u32,
}

/// A [`Local`] as it is kept: its number twice, and one more where digits tell it from its namesakes.
type PackedLocal = u32;

impl Local {
    fn packed(self) -> PackedLocal {
        self.letters << 1 | u32::from(self.has_digits)
    }
}

impl Stem {
    fn of(text: &str) -> Self {
        let mut head = [0; 4];
        head.iter_mut().zip(text.bytes()).for_each(|(slot, byte)| *slot = byte);
        Self { sketch: sketch(text), head: u32::from_le_bytes(head) }
    }
}

/// The records, in the order they came.
#[derive(Debug, Default)]
pub struct Roster {
    columns: Vec<Attribute>,
    raw: Vec<Pool>,
    known: Known,
    ids: Pool,

    pub(super) records: Vec<Record>,
    pub(super) plain: Vec<[u32; PLAIN.len()]>,
    pub(super) names: Pool,
    pub(super) name_facts: Vec<Name>,
    pub(super) emails: Pool,
    pub(super) locals: Pool,
    local_facts: Vec<PackedLocal>,
    pub(super) doubles: Pool,
    /// First and last part of each double surname.
    pub(super) double_parts: Vec<[u32; 2]>,
    pub(super) domains: Pool,
    pub(super) companies: Pool,
    pub(super) phones: Pool,
    pub(super) cities: Pool,
    pub(super) titles: Pool,
    pub(super) countries: Pool,
    pub(super) plains: [Pool; PLAIN.len()],
    /// The letters of each domain's label and each company's name, for comparing one with the other.
    pub(super) domain_stems: Texts,
    pub(super) company_stems: Texts,
    pub(super) domain_facts: Vec<Stem>,
    pub(super) company_facts: Vec<Stem>,
    /// Which words each title has: one bit of 64 for each, by its hash.
    pub(super) title_words: Vec<u64>,
}

/// The forms of the raw values of each column, by the number of the raw value.
#[derive(Debug, Default)]
struct Known {
    singles: Vec<Vec<u32>>,
    hosts: Pool,
    /// Nothing where it is no host; and the number of its domain, if that speaks of an organisation.
    host_forms: Vec<(Option<Host>, u32)>,
    full: Vec<[u32; 3]>,
    doubles: Vec<Vec<u32>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct MailForm {
    email: u32,
    local: u32,
    domain: u32,
    is_work: bool,
}

impl Roster {
    /// An empty roster of records with these columns.
    #[must_use]
    pub fn new(columns: &[Attribute]) -> Self {
        let mut roster = Self { columns: columns.to_vec(), ids: Pool::unsketched(), ..Self::default() };
        roster.raw = columns.iter().map(|_| Pool::unsketched()).collect();
        roster.known.singles = columns.iter().map(|_| vec![0]).collect();
        roster.known.hosts = Pool::unsketched();
        roster.known.host_forms.push((None, 0));
        for pool in [&mut roster.emails, &mut roster.domains, &mut roster.companies, &mut roster.titles, &mut roster.countries] {
            *pool = Pool::unsketched();
        }
        roster.known.full.push([0; 3]);
        roster.known.doubles = columns.iter().map(|_| vec![0]).collect();
        roster.double_parts.push([0; 2]);
        roster.name_facts.push(Name::default());
        roster.local_facts.push(Local::default().packed());
        roster.domain_facts.push(Stem::default());
        roster.company_facts.push(Stem::default());
        roster.title_words.push(0);
        roster
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The columns of its records.
    #[must_use]
    pub fn columns(&self) -> &[Attribute] {
        &self.columns
    }

    /// What is known of a part of an address before the `@`.
    pub(super) fn local_fact(&self, form: u32) -> Local {
        let packed = self.local_facts[form as usize];
        Local { letters: packed >> 1, has_digits: packed & 1 == 1 }
    }

    /// The id of a record.
    #[must_use]
    pub fn id(&self, row: u32) -> &str {
        self.ids.get(row + 1)
    }

    /// The record with an id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<u32> {
        self.ids.find(id).map(|number| number - 1)
    }

    /// Adds a record; the cells stand in the order of the columns, empty where nothing is known.
    ///
    /// # Errors
    /// The id is empty or was there before, or there are more records than one run can number.
    pub fn push<'a>(&mut self, id: &str, cells: impl IntoIterator<Item = &'a str>) -> Result<(), Problem> {
        if id.is_empty() {
            return Err(Problem::NoId { record: self.len() + 1 });
        }
        if self.len() >= i32::MAX as usize {
            return Err(Problem::TooManyRecords);
        }
        let (_, is_new) = self.ids.intern(id);
        if !is_new {
            return Err(Problem::RepeatedId { record: self.len() + 1 });
        }
        let (record, plain) = self.forms(xxh3_64(id.as_bytes()), cells);
        self.records.push(record);
        if PLAIN.iter().any(|attribute| self.columns.contains(attribute)) {
            self.plain.push(plain);
        }
        Ok(())
    }

    /// Lets a record say something else.
    pub(super) fn put<'a>(&mut self, row: u32, cells: impl IntoIterator<Item = &'a str>) {
        let (record, plain) = self.forms(self.records[row as usize].order, cells);
        self.records[row as usize] = record;
        if let Some(slot) = self.plain.get_mut(row as usize) {
            *slot = plain;
        }
    }

    /// What cells say: the record and its plain attributes.
    fn forms<'a>(&mut self, order: u64, cells: impl IntoIterator<Item = &'a str>) -> (Record, [u32; PLAIN.len()]) {
        let mut record = Record { order, ..Record::default() };
        let mut plain = [0; PLAIN.len()];
        let mut full = [0; 3];
        for (column, cell) in cells.into_iter().enumerate().take(self.columns.len()) {
            let cell = form::cut(cell.trim());
            let attribute = self.columns[column];
            if cell.is_empty() {
                continue;
            }
            if attribute == Attribute::Email {
                let MailForm { email, local, domain, is_work } = self.mail_form(cell);
                (record.email, record.local, record.domain, record.is_work) = (email, local, domain, is_work);
                continue;
            }
            if let Attribute::Phone | Attribute::Mobile = attribute {
                let (form, _) = self.phones.intern(&form::phone(cell));
                *(if attribute == Attribute::Phone { &mut record.phone } else { &mut record.mobile }) = form;
                continue;
            }
            let (raw, is_new) = self.raw[column].intern(cell);
            match attribute {
                Attribute::FullName => {
                    if is_new {
                        let names = self.full_form(raw, column);
                        self.known.full.push(names);
                    }
                    full = self.known.full[raw as usize];
                }
                other => {
                    if is_new {
                        let form = self.single_form(other, raw, column);
                        self.known.singles[column].push(form);
                    }
                    let form = self.known.singles[column][raw as usize];
                    if other == Attribute::LastName {
                        record.double = self.known.doubles[column][raw as usize];
                    }
                    if let Some(slot) = slot(&mut record, &mut plain, other) {
                        *slot = form;
                    }
                }
            }
        }
        let is_better = (record.first == 0 || record.last == 0) && (full[1] != 0 || (record.first == 0 && record.last == 0));
        if is_better {
            [record.first, record.last, record.double] = full;
        }
        if record.mobile == record.phone {
            record.mobile = 0;
        }
        if record.phone == 0 {
            (record.phone, record.mobile) = (record.mobile, 0);
        }
        if record.web == record.domain {
            record.web = 0;
        }
        (record, plain)
    }

    /// Addresses and numbers are seldom said twice, so that what they were is not remembered.
    fn mail_form(&mut self, text: &str) -> MailForm {
        let Some((local, host)) = form::address(text) else { return MailForm::default() };
        let (at, is_new) = self.known.hosts.intern(host);
        if is_new {
            let host = form::host(host);
            let is_own = |host: &Host| !host.is_free || !headwater_model::lists::is_freemail(&host.domain);
            let domain = host.as_ref().filter(|host| is_own(host)).map_or(0, |host| self.domain(&host.domain));
            self.known.host_forms.push((host, domain));
        }
        let (Some(host), domain) = &self.known.host_forms[at as usize] else { return MailForm::default() };
        let (local, kind) = form::mailbox(local, host);
        let domain = *domain;
        if kind == Mailbox::Shared {
            return MailForm { domain, ..MailForm::default() };
        }
        let mut whole = String::with_capacity(local.len() + host.domain.len() + 1);
        whole.extend([&local, "@", &host.domain]);
        let (email, _) = self.emails.intern(&whole);
        MailForm { email, local: self.local(&local), domain, is_work: kind == Mailbox::Work }
    }

    fn full_form(&mut self, raw: u32, column: usize) -> [u32; 3] {
        let text = self.raw[column].get(raw);
        let (given, family) = match text.split_once(',') {
            Some((family, given)) => (form::name_words(given), form::name_words(family)),
            None => {
                let mut words = form::name_words(text);
                let family = words.split_off(words.len().min(1));
                (words, family)
            }
        };
        [self.name(&given), self.name(&family), self.double(&family)]
    }

    fn single_form(&mut self, attribute: Attribute, raw: u32, column: usize) -> u32 {
        let text = self.raw[column].get(raw);
        match attribute {
            Attribute::FirstName | Attribute::LastName => {
                let words = form::name_words(text);
                if attribute == Attribute::LastName {
                    let double = self.double(&words);
                    self.known.doubles[column].push(double);
                }
                self.name(&words)
            }
            Attribute::Company => {
                let name = form::company(text);
                let (id, is_new) = self.companies.intern(&name);
                if is_new {
                    let stem = letters(&name);
                    self.company_facts.push(Stem::of(&stem));
                    self.company_stems.push(&stem);
                }
                id
            }
            Attribute::Title => {
                let title = form::title(text);
                let (id, is_new) = self.titles.intern(&title);
                if is_new {
                    self.title_words.push(word_bits(&title));
                }
                id
            }
            Attribute::City => self.cities.intern(&form::folded(text)).0,
            Attribute::Country => self.countries.intern(&form::nation(text)).0,
            Attribute::Website => match form::site(text) {
                Some(domain) => self.domain(&domain),
                None => 0,
            },
            Attribute::Street => self.plains[2].intern(&form::folded(text)).0,
            Attribute::BirthDate | Attribute::PersonalId | Attribute::StreetNumber | Attribute::Postcode | Attribute::Region => {
                let at = PLAIN.iter().position(|plain| *plain == attribute).unwrap_or_default();
                self.plains[at].intern(&form::code(text)).0
            }
            Attribute::FullName | Attribute::Email | Attribute::Phone | Attribute::Mobile => 0,
        }
    }

    fn name(&mut self, words: &[String]) -> u32 {
        let joined = words.concat();
        let (id, is_new) = self.names.intern(&joined);
        if is_new {
            let at = self.name_facts.len();
            self.name_facts.push(Name::default());
            let plain = form::spelled(&joined);
            let spelled = if plain == joined { id } else { self.name(&[plain.to_string()]) };
            let root = match lists::root_of(&joined).or_else(|| lists::root_of(&plain)) {
                Some(root) => self.name(&[root.to_owned()]),
                None => spelled,
            };
            let initial = joined.chars().next().map_or(0, u32::from);
            let is_initial = joined.chars().nth(1).is_none();
            self.name_facts[at] = Name { root, spelled, initial, is_initial, is_form: lists::is_known(&joined) };
        }
        id
    }

    fn double(&mut self, words: &[String]) -> u32 {
        let [one, .., two] = words else { return 0 };
        let (id, is_new) = self.doubles.intern(&words.join(" "));
        if is_new {
            let parts = [self.name(std::slice::from_ref(one)), self.name(std::slice::from_ref(two))];
            self.double_parts.push(parts);
        }
        id
    }

    fn local(&mut self, text: &str) -> u32 {
        let (id, is_new) = self.locals.intern(text);
        if is_new {
            let at = self.local_facts.len();
            self.local_facts.push(Local::default().packed());
            let letters = form::spelled(&letters(text)).into_owned();
            let has_digits = text.chars().any(char::is_numeric);
            let letters = if letters == text { id } else { self.local(&letters) };
            self.local_facts[at] = Local { letters, has_digits }.packed();
        }
        id
    }

    fn domain(&mut self, text: &str) -> u32 {
        let (id, is_new) = self.domains.intern(text);
        if is_new {
            let stem = form::stem(text);
            self.domain_facts.push(Stem::of(&stem));
            self.domain_stems.push(&stem);
        }
        id
    }
}

fn slot<'a>(record: &'a mut Record, plain: &'a mut [u32; PLAIN.len()], attribute: Attribute) -> Option<&'a mut u32> {
    Some(match attribute {
        Attribute::FullName | Attribute::Email => return None,
        Attribute::FirstName => &mut record.first,
        Attribute::LastName => &mut record.last,
        Attribute::Phone => &mut record.phone,
        Attribute::Mobile => &mut record.mobile,
        Attribute::Company => &mut record.company,
        Attribute::Title => &mut record.title,
        Attribute::City => &mut record.city,
        Attribute::Country => &mut record.country,
        Attribute::Website => &mut record.web,
        Attribute::BirthDate => &mut plain[0],
        Attribute::PersonalId => &mut plain[1],
        Attribute::Street => &mut plain[2],
        Attribute::StreetNumber => &mut plain[3],
        Attribute::Postcode => &mut plain[4],
        Attribute::Region => &mut plain[5],
    })
}

impl Roster {
    pub(super) fn write(&self, out: &mut Out<'_>) {
        // What the raw values said is found again where it is needed.
        let Self { columns, raw: _, known: _, ids, records, plain, names, name_facts, emails, locals, local_facts, .. } = self;
        out.u32s(columns.iter().map(|column| *column as u32));
        ids.write(out);
        out.rows(records.iter().map(|record| {
            let Record { first, last, email, local, domain, web, company, phone, mobile, city, title, country, .. } = *record;
            let Record { is_work, double, order, .. } = *record;
            let [low, high] = [order, order >> u32::BITS].map(|half| (half & u64::from(u32::MAX)).try_into().unwrap_or_default());
            [
                first,
                last,
                email,
                local,
                domain,
                web,
                company,
                phone,
                mobile,
                city,
                title,
                country,
                double,
                u32::from(is_work),
                low,
                high,
            ]
        }));
        out.rows(plain.iter().copied());
        let fact =
            |name: &Name| [name.root, name.spelled, name.initial, u32::from(name.is_initial) | u32::from(name.is_form) << 1];
        out.rows(name_facts.iter().map(fact));
        out.u32s(local_facts.iter().copied());
        out.rows(self.double_parts.iter().copied());
        let pools = [names, emails, locals, &self.doubles, &self.domains, &self.companies, &self.phones, &self.cities];
        for pool in pools.into_iter().chain([&self.titles, &self.countries]).chain(&self.plains) {
            pool.write(out);
        }
        self.domain_stems.write(out);
        self.company_stems.write(out);
        for facts in [&self.domain_facts, &self.company_facts] {
            out.rows(facts.iter().map(|fact| [fact.sketch, fact.head]));
        }
        out.u64s(self.title_words.iter().copied());
    }

    pub(super) fn read(bytes: &mut In<'_>) -> Option<Self> {
        let columns: Option<Vec<Attribute>> =
            bytes.u32s()?.into_iter().map(|column| Attribute::ALL.get(column as usize).copied()).collect();
        let mut roster = Self::new(&columns?);
        roster.ids = Pool::read(bytes)?;
        roster.records = bytes.rows(|forms: [u32; 16]| {
            let [first, last, email, local, domain, web, company, phone, mobile, city, title, country, double, work, low, high] =
                forms;
            let (is_work, order) = (work == 1, u64::from(high) << 32 | u64::from(low));
            #[rustfmt::skip]
            let record = Record {
                first, last, email, local, domain, web, company, phone, mobile, city, title, country, is_work, double, order,
            };
            record
        })?;
        roster.plain = bytes.rows(|plain| plain)?;
        roster.name_facts = bytes.rows(|[root, spelled, initial, flags]| Name {
            root,
            spelled,
            initial,
            is_initial: flags & 1 == 1,
            is_form: flags & 2 == 2,
        })?;
        roster.local_facts = bytes.u32s()?;
        roster.double_parts = bytes.rows(|parts| parts)?;
        let Self { names, emails, locals, doubles, domains, companies, phones, cities, titles, countries, .. } = &mut roster;
        for pool in [names, emails, locals, doubles, domains, companies, phones, cities, titles, countries] {
            *pool = Pool::read(bytes)?;
        }
        for pool in &mut roster.plains {
            *pool = Pool::read(bytes)?;
        }
        roster.domain_stems = Texts::read(bytes)?;
        roster.company_stems = Texts::read(bytes)?;
        for facts in [&mut roster.domain_facts, &mut roster.company_facts] {
            *facts = bytes.rows(|[sketch, head]| Stem { sketch, head })?;
        }
        roster.title_words = bytes.u64s()?;
        let lengths = [
            (roster.ids.len(), roster.records.len() + 1),
            (roster.domain_stems.len(), roster.domains.len()),
            (roster.company_stems.len(), roster.companies.len()),
            (roster.domain_facts.len(), roster.domains.len()),
            (roster.company_facts.len(), roster.companies.len()),
            (roster.title_words.len(), roster.titles.len()),
            (roster.name_facts.len(), roster.names.len()),
            (roster.local_facts.len(), roster.locals.len()),
            (roster.double_parts.len(), roster.doubles.len()),
        ];
        lengths.iter().all(|(one, two)| one == two).then_some(roster)
    }
}

/// One bit for each word that tells something.
fn word_bits(text: &str) -> u64 {
    told_words(text).fold(0, |bits, word| bits | 1 << (xxh3_64(word.as_bytes()) % 64))
}

/// The words of a title that tell something: `of` and `it` are in many.
pub(super) fn told_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| word.len() > 2)
}

/// The letters of a text alone.
fn letters(text: &str) -> String {
    text.chars().filter(|letter| letter.is_alphabetic()).collect()
}
