//! What a user writes of sinks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// The keys every sink has; what is left belongs to its connector.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkSection {
    /// The connector that writes it.
    pub connector: String,
    /// Which prospects it gets: an SQL condition over the table `prospect`.
    #[serde(default = "customers_we_may_contact")]
    pub audience: String,
    /// What finds a record that is there already, strongest first.
    #[serde(default = "external_id_then_email")]
    pub match_on: Vec<String>,
    /// What stands before our ids in the remote (`eu` makes `eu-prs_…`), where several projects write into it: those with sources of
    /// the same names have people of the same ids. Lower-case letters, digits, `_` and `-`, at most 24. Set it before the first push.
    #[serde(default)]
    pub id_namespace: String,
    /// The remote's field ← ours, a template over ours (`{{ given_name }} {{ family_name }}`), or `{ sql: EXPRESSION }` over `prospect`.
    #[serde(default)]
    pub map: BTreeMap<String, SinkField>,
    /// The remote's fields that are emptied when we have no value any more, as far as their policy lets us write over them.
    #[serde(default)]
    pub clear: Vec<String>,
    /// What may be done to fields that already have a value: `default` and exceptions by the remote's field.
    #[serde(default)]
    pub policy: BTreeMap<String, FieldPolicy>,
    /// The remote's fields without which no record is made: who has no value for one of them is held back. Each stands in `map`.
    #[serde(default)]
    pub required: Vec<String>,
    /// Whether nobody is made a record of who may be somebody else too, until `headwater review` has the answer. Who has a record is
    /// kept up to date.
    #[serde(default = "yes")]
    pub hold_in_review: bool,
    /// The companies these people work for: found or made before the people, who are then tied to them.
    pub companies: Option<CompaniesSection>,
    /// Who of the remote's users each person is given to.
    pub owners: Option<OwnersSection>,
    /// Tasks about these people, by name: one a person, made once.
    #[serde(default)]
    pub tasks: BTreeMap<String, TasksSection>,
    /// Lists of the remote that these people are put into, by name. Who may not be contacted is never put into one.
    #[serde(default)]
    pub lists: BTreeMap<String, ListSection>,
    /// How much of what the remote allows this project may use.
    #[serde(default)]
    pub budget: Option<BudgetSection>,
    /// When what the remote refused is offered again though nothing changed: what it refused may be mended there.
    #[serde(default)]
    pub retry_refused: RetrySection,
}

/// When refused rows are offered again by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySection {
    /// By the first sync so many hours after the remote refused them last.
    #[serde(default = "a_day")]
    pub after_hours: u32,
    /// So often at most; 0 is never. `headwater quarantine retry` offers them at any time.
    #[serde(default = "three")]
    pub at_most: u32,
}

impl Default for RetrySection {
    fn default() -> Self {
        Self { after_hours: a_day(), at_most: three() }
    }
}

fn a_day() -> u32 {
    24
}

fn three() -> u32 {
    3
}

/// How much of what a remote allows a sink may use.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetSection {
    /// The most calls that are made in a day of UTC; of a remote that counts tokens, such as Pipedrive, the most tokens. What does not
    /// fit waits in the outbox for the next day.
    pub calls_per_day: NonZeroU64,
}

/// What a field of a remote gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkField {
    /// One of our fields, or a template over them.
    Text(String),
    /// An SQL expression over a row of `prospect`.
    Sql(String),
}

impl SinkField {
    /// Our field or template; nothing where it is SQL.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Sql(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for SinkField {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Expression {
            sql: String,
        }
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self::Text(text)),
            value @ Value::Object(_) => {
                let Expression { sql } = serde_json::from_value(value).map_err(serde::de::Error::custom)?;
                Ok(Self::Sql(sql))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                Err(serde::de::Error::custom("write one of our fields, a template over them, or `{ sql: EXPRESSION }`"))
            }
        }
    }
}

