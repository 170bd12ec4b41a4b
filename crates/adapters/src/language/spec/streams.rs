//! Streams: requests, paging, records, parts, cursors, fields.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use headwater_model::mapping::{FieldRule, Origin, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::ResponseRule;

/// A stream.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// What its records are.
    #[serde(default)]
    pub role: Role,
    /// By which way a person came to be in it.
    #[serde(default)]
    pub origin: Origin,
    /// Whose ids `external_id` holds, where it is not the connector's vendor.
    #[serde(default)]
    pub vendor: Option<String>,
    /// What a user should know: limits, what it does not show.
    #[serde(default)]
    pub notes: Option<String>,
    /// Whether it exists only for other streams to name as `for_each`; a user does not see it.
    #[serde(default)]
    pub helper: bool,
    /// A job of the remote: made and waited for, before `request` fetches what it gives, as `${job.file}`.
    #[serde(default)]
    pub job: Option<Job>,
    /// What is asked for.
    pub request: Request,
    /// What follows a page.
    #[serde(default)]
    pub paging: Paging,
    /// Where the records of an answer are.
    pub records: Records,
    /// How the stream is divided: one read for every value, or for every record of another stream. Several give every
    /// combination.
    #[serde(default)]
    pub for_each: Vec<ForEach>,
    /// Small streams of this file that are read first, whole, as `lookup.NAME`: keys and values for `get`.
    #[serde(default)]
    pub lookup: BTreeMap<String, Lookup>,
    /// How a later read asks only for what is new.
    #[serde(default)]
    pub cursor: Option<CursorSpec>,
    /// The record's own id: an expression.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether the record says that it is gone: an expression.
    #[serde(default)]
    pub deleted: Option<String>,
    /// Whether a read from the beginning shows everything that there is: who is not in it any more is gone.
    #[serde(default)]
    pub whole: bool,
    /// The fields, by name.
    #[serde(default)]
    pub fields: BTreeMap<String, Field>,
    /// Which of our fields is read from which of them.
    #[serde(default)]
    pub map: BTreeMap<String, MapRule>,
    /// What answers mean in this stream; looked at before those of `api`.
    #[serde(default)]
    pub on_response: Vec<ResponseRule>,
}

/// A request.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// The path below `api.url`, or a whole address. A value put in by `${…}` stays one part of the path.
    pub path: String,
    /// Query parameters. One whose value is nothing is left out; a list repeats it.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers. One whose value is nothing is left out.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body: any shape, with `${…}` in its texts. A key whose value is nothing is left out.
    #[serde(default)]
    pub json: Option<Json>,
    /// A form body.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// A body that is text, such as `${csv(rows, '')}`; say what it is in `headers`.
    #[serde(default)]
    pub text: Option<String>,
    /// How the answer is read.
    #[serde(default)]
    pub decode: Decode,
    /// How many calls the remote counts it as, where a day's allowance is of tokens or credits and not of calls. Default 1.
    #[serde(default)]
    pub cost: Option<NonZeroU32>,
    /// How long the answer may take, such as `5m` for a large file; default 30 seconds.
    #[serde(default)]
    pub timeout: Option<String>,
    /// Whether nothing of `api` is sent along, neither credentials nor headers nor parameters: for addresses that are signed
    /// themselves.
    #[serde(default)]
    pub anonymous: bool,
}

/// A job of the remote: an export or a report that is ordered, and ready some time later.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Orders it.
    pub create: Request,
    /// What of the answer the next requests see, as `job.NAME`: expressions of `response` and `headers`. It is kept in positions: a
    /// run that is killed goes on with the same job.
    pub give: BTreeMap<String, String>,
    /// Asks how it goes.
    pub poll: Request,
    /// How long to wait between two looks.
    #[serde(default = "ten_seconds")]
    pub every: String,
    /// How long it may take in one run; the next run goes on waiting for the same job.
    #[serde(default = "one_hour")]
    pub at_most: String,
    /// Whether it is done: a condition on `response`, `headers` and `job`.
    pub done_when: String,
    /// Whether it failed: a condition on the same.
    #[serde(default)]
    pub failed_when: Option<String>,
    /// The addresses of its files, one or a list, out of the answer that says that it is done; nothing means that it gave nothing.
    /// Without it `request` is sent once, and knows where.
    #[serde(default)]
    pub files: Option<String>,
}

