//! What goes with the people of a sink: their companies, tasks about them, their places in lists.

use std::collections::BTreeMap;

use headwater_sdk::Pace;

use super::sink::{HoldPlan, MissingPlan, SinkPlan, compile_sink};
use super::{Compiler, Document, Result, Setup};
use crate::engine::Value;
use crate::engine::plan::{Requester, SourcePlan};
use crate::language::evaluate::{PageVariable, Placed};
use crate::language::expr::{Known, Variable};
use crate::language::spec::{Hold, ListsSpec, Move, SinkSpec, Spec, TasksSpec};

/// Where the requests of tasks stand.
const TASKS: &str = "sink.tasks.sink";

/// A list.
#[derive(Debug)]
pub(in crate::language) struct ListPlan {
    pub(in crate::language) field: String,
    /// The list, as the project names it.
    pub(in crate::language) list: String,
    pub(in crate::language) check: Requester,
    pub(in crate::language) missing: Option<MissingPlan>,
    pub(in crate::language) member: Requester,
    pub(in crate::language) holds: Placed,
    pub(in crate::language) hold: Vec<HoldPlan>,
    pub(in crate::language) add: MovePlan,
    pub(in crate::language) remove: MovePlan,
    pub(in crate::language) pace: Option<Pace>,
}

/// How people get on a list, or off it.
#[derive(Debug)]
pub(in crate::language) struct MovePlan {
    pub(in crate::language) request: Requester,
    pub(in crate::language) batch: usize,
    pub(in crate::language) done: Option<Placed>,
    pub(in crate::language) reason: Option<Placed>,
}

/// Compiles the sink of a list, whose id stands in its setting already.
pub(in crate::language) fn compile_list(
    document: &Document,
    spec: &Spec,
    lists: &ListsSpec,
    setup: Setup,
) -> Result<(SourcePlan, ListPlan)> {
    let compiler = Compiler { document, spec, setup, root: "sink" };
    compiler.header()?;
    let plan = compiler.list(lists)?;
    Ok((compiler.requests()?, plan))
}

/// Compiles the sink of the companies for one connection.
pub(in crate::language) fn compile_companies(
    document: &Document,
    spec: &Spec,
    sink: &SinkSpec,
    setup: Setup,
) -> Result<(SourcePlan, SinkPlan)> {
    let companies = sink.companies.as_ref().map(|companies| &companies.connection);
    let setup = Compiler { document, spec, setup, root: "sink" }.with_settings("companies", companies)?;
    let (requests, mut plan) = compile_sink(document, spec, sink, setup)?;
    plan.company = None;
    Ok((requests, plan))
}

/// Compiles the sink of tasks for one connection.
pub(in crate::language) fn compile_tasks(
    document: &Document,
    spec: &Spec,
    sink: &SinkSpec,
    tasks: &TasksSpec,
    setup: Setup,
) -> Result<(SourcePlan, SinkPlan)> {
    let setup = Compiler { document, spec, setup, root: "sink" }.with_settings("tasks", Some(&tasks.connection))?;
    let (root, sink) = tasks.sink.as_ref().map_or(("sink", sink), |own| (TASKS, own));
    let compiler = Compiler { document, spec, setup, root };
    compiler.header()?;
    let mut plan = compiler.sink(sink)?;
    plan.person = Some(tasks.field.clone());
    Ok((compiler.requests()?, plan))
}

impl Compiler<'_> {
    /// Whether what goes with people can be written; nothing is kept of it.
    pub(super) fn companions(&self, sink: &SinkSpec) -> Result<()> {
        self.settings("companies", sink.companies.as_ref().map(|companies| &companies.connection))?;
        if let Some(lists) = &sink.lists {
            self.list(lists)?;
        }
        let Some(tasks) = &sink.tasks else { return Ok(()) };
        self.settings("tasks", Some(&tasks.connection))?;
        let Some(own) = &tasks.sink else { return Ok(()) };
        if own.identity.as_ref().is_some_and(|identity| *identity != tasks.field) {
            let message = format!("a task is looked for among those of its person: by `{}`", tasks.field);
            return Err(self.error(&format!("{TASKS}.identity"), message));
        }
        Compiler { document: self.document, spec: self.spec, setup: self.setup.clone(), root: TASKS }.sink(own).map(drop)
    }

    /// The settings that are others for companies, or for tasks.
    fn settings(&self, of: &str, others: Option<&BTreeMap<String, String>>) -> Result<Vec<(String, String)>> {
        let settings = others.into_iter().flatten().map(|(key, text)| {
            let path = format!("sink.{of}.connection.{key}");
            if !self.spec.connection.contains_key(key) {
                return Err(self.error(&path, format!("there is no setting `{key}`")));
            }
            Ok((key.clone(), self.constant_text(&path, text)?))
        });
        settings.collect()
    }

    fn with_settings(self, of: &str, others: Option<&BTreeMap<String, String>>) -> Result<Setup> {
        let settings = self.settings(of, others)?;
        let mut setup = self.setup;
        if let Value::Map(config) = &mut setup.config {
            for (key, value) in settings {
                config.insert(key.as_str(), Value::text(value));
            }
        }
        Ok(setup)
    }

    fn list(&self, lists: &ListsSpec) -> Result<ListPlan> {
        if !self.spec.connection.contains_key(&lists.setting) {
            return Err(self.error("sink.lists.setting", format!("there is no setting `{}`", lists.setting)));
        }
        let auth = self.auth()?;
        let record = self.names("a member").with(Variable::Record, Known::Anything);
        let moves = |name: &str, moves: &Move| {
            let path = format!("sink.lists.{name}");
            Ok(MovePlan {
                request: self.asking(&path, &moves.request, &self.key_names(), &auth, false)?,
                batch: self.batch(&path, moves.batch)?,
                done: moves.done.as_ref().map(|text| self.answer_test(&format!("{path}.done"), text)).transpose()?,
                reason: moves.reason.as_ref().map(|text| self.response(&format!("{path}.reason"), text)).transpose()?,
            })
        };
        let hold = |(index, hold): (usize, &Hold)| {
            let path = |key: &str| format!("sink.lists.hold[{index}].{key}");
            Ok(HoldPlan {
                when: self.condition(&path("when"), &hold.when, &record, PageVariable::None)?,
                reason: self.template(&path("reason"), &hold.reason, &record, PageVariable::None)?,
            })
        };
        Ok(ListPlan {
            field: lists.field.clone(),
            list: self.setup.config.get(&lists.setting).map(Value::to_plain).unwrap_or_default(),
            missing: lists.missing.as_ref().map(|missing| self.missing("lists.missing", missing)).transpose()?,
            check: self.asking("sink.lists.check", &lists.check, &self.names("a request"), &auth, false)?,
            member: self.asking("sink.lists.member", &lists.member, &self.key_names(), &auth, false)?,
            holds: self.condition("sink.lists.holds", &lists.holds, &record, PageVariable::None)?,
            hold: lists.hold.iter().enumerate().map(hold).collect::<Result<_>>()?,
            add: moves("add", &lists.add)?,
            remove: moves("remove", &lists.remove)?,
            pace: self.pace()?,
        })
    }
}
