//! People: rows of lists, members of audiences, form submissions.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray};
use arrow::compute::{filter, filter_record_batch};

use super::columns::{Reader, constant};
use super::record::{self, RowIds};
use super::{ConformError, Conformer, Kept, Refusal};
use crate::email::{self, EmailKind};
use crate::instant::{self, DateStyle, NotAnInstant};
use crate::page::Refused;
use crate::suppression::{Kind, Screen};
use crate::{company_number, consent, country, phone, tables};

/// The fields a mapping of leads may fill.
pub(super) const FIELDS: &[&str] = &[
    "external_id",
    "email",
    "given_name",
    "family_name",
    "full_name",
    "phone",
    "mobile",
    "job_title",
    "seniority",
    "department",
    "company_name",
    "company_domain",
    "company_number",
    "website",
    "linkedin_url",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "language",
    "need",
    "budget",
    "intended_use",
    "message",
    "tags",
    "email_status",
    "observed_at",
    "created_at",
    "consent",
    "notice_at",
    "is_test",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "landing_url",
    "referrer",
    "gclid",
    "gbraid",
    "wbraid",
    "dclid",
    "msclkid",
    "li_fat_id",
    "ttclid",
    "twclid",
    "fbclid",
];

/// Click ids in the order in which they are looked for: paid ones first, since `fbclid` stands on organic links too.
const CLICK_IDS: &[&str] = &["gclid", "gbraid", "wbraid", "dclid", "msclkid", "li_fat_id", "ttclid", "twclid", "fbclid"];

/// What became of a page of leads.
#[derive(Debug)]
pub struct Leads {
    /// Accepted rows, as `lead`.
    pub lead: RecordBatch,
    /// The same rows as they arrived, as `source_record`.
    pub record: RecordBatch,
    /// What the same rows say about the contact that brought them.
    pub touch: TouchColumns,
    /// Rows refused, with reasons.
    pub refused: Vec<Refused>,
    /// Rows of people who must not be held.
    pub suppressed: u64,
}

/// What rows say about the contact that brought them; row by row beside the leads.
#[derive(Debug)]
pub struct TouchColumns {
    /// `utm_source`.
    pub utm_source: StringArray,
    /// `utm_medium`.
    pub utm_medium: StringArray,
    /// `utm_campaign`.
    pub utm_campaign: StringArray,
    /// `utm_term`.
    pub utm_term: StringArray,
    /// `utm_content`.
    pub utm_content: StringArray,
    /// The kind of the click id, such as `gclid`.
    pub click_id_kind: StringArray,
    /// The click id.
    pub click_id: StringArray,
    /// The page the person arrived on.
    pub landing_url: StringArray,
    /// The page the person came from.
    pub referrer: StringArray,
    /// When: the creation of the record, else when it was observed.
    pub occurred_at: TimestampMicrosecondArray,
}

struct Verdicts {
    accepted: Vec<bool>,
    refused: Vec<Refused>,
    suppressed: u64,
}

pub(super) fn conform(conformer: &Conformer, kept: &Kept<'_>, screen: &Screen, now_us: i64) -> Result<Leads, ConformError> {
    let read = |field: &str| Reader::new(&kept.fields, conformer.rules.get(field));
    let raw_columns = record::Columns::new(&kept.fields);
    let contact = Contact::of(conformer, kept, &read);
    let blank: BooleanArray =
        (0..kept.len()).map(|row| Some(kept.deleted(row) && is_suppressed(&contact, row, screen))).collect();
    if blank.true_count() > 0 {
        // That somebody is gone must arrive even where nothing of them may be held.
        return conform(conformer, &kept.without(blank)?, screen, now_us);
    }
    let dates = Dates::of(conformer, kept, &read, now_us);
    let ids = RowIds::of(kept, "led_");
    let verdicts = judge(kept, &raw_columns, &contact, &dates, screen);
    let lead = lead_batch(conformer, kept, &read, &ids, contact, &dates)?;
    let record = record::batch(kept, &raw_columns, &ids, &conformer.context, now_us)?;
    let touch = TouchColumns::of(&read, kept, &dates);
    let Verdicts { accepted, refused, suppressed } = verdicts;
    if accepted.iter().all(|accepted| *accepted) {
        return Ok(Leads { lead, record, touch, refused, suppressed });
    }
    let mask = BooleanArray::from(accepted);
    Ok(Leads {
        lead: filter_record_batch(&lead, &mask)?,
        record: filter_record_batch(&record, &mask)?,
        touch: touch.filtered(&mask)?,
        refused,
        suppressed,
    })
}

