//! What stands in a `connector.yaml`, as it is written. What it means is decided in [`compile`](super::compile).

use std::collections::BTreeMap;

use headwater_model::mapping::{FieldRule, Origin, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

/// A connector that is data.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The version of this format: 1.
    pub version: u32,
    /// The connector's name: the folder's. Lower-case letters, digits and `_`.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// One sentence on what it reads.
    pub summary: String,
    /// Whose ids `external_id` holds; default the connector's name.
    #[serde(default)]
    pub vendor: Option<String>,
    /// The vendor's documentation that this file follows: addresses.
    #[serde(default)]
    pub docs: Vec<String>,
    /// What a user has to say, by key.
    #[serde(default)]
    pub connection: BTreeMap<String, Setting>,
    /// The only hosts that are called. May hold `${connection.…}`.
    pub hosts: Vec<String>,
    /// What all requests share.
    pub api: Api,
    /// The streams that are asked for their first page to check a connection; default the first that has no partitions.
    #[serde(default)]
    pub check: Vec<String>,
    /// The streams, by name.
    pub streams: BTreeMap<String, Stream>,
    /// Recorded exchanges and the rows that must come of them, by name.
    #[serde(default)]
    pub tests: BTreeMap<String, Test>,
}

/// One key of a connection.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// What kind of value it is.
    #[serde(rename = "type")]
    pub kind: SettingKind,
    /// What it is and where a user finds it.
    pub about: String,
    /// The value where the user gives none.
    #[serde(default)]
    pub default: Option<Json>,
    /// Whether it may be left out although it has no default.
    #[serde(default)]
    pub optional: bool,
    /// The only values it may have.
    #[serde(default)]
    pub one_of: Vec<String>,
}

/// The kinds of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// Text.
    Text,
    /// A secret: the user writes a reference, `{ env: NAME }` or `{ file: PATH }`. It is never shown.
    Secret,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A day, `2026-01-31`.
    Day,
    /// A list of text.
    List,
    /// A part of a host name: letters, digits and `-`.
    HostPart,
    /// The address of a server of the user's own; its host may be called, also where it is private.
    Url,
}

/// What all requests share.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Where every path begins.
    pub url: String,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every request.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// How a request shows who we are.
    #[serde(default)]
    pub auth: Auth,
    /// What the remote allows one credential, in all streams together.
    #[serde(default)]
    pub budget: Budget,
    /// What answers mean that do not mean the usual. Looked at in order.
    #[serde(default)]
    pub on_response: Vec<ResponseRule>,
    /// How long to wait before a request is sent again, where an answer says so in its own way. `Retry-After` is always obeyed.
    #[serde(default)]
    pub wait: Option<WaitRule>,
}

/// How a request shows who we are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A value in a header.
    Header {
        /// The header.
        name: String,
        /// Its value.
        value: String,
    },
    /// A value in a query parameter.
    Query {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
    },
    /// `Authorization: Bearer …`.
    Bearer {
        /// The token.
        token: String,
    },
    /// `Authorization: Basic …`.
    Basic {
        /// The user.
        user: String,
        /// The password; may be empty.
        #[serde(default)]
        password: String,
    },
    /// A token of an OAuth 2 server, fetched when needed and when it expires.
    Oauth2 {
        /// How the token is got.
        grant: Grant,
        /// Where.
        token_url: String,
        /// The client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// The refresh token, for `grant: refresh_token`.
        #[serde(default)]
        refresh_token: Option<String>,
        /// Scopes to ask for.
        #[serde(default)]
        scopes: Vec<String>,
        /// Where the client's id and secret are sent.
        #[serde(default)]
        client_in: ClientIn,
        /// Further form fields.
        #[serde(default)]
        form: BTreeMap<String, String>,
        /// What stands before the token in the `Authorization` header.
        #[serde(default = "bearer")]
        prefix: String,
    },
    /// A token that a request of its own gives.
    Session {
        /// The request.
        request: Box<Request>,
        /// Where its answer has the token: keys, with `.` between.
        token: String,
        /// How long it lasts, such as `50m`; default as long as a run.
        #[serde(default)]
        lifetime: Option<String>,
        /// The header it is sent in.
        #[serde(default = "authorization")]
        header: String,
        /// What stands before it in the header.
        #[serde(default)]
        prefix: String,
    },
    /// A JSON Web Token that we sign.
    Jwt {
        /// `HS256`, `RS256`, `ES256` and so on.
        algorithm: String,
        /// The key: text, or PEM.
        key: String,
        /// Whether the key is base64 of the real one.
        #[serde(default)]
        key_is_base64: bool,
        /// Further members of the header.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// Claims; `iat` and `exp` are added.
        #[serde(default)]
        claims: BTreeMap<String, String>,
        /// How long it lasts, such as `5m`.
        #[serde(default = "five_minutes")]
        lifetime: String,
        /// What stands before the token in the `Authorization` header.
        #[serde(default = "bearer")]
        prefix: String,
    },
}

fn bearer() -> String {
    "Bearer ".to_owned()
}

fn authorization() -> String {
    "Authorization".to_owned()
}

fn five_minutes() -> String {
    "5m".to_owned()
}

