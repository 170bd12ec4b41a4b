//! The sink of a file.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_sdk::{ErrorKind, Pace};
use serde_json::Value as Json;

use super::{Compiler, Document, Result, Setup};
use crate::engine::plan::{Action, Auth, Checkpoints, Requester, Rule, SourcePlan};
use crate::engine::{Evaluate as _, Scope, Value};
use crate::language::evaluate::{PageVariable, Placed, Tree};
use crate::language::expr::{Known, Names, Type, Variable};
use crate::language::spec::{
    Answers, Fetch, Find, First, Further, Hold, JobResult, MakeStep, Missing, Named, Request, ResponseRule, SinkField, SinkSpec,
    SinkType, Spec, TiedBy, Write, WriteJob,
};

/// The most rows of one write that a file may ask for: they are kept in memory with their answers.
const MAX_ROWS: usize = 10_000;

/// A sink, ready to be run.
#[derive(Debug)]
pub(in crate::language) struct SinkPlan {
    pub(in crate::language) external_id: String,
    pub(in crate::language) identity: Option<String>,
    pub(in crate::language) id: Placed,
    pub(in crate::language) version: Option<Placed>,
    pub(in crate::language) changed_at: Option<String>,
    pub(in crate::language) nested: bool,
    pub(in crate::language) values: Option<Placed>,
    pub(in crate::language) value: Option<Placed>,
    pub(in crate::language) empty: Option<Value>,
    pub(in crate::language) fields: BTreeMap<String, FieldPlan>,
    pub(in crate::language) max_rows: usize,
    pub(in crate::language) concurrent: usize,
    pub(in crate::language) pace: Option<Pace>,
    pub(in crate::language) refused: Option<Placed>,
    pub(in crate::language) hold: Vec<HoldPlan>,
    pub(in crate::language) check: Requester,
    pub(in crate::language) describe: Option<DescribePlan>,
    pub(in crate::language) make_field: Option<MakeFieldPlan>,
    pub(in crate::language) find: Vec<FindPlan>,
    pub(in crate::language) fetch: FetchPlan,
    pub(in crate::language) create: WritePlan,
    pub(in crate::language) update: WritePlan,
    pub(in crate::language) remove: Option<WritePlan>,
    /// The field that names a person's company; nothing in a plan for companies.
    pub(in crate::language) company: Option<String>,
    /// The field of a task that names its person.
    pub(in crate::language) person: Option<String>,
    pub(in crate::language) missing: Option<MissingPlan>,
    pub(in crate::language) other_fields: bool,
}

/// What is wrong where the remote knows nothing of what it is asked for.
#[derive(Debug)]
pub(in crate::language) struct MissingPlan {
    pub(in crate::language) setting: String,
    pub(in crate::language) message: Placed,
    pub(in crate::language) hint: String,
}

/// Records that are left as they are.
#[derive(Debug)]
pub(in crate::language) struct HoldPlan {
    pub(in crate::language) when: Placed,
    pub(in crate::language) reason: Placed,
}

/// A field that is declared.
#[derive(Debug, Default)]
pub(in crate::language) struct FieldPlan {
    pub(in crate::language) about: Option<String>,
    pub(in crate::language) kind: SinkType,
    pub(in crate::language) read: Option<Placed>,
    pub(in crate::language) all: Option<Placed>,
    pub(in crate::language) write: Option<Tree>,
    pub(in crate::language) clear: Option<Tree>,
    pub(in crate::language) at: Option<String>,
}

/// How the remote tells its fields.
#[derive(Debug)]
pub(in crate::language) struct DescribePlan {
    pub(in crate::language) request: Requester,
    pub(in crate::language) from: Placed,
    pub(in crate::language) name: Placed,
    pub(in crate::language) label: Option<Placed>,
    pub(in crate::language) filter: Option<Placed>,
    pub(in crate::language) by_hand: Option<Placed>,
}

/// How fields are made on request.
#[derive(Debug)]
pub(in crate::language) struct MakeFieldPlan {
    pub(in crate::language) when: Placed,
    pub(in crate::language) also: Option<Placed>,
    pub(in crate::language) steps: Vec<MakeStepPlan>,
    pub(in crate::language) named: Option<(Placed, String)>,
}

