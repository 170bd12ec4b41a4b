//! From a [`Spec`] to the engine's plan. Everything that a file can get wrong is found here, with its line.

mod companions;
mod requests;
mod sink;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use headwater_model::mapping::Mapping;
use headwater_sdk::StreamSpec;
use headwater_sdk::document::nearest;

use super::evaluate::{PageVariable, Placed};
use super::expr::{self, Expr, Known, Names, Type, Variable};
use super::load::{Document, LanguageError};
use super::spec::{Budget, SettingKind, Spec};
use crate::engine::Value;
use crate::engine::plan::{Auth, BudgetPlan, BudgetPolicy, BudgetRate, Checkpoints, HostRules, SourcePlan, StreamPlan};

pub(super) use companions::{ListPlan, MovePlan, compile_companies, compile_list, compile_tasks};
pub(super) use sink::{
    AnswersPlan, DescribePlan, FieldPlan, FindPlan, FirstPlan, JobPlan, MakeFieldPlan, SinkPlan, WritePlan, compile_sink,
};

type Result<T> = std::result::Result<T, LanguageError>;

/// The version of the format.
const FORMAT_VERSION: u32 = 1;
/// How many requests a file may ask to have in flight at once.
const MAX_CONCURRENT: usize = 64;
/// The keys that every source of a project has.
const RESERVED: [&str; 12] =
    ["basis", "channel", "connector", "cost", "country", "currency", "dates", "map", "origin", "role", "streams", "trust"];

/// What a plan is made for.
#[derive(Debug, Clone, Default)]
pub(super) struct Setup {
    /// The connection's settings, as expressions see them.
    pub(super) config: Value,
    /// The hosts that the settings name, and that may be private.
    pub(super) hosts: Vec<String>,
    /// Whether they may be private.
    pub(super) allow_private: bool,
    /// In a test run: the origin that stands in for the vendor's.
    pub(super) instead: Option<String>,
    /// In a test run: how many records a page has.
    pub(super) page_size: Option<u32>,
}

/// A connector, ready to be run.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) plan: SourcePlan,
    pub(super) streams: Vec<Made>,
}

/// A stream that a user sees.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) spec: StreamSpec,
    pub(super) keyed: bool,
}

/// Compiles a file for one connection.
pub(super) fn compile(document: &Document, spec: &Spec, setup: Setup) -> Result<Compiled> {
    Compiler { document, spec, setup, root: "sink" }.run()
}

struct Compiler<'a> {
    document: &'a Document,
    spec: &'a Spec,
    setup: Setup,
    /// Where the sink stands that is compiled: the file's, or that of its tasks.
    root: &'static str,
}

