//! A manifest with one connection's settings: which streams it has, which of them run, and why the others do not.

use std::sync::Arc;
use std::time::Duration;

use headwater_sdk::http::{Method, Pause};
use headwater_sdk::{BuildContext, Error, ErrorKind, Result};

use super::Problem;
use super::compile::Compiler;
use super::document::{Node, parse, resolve};
use super::dynamic::{Resolver, expand, resolver};
use super::jinja::time;
use super::requests::pattern;
use super::settings::migrate;
use crate::engine::plan::{BudgetMatcher, BudgetPlan, BudgetPolicy, BudgetRate, Checkpoints, HostRules, SourcePlan, StreamPlan};
use crate::engine::{Executor, Map, Value};

/// How many requests are in flight at once unless the manifest says.
const CONCURRENT: i64 = 4;
/// The most requests that a manifest may want in flight.
const MOST_CONCURRENT: i64 = 32;

/// How a manifest is run.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Clock, folder, environment.
    pub cx: BuildContext,
    /// How waits pass.
    pub pause: Pause,
    /// Hosts that may be called beside those that the manifest names; these may be private.
    pub allow_hosts: Vec<String>,
    /// Whether one request is made after the other, so that a read can be compared with a recorded one.
    pub sequential: bool,
}

/// A manifest, ready to run with one connection's settings.
#[derive(Debug)]
pub struct Manifest {
    pub(super) executor: Executor,
    pub(super) streams: Vec<Named>,
}

/// A stream of a manifest and what became of it.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) plan: std::result::Result<Arc<StreamPlan>, Problem>,
}

/// The spec of a manifest, which needs no settings.
///
/// # Errors
/// `Config` when the manifest cannot be read.
pub fn spec(text: &[u8]) -> Result<Value> {
    let manifest = parse(text).and_then(|manifest| resolve(&manifest)).map_err(Error::from)?;
    Ok(spec_of(&manifest))
}

pub(super) fn spec_of(manifest: &Value) -> Value {
    let spec = manifest.get("spec");
    let mut out = Map::default();
    let empty =
        || Value::Map([("type", Value::text("object")), ("properties", Value::Map(Map::default()))].into_iter().collect());
    out.insert(
        "connectionSpecification",
        spec.and_then(|spec| spec.get("connection_specification")).cloned().unwrap_or_else(empty),
    );
    for (name, said) in [("documentationUrl", "documentation_url"), ("advanced_auth", "advanced_auth")] {
        if let Some(value) = spec.and_then(|spec| spec.get(said)).filter(|value| !value.is_null()) {
            out.insert(name, value.clone());
        }
    }
    Value::Map(out)
}

impl Manifest {
    /// Reads and compiles a manifest. Where it says that the remote knows its streams, the remote is asked. `with_state` names the
    /// streams that a position is known of.
    ///
    /// # Errors
    /// `Config`, with the path, when the manifest as a whole cannot be used; a stream that cannot run does not hinder the others.
    pub async fn load(text: &[u8], config: &[u8], with_state: &[String], around: &Surroundings) -> Result<Self> {
        let manifest = parse(text).and_then(|manifest| resolve(&manifest)).map_err(Error::from)?;
        let config = crate::engine::json::parse(config).or_else(|_| parse(config)).map_err(|_| {
            Error::new(ErrorKind::Config, "the settings cannot be read").hint("they must be a JSON or YAML object")
        })?;
        if config.as_map().is_none() {
            return Err(Error::new(ErrorKind::Config, "the settings are no object"));
        }
        let now = around.cx.clock.now();
        let config = migrate(&manifest, config, now).map_err(Error::from)?;
        let compiler = Compiler { config: &config, now, hosts: std::sync::Mutex::default(), with_state };
        let root = Node::new(&manifest, String::new()).map_err(Error::from)?;
        let mut streams = Vec::new();
        for node in root.children("streams").map_err(Error::from)? {
            streams.extend(group(&compiler, &node));
        }
        let mut wanted = Vec::new();
        for node in root.children("dynamic_streams").map_err(Error::from)? {
            let found = resolver(&compiler, &node);
            wanted.push((node, found));
        }
        let shape = Shape { root: &root, compiler: &compiler, around };
        for (node, found) in wanted {
            let name = node.get("name").map_or_else(|| node.path.clone(), Value::to_plain);
            let made = match found {
                Err(problem) => Err(problem),
                Ok(Resolver::Known(values)) => expand(&compiler, &node, &values),
                Ok(Resolver::Asked(retriever)) => {
                    let asking = Executor::new(shape.plan(Vec::new())?, &around.cx, around.pause.clone())?;
                    let values = asking.fetch(&retriever).await?;
                    expand(&compiler, &node, &values)
                }
            };
            match made {
                Err(problem) => streams.push(Named { name, plan: Err(problem) }),
                Ok(made) => {
                    for stream in &made {
                        let node = Node::new(stream, format!("{}.stream_template", node.path)).map_err(Error::from)?;
                        streams.push(named(&compiler, &node));
                    }
                }
            }
        }
        let plans = streams.iter().filter_map(|stream| stream.plan.as_ref().ok().cloned()).collect();
        let plan = shape.plan(plans)?;
        Ok(Self { executor: Executor::new(plan, &around.cx, around.pause.clone())?, streams })
    }