/// The columns by which a person is reached.
struct Contact<'a> {
    external_id: Reader<'a>,
    linkedin: Reader<'a>,
    full_name: Reader<'a>,
    family_name: Reader<'a>,
    company: Reader<'a>,
    email: StringArray,
    email_kind: StringArray,
    country: StringArray,
    phone: StringArray,
    mobile: StringArray,
    domain: StringArray,
}

impl<'a> Contact<'a> {
    fn of(conformer: &Conformer, kept: &Kept<'a>, read: &impl Fn(&str) -> Reader<'a>) -> Self {
        let country = read("country").mapped(|text| Some(country::code(text).unwrap_or(text)));
        let (email, email_kind) = emails(&read("email"), kept.len());
        let hint = conformer.context.country.as_deref();
        let phone = phones(&read("phone"), &country, hint);
        let mobile = phones(&read("mobile"), &country, hint);
        let domain = domains(&read("company_domain"), &read("website"), &email, &email_kind);
        Self {
            external_id: read("external_id"),
            linkedin: read("linkedin_url"),
            full_name: read("full_name"),
            family_name: read("family_name"),
            company: read("company_name"),
            email,
            email_kind,
            country,
            phone,
            mobile,
            domain,
        }
    }

    /// Whether a row names somebody at all: by an address, a number, an id, a profile, or a name at a company.
    fn names_somebody(&self, row: usize) -> bool {
        self.email.is_valid(row)
            || self.phone.is_valid(row)
            || self.mobile.is_valid(row)
            || self.external_id.get(row).is_some()
            || self.linkedin.get(row).is_some()
            || (self.family_name.get(row).is_some() || self.full_name.get(row).is_some()) && self.company.get(row).is_some()
    }
}

fn emails(reader: &Reader<'_>, rows: usize) -> (StringArray, StringArray) {
    let mut email = StringBuilder::with_capacity(rows, rows * 24);
    let mut kind = StringBuilder::with_capacity(rows, rows * 14);
    for row in 0..rows {
        let raw = reader.get(row);
        let address = raw.and_then(email::normalise);
        kind.append_option(raw.map(|_| address.as_deref().map_or(EmailKind::Invalid, email::kind_of).as_str()));
        email.append_option(address);
    }
    (email.finish(), kind.finish())
}

fn phones(reader: &Reader<'_>, country: &StringArray, hint: Option<&str>) -> StringArray {
    if reader.is_absent() {
        return StringArray::new_null(country.len());
    }
    let mut out = StringBuilder::with_capacity(country.len(), country.len() * 13);
    for row in 0..country.len() {
        let at = country.is_valid(row).then(|| country.value(row)).or(hint);
        out.append_option(reader.get(row).and_then(|raw| phone::normalise(raw, at)));
    }
    out.finish()
}

/// The numbers of companies.
fn numbers(reader: &Reader<'_>, rows: usize) -> StringArray {
    if reader.is_absent() {
        return StringArray::new_null(rows);
    }
    (0..rows).map(|row| reader.get(row).and_then(company_number::normalise)).collect()
}

/// The domain a person works at: as given, else the website's, else that of an address at a company.
fn domains(given: &Reader<'_>, website: &Reader<'_>, email: &StringArray, kind: &StringArray) -> StringArray {
    let work = |row: usize| {
        let at_company = kind.is_valid(row) && matches!(kind.value(row), "nominative_pro" | "generic_pro");
        let domain = (at_company && email.is_valid(row)).then(|| email.value(row).rsplit_once('@')).flatten()?.1;
        Some(Cow::Borrowed(domain))
    };
    (0..email.len())
        .map(|row| given.get(row).and_then(host).or_else(|| website.get(row).and_then(host)).or_else(|| work(row)))
        .collect()
}