/// One request of those that make a field.
#[derive(Debug)]
pub(in crate::language) struct MakeStepPlan {
    pub(in crate::language) when: Option<Placed>,
    pub(in crate::language) request: Requester,
    pub(in crate::language) until: Option<Placed>,
    pub(in crate::language) give: Vec<(String, Placed)>,
    pub(in crate::language) reason: Option<Placed>,
}

/// How records are found by a field.
#[derive(Debug)]
pub(in crate::language) struct FindPlan {
    pub(in crate::language) fields: Vec<String>,
    pub(in crate::language) request: Requester,
    pub(in crate::language) from: Placed,
    pub(in crate::language) batch: usize,
    pub(in crate::language) at_most: Option<usize>,
    pub(in crate::language) fetch: bool,
    pub(in crate::language) lag: Option<Duration>,
    pub(in crate::language) first: Option<FirstPlan>,
    pub(in crate::language) also: Vec<(Requester, Placed)>,
}

/// A request whose answer another one needs.
#[derive(Debug)]
pub(in crate::language) struct FirstPlan {
    pub(in crate::language) request: Requester,
    pub(in crate::language) give: Vec<(String, Placed)>,
}

/// How records are read by their id.
#[derive(Debug)]
pub(in crate::language) struct FetchPlan {
    pub(in crate::language) request: Requester,
    pub(in crate::language) from: Placed,
    pub(in crate::language) batch: usize,
    pub(in crate::language) gone: Option<Placed>,
}

/// How rows are written.
#[derive(Debug)]
pub(in crate::language) struct WritePlan {
    pub(in crate::language) request: Requester,
    pub(in crate::language) batch: Option<usize>,
    pub(in crate::language) first: Option<FirstPlan>,
    pub(in crate::language) add: Vec<(String, Tree)>,
    pub(in crate::language) item: Option<Tree>,
    pub(in crate::language) answers: Vec<AnswersPlan>,
    /// Whether nobody may send it twice.
    pub(in crate::language) once: bool,
    pub(in crate::language) job: Option<JobPlan>,
}

/// A job of the remote.
#[derive(Debug)]
pub(in crate::language) struct JobPlan {
    pub(in crate::language) from_rows: usize,
    pub(in crate::language) item: Option<Tree>,
    pub(in crate::language) open: Requester,
    pub(in crate::language) id: Placed,
    pub(in crate::language) fill: Requester,
    pub(in crate::language) start: Requester,
    pub(in crate::language) state: Requester,
    pub(in crate::language) every: Duration,
    pub(in crate::language) at_most: Duration,
    pub(in crate::language) done: Placed,
    pub(in crate::language) failed: Placed,
    pub(in crate::language) results: Vec<JobResultPlan>,
}

/// An answer about some rows of a job.
#[derive(Debug)]
pub(in crate::language) struct JobResultPlan {
    pub(in crate::language) request: Requester,
    pub(in crate::language) next: Option<Placed>,
    pub(in crate::language) answers: AnswersPlan,
}

/// What an answer says of rows.
#[derive(Debug, Default)]
pub(in crate::language) struct AnswersPlan {
    pub(in crate::language) from: Option<Placed>,
    pub(in crate::language) by: TiedBy,
    pub(in crate::language) tie: Option<Placed>,
    pub(in crate::language) done: Option<Placed>,
    pub(in crate::language) id: Option<Placed>,
    pub(in crate::language) created: Option<Placed>,
    pub(in crate::language) reason: Option<Placed>,
    pub(in crate::language) field: Option<Placed>,
    pub(in crate::language) retry: Option<Placed>,
    pub(in crate::language) conflict: Option<Placed>,
}

/// Compiles the sink of a file for one connection; the plan beside it makes the requests.
pub(in crate::language) fn compile_sink(
    document: &Document,
    spec: &Spec,
    sink: &SinkSpec,
    setup: Setup,
) -> Result<(SourcePlan, SinkPlan)> {
    let compiler = Compiler { document, spec, setup, root: "sink" };
    compiler.header()?;
    let mut plan = compiler.sink(sink)?;
    compiler.companions(sink)?;
    plan.company = sink.companies.as_ref().map(|companies| companies.field.clone());
    Ok((compiler.requests()?, plan))
}

