//! The project file: what a user writes in `headwater.yaml`.

use std::collections::BTreeMap;

use headwater_model::mapping::{FieldRule, Origin, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectFile {
    /// The version of this file's format: 1.
    pub version: u32,
    /// Further files whose `sources` and `sinks` belong to this project, as paths with `*`, relative to this file.
    pub include: Vec<String>,
    /// Where the project keeps what it knows.
    pub store: StoreSection,
    /// Where records come from, by name.
    pub sources: BTreeMap<String, Map<String, Value>>,
    /// When two records are one person.
    pub identity: IdentitySection,
    /// How contacts are classed into channels.
    #[serde(default)]
    pub channels: ChannelsSection,
    /// Which touch gets which share of a conversion.
    pub attribution: AttributionSection,
    /// What a source is worth.
    pub measures: MeasuresSection,
    /// Where prospects go, by name.
    pub sinks: BTreeMap<String, Map<String, Value>>,
    /// When `serve` runs a sync.
    pub schedule: Option<ScheduleSection>,
    /// How `serve` listens.
    pub serve: ServeSection,
}

/// Where the project keeps what it knows.
#[derive(Debug, Clone, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// The ledger: `sqlite://PATH`, relative to the project.
    pub ledger: String,
    /// The folder of the lake, relative to the project.
    pub lake: String,
    /// How many days superseded files are kept for time travel.
    pub keep_days: u32,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self { ledger: "sqlite://.headwater/ledger.db".to_owned(), lake: ".headwater/lake".to_owned(), keep_days: 7 }
    }
}

/// How `serve` listens.
#[derive(Debug, Clone, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSection {
    /// The address to listen on.
    pub listen: String,
}

impl Default for ServeSection {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8088".to_owned() }
    }
}

/// The keys every source has; what is left belongs to its connector.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// The connector that reads it.
    pub connector: String,
    /// What its records are: leads (default), touches, engagements, conversions or costs.
    pub role: Option<Role>,
    /// Which of its streams to read; all when left out.
    #[serde(default)]
    pub streams: Vec<String>,
    /// By which way people come to be in it, where the connector cannot know.
    pub origin: Option<Origin>,
    /// The channel of its people, said outright.
    pub channel: Option<ChannelSection>,
    /// What it cost as a whole.
    pub cost: Option<CostSection>,
    /// On what basis its records are held.
    pub basis: Option<BasisSection>,
    /// Our field ← the source's field, laid over what the connector maps by itself.
    #[serde(default)]
    pub map: BTreeMap<String, MapEntry>,
    /// How its dates are written.
    pub dates: Option<DatesSection>,
    /// The country (ISO 3166 alpha-2) of numbers written nationally.
    pub country: Option<String>,
    /// The currency (ISO 4217) of amounts that name none.
    pub currency: Option<String>,
    /// What to do when its columns are others than in the run before, or hold another kind of value: `accept` (default) tells it and
    /// reads on, `stop` reads nothing.
    #[serde(default)]
    pub on_schema_change: SchemaChange,
    /// What becomes of a record that a complete reading does not show any more, where the connector can tell: `delete` (default) ends
    /// it as if the source had said so, `keep` leaves it.
    #[serde(default)]
    pub on_absence: OnAbsence,
    /// How much of what is known of a stream may vanish at once, in percent: past it the source stops, and somebody looks. Ten records
    /// may always vanish, unless nothing is left.
    #[serde(default = "absence_limit_percent")]
    #[schemars(range(max = 100))]
    pub absence_limit_percent: u8,
    /// How much this source is trusted where sources disagree; higher wins.
    #[serde(default)]
    pub trust: i32,
    /// The sink of this project that writes to the same remote, by its name. What the source says of a record that the sink wrote,
    /// such as a deal that was won, is said of the person whom it wrote, whatever address stands there.
    pub same_as_sink: Option<String>,
}

fn absence_limit_percent() -> u8 {
    20
}

/// The names of [`SourceSection`]'s keys, to tell them from the connector's.
pub(crate) const SOURCE_KEYS: &[&str] = &[
    "connector",
    "role",
    "streams",
    "origin",
    "channel",
    "cost",
    "basis",
    "map",
    "dates",
    "country",
    "currency",
    "on_schema_change",
    "on_absence",
    "absence_limit_percent",
    "trust",
    "same_as_sink",
];

/// What to do when the columns of a source changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChange {
    /// Tell it and read on.
    #[default]
    Accept,
    /// Read nothing until somebody looked.
    Stop,
}

/// What to do with a record that is missing from a complete reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnAbsence {
    /// It is gone.
    #[default]
    Delete,
    /// It stays.
    Keep,
}

/// How one of our fields is read: a column's name, several of which the first that is not empty wins, or a rule.
#[derive(Debug, Clone, JsonSchema)]
pub struct MapEntry(pub FieldRule);