/// The host of an address or a bare domain, in small letters and without `www.`; nothing when it holds anything else.
fn host(text: &str) -> Option<Cow<'_, str>> {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#', ':']).next()?;
    let host: Cow<'_, str> = if !host.is_ascii() {
        let url::Host::Domain(ascii) = url::Host::parse(host).ok()? else { return None };
        Cow::Owned(ascii)
    } else if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    };
    let host = match host {
        Cow::Borrowed(host) => Cow::Borrowed(host.strip_prefix("www.").unwrap_or(host)),
        Cow::Owned(host) => Cow::Owned(host.strip_prefix("www.").map(str::to_owned).unwrap_or(host)),
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    (host.contains('.') && host.bytes().all(plain)).then_some(host)
}

/// The dates of each row; a date that cannot be read refuses its row.
struct Dates {
    created: Vec<Option<i64>>,
    observed: Vec<i64>,
    notice: Vec<Option<i64>>,
    failed: Vec<(usize, &'static str, NotAnInstant)>,
}

impl Dates {
    fn of<'a>(conformer: &Conformer, kept: &Kept<'_>, read: &impl Fn(&str) -> Reader<'a>, now_us: i64) -> Self {
        let mut failed = Vec::new();
        let mut column = |field: &'static str| -> Vec<Option<i64>> {
            let reader = read(field);
            if reader.is_absent() {
                return vec![None; kept.len()];
            }
            let style = style(&conformer.context.dates, &reader);
            let mut parse = |row: usize| {
                instant::parse_past(reader.get(row)?, &style, now_us).map_err(|error| failed.push((row, field, error))).ok()
            };
            (0..kept.len()).map(&mut parse).collect()
        };
        let (created, observed, notice) = (column("created_at"), column("observed_at"), column("notice_at"));
        let observed = observed.into_iter().enumerate().map(|(row, at)| at.unwrap_or_else(|| kept.received_at(row, now_us)));
        Self { observed: observed.collect(), created, notice, failed }
    }
}

/// The date style of one field: the source's, with the field's own format before it.
pub(super) fn style(dates: &DateStyle, reader: &Reader<'_>) -> DateStyle {
    DateStyle { format: reader.format.map(str::to_owned).or_else(|| dates.format.clone()), zone: dates.zone.clone() }
}

fn judge(kept: &Kept<'_>, raw: &record::Columns<'_>, contact: &Contact<'_>, dates: &Dates, screen: &Screen) -> Verdicts {
    let mut accepted = vec![true; kept.len()];
    let mut refused = Vec::new();
    let mut suppressed = 0;
    // First of all: a refused row is kept as it arrived, and of these people nothing may be.
    for (row, slot) in accepted.iter_mut().enumerate() {
        if is_suppressed(contact, row, screen) {
            *slot = false;
            suppressed += 1;
        }
    }
    for (row, field, error) in &dates.failed {
        // A row is refused once, for the first reason found.
        if accepted.get(*row) == Some(&true) && !kept.deleted(*row) {
            refused.push(kept.refuse(*row, raw, Refusal::new(error.code(), Some(field), error.to_string())));
            if let Some(slot) = accepted.get_mut(*row) {
                *slot = false;
            }
        }
    }
    for (row, slot) in accepted.iter_mut().enumerate().filter(|(_, slot)| **slot) {
        if !kept.deleted(row) && !contact.names_somebody(row) {
            *slot = false;
            let reason =
                "names nobody: no address, number, id or profile, and no name with a company; check the mapping under `map:`";
            refused.push(kept.refuse(row, raw, Refusal::new("no_identity", None, reason)));
        }
    }
    Verdicts { accepted, refused, suppressed }
}

fn is_suppressed(contact: &Contact<'_>, row: usize, screen: &Screen) -> bool {
    !screen.is_empty()
        && [(Kind::Email, &contact.email), (Kind::Phone, &contact.phone), (Kind::Phone, &contact.mobile)]
            .into_iter()
            .any(|(kind, column)| column.is_valid(row) && screen.stops(kind, column.value(row)))
}