    /// The streams that run.
    #[must_use]
    pub fn executor(&self) -> &Executor {
        &self.executor
    }
}

/// A stream, or the streams of a conditional group that the settings want.
pub(super) fn group(compiler: &Compiler<'_>, node: &Node<'_>) -> Vec<Named> {
    use crate::engine::Evaluate as _;
    if node.kind() != "ConditionalStreams" {
        return vec![named(compiler, node)];
    }
    let holds = compiler.need_template(node, "condition").map(|condition| condition.test(&compiler.scope()).unwrap_or(false));
    match holds.and_then(|holds| Ok((holds, node.children("streams")?))) {
        Ok((true, streams)) => streams.iter().map(|stream| named(compiler, stream)).collect(),
        Ok((false, _)) => Vec::new(),
        Err(problem) => vec![Named { name: node.path.clone(), plan: Err(problem) }],
    }
}

fn named(compiler: &Compiler<'_>, node: &Node<'_>) -> Named {
    let name = node.get("name").map_or_else(|| node.path.clone(), Value::to_plain);
    Named { name, plan: compiler.stream(node) }
}

/// What a plan needs beside its streams.
struct Shape<'a> {
    root: &'a Node<'a>,
    compiler: &'a Compiler<'a>,
    around: &'a Surroundings,
}

impl Shape<'_> {
    fn plan(&self, streams: Vec<Arc<StreamPlan>>) -> Result<SourcePlan> {
        let Self { root, compiler, around } = self;
        let mut allowed: Vec<String> = compiler.hosts().iter().cloned().collect();
        // A host that the user's own settings name may be anywhere, also in the user's own network.
        let said = compiler.config.to_json();
        let own = !allowed.is_empty() && allowed.iter().all(|host| said.contains(host.as_str()));
        allowed.extend(around.allow_hosts.iter().cloned());
        Ok(SourcePlan {
            home: None,
            name: "manifest".to_owned(),
            config: compiler.config.clone(),
            check: self.check(&streams)?,
            streams,
            hosts: HostRules { allowed, allow_private: own || !around.allow_hosts.is_empty() },
            budget: budget(compiler, root).map_err(Error::from)?,
            concurrency: self.concurrency()?,
            checkpoints: Checkpoints::EverySlice,
        })
    }

    fn concurrency(&self) -> Result<usize> {
        if self.around.sequential {
            return Ok(1);
        }
        let Some(level) = self.root.child("concurrency_level").map_err(Error::from)? else {
            return Ok(usize::try_from(CONCURRENT).unwrap_or(1));
        };
        let said = self.compiler.settled_int(&level, "default_concurrency").map_err(Error::from)?;
        let most = level.get("max_concurrency").and_then(Value::as_int).unwrap_or(MOST_CONCURRENT).clamp(1, MOST_CONCURRENT);
        Ok(usize::try_from(said.unwrap_or(CONCURRENT).clamp(1, most)).unwrap_or(1))
    }

    fn check(&self, streams: &[Arc<StreamPlan>]) -> Result<Vec<String>> {
        let Some(check) = self.root.child("check").map_err(Error::from)? else { return Ok(Vec::new()) };
        if check.kind() == "CheckDynamicStream" {
            let count =
                check.get("stream_count").and_then(Value::as_int).and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
            return Ok(streams.iter().take(count).map(|stream| stream.name.clone()).collect());
        }
        check.texts("stream_names").map_err(Error::from)
    }
}