impl Compiler<'_> {
    /// What makes the requests of a sink.
    pub(super) fn requests(mut self) -> Result<SourcePlan> {
        let (hosts, budget) = (self.hosts()?, self.budget(&self.spec.api.budget)?);
        let home = self.home(self.auth()?);
        Ok(SourcePlan {
            home,
            name: self.spec.name.clone(),
            config: std::mem::take(&mut self.setup.config),
            streams: Vec::new(),
            check: Vec::new(),
            hosts,
            budget,
            concurrency: self.spec.api.budget.concurrent,
            checkpoints: Checkpoints::EveryPage,
        })
    }

    pub(super) fn pace(&self) -> Result<Option<Pace>> {
        let budget = &self.spec.api.budget;
        Ok(match (budget.requests, &budget.per) {
            (Some(calls), Some(per)) => Some(Pace { calls, per: self.span("api.budget.per", per)? }),
            _ => None,
        })
    }

    pub(super) fn sink(&self, sink: &SinkSpec) -> Result<SinkPlan> {
        let auth = self.auth()?;
        if sink.max_rows == 0 || sink.max_rows > MAX_ROWS {
            return Err(self.error(&self.at("max_rows"), format!("must lie between 1 and {MAX_ROWS}")));
        }
        if sink.find.is_empty() {
            return Err(self.error(&self.at("find"), "nothing can be found").help("say how a record is found by `external_id`"));
        }
        let create = match (&sink.upsert, &sink.create) {
            (Some(upsert), None) => self.write(&self.at("upsert"), upsert, &auth, false)?,
            (None, Some(create)) => self.write(&self.at("create"), create, &auth, true)?,
            _ => return Err(self.error(self.root, "a sink has `create` or `upsert`, and not both")),
        };
        let record = self.names("a record").with(Variable::Record, Known::Anything);
        let held = self.names("a field").with(Variable::Field, Known::Keys(vec![("value".to_owned(), Type::Any)]));
        let path = |name: &str| self.at(name);
        let expression = |name: &str, text: &str| self.expression(&path(name), text, &record, PageVariable::None);
        let budget = &self.spec.api.budget;
        let pace = self.pace()?;
        let fields = sink.fields.iter().map(|(name, field)| Ok((name.clone(), self.sink_field(name, field, &record)?)));
        let plan = SinkPlan {
            external_id: self.constant_text(&self.at("external_id"), &sink.external_id)?,
            identity: sink.identity.clone(),
            id: expression("id", &sink.id)?,
            version: sink.version.as_ref().map(|text| expression("version", text)).transpose()?,
            changed_at: sink.changed_at.clone(),
            nested: sink.nested_fields,
            values: sink.values.as_ref().map(|text| expression("values", text)).transpose()?,
            value: sink
                .value
                .as_ref()
                .map(|text| self.expression(&self.at("value"), text, &held, PageVariable::None))
                .transpose()?,
            empty: sink.empty.as_ref().map(Value::from),
            fields: fields.collect::<Result<_>>()?,
            max_rows: sink.max_rows,
            concurrent: budget.concurrent,
            pace,
            refused: sink.refused.as_ref().map(|text| self.answer_test(&self.at("refused"), text)).transpose()?,
            hold: sink.hold.iter().enumerate().map(|(index, hold)| self.hold(index, hold)).collect::<Result<_>>()?,
            check: self.asking(&self.at("check"), &sink.check, &self.names("a request"), &auth, false)?,
            describe: self.describe(sink, &auth, &record)?,
            make_field: self.make_field(sink, &auth)?,
            find: sink.find.iter().enumerate().map(|(index, find)| self.find(index, find, &auth)).collect::<Result<_>>()?,
            fetch: self.fetching(&sink.fetch, &auth, &record)?,
            create,
            update: self.write(&self.at("update"), &sink.update, &auth, false)?,
            remove: sink.remove.as_ref().map(|remove| self.write(&self.at("remove"), remove, &auth, false)).transpose()?,
            company: None,
            person: None,
            missing: sink.missing.as_ref().map(|missing| self.missing("missing", missing)).transpose()?,
            other_fields: sink.other_fields,
        };
        let key = plan.identity.as_deref().unwrap_or("external_id");
        if !plan.find.iter().any(|find| find.fields.is_empty() || find.fields.iter().any(|field| field == key)) {
            return Err(self
                .error(
                    &self.at("find"),
                    format!("a record cannot be found by `{key}`, so that a doubtful one would be made twice"),
                )
                .help(format!("add one with `fields: [{key}]`, or one for all fields")));
        }
        Ok(plan)
    }

    /// Text of which only the connection decides.
    pub(super) fn constant_text(&self, path: &str, text: &str) -> Result<String> {
        let placed = self.template(path, text, &self.names("the sink"), PageVariable::None)?;
        let scope = Scope::new(&self.setup.config, jiff::Timestamp::UNIX_EPOCH);
        Ok(placed.text(&scope).unwrap_or_default())
    }

    /// A request of a sink. Answers that refuse are taken: they say of which rows and why.
    pub(super) fn asking(&self, path: &str, request: &Request, names: &Names, auth: &Auth, once: bool) -> Result<Requester> {
        let rules: [(String, &[ResponseRule]); 1] = [("api.on_response".to_owned(), &self.spec.api.on_response)];
        let path = if request_stands_alone(path) { path.to_owned() } else { format!("{path}.request") };
        let mut requester = self.requester(&path, request, (names, &PageVariable::None), auth, &rules)?;
        let rule = |statuses, action, kind| Rule { statuses, contains: None, when: None, action, message: None, kind };
        let refused = (400..500).filter(|status| ![401, 403, 408, 425, 429].contains(status)).chain([204, 205]).collect();
        if let Some(handler) = requester.errors.handlers.first_mut() {
            handler.rules.push(rule(refused, Action::Ignore, None));
            if once {
                // What may have been done is looked up, not done again.
                let unknown = [408, 425].into_iter().chain(500..600).collect();
                handler.rules.push(rule(unknown, Action::Fail, Some(ErrorKind::Unavailable)));
            }
        }
        Ok(requester)
    }

    fn sink_field(&self, name: &str, field: &SinkField, record: &Names) -> Result<FieldPlan> {
        let path = |key: &str| self.at(&format!("fields.{name}.{key}"));
        let value = self.names("a field").with(Variable::Field, Known::Keys(vec![("value".to_owned(), Type::Text)]));
        let reads = |key: &str, text: &Option<String>| {
            text.as_ref().map(|text| self.expression(&path(key), text, record, PageVariable::None)).transpose()
        };
        let tree = |key: &str, json: &Option<Json>| {
            json.as_ref().map(|json| self.tree(&path(key), json, &value, &PageVariable::None)).transpose()
        };
        Ok(FieldPlan {
            about: field.about.clone(),
            kind: field.kind,
            read: reads("read", &field.read)?,
            all: reads("all", &field.all)?,
            write: tree("write", &field.write)?,
            clear: tree("clear", &field.clear)?,
            at: field.at.clone(),
        })
    }

    fn describe(&self, sink: &SinkSpec, auth: &Auth, record: &Names) -> Result<Option<DescribePlan>> {
        let Some(describe) = &sink.describe else { return Ok(None) };
        let expression =
            |key: &str, text: &str| self.expression(&self.at(&format!("describe.{key}")), text, record, PageVariable::None);
        Ok(Some(DescribePlan {
            request: self.asking(&self.at("describe"), &describe.request, &self.names("a request"), auth, false)?,
            from: self.response(&self.at("describe.from"), &describe.from)?,
            name: expression("name", &describe.name)?,
            label: describe.label.as_ref().map(|text| expression("label", text)).transpose()?,
            filter: describe
                .filter
                .as_ref()
                .map(|text| self.condition(&self.at("describe.where"), text, record, PageVariable::None))
                .transpose()?,
            by_hand: describe
                .by_hand
                .as_ref()
                .map(|text| self.template(&self.at("describe.by_hand"), text, &self.names("a hint"), PageVariable::None))
                .transpose()?,
        }))
    }

    fn make_field(&self, sink: &SinkSpec, auth: &Auth) -> Result<Option<MakeFieldPlan>> {
        let Some(make) = &sink.make_field else { return Ok(None) };
        if sink.describe.is_none() {
            return Err(self.error(&self.at("make_field"), "without `describe` nobody sees that the field is missing"));
        }
        let names = self.names("a field that is made").with(Variable::Field, Known::Anything);
        let of_field = |path: &str, text: &str| self.condition(&self.at(path), text, &names, PageVariable::None);
        let step = |(index, step): (usize, &MakeStep)| {
            let path = format!("make_field.steps[{index}]");
            let give = step
                .give
                .iter()
                .map(|(name, text)| Ok((name.clone(), self.response(&self.at(&format!("{path}.give.{name}")), text)?)));
            Ok(MakeStepPlan {
                when: step.when.as_ref().map(|when| of_field(&format!("{path}.when"), when)).transpose()?,
                request: self.asking(&self.at(&path), &step.request, &names, auth, true)?,
                until: step.until.as_ref().map(|text| self.made_test(&self.at(&format!("{path}.until")), text)).transpose()?,
                give: give.collect::<Result<_>>()?,
                reason: step.reason.as_ref().map(|text| self.response(&self.at(&format!("{path}.reason")), text)).transpose()?,
            })
        };
        let also = |text: &String| self.expression(&self.at("make_field.also"), text, &names, PageVariable::None);
        let named = |named: &Named| {
            if !self.spec.connection.contains_key(&named.setting) {
                return Err(self.error(&self.at("make_field.named.setting"), format!("there is no setting `{}`", named.setting)));
            }
            Ok((self.response(&self.at("make_field.named.is"), &named.is)?, named.setting.clone()))
        };
        Ok(Some(MakeFieldPlan {
            when: of_field("make_field.when", &make.when)?,
            also: make.also.as_ref().map(also).transpose()?,
            steps: make.steps.iter().enumerate().map(step).collect::<Result<_>>()?,
            named: make.named.as_ref().map(named).transpose()?,
        }))
    }

    pub(super) fn missing(&self, key: &str, missing: &Missing) -> Result<MissingPlan> {
        let names = self.names("what is missing");
        let message = self.at(&format!("{key}.message"));
        Ok(MissingPlan {
            setting: missing.setting.clone().unwrap_or_default(),
            message: self.template(&message, &missing.message, &names, PageVariable::None)?,
            hint: missing.hint.clone(),
        })
    }

    /// The path of a key of the sink that is compiled.
    pub(super) fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.root)
    }

    fn sink_answer(&self) -> Names {
        self.names("an answer").with(Variable::Response, Known::Anything).with(Variable::Headers, Known::Anything)
    }

    pub(super) fn response(&self, path: &str, text: &str) -> Result<Placed> {
        self.expression(path, text, &self.sink_answer(), PageVariable::None)
    }

    /// A condition on an answer to what makes a field.
    fn made_test(&self, path: &str, text: &str) -> Result<Placed> {
        self.condition(path, text, &self.sink_answer().with(Variable::Field, Known::Anything), PageVariable::None)
    }

    pub(super) fn answer_test(&self, path: &str, text: &str) -> Result<Placed> {
        self.condition(path, text, &self.sink_answer(), PageVariable::None)
    }

    fn hold(&self, index: usize, hold: &Hold) -> Result<HoldPlan> {
        let row = Known::Keys(vec![("fields".to_owned(), Type::Any), ("id".to_owned(), Type::Text)]);
        let names = self.names("a hold").with(Variable::Record, Known::Anything).with(Variable::Row, row);
        let path = |key: &str| self.at(&format!("hold[{index}].{key}"));
        Ok(HoldPlan {
            when: self.condition(&path("when"), &hold.when, &names, PageVariable::None)?,
            reason: self.template(&path("reason"), &hold.reason, &names, PageVariable::None)?,
        })
    }

    /// A span of which only the connection decides; nothing as long as there is none.
    fn constant_span(&self, path: &str, text: &str) -> Result<Option<Duration>> {
        let text = self.constant_text(path, text)?;
        if text.is_empty() { Ok(None) } else { self.span(path, &text).map(Some) }
    }

    pub(super) fn key_names(&self) -> Names {
        self.key_names_with(None)
    }

    fn key_names_with(&self, first: Option<&First>) -> Names {
        let keys = [("field", Type::Text), ("value", Type::Text), ("values", Type::List)];
        self.names("a search").with(Variable::Key, known_with(&keys, first))
    }

    /// What is asked before a request that carries one thing.
    fn first(&self, path: &str, first: Option<&First>, names: &Names, auth: &Auth, alone: bool) -> Result<Option<FirstPlan>> {
        let Some(first) = first else { return Ok(None) };
        let path = format!("{path}.first");
        if !alone {
            return Err(self.error(&path, "`first` is asked for each by itself, so it does not go with `batch`"));
        }
        let give = first.give.iter().map(|(name, text)| Ok((name.clone(), self.response(&format!("{path}.give.{name}"), text)?)));
        let give = give.collect::<Result<_>>()?;
        Ok(Some(FirstPlan { request: self.asking(&path, &first.request, names, auth, false)?, give }))
    }

    fn find(&self, index: usize, find: &Find, auth: &Auth) -> Result<FindPlan> {
        let path = self.at(&format!("find[{index}]"));
        let names = self.key_names_with(find.first.as_ref());
        let also = |(index, further): (usize, &Further)| {
            let path = format!("{path}.also[{index}]");
            let from = self.response(&format!("{path}.from"), &further.from)?;
            Ok((self.asking(&path, &further.request, &names, auth, false)?, from))
        };
        let lag = find.lag.as_ref().map(|lag| self.constant_span(&format!("{path}.lag"), lag)).transpose()?.flatten();
        Ok(FindPlan {
            fields: find.fields.clone(),
            request: self.asking(&path, &find.request, &names, auth, false)?,
            from: self.response(&format!("{path}.from"), &find.from)?,
            batch: self.batch(&path, find.batch)?,
            first: self.first(&path, find.first.as_ref(), &self.key_names(), auth, find.batch == 1)?,
            also: find.also.iter().enumerate().map(also).collect::<Result<_>>()?,
            at_most: find.at_most,
            fetch: find.fetch,
            lag,
        })
    }

    fn fetching(&self, fetch: &Fetch, auth: &Auth, record: &Names) -> Result<FetchPlan> {
        let gone = |text: &String| self.condition(&self.at("fetch.gone"), text, record, PageVariable::None);
        Ok(FetchPlan {
            request: self.asking(&self.at("fetch"), &fetch.request, &self.key_names(), auth, false)?,
            from: self.response(&self.at("fetch.from"), &fetch.from)?,
            batch: self.batch(&self.at("fetch"), fetch.batch)?,
            gone: fetch.gone.as_ref().map(gone).transpose()?,
        })
    }

    pub(super) fn batch(&self, path: &str, rows: usize) -> Result<usize> {
        if rows == 0 || rows > MAX_ROWS {
            return Err(self.error(&format!("{path}.batch"), format!("must lie between 1 and {MAX_ROWS}")));
        }
        Ok(rows)
    }

    fn write(&self, path: &str, write: &Write, auth: &Auth, once: bool) -> Result<WritePlan> {
        let row = [
            ("fields", Type::Any),
            ("id", Type::Text),
            ("remote_id", Type::Text),
            ("version", Type::Any),
            ("index", Type::Number),
        ];
        let bare = self.names("a row").with(Variable::Row, known_with(&row, None));
        let of_row = self.names("a row").with(Variable::Row, known_with(&row, write.first.as_ref()));
        let names = match write.batch {
            None => of_row.clone(),
            Some(_) => self.names("a batch").with(Variable::Rows, Known::Anything),
        };
        if write.batch.is_some() && write.answers.is_empty() {
            return Err(self
                .error(&format!("{path}.answers"), "nothing says what became of each row of a batch")
                .help("say where the rows' answers are: `from`, `by`, `done`"));
        }
        let add = write.add.iter().map(|(name, json)| {
            Ok((name.clone(), self.tree(&format!("{path}.with.{name}"), json, &of_row, &PageVariable::None)?))
        });
        let item = |json: &Json| self.tree(&format!("{path}.item"), json, &of_row, &PageVariable::None);
        let answers = write.answers.iter().enumerate();
        Ok(WritePlan {
            request: self.asking(path, &write.request, &names, auth, once)?,
            batch: write.batch.map(|rows| self.batch(path, rows)).transpose()?,
            first: self.first(path, write.first.as_ref(), &bare, auth, write.batch.is_none())?,
            add: add.collect::<Result<_>>()?,
            item: write.item.as_ref().map(item).transpose()?,
            answers: answers
                .map(|(index, answers)| self.answers(&format!("{path}.answers[{index}]"), answers))
                .collect::<Result<_>>()?,
            once,
            job: write.job.as_ref().map(|job| self.write_job(&format!("{path}.job"), job, auth, &of_row)).transpose()?,
        })
    }

    fn write_job(&self, path: &str, job: &WriteJob, auth: &Auth, of_row: &Names) -> Result<JobPlan> {
        let keys = [("id", Type::Text), ("next", Type::Text)].map(|(name, ty)| (name.to_owned(), ty)).to_vec();
        let of_job = self.names("a job").with(Variable::Job, Known::Keys(keys));
        let rows = of_job.clone().with(Variable::Rows, Known::Anything);
        let at = |key: &str| format!("{path}.{key}");
        let ask = |key: &str, request: &Request, names: &Names| self.asking(&at(key), request, names, auth, false);
        let from_rows = self.constant_text(&at("from_rows"), &job.from_rows)?;
        let from_rows = match from_rows.parse() {
            Ok(rows) if rows > 0 => rows,
            // Without a connection a setting has no value yet.
            _ if from_rows.is_empty() => usize::MAX,
            _ => return Err(self.error(&at("from_rows"), "must be a whole number above 0")),
        };
        let result = |(index, result): (usize, &JobResult)| {
            let at = |key: &str| format!("{path}.results[{index}].{key}");
            Ok(JobResultPlan {
                request: self.asking(&format!("{path}.results[{index}]"), &result.request, &of_job, auth, false)?,
                next: result.next.as_ref().map(|next| self.response(&at("next"), next)).transpose()?,
                answers: self.answers(&at("answers"), &result.answers)?,
            })
        };
        Ok(JobPlan {
            from_rows,
            item: job.item.as_ref().map(|item| self.tree(&at("item"), item, of_row, &PageVariable::None)).transpose()?,
            open: ask("open", &job.open, &self.names("a job"))?,
            id: self.response(&at("id"), &job.id)?,
            fill: ask("fill", &job.fill, &rows)?,
            start: ask("start", &job.start, &of_job)?,
            state: ask("state", &job.state, &of_job)?,
            every: self.constant_span(&at("every"), &job.every)?.unwrap_or_default(),
            at_most: self.constant_span(&at("at_most"), &job.at_most)?.unwrap_or_default(),
            done: self.answer_test(&at("done"), &job.done)?,
            failed: self.answer_test(&at("failed"), &job.failed)?,
            results: job.results.iter().enumerate().map(result).collect::<Result<_>>()?,
        })
    }

    fn answers(&self, path: &str, answers: &Answers) -> Result<AnswersPlan> {
        let names = self.sink_answer().with(Variable::Record, Known::Anything);
        let place = |key: &str| format!("{path}.{key}");
        let value = |key: &str, text: &Option<String>| {
            text.as_ref().map(|text| self.expression(&place(key), text, &names, PageVariable::None)).transpose()
        };
        let test = |key: &str, text: &Option<String>| {
            text.as_ref().map(|text| self.condition(&place(key), text, &names, PageVariable::None)).transpose()
        };
        if (answers.by == TiedBy::Position) != answers.tie.is_none() {
            return Err(self.error(&place("tie"), "`tie` goes with `by: index` and `by: id`"));
        }
        Ok(AnswersPlan {
            from: answers.from.as_ref().map(|text| self.response(&place("from"), text)).transpose()?,
            by: answers.by,
            tie: value("tie", &answers.tie)?,
            done: test("done", &answers.done)?,
            id: value("id", &answers.id)?,
            created: test("created", &answers.created)?,
            reason: value("reason", &answers.reason)?,
            field: value("field", &answers.field)?,
            retry: test("retry", &answers.retry)?,
            conflict: test("conflict", &answers.conflict)?,
        })
    }
}

/// What a request knows, with what was asked before it.
fn known_with(own: &[(&str, Type)], first: Option<&First>) -> Known {
    let given = first.into_iter().flat_map(|first| first.give.keys()).map(|name| (name.clone(), Type::Any));
    Known::Keys(own.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).chain(given).collect())
}

/// `check` and the steps of a job are requests; elsewhere the request is one of several keys.
fn request_stands_alone(path: &str) -> bool {
    let alone = [".check", ".lists.member", ".job.open", ".job.fill", ".job.start", ".job.state"];
    alone.iter().any(|step| path.ends_with(step))
}