impl Compiler<'_> {
    fn run(mut self) -> Result<Compiled> {
        self.header()?;
        let auth = self.auth()?;
        let mut plans: Vec<Arc<StreamPlan>> = Vec::new();
        let mut streams = Vec::new();
        for name in self.spec.streams.keys() {
            let (plan, made) = self.stream(name, &auth)?;
            plans.push(Arc::new(plan));
            streams.extend(made);
        }
        if streams.is_empty() && (self.spec.sink.is_none() || !self.spec.streams.is_empty()) {
            return Err(self.error("streams", "there is no stream that a user sees"));
        }
        let check = self.checked()?;
        let hosts = self.hosts()?;
        let budget = self.budget(&self.spec.api.budget)?;
        let plan = SourcePlan {
            home: self.home(auth),
            name: self.spec.name.clone(),
            config: std::mem::take(&mut self.setup.config),
            streams: plans,
            check,
            hosts,
            budget,
            concurrency: self.spec.api.budget.concurrent,
            checkpoints: Checkpoints::EveryPage,
        };
        Ok(Compiled { plan, streams })
    }

    fn error(&self, path: &str, message: impl Into<String>) -> LanguageError {
        self.document.error(path, message)
    }

    fn header(&self) -> Result<()> {
        if self.spec.version != FORMAT_VERSION {
            let message = format!("version {} of the connector format is not one this program reads", self.spec.version);
            return Err(self.error("version", message).help("write `version: 1`"));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if self.spec.name.is_empty() || !self.spec.name.bytes().all(plain) {
            let message = format!("`{}` cannot be a connector's name", self.spec.name);
            return Err(self.error("name", message).help("use lower-case letters, digits and `_`"));
        }
        for (key, setting) in &self.spec.connection {
            let path = format!("connection.{key}");
            // The project's own keys would hide these.
            if RESERVED.contains(&key.as_str()) {
                return Err(self.error(&path, format!("`{key}` is a key that every source has")).help("choose another name"));
            }
            if setting.kind == SettingKind::Secret && setting.default.is_some() {
                return Err(self.error(&format!("{path}.default"), "a secret has no default").help("take it out"));
            }
        }
        Ok(())
    }

    /// The streams that show whether a connection works.
    fn checked(&self) -> Result<Vec<String>> {
        for (index, name) in self.spec.check.iter().enumerate() {
            if !self.spec.streams.contains_key(name) {
                return Err(self.unknown_stream(&format!("check[{index}]"), name));
            }
        }
        if !self.spec.check.is_empty() {
            return Ok(self.spec.check.clone());
        }
        let first = self.spec.streams.iter().find(|(_, stream)| stream.for_each.is_empty());
        let first = first.or_else(|| self.spec.streams.iter().next());
        Ok(first.map(|(name, _)| name.clone()).into_iter().collect())
    }

    fn unknown_stream(&self, path: &str, name: &str) -> LanguageError {
        let error = self.error(path, format!("there is no stream `{name}`"));
        match nearest(name, self.spec.streams.keys().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error,
        }
    }

    fn hosts(&self) -> Result<HostRules> {
        if let Some(origin) = &self.setup.instead {
            let host = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
            return Ok(HostRules { allowed: vec![host.to_owned()], allow_private: true });
        }
        let mut allowed = self.setup.hosts.clone();
        let names = self.names("a host");
        for (index, host) in self.spec.hosts.iter().enumerate() {
            let path = format!("hosts[{index}]");
            let placed = self.template(&path, host, &names, PageVariable::None)?;
            let scope = crate::engine::Scope::new(&self.setup.config, jiff::Timestamp::UNIX_EPOCH);
            let text = crate::engine::Evaluate::text(&placed, &scope).unwrap_or_default();
            // An address of the user's own server is among `setup.hosts`, with its port.
            if text.contains("://") || text.is_empty() {
                continue;
            }
            let part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':');
            let name = text.strip_prefix("*.").unwrap_or(&text);
            if name.is_empty() || !name.bytes().all(part) {
                return Err(self.error(&path, "not a host name").help("write `api.example.com` or `*.example.com`"));
            }
            allowed.push(text);
        }
        if self.spec.hosts.is_empty() {
            return Err(self.error("hosts", "there is no host that may be called").help("name the API's host"));
        }
        let written =
            self.spec.streams.iter().map(|(name, stream)| (format!("streams.{name}.request.path"), &stream.request.path));
        for (path, address) in std::iter::once(("api.url".to_owned(), &self.spec.api.url)).chain(written) {
            let Some(host) = written_host(address) else { continue };
            if !self.spec.hosts.iter().any(|declared| stands_for(declared, host)) {
                let message = format!("the host `{host}` is not among the `hosts` of the file, and nothing else is ever called");
                return Err(self.error(&path, message).help("add it to `hosts`"));
            }
        }
        // A vendor's own host is never a private one; the address of a user's own server may be.
        Ok(HostRules { allowed, allow_private: self.setup.allow_private && !self.setup.hosts.is_empty() })
    }

    fn budget(&self, budget: &Budget) -> Result<BudgetPlan> {
        let Budget { requests, per, own, concurrent, remaining_header, reset_header } = budget;
        if *concurrent == 0 || *concurrent > MAX_CONCURRENT {
            return Err(self.error("api.budget.concurrent", format!("must lie between 1 and {MAX_CONCURRENT}")));
        }
        let policies = match (requests, per) {
            (None, None) => Vec::new(),
            (Some(limit), Some(per)) if *limit > 0 => {
                let interval = self.span("api.budget.per", per)?;
                let rates = vec![BudgetRate { limit: *limit, interval }];
                vec![BudgetPolicy { matchers: Vec::new(), rates, fixed_window: false }]
            }
            _ => return Err(self.error("api.budget", "`requests` and `per` go together").help("write both, or none")),
        };
        let own = own.as_ref().map(|own| {
            let interval = self.span("api.budget.own.per", &own.per)?;
            Ok(BudgetRate { limit: own.requests.get(), interval })
        });
        Ok(BudgetPlan {
            policies,
            own: own.transpose()?,
            remaining_header: remaining_header.clone(),
            reset_header: reset_header.clone(),
            exhausted_statuses: Vec::new(),
        })
    }

    fn span(&self, path: &str, text: &str) -> Result<Duration> {
        let found = expr::parse_duration(text).and_then(|span| Duration::try_from(span).ok()).filter(|span| !span.is_zero());
        let wrong =
            || self.error(path, format!("`{text}` is not a time span")).help("write a number and ms, s, m, h, d or w: 30s");
        found.ok_or_else(wrong)
    }

    /// What every place knows.
    fn names(&self, place: &'static str) -> Names {
        let keys = self.spec.connection.iter().map(|(key, setting)| {
            let ty = match setting.kind {
                SettingKind::Integer => Type::Number,
                SettingKind::Boolean => Type::Bool,
                SettingKind::List => Type::List,
                SettingKind::Text | SettingKind::Secret | SettingKind::Day | SettingKind::HostPart | SettingKind::Url => {
                    Type::Text
                }
            };
            (key.clone(), ty)
        });
        Names::new(place).with(Variable::Connection, Known::Keys(keys.collect()))
    }

    fn expression(&self, path: &str, text: &str, names: &Names, page: PageVariable) -> Result<Placed> {
        let expr = Expr::compile(text, names).map_err(|error| self.document.expression(path, text, error))?;
        Ok(Placed::new(expr, page, path))
    }

    fn condition(&self, path: &str, text: &str, names: &Names, page: PageVariable) -> Result<Placed> {
        let placed = self.expression(path, text, names, page)?;
        if !placed.expr().ty().fits(Type::Bool) {
            let message = format!("a condition is true or false, not {}", placed.expr().ty().name());
            return Err(self.error(path, message).help("compare it: `record.status == 'active'`"));
        }
        Ok(placed)
    }

    fn template(&self, path: &str, text: &str, names: &Names, page: PageVariable) -> Result<Placed> {
        let expr = Expr::template(text, names).map_err(|error| self.document.expression(path, text, error))?;
        Ok(Placed::new(expr, page, path))
    }

    fn no_auth() -> Auth {
        Auth::None
    }
}

/// The mapping of a stream, laid out as the model has it.
fn mapping(spec: &super::spec::Stream) -> Mapping {
    Mapping(spec.map.iter().map(|(ours, rule)| (ours.clone(), rule.0.clone())).collect())
}

/// The host of an address that is written out; none of one that settings or answers give.
fn written_host(address: &str) -> Option<&str> {
    let (_, rest) = address.split_once("://")?;
    rest.split(['/', '?']).next().filter(|host| !host.is_empty() && !host.contains('$'))
}

/// Whether a declared host, which may stand for all below it, is this one.
fn stands_for(declared: &str, host: &str) -> bool {
    match declared.strip_prefix('*') {
        Some(below) => host.ends_with(below),
        None => declared.eq_ignore_ascii_case(host),
    }
}