fn budget(compiler: &Compiler<'_>, root: &Node<'_>) -> std::result::Result<BudgetPlan, Problem> {
    let Some(node) = root.child("api_budget")? else { return Ok(BudgetPlan::default()) };
    let header = |name: &str, usual: &str| Ok::<_, Problem>(Some(node.text(name)?.unwrap_or(usual).to_owned()));
    let interval = |node: &Node<'_>, name: &str| -> std::result::Result<Duration, Problem> {
        let said = compiler.settled(node, name)?;
        let micros = said.as_ref().and_then(Value::as_str).and_then(time::duration).as_ref().and_then(time::fixed_micros);
        let micros = micros.and_then(|micros| u64::try_from(micros).ok());
        micros.map(Duration::from_micros).ok_or_else(|| node.problem(name, "an ISO 8601 duration is expected here, such as PT1M"))
    };
    let limit = |node: &Node<'_>, name: &str| -> std::result::Result<u32, Problem> {
        let said = compiler.settled_int(node, name)?.and_then(|limit| u32::try_from(limit).ok());
        said.ok_or_else(|| node.problem(name, "a number of requests is expected here"))
    };
    let mut policies = Vec::new();
    for policy in node.children("policies")? {
        let matchers =
            policy.children("matchers")?.iter().map(|node| matcher(compiler, node)).collect::<std::result::Result<_, _>>()?;
        let (rates, fixed_window) = match policy.kind() {
            "FixedWindowCallRatePolicy" => {
                (vec![BudgetRate { limit: limit(&policy, "call_limit")?, interval: interval(&policy, "period")? }], true)
            }
            "MovingWindowCallRatePolicy" => {
                let rate = |node: &Node<'_>| {
                    Ok::<_, Problem>(BudgetRate { limit: limit(node, "limit")?, interval: interval(node, "interval")? })
                };
                (policy.children("rates")?.iter().map(rate).collect::<std::result::Result<_, _>>()?, false)
            }
            "UnlimitedCallRatePolicy" => (Vec::new(), false),
            other => return Err(policy.problem("", super::compile::not_supported(other))),
        };
        policies.push(BudgetPolicy { matchers, rates, fixed_window });
    }
    let statuses = match node.get("status_codes_for_ratelimit_hit") {
        Some(Value::List(codes)) => codes.iter().filter_map(Value::as_int).filter_map(|code| u16::try_from(code).ok()).collect(),
        _ => vec![429],
    };
    Ok(BudgetPlan {
        policies,
        own: None,
        remaining_header: header("ratelimit_remaining_header", "ratelimit-remaining")?,
        reset_header: header("ratelimit_reset_header", "ratelimit-reset")?,
        exhausted_statuses: statuses,
    })
}

fn matcher(compiler: &Compiler<'_>, node: &Node<'_>) -> std::result::Result<BudgetMatcher, Problem> {
    let pairs = |name: &str| -> Vec<(String, String)> {
        let map = node.get(name).and_then(Value::as_map);
        map.into_iter().flat_map(Map::iter).map(|(name, value)| (name.to_owned(), value.to_plain())).collect()
    };
    let path = match compiler.settled(node, "url_path_pattern")? {
        None => None,
        Some(text) => Some(
            pattern(&text.to_plain()).ok_or_else(|| node.problem("url_path_pattern", "the regular expression cannot be read"))?,
        ),
    };
    Ok(BudgetMatcher {
        method: node.text("method")?.and_then(|method| Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()),
        url_base: compiler.settled(node, "url_base")?.map(|base| base.to_plain()),
        path,
        query: pairs("params"),
        headers: pairs("headers"),
    })
}