impl<'de> Deserialize<'de> for MapEntry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match value {
            Value::String(column) => Ok(Self(FieldRule::from_field(column))),
            Value::Array(columns) => {
                let from = columns.iter().map(|column| column.as_str().map(str::to_owned)).collect::<Option<_>>();
                let from = from.ok_or_else(|| serde::de::Error::custom("a list of columns holds their names as text"))?;
                Ok(Self(FieldRule { from, format: None, otherwise: None }))
            }
            Value::Object(_) => serde_json::from_value(value).map(Self).map_err(serde::de::Error::custom),
            Value::Null | Value::Bool(_) | Value::Number(_) => Err(serde::de::Error::custom(
                "write a column's name, a list of names, or a rule `{ from: [NAME], format: …, otherwise: … }`",
            )),
        }
    }
}

/// The channel of a source's people.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSection {
    /// The channel, such as `list`, `event` or `partner`.
    pub group: String,
    /// Who sold or runs it.
    pub vendor: Option<String>,
    /// The campaign it belongs to.
    pub campaign: Option<String>,
}

/// What a source cost as a whole.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostSection {
    /// The amount, as text: `"4200.00"`.
    pub amount: String,
    /// Its currency (ISO 4217).
    pub currency: String,
    /// What was paid for: `list_purchase` (default), `media`, `tool`, `event`, `fee`.
    #[serde(default = "list_purchase")]
    pub kind: String,
    /// The day it was spent; the day of the first run when left out.
    pub day: Option<String>,
    /// The last day it pays for, where it pays for several.
    pub until_day: Option<String>,
    /// What the amount is the price of.
    #[serde(default)]
    pub per: CostUnit,
}

/// What the amount of a cost is the price of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostUnit {
    /// The whole source.
    #[default]
    Whole,
    /// Each record that it brought, from `day` to `until_day` where that is written.
    Record,
    /// Each day from `day` to `until_day`, or until today.
    Day,
}

impl CostUnit {
    /// The word used in the lake; nothing for the whole.
    #[must_use]
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Whole => None,
            Self::Record => Some("record"),
            Self::Day => Some("day"),
        }
    }
}

fn list_purchase() -> String {
    "list_purchase".to_owned()
}

/// On what basis a source's records are held.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasisSection {
    /// `consent`, `legitimate_interest` or `contract`.
    pub lawful_basis: LawfulBasis,
    /// The day or instant it was obtained.
    pub obtained_at: Option<String>,
    /// The day or instant the people were told.
    pub notice_at: Option<String>,
}

/// A lawful basis (GDPR, article 6).
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LawfulBasis {
    /// The person agreed.
    Consent,
    /// Our interest, weighed against theirs.
    LegitimateInterest,
    /// A contract with the person.
    Contract,
}

impl LawfulBasis {
    /// The word used in the lake.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consent => "consent",
            Self::LegitimateInterest => "legitimate_interest",
            Self::Contract => "contract",
        }
    }
}

/// How a source writes dates.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatesSection {
    /// A strftime format such as `%d/%m/%Y`.
    pub format: Option<String>,
    /// The zone (IANA name) of times that name none; UTC when left out.
    pub zone: Option<String>,
}

/// When two records are one person.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct IdentitySection {
    /// Who decides.
    pub engine: IdentityEngine,
    /// Records join when the mean chance over their pairs is at least this, from 0 to 1. Higher joins less; 0.5 is what the
    /// published figures were measured with.
    pub auto_merge_above: f64,
    /// Pairs of two persons with at least this chance wait for a review.
    pub review_above: f64,
    /// Bounds that a run must keep; one that breaks them stops before it changes anything.
    pub gates: GatesSection,
}
impl Default for IdentitySection {
    fn default() -> Self {
        Self { engine: IdentityEngine::default(), auto_merge_above: 0.9, review_above: 0.2, gates: GatesSection::default() }
    }
}

/// Who decides which records are one person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdentityEngine {
    /// Everything that records say is weighed.
    #[default]
    Probabilistic,
    /// Records join by an equal key: e-mail, phone with name, LinkedIn profile, a vendor's id.
    Exact,
}

impl IdentityEngine {
    /// The word for it in the project file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probabilistic => "probabilistic",
            Self::Exact => "exact",
        }
    }
}

/// Bounds that a run of the probabilistic engine must keep.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GatesSection {
    /// The most records of one person.
    pub largest: u32,
    /// The most doubtful pairs for each record; held from 100 records on.
    pub doubtful: f64,
    /// The least share of joins that must be expected to be right, from 0 to 1.
    pub precision: f64,
    /// The least share of joined pairs that must be right by the pairs that people checked with `review sample`, from 0 to 1: held
    /// against the lower end of its 95 % interval. Without it nothing is held.
    pub sampled_precision: Option<f64>,
}

impl Default for GatesSection {
    fn default() -> Self {
        Self { largest: 200, doubtful: 0.25, precision: 0.9, sampled_precision: None }
    }
}

