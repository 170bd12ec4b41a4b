//! The settings of the three connectors, and what they have in common: a program to start.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_sdk::{BuildContext, Error, ErrorKind, Result, Secret, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::child::Program;
use super::mask::Mask;

/// How long a program may say nothing at all before it counts as hanging. A rate limit may well make it wait for minutes.
const SILENCE_SECS: NonZeroU32 = NonZeroU32::new(600).unwrap();
/// The longest message: platforms that run such programs stop near 20 MB.
const MAX_LINE_BYTES: NonZeroU32 = NonZeroU32::new(32 * 1024 * 1024).unwrap();
/// Rows a target is given at once: each batch is a start of the program.
const BATCH_ROWS: NonZeroU32 = NonZeroU32::new(5_000).unwrap();

/// What a child may know of our environment: where programs, certificates and proxies are, and how to write text and time.
const ENVIRONMENT: [&str; 20] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// A Singer tap.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SingerConfig {
    /// The program and its fixed arguments, such as `[tap-github]`. A name with a slash is relative to the project.
    pub(super) command: Vec<String>,
    /// The program's own configuration. A secret in it is a reference: `{ env: NAME }` or `{ file: PATH }`.
    #[serde(default)]
    pub(super) config: Map<String, Value>,
    /// A JSON file with the program's configuration, passed on as it is, in place of `config`.
    pub(super) config_file: Option<PathBuf>,
    /// Further environment variables, as text or as references. Without them the program sees little more than `PATH` and `HOME`.
    #[serde(default)]
    pub(super) env: Map<String, Value>,
    /// How long the program may say nothing before it is stopped, in seconds.
    #[serde(default = "silence_secs")]
    pub(super) silence_secs: NonZeroU32,
    /// The longest message taken, in bytes.
    #[serde(default = "max_line_bytes")]
    pub(super) max_line_bytes: NonZeroU32,
    /// A catalog file, for a tap that cannot discover.
    pub(super) catalog_file: Option<PathBuf>,
    /// The argument by which the tap takes its catalog; older taps want `--properties`.
    #[serde(default)]
    pub(super) catalog_argument: CatalogArgument,
    /// Stream → the field by which it is read incrementally. Others are read as the tap's catalog says.
    #[serde(default)]
    pub(super) cursors: BTreeMap<String, String>,
    /// Streams that are read from their beginning each time (`FULL_TABLE`), and of which that shows everything there is: who is missing
    /// from a read that ended well is gone.
    #[serde(default)]
    pub(super) whole: BTreeSet<String>,
    /// Whether a read that broke off may go on from the last state of the program. Set it to false for a program whose states
    /// say "done" before it is: then a read is covered as a whole, at its end.
    #[serde(default = "resumable")]
    pub(super) resumable: bool,
}

/// The argument by which a tap takes its catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum CatalogArgument {
    /// `--catalog`.
    #[default]
    Catalog,
    /// `--properties`.
    Properties,
}

/// An Airbyte source.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AirbyteConfig {
    /// The program and its fixed arguments, such as `[source-faker]`. A name with a slash is relative to the project.
    pub(super) command: Vec<String>,
    /// The program's own configuration. A secret in it is a reference: `{ env: NAME }` or `{ file: PATH }`.
    #[serde(default)]
    pub(super) config: Map<String, Value>,
    /// A JSON file with the program's configuration, passed on as it is, in place of `config`.
    pub(super) config_file: Option<PathBuf>,
    /// Further environment variables, as text or as references. Without them the program sees little more than `PATH` and `HOME`.
    #[serde(default)]
    pub(super) env: Map<String, Value>,
    /// How long the program may say nothing before it is stopped, in seconds.
    #[serde(default = "silence_secs")]
    pub(super) silence_secs: NonZeroU32,
    /// The longest message taken, in bytes.
    #[serde(default = "max_line_bytes")]
    pub(super) max_line_bytes: NonZeroU32,
    /// Stream → the field by which it is read incrementally, where the source leaves the choice. A source that chooses by itself
    /// is read incrementally anyhow.
    #[serde(default)]
    pub(super) cursors: BTreeMap<String, String>,
    /// Streams that are read from their beginning each time, though they could be read incrementally.
    #[serde(default)]
    pub(super) full_refresh: BTreeSet<String>,
    /// Streams of which a read from the beginning (`full_refresh`) shows everything there is: who is missing from one that ended well is
    /// gone.
    #[serde(default)]
    pub(super) whole: BTreeSet<String>,
    /// Whether a read that broke off may go on from the last state of the program. Set it to false for a program whose states
    /// say "done" before it is: then a read is covered as a whole, at its end.
    #[serde(default = "resumable")]
    pub(super) resumable: bool,
}