impl JsonSchema for SinkField {
    fn schema_name() -> Cow<'static, str> {
        "SinkField".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "One of our fields, a template over them, or an SQL expression over a row of `prospect`.",
            "anyOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "sql": { "description": "The expression.", "type": "string" } },
                    "required": ["sql"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// The names of [`SinkSection`]'s keys, to tell them from the connector's.
pub(crate) const SINK_KEYS: &[&str] = &[
    "connector",
    "audience",
    "match_on",
    "id_namespace",
    "map",
    "clear",
    "policy",
    "required",
    "hold_in_review",
    "companies",
    "owners",
    "tasks",
    "lists",
    "budget",
    "retry_refused",
];

/// The companies of a sink's people. Two people are of one company when they share its registration number or its domain, else its
/// name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompaniesSection {
    /// What finds a company that is there already, strongest first: `external_id`, or the remote's fields of `map`.
    #[serde(default = "external_id")]
    pub match_on: Vec<String>,
    /// The remote's field of a company ← ours, or a template over ours: `company_name`, `company_domain`, `company_number`,
    /// `website`, `street`, `city`, `region`, `postal_code`, `country`.
    pub map: BTreeMap<String, String>,
    /// The remote's fields of a company that are emptied when we have no value any more.
    #[serde(default)]
    pub clear: Vec<String>,
    /// What may be done to fields of a company that already have a value.
    #[serde(default)]
    pub policy: BTreeMap<String, FieldPolicy>,
    /// The remote's fields of a company without which none is made: one that has no value for them is held back, and its people go
    /// without. Each stands in `map`.
    #[serde(default)]
    pub required: Vec<String>,
}

fn external_id() -> Vec<String> {
    vec!["external_id".to_owned()]
}

/// Who of the remote's users each person is given to. A person who was given to somebody stays there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnersSection {
    /// The remote's field that names the owner. `policy` may name it; whoever has an owner in the remote keeps that one by default.
    pub field: String,
    /// Who gets whom: the first rule that fits a person decides.
    pub rules: Vec<OwnerRule>,
    /// The most people whom we give to an owner, by owner; without a number there is no bound.
    #[serde(default)]
    pub capacity: BTreeMap<String, u32>,
}

/// Which people go to which owners. All conditions that are given must hold; without one it fits everybody.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnerRule {
    /// Countries (ISO 3166 alpha-2).
    #[serde(default)]
    pub countries: Vec<String>,
    /// Regions, as the people's `region` says them, whatever the case.
    #[serde(default)]
    pub regions: Vec<String>,
    /// How postal codes begin.
    #[serde(default)]
    pub postal_codes: Vec<String>,
    /// Words of which the people's `need` or `intended_use` holds one, whatever the case.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The remote's ids of the owners. Of those with room, whoever has the fewest is next; of equals, whoever stands first.
    pub to: Vec<String>,
}

/// One kind of task about people.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TasksSection {
    /// For whom: an SQL condition over the table `prospect`. Who is not in the remote gets none.
    pub when: String,
    /// The remote's field of a task ← a prospect's, or a template: `Call {{ given_name }}`, `{{ became_customer_at | plus_days(3) }}`.
    pub map: BTreeMap<String, SinkField>,
}

/// One list of the remote.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListSection {
    /// The remote's id of the list.
    pub list: String,
    /// Who belongs to it: an SQL condition over the table `prospect`. Who may not be contacted or is not in the remote does not.
    #[serde(default = "customers_we_may_contact")]
    pub when: String,
    /// Whether whom we put into it is taken off it again when they do not belong there any more. Nobody else is taken off, and no
    /// record is removed.
    #[serde(default = "yes")]
    pub leave: bool,
}

fn yes() -> bool {
    true
}

fn customers_we_may_contact() -> String {
    "lifecycle = 'customer' AND may_contact".to_owned()
}

fn external_id_then_email() -> Vec<String> {
    vec!["external_id".to_owned(), "email".to_owned()]
}

/// What may be done to a field of a record that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldPolicy {
    /// Fill it when the remote's is empty; never change what somebody wrote.
    #[default]
    FillBlank,
    /// Set it to ours whenever we have a value.
    Overwrite,
    /// Like `fill_blank`, and change what we ourselves wrote last when ours has changed since.
    KeepInStep,
    /// Move it along its order of stages, never back.
    ForwardOnly,
    /// Set it to ours where ours was seen after the remote's record was changed last; needs a remote that tells when that was.
    NewestWins,
    /// Set it when the record is made, never after.
    CreateOnly,
    /// Like `create_only`; what the remote has then is right, and no drift.
    CrmOwned,
    /// Leave it alone.
    Never,
}