fn lead_batch<'a>(
    conformer: &Conformer,
    kept: &Kept<'_>,
    read: &impl Fn(&str) -> Reader<'a>,
    ids: &RowIds,
    contact: Contact<'_>,
    dates: &Dates,
) -> Result<RecordBatch, ConformError> {
    let rows = kept.len();
    let context = &conformer.context;
    let text = |field: &str| -> ArrayRef { Arc::new(read(field).text()) };
    let same = |value: Option<&str>| -> ArrayRef { Arc::new(constant(rows, value)) };
    let instants =
        |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) };
    let ops = (0..rows).map(|row| Some(if kept.deleted(row) { "delete" } else { "upsert" }));
    let is_test = read("is_test");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ids.lead.clone()),
        Arc::new(ids.record.clone()),
        same(Some(&context.source)),
        same(Some(&context.stream)),
        same(Some(context.origin.as_str())),
        Arc::new(ops.collect::<StringArray>()),
        text("external_id"),
        Arc::new(contact.email),
        Arc::new(contact.email_kind),
        text("given_name"),
        text("family_name"),
        text("full_name"),
        Arc::new(contact.phone),
        text("phone"),
        Arc::new(contact.mobile),
        text("job_title"),
        text("seniority"),
        text("department"),
        text("company_name"),
        Arc::new(contact.domain),
        text("website"),
        text("linkedin_url"),
        text("street"),
        text("city"),
        text("region"),
        text("postal_code"),
        Arc::new(contact.country),
        text("language"),
        text("need"),
        text("budget"),
        text("intended_use"),
        text("message"),
        text("tags"),
        text("email_status"),
        instants(dates.observed.iter().copied().map(Some).collect()),
        instants(dates.created.clone()),
        same(context.lawful_basis.as_deref()),
        instants(vec![context.basis_obtained_at; rows]),
        instants(dates.notice.iter().map(|at| at.or(context.notice_at)).collect()),
        Arc::new(read("consent").mapped(consent::status)),
        Arc::new(BooleanArray::from_iter(
            (0..rows).map(|row| Some(is_test.get(row).and_then(consent::status) == Some("granted"))),
        )),
        same(Some(&context.run_id)),
        Arc::new(numbers(&read("company_number"), rows)),
    ];
    Ok(RecordBatch::try_new(tables::LEAD.schema(), columns)?)
}

impl TouchColumns {
    fn of<'a>(read: &impl Fn(&str) -> Reader<'a>, kept: &Kept<'_>, dates: &Dates) -> Self {
        let clicks: Vec<(&'static str, Reader<'a>)> =
            CLICK_IDS.iter().map(|kind| (*kind, read(kind))).filter(|(_, reader)| !reader.is_absent()).collect();
        let click = |row: usize| clicks.iter().find_map(|(kind, reader)| Some((*kind, reader.get(row)?)));
        let occurred = dates.created.iter().zip(&dates.observed).map(|(created, observed)| created.unwrap_or(*observed));
        Self {
            utm_source: read("utm_source").text(),
            utm_medium: read("utm_medium").text(),
            utm_campaign: read("utm_campaign").text(),
            utm_term: read("utm_term").text(),
            utm_content: read("utm_content").text(),
            click_id_kind: (0..kept.len()).map(|row| click(row).map(|(kind, _)| kind)).collect(),
            click_id: (0..kept.len()).map(|row| click(row).map(|(_, id)| id)).collect(),
            landing_url: read("landing_url").text(),
            referrer: read("referrer").text(),
            occurred_at: TimestampMicrosecondArray::from_iter_values(occurred).with_timezone("UTC"),
        }
    }

    fn filtered(&self, mask: &BooleanArray) -> Result<Self, ConformError> {
        let text = |column: &StringArray| -> Result<StringArray, ConformError> {
            Ok(filter(column, mask)?.as_any().downcast_ref().cloned().unwrap_or_else(|| StringArray::new_null(0)))
        };
        let occurred_at = filter(&self.occurred_at, mask)?;
        let occurred_at: Option<&TimestampMicrosecondArray> = occurred_at.as_any().downcast_ref();
        Ok(Self {
            utm_source: text(&self.utm_source)?,
            utm_medium: text(&self.utm_medium)?,
            utm_campaign: text(&self.utm_campaign)?,
            utm_term: text(&self.utm_term)?,
            utm_content: text(&self.utm_content)?,
            click_id_kind: text(&self.click_id_kind)?,
            click_id: text(&self.click_id)?,
            landing_url: text(&self.landing_url)?,
            referrer: text(&self.referrer)?,
            occurred_at: occurred_at.cloned().unwrap_or_else(|| self.occurred_at.slice(0, 0)),
        })
    }
}