/// A Singer target.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetConfig {
    /// The program and its fixed arguments, such as `[target-postgres]`. A name with a slash is relative to the project.
    pub(super) command: Vec<String>,
    /// The program's own configuration. A secret in it is a reference: `{ env: NAME }` or `{ file: PATH }`.
    #[serde(default)]
    pub(super) config: Map<String, Value>,
    /// A JSON file with the program's configuration, passed on as it is, in place of `config`.
    pub(super) config_file: Option<PathBuf>,
    /// Further environment variables, as text or as references. Without them the program sees little more than `PATH` and `HOME`.
    #[serde(default)]
    pub(super) env: Map<String, Value>,
    /// How long the program may say and take nothing before it is stopped, in seconds.
    #[serde(default = "silence_secs")]
    pub(super) silence_secs: NonZeroU32,
    /// The longest message taken, in bytes.
    #[serde(default = "max_line_bytes")]
    pub(super) max_line_bytes: NonZeroU32,
    /// The stream, which most targets make a table or a file of.
    #[serde(default = "prospects")]
    pub(super) stream: String,
    /// Rows given to the program at once; it is started once for each such batch.
    #[serde(default = "batch_rows")]
    pub(super) batch_rows: NonZeroU32,
    /// How to find out what the target holds. Without it a row that a target loses silently is not missed.
    pub(super) verify: Option<VerifyConfig>,
}

/// How to find out what a target holds: by a command, or by the files it writes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyConfig {
    /// A command, run before and after each batch with the environment of the program. It prints what `answers` says.
    pub(super) command: Option<Vec<String>>,
    /// What the command prints.
    #[serde(default)]
    pub(super) answers: Answers,
    /// A file of JSON lines that the target writes, or a folder of them: each row must be there by its `headwater_id`.
    pub(super) jsonl: Option<PathBuf>,
    /// Whether the target adds a record for each row it takes, also for one that it had: then a total must grow by all rows.
    #[serde(default)]
    pub(super) appends: bool,
}

/// What a verifying command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answers {
    /// How many records the target holds altogether, as one number. It shows that rows are missing, not which.
    #[default]
    Total,
    /// Those of the ids on its input that the target holds, one a line. It shows which rows are missing.
    Keys,
}

fn silence_secs() -> NonZeroU32 {
    SILENCE_SECS
}

fn max_line_bytes() -> NonZeroU32 {
    MAX_LINE_BYTES
}

fn batch_rows() -> NonZeroU32 {
    BATCH_ROWS
}

fn resumable() -> bool {
    true
}

fn prospects() -> String {
    "prospects".to_owned()
}

/// The settings that all three have.
pub(super) struct Launch<'a> {
    pub(super) command: &'a [String],
    pub(super) config: &'a Map<String, Value>,
    pub(super) config_file: Option<&'a Path>,
    pub(super) env: &'a Map<String, Value>,
    pub(super) silence_secs: NonZeroU32,
    pub(super) max_line_bytes: NonZeroU32,
}