fn ten_seconds() -> String {
    "10s".to_owned()
}

fn one_hour() -> String {
    "1h".to_owned()
}

/// The methods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST; counts as a question that may be asked again, unless it makes a record.
    Post,
    /// PUT, for sinks.
    Put,
    /// PATCH, for sinks.
    Patch,
    /// DELETE, for sinks.
    Delete,
}

/// How an answer is read.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decode {
    /// What it is written in.
    #[serde(default, rename = "type")]
    pub format: DecodeFormat,
    /// Between the fields of CSV.
    #[serde(default)]
    pub delimiter: Option<char>,
    /// The encoding of CSV, such as `windows-1252`; default UTF-8.
    #[serde(default)]
    pub encoding: Option<String>,
    /// What it is packed in.
    #[serde(default)]
    pub packed: Packed,
}

/// What an answer is written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecodeFormat {
    /// JSON.
    #[default]
    Json,
    /// One JSON value a line.
    JsonLines,
    /// CSV with a header.
    Csv,
    /// XML, as nested keys.
    Xml,
    /// The HTTP answers to the parts of a batch (`multipart/mixed`), each with `status`, `headers` and `body`. An answer that is no
    /// multipart is JSON.
    Multipart,
}

/// What an answer is packed in, beside the compression of HTTP itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Packed {
    /// Nothing.
    #[default]
    No,
    /// Gzip.
    Gzip,
    /// A zip archive; all files in it are read.
    Zip,
}

/// What follows a page.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Paging {
    /// Nothing: there is one page.
    #[default]
    None,
    /// The request says how many records to skip: `page.offset`. Ends with a page that is not full.
    Offset {
        /// How many records a page has: `page.size`.
        size: u32,
        /// A condition under which this page is the last.
        #[serde(default)]
        last_when: Option<String>,
    },
    /// The request says the number of the page: `page.number`. Ends with a page that is not full.
    Page {
        /// How many records a page has: `page.size`.
        size: u32,
        /// The number of the first page.
        #[serde(default = "one")]
        first: u32,
        /// A condition under which this page is the last. With it, a page that is not full is not.
        #[serde(default)]
        last_when: Option<String>,
    },
    /// The answer says a token for the next page: `page.token`. Ends where it says none.
    Token {
        /// The token: an expression of `response`, `headers`, `last`.
        next: String,
        /// How many records a page has: `page.size`.
        #[serde(default)]
        size: Option<u32>,
        /// A condition under which this page is the last.
        #[serde(default)]
        last_when: Option<String>,
    },
    /// The answer says the next page's address.
    NextUrl {
        /// The address: an expression of `response`, `headers`. It may be relative to `api.url`'s host.
        next: String,
        /// How many records a page has: `page.size`.
        #[serde(default)]
        size: Option<u32>,
    },
    /// The header `Link` says the next page's address, as the relation `next`.
    Link {
        /// How many records a page has: `page.size`.
        #[serde(default)]
        size: Option<u32>,
    },
}

fn one() -> u32 {
    1
}

/// Where the records of an answer are.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// An expression of `response`: a list gives its items, keys and values give one record, nothing gives none.
    pub from: String,
    /// A list in each record, of which every item becomes a record of its own: the outer one, with the item as `record.item`.
    #[serde(default)]
    pub each: Option<String>,
    /// Which records are wanted: a condition.
    #[serde(default)]
    pub r#where: Option<String>,
}

/// How a stream is divided.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ForEach {
    /// One read for each record of another stream of this file.
    Parent {
        /// The stream.
        stream: String,
        /// What this stream sees of that record, as `partition.NAME`: expressions of `record`.
        give: BTreeMap<String, String>,
        /// Which of these names tells the partitions apart.
        id: String,
        /// One read for so many records together: the names are lists then.
        #[serde(default)]
        batch: Option<usize>,
    },
    /// One read for each value.
    Values {
        /// The values: an expression that gives a list, such as `connection.list_ids` or `['a', 'b']`.
        values: String,
        /// The name, as `partition.NAME`.
        name: String,
        /// One read for so many values together: the name is a list then.
        #[serde(default)]
        batch: Option<usize>,
    },
}

/// A small stream as keys and values.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The stream.
    pub stream: String,
    /// The key: an expression of its `record`.
    pub key: String,
    /// The value: an expression of its `record`.
    pub value: String,
}