/// How an OAuth 2 token is got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// With a refresh token that the user got once.
    RefreshToken,
    /// With the client's own id and secret.
    ClientCredentials,
}

/// Where the client's id and secret are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientIn {
    /// As form fields.
    #[default]
    Form,
    /// As `Authorization: Basic`.
    Basic,
}

/// What the remote allows one credential.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// So many requests …
    #[serde(default)]
    pub requests: Option<u32>,
    /// … in so long, such as `1s`, `1m`, `1h`.
    #[serde(default)]
    pub per: Option<String>,
    /// Requests in flight at once.
    #[serde(default = "four")]
    pub concurrent: usize,
    /// The header that says how many requests are left.
    #[serde(default)]
    pub remaining_header: Option<String>,
    /// The header that says when the count begins anew, in seconds of Unix time.
    #[serde(default)]
    pub reset_header: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { requests: None, per: None, concurrent: four(), remaining_header: None, reset_header: None }
    }
}

fn four() -> usize {
    4
}

/// What an answer means. All conditions that are given must hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseRule {
    /// The statuses it is for; default all.
    #[serde(default)]
    pub status: Vec<u16>,
    /// A condition on `response`, `headers` and `headers.status`.
    #[serde(default)]
    pub when: Option<String>,
    /// What then.
    pub then: Then,
    /// What the user is told, where it fails.
    #[serde(default)]
    pub message: Option<String>,
    /// What kind of failure it is.
    #[serde(default)]
    pub kind: Option<FailureKind>,
}

/// What is done about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Its records are taken.
    Accept,
    /// It counts as a page without records.
    Ignore,
    /// It is asked again.
    Retry,
    /// It is asked again, later: the remote is overloaded.
    RateLimit,
    /// The stream fails.
    Fail,
    /// The token is made anew, and it is asked again.
    RefreshToken,
}

/// Kinds of failure, by who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The settings are wrong.
    Config,
    /// The credentials are refused.
    Auth,
    /// What is asked for is not there.
    NotFound,
    /// The remote refuses.
    Rejected,
    /// The remote does not work now.
    Unavailable,
}

/// How long to wait before a request is sent again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitRule {
    /// The header that says it.
    pub header: String,
    /// What it says.
    pub says: WaitIn,
}

/// What a header about waiting says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitIn {
    /// For how many seconds.
    Seconds,
    /// Until when, in seconds of Unix time.
    UnixTime,
}

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
    /// How a later read asks only for what is new.
    #[serde(default)]
    pub cursor: Option<CursorSpec>,
    /// The record's own id: an expression.
    #[serde(default)]
    pub key: Option<String>,
    /// Whether the record says that it is gone: an expression.
    #[serde(default)]
    pub deleted: Option<String>,
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
    /// How the answer is read.
    #[serde(default)]
    pub decode: Decode,
}

/// The methods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET.
    #[default]
    Get,
    /// POST; counts as a question that may be asked again.
    Post,
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
    },
    /// One read for each value.
    Values {
        /// The values: an expression that gives a list, such as `connection.list_ids` or `['a', 'b']`.
        values: String,
        /// The name, as `partition.NAME`.
        name: String,
    },
}

/// How a later read asks only for what is new.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CursorSpec {
    /// What kind of position it is.
    #[serde(rename = "type")]
    pub kind: CursorKind,
    /// Where a record has it: an expression.
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
    /// How far before the furthest record a later read begins, such as `5m` or, for integers, a number.
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

/// Recorded exchanges and the rows that must come of them.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The stream that is read.
    pub stream: String,
    /// The time at which it is read; default 2026-02-01T00:00:00Z.
    #[serde(default)]
    pub now: Option<String>,
    /// The connection's settings; a secret stands here as it is. One that is not given is its default, or `test-KEY`.
    #[serde(default)]
    pub connection: BTreeMap<String, Json>,
    /// How many records a page has in this test, instead of the number in `paging`: so that two pages are short to record.
    #[serde(default)]
    pub page_size: Option<u32>,
    /// The exchanges of the first read: each must happen.
    pub exchanges: Vec<Exchange>,
    /// A file of the rows of the first read, below the connector's folder; default `expected/TEST.jsonl`.
    #[serde(default)]
    pub expect: Option<String>,
    /// A second read, from where the first one ended.
    #[serde(default)]
    pub then: Option<SecondRead>,
}

/// A read from where the first one ended.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondRead {
    /// The exchanges: each must happen.
    pub exchanges: Vec<Exchange>,
    /// A file of its rows; default `expected/TEST_then.jsonl`.
    #[serde(default)]
    pub expect: Option<String>,
}

/// A request that must be made, and its answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// The method, path and query: `GET /v3/contacts?limit=50`. The order of parameters does not matter.
    pub request: String,
    /// Headers that it must have.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON body that it must have.
    #[serde(default)]
    pub json: Option<Json>,
    /// The form body that it must have.
    #[serde(default)]
    pub form: BTreeMap<String, String>,
    /// The status of the answer.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers of the answer.
    #[serde(default)]
    pub answer_headers: BTreeMap<String, String>,
    /// The file with the body of the answer, below the connector's folder; default an empty body.
    #[serde(default)]
    pub answer: Option<String>,
}

fn ok() -> u16 {
    200
}