impl Launch<'_> {
    /// The program, with its secrets read.
    pub(super) fn program(self, cx: &BuildContext) -> Result<Program> {
        let Self { command, config, config_file, env, silence_secs, max_line_bytes } = self;
        let mut secrets = Vec::new();
        named_secrets(&Value::Object(config.clone()), &mut secrets);
        let config = match config_file {
            None => {
                // The whole is never a reference, though its one key may be called `file`.
                let pairs = config
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), filled(value, &format!("config.{key}"), cx, &mut secrets)?)));
                Secret::new(Value::Object(pairs.collect::<Result<_>>()?).to_string())
            }
            Some(path) if config.is_empty() => {
                let given = read(path, "config_file", cx)?;
                named_secrets(&serde_json::from_slice(given.expose()).unwrap_or_default(), &mut secrets);
                given
            }
            Some(_) => return Err(at("give either `config` or `config_file`, not both", "config_file")),
        };
        let mut variables = inherited(cx);
        for (name, value) in env {
            let path = format!("env.{name}");
            match filled(value, &path, cx, &mut secrets)? {
                Value::String(text) => variables.push((name.clone(), text)),
                other @ (Value::Bool(_) | Value::Number(_)) => variables.push((name.clone(), other.to_string())),
                Value::Null | Value::Array(_) | Value::Object(_) => {
                    return Err(at("a variable is text, or a reference to a secret", path));
                }
            }
        }
        Ok(Program {
            argv: argv(command, "command", cx)?,
            env: variables,
            dir: cx.base_dir.clone(),
            config,
            silence: Duration::from_secs(silence_secs.get().into()),
            max_line: usize::try_from(max_line_bytes.get()).unwrap_or(usize::MAX),
            mask: Mask::new(&secrets),
        })
    }
}

/// A command's words; a program's path is relative to the project.
pub(super) fn argv(command: &[String], path: &'static str, cx: &BuildContext) -> Result<Vec<String>> {
    let Some((program, arguments)) = command.split_first().filter(|(program, _)| !program.is_empty()) else {
        return Err(at("a command has at least the name of a program", path));
    };
    let program =
        if program.contains('/') { cx.path(Path::new(program)).to_string_lossy().into_owned() } else { program.clone() };
    Ok([&[program], arguments].concat())
}

/// A file of the user's that is handed on.
pub(super) fn read(path: &Path, key: &'static str, cx: &BuildContext) -> Result<Secret> {
    let path = cx.path(path);
    let bytes = std::fs::read(&path).map_err(|error| at(format!("{} cannot be read", path.display()), key).source(error))?;
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) {
        return Err(at(format!("{} is not JSON: line {}", path.display(), error.line()), key));
    }
    Ok(Secret::new(bytes))
}

fn inherited(cx: &BuildContext) -> Vec<(String, String)> {
    ENVIRONMENT.into_iter().filter_map(|name| Some((name.to_owned(), (cx.env)(name)?))).collect()
}

/// What is called like a secret is hidden too, though it stands there in the open.
fn named_secrets(value: &Value, secrets: &mut Vec<Secret>) {
    const NAMES: [&str; 5] = ["password", "secret", "token", "key", "credential"];
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let name = name.to_lowercase();
                match value {
                    Value::String(text) if NAMES.iter().any(|part| name.contains(part)) => {
                        secrets.push(Secret::new(text.as_str()))
                    }
                    value => named_secrets(value, secrets),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named_secrets(item, secrets)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value with each reference in it replaced by the secret it names.
fn filled(value: &Value, path: &str, cx: &BuildContext, secrets: &mut Vec<Secret>) -> Result<Value> {
    match value {
        Value::Object(map) => {
            if let Some(reference) = reference(map) {
                let secret = cx.secret(&reference).map_err(|error| error.context("path", path))?;
                let text = secret.expose_str().to_owned();
                secrets.push(secret);
                return Ok(Value::String(text));
            }
            let pairs = map.iter().map(|(key, value)| Ok((key.clone(), filled(value, &format!("{path}.{key}"), cx, secrets)?)));
            pairs.collect::<Result<Map<_, _>>>().map(Value::Object)
        }
        Value::Array(items) => {
            let items = items.iter().enumerate().map(|(index, item)| filled(item, &format!("{path}[{index}]"), cx, secrets));
            items.collect::<Result<_>>().map(Value::Array)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(value.clone()),
    }
}

fn reference(map: &Map<String, Value>) -> Option<SecretRef> {
    let mut pairs = map.iter();
    match (pairs.next(), pairs.next()) {
        (Some((key, Value::String(name))), None) if key == "env" => Some(SecretRef::Env(name.clone())),
        (Some((key, Value::String(path))), None) if key == "file" => Some(SecretRef::File(path.into())),
        _ => None,
    }
}

/// A complaint about a key of the settings.
pub(super) fn at(message: impl Into<String>, path: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message).context("path", path)
}