/// How a later read asks only for what is new.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CursorSpec {
    /// What kind of position it is.
    #[serde(rename = "type")]
    pub kind: CursorKind,
    /// Where a record has it: an expression. For `opaque`: where an answer has it, an expression of `response`, `headers`, `last`.
    pub value: String,
    /// How requests write it: `rfc3339` (default), `unix`, `unix_ms`, or a strftime format such as `%Y-%m-%d`. In UTC.
    #[serde(default)]
    pub written: Option<String>,
    /// How records write it, where it is not RFC 3339: `unix`, `unix_ms` or a strftime format.
    #[serde(default)]
    pub read: Option<String>,
    /// How fine the remote's filter is. Equal times at a border are asked for again, never lost.
    #[serde(default)]
    pub precision: Precision,
    /// Whether the remote's filter gives records that stand exactly at `cursor.start`.
    #[serde(default)]
    pub bound: BoundKind,
    /// How far before the furthest record a later read begins, such as `5m` or, for integers, a number. May hold `${connection.…}`:
    /// `${connection.days}d`.
    #[serde(default)]
    pub overlap: Option<String>,
    /// Where the first read begins: a day or an instant, with `${connection.…}`. Default: everything there is.
    #[serde(default)]
    pub start: Option<String>,
    /// How long one question may reach, such as `30d`: the stream is read in slices from `cursor.start` to `cursor.end`.
    #[serde(default)]
    pub slices: Option<String>,
    /// Whether we leave out what is older, because the remote cannot.
    #[serde(default)]
    pub filter: bool,
    /// Whether records come newest first, so that paging may end at the first that is old.
    #[serde(default)]
    pub newest_first: bool,
}

/// The kinds of positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CursorKind {
    /// A time.
    Time,
    /// A whole number that grows.
    Integer,
    /// Whatever the API says, kept as it is and given back: a sync token.
    Opaque,
}

/// How fine a filter is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Days.
    Day,
    /// Seconds.
    #[default]
    Second,
    /// Milliseconds.
    Millisecond,
    /// Microseconds.
    Microsecond,
}

/// Whether a filter gives what stands exactly at its bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundKind {
    /// It does.
    #[default]
    Inclusive,
    /// It does not: we ask for one step of `precision` earlier.
    Exclusive,
}

/// One field of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Field {
    /// Its value: an expression; default the record's member of the field's name.
    pub value: Option<String>,
    /// The vendor's words and ours.
    pub words: BTreeMap<String, String>,
    /// What a word becomes that is not among them; default the word itself.
    pub otherwise: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LongField {
    /// Its value: an expression; default the record's member of the field's name.
    #[serde(default)]
    value: Option<String>,
    /// The vendor's words and ours.
    #[serde(default)]
    words: BTreeMap<String, String>,
    /// What a word becomes that is not among them; default the word itself.
    #[serde(default)]
    otherwise: Option<String>,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Field;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an expression, nothing, or `value` with `words`")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Field, E> {
                Ok(Field::default())
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
                Ok(Field { value: Some(text.to_owned()), ..Field::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Field, A::Error> {
                let LongField { value, words, otherwise } = LongField::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Field { value, words, otherwise })
            }
        }
        deserializer.deserialize_any(Fields)
    }
}

impl JsonSchema for Field {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Field".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let long = generator.subschema_for::<LongField>();
        schemars::json_schema!({ "anyOf": [{ "type": ["string", "null"] }, long] })
    }
}

/// How one of our fields is read: from one field, from the first of several that has a value, or with a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapRule(pub FieldRule);

impl<'de> Deserialize<'de> for MapRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rules;
        impl<'de> Visitor<'de> for Rules {
            type Value = MapRule;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a field, a list of fields, or `from` with `format` and `otherwise`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<MapRule, E> {
                Ok(MapRule(FieldRule::from_field(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<MapRule, A::Error> {
                let mut from = Vec::new();
                while let Some(item) = items.next_element()? {
                    from.push(item);
                }
                Ok(MapRule(FieldRule { from, format: None, otherwise: None }))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MapRule, A::Error> {
                FieldRule::deserialize(de::value::MapAccessDeserializer::new(map)).map(MapRule)
            }
        }
        deserializer.deserialize_any(Rules)
    }
}

impl JsonSchema for MapRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MapRule".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let long = generator.subschema_for::<FieldRule>();
        schemars::json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }, long] })
    }
}
