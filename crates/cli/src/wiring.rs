//! Where everything meets: the connectors, the clock, the environment, the flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_adapters::language::Declarative;
use headwater_runtime::project::{Project, Surroundings};
use headwater_runtime::{Engine, Progress};
use headwater_sdk::http::share_accounts;
use headwater_sdk::{BuildContext, Clock, Companion, ConfigDoc, Connector, ConnectorSpec, Registry, Sink, Source};
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::console::Console;
use crate::exit_code::Code;
use crate::failure::Failure;

/// The connectors of this program: those of the package, native or data, those that run other programs, the one that is built in,
/// and the user's own files.
pub(crate) fn registry() -> Registry {
    let built_in: Arc<dyn Connector> = Arc::new(headwater_runtime::intake::IntakeConnector::default());
    let native = headwater_connectors::registry();
    let file = |name: &str| -> Option<Arc<dyn Connector>> {
        let (name, text, readme) = headwater_connectors::DECLARATIVE_SINKS.iter().find(|(of, ..)| *of == name)?;
        Some(Arc::new(Declarative::embedded(name, text, readme)))
    };
    let joined = |source: Arc<dyn Connector>, sink: Option<Arc<dyn Connector>>| -> Arc<dyn Connector> {
        match sink {
            Some(sink) => Arc::new(Halves { source, sink }),
            None => source,
        }
    };
    let data = headwater_connectors::DECLARATIVE.iter().map(|(name, text, readme)| {
        let source = Arc::new(Declarative::embedded(name, text, readme));
        joined(source, native.get(name).map(Arc::clone).or_else(|| file(name)))
    });
    let native_only =
        native.iter().filter(|connector| !headwater_connectors::DECLARATIVE.iter().any(|(name, ..)| *name == connector.name()));
    let native_only = native_only.map(|connector| joined(Arc::clone(connector), file(connector.name())));
    let all = data.chain(native_only).chain(headwater_adapters::process::connectors()).chain([built_in]);
    Registry::new(all).opening(Arc::new(|path| {
        let connector: Arc<dyn Connector> = Arc::new(Declarative::open(path)?);
        Ok(connector)
    }))
}

/// A connector of one name whose source and sink are data or code each for itself.
struct Halves {
    source: Arc<dyn Connector>,
    sink: Arc<dyn Connector>,
}

impl Connector for Halves {
    fn spec(&self) -> ConnectorSpec {
        let ConnectorSpec { summary, sink_schema, readme, .. } = self.sink.spec();
        let source = self.source.spec();
        ConnectorSpec { summary: format!("{}; {summary}", source.summary).into(), sink_schema, readme, ..source }
    }

    fn name(&self) -> &'static str {
        self.source.name()
    }

    fn source(&self, config: &ConfigDoc, cx: &BuildContext) -> headwater_sdk::Result<Box<dyn Source>> {
        self.source.source(config, cx)
    }

    fn sink(&self, config: &ConfigDoc, cx: &BuildContext) -> headwater_sdk::Result<Box<dyn Sink>> {
        self.sink.sink(config, cx)
    }

    fn companion(&self, of: &Companion, config: &ConfigDoc, cx: &BuildContext) -> headwater_sdk::Result<Box<dyn Sink>> {
        self.sink.companion(of, config, cx)
    }
}

/// A setting given as `--set KEY=VALUE`.
pub(crate) fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if key.starts_with("store.") || key.starts_with("serve.") => Ok((key.to_owned(), value.to_owned())),
        // What decides a figure stands in a file that can be kept under version control.
        Some((key, _)) if key.contains('.') => {
            Err("only `store` and `serve` can be set here; everything else stands in headwater.yaml".to_owned())
        }
        _ => Err("write SECTION.KEY=VALUE, such as store.lake=/data/lake".to_owned()),
    }
}

/// The world outside, as far as the program may see it.
pub(crate) fn surroundings(global: &Global) -> Surroundings {
    // A variable that is not UTF-8 cannot be a setting or a secret of ours.
    let env: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect();
    Surroundings { clock: Clock::system(), env: Arc::new(env), flags: global.set.clone() }
}

/// The folder of the project.
pub(crate) fn project_dir(global: &Global) -> PathBuf {
    global.directory.clone().unwrap_or_else(|| PathBuf::from("."))
}

/// How this program is called for the same project, for hints that can be typed as they stand.
pub(crate) fn invocation(global: &Global) -> String {
    match &global.directory {
        Some(directory) => format!("headwater -C {}", directory.display()),
        None => "headwater".to_owned(),
    }
}

/// The project in its folder.
pub(crate) fn project(global: &Global) -> Result<Project, Failure> {
    Ok(Project::load(&project_dir(global), &registry(), &surroundings(global))?)
}

/// The project at work, stopped by SIGINT and SIGTERM at the next safe point.
pub(crate) async fn engine(global: &Global, console: &Console) -> Result<Engine, Failure> {
    count_with_other_processes(&surroundings(global));
    let mut engine = Engine::open(project(global)?, registry(), surroundings(global)).await?;
    engine.cancel = cancelled_by_signals();
    engine.progress = console.progress();
    Ok(engine)
}

/// Counts requests by credential over all processes of this user.
fn count_with_other_processes(surroundings: &Surroundings) {
    let folder = |variable: &str| surroundings.env.get(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    if let Some(cache) = cache {
        share_accounts(cache.join("headwater").join("accounts"), surroundings.clock.clone());
    }
}

/// The project at work where nothing is long enough to be stopped or watched.
pub(crate) async fn quiet_engine(global: &Global) -> Result<Engine, Failure> {
    let mut engine = Engine::open(project(global)?, registry(), surroundings(global)).await?;
    engine.progress = Progress::silent();
    Ok(engine)
}

/// A token that the first SIGINT or SIGTERM cancels. The second ends the program at once: what was committed stays all the same.
pub(crate) fn cancelled_by_signals() -> CancellationToken {
    let token = CancellationToken::new();
    let cancel = token.clone();
    #[expect(clippy::disallowed_methods, reason = "the listener lives as long as the process")]
    tokio::spawn(async move {
        let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::warn!(%error, "SIGTERM cannot be caught; it will end the program at once");
                return;
            }
        };
        told_to_stop(&mut terminate).await;
        tracing::warn!("stopping at the next safe point; once more stops at once");
        cancel.cancel();
        told_to_stop(&mut terminate).await;
        #[expect(clippy::exit, reason = "whoever asks twice does not want to wait")]
        std::process::exit(i32::from(Code::Interrupted as u8));
    });
    token
}

async fn told_to_stop(terminate: &mut tokio::signal::unix::Signal) {
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