/// How contacts are classed into channels.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelsSection {
    /// Rules that stand before the built-in ones, which `report channels --rules` shows; the first that fits decides.
    pub rules: Vec<ChannelRule>,
    /// Hosts whose visits keep no origin, such as a sign-in or payment page; those below them count as well.
    pub ignored_referrers: Vec<String>,
}

/// One rule: all that is given must fit. In a pattern `*` is any text; letter case does not count.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelRule {
    /// The channel, in snake case.
    pub channel: String,
    /// A pattern for `utm_source`.
    #[serde(default)]
    pub utm_source: Option<String>,
    /// A pattern for `utm_medium`.
    #[serde(default)]
    pub utm_medium: Option<String>,
    /// A pattern for `utm_campaign`.
    #[serde(default)]
    pub utm_campaign: Option<String>,
    /// A pattern for the name of the click id's parameter, such as `gclid`.
    #[serde(default)]
    pub click_id: Option<String>,
    /// The host of the referring page, or one above it.
    #[serde(default)]
    pub referrer: Option<String>,
}

/// Which touch gets which share of a conversion.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttributionSection {
    /// The models to compute.
    pub models: Vec<String>,
    /// How many days before a conversion a touch may lie and still earn credit.
    pub lookback_days: u32,
}

impl Default for AttributionSection {
    fn default() -> Self {
        let models = ["first", "last", "last_non_direct", "linear", "position"];
        Self { models: models.map(str::to_owned).to_vec(), lookback_days: 90 }
    }
}

/// What a source is worth.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MeasuresSection {
    /// The fields a record must have to count as complete.
    pub required_fields: Vec<String>,
    /// Sources whose people are younger than this many days are called immature.
    pub maturity_days: u32,
    /// The period by which the people of a source are grouped, so that the list of one quarter can be set beside that of another.
    pub cohort: CohortPeriod,
    /// The currency (ISO 4217) in which amounts are added up, each at the rate of its own day; without it, and where a rate is missing,
    /// amounts of each currency stand apart.
    pub currency: Option<String>,
    /// The day rates: a CSV file, relative to the project, with the columns `day`, `currency` and `rate`, which is what one unit of that
    /// currency was worth in `currency`. A day without a rate takes that of up to seven days before.
    pub rates_file: Option<String>,
    /// How costs are divided that several sources or days share; the first rule that fits a cost applies.
    pub cost_rules: Vec<CostRule>,
    /// When a source is said to have changed.
    pub drift: DriftSection,
}

/// A calendar period, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortPeriod {
    /// Such as `2026-10`.
    #[default]
    Month,
    /// Such as `2026-Q4`.
    Quarter,
    /// Such as `2026`.
    Year,
}

/// How some costs are divided.
#[derive(Debug, Clone, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostRule {
    /// Only costs of this kind, such as `tool`; any when left out.
    pub kind: Option<String>,
    /// Only costs of this channel; any when left out.
    pub channel: Option<String>,
    /// Only costs of this campaign; any when left out.
    pub campaign: Option<String>,
    /// What they are divided by.
    pub divide_by: CostDivision,
    /// The sources among which they are divided; all that have what is divided by when left out.
    #[serde(default)]
    pub among: Vec<String>,
}

/// What a cost is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CostDivision {
    /// The records that each source brought on its days. Costs that name a source stay with it.
    Records,
    /// The contacts through its campaign that each source counted on its days. Costs that name a source stay with it.
    Campaign,
    /// Its days, from the first to the last, in equal parts.
    Days,
}

/// When a source is said to have changed.
#[derive(Debug, Clone, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DriftSection {
    /// The last days, which are compared.
    pub window_days: u32,
    /// The days before them, with which they are compared.
    pub base_days: u32,
    /// The part of alerts that may be false, from 0 to 1; with 0 there are none.
    pub false_alerts: f64,
}

impl Default for DriftSection {
    fn default() -> Self {
        Self { window_days: 7, base_days: 28, false_alerts: 0.05 }
    }
}

impl Default for MeasuresSection {
    fn default() -> Self {
        let fields = ["email", "given_name", "family_name", "company_name"];
        Self {
            required_fields: fields.map(str::to_owned).to_vec(),
            maturity_days: 30,
            cohort: CohortPeriod::default(),
            currency: None,
            rates_file: None,
            cost_rules: Vec::new(),
            drift: DriftSection::default(),
        }
    }
}

/// When `serve` runs a sync.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSection {
    /// At once, and so long after the end of each run: `15m`, `2h`, `1d`.
    #[serde(default)]
    pub every: Option<String>,
    /// Instead, at these times: minute, hour, day of the month, month, day of the week, as in `0 6 * * MON-FRI`.
    #[serde(default)]
    pub cron: Option<String>,
    /// The time zone of `cron`, such as `Europe/Paris`; UTC when left out. A time that its clocks skip does not come that day, one that they repeat
    /// comes twice.
    #[serde(default)]
    pub time_zone: Option<String>,
}
