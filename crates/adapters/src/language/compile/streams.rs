//! Streams: paging, records, partitions, cursors, fields.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_model::conform;
use headwater_sdk::StreamSpec;
use headwater_sdk::document::nearest;

use super::{Compiler, Made, Result, mapping};
use crate::engine::plan::{
    Anew, Auth as AuthPlan, Bookmark, Cursor, Extractor, Inject, Job as JobPlan, JobStatus, Lookup as LookupPlan, Pages,
    Paginator, Paging as PagingPlan, Parent, Partitions, Positions, Retriever, SchemaPlan, Selector, Step, StreamPlan, Transform,
    Transformation, Whole,
};
use crate::engine::{Expr, Map, Scope, Value, constant};
use crate::language::cursor::{Codec, Form, Integers, Now, Start, Times, unit};
use crate::language::evaluate::{Address, FILE, JobState, Kept, NextPage, PageVariable};
use crate::language::expr::{Known, Names, Type, Variable};
use crate::language::rows::{FieldPlan, FindRecords, Give, MakeRow, POSITION};
use crate::language::spec::{
    BoundKind, CursorKind, CursorSpec, ForEach, Job, Lookup, Method, Paging, Precision, Request, ResponseRule, Setting,
    SettingKind, Stream,
};

/// The shortest wait between two looks at a job, and the longest time that one run waits for it.
const SOONEST: Duration = Duration::from_secs(1);
const LONGEST_JOB: Duration = Duration::from_hours(24);
/// How many parts one request may be for.
const MAX_BATCH: usize = 10_000;
const START: &str = "start";
const END: &str = "end";
/// How deep `for_each` may be nested through parents.
const MAX_PARENTS: usize = 4;

impl Compiler<'_> {
    /// A stream's plan, and what a user sees of it unless it is a helper.
    pub(super) fn stream(&self, name: &str, auth: &AuthPlan) -> Result<(StreamPlan, Option<Made>)> {
        let Some(stream) = self.spec.streams.get(name) else { return Err(self.unknown_stream("streams", name)) };
        if !matches!(stream.request.method, Method::Get | Method::Post) {
            let path = format!("streams.{name}.request.method");
            return Err(self.error(&path, "a stream only asks").help("write `GET` or `POST`"));
        }
        let row = self.row(name, stream)?;
        let fields: Vec<String> = row.fields.iter().map(|(name, _)| name.clone()).collect();
        let keyed = row.key.is_some();
        let plan = self.plan(name, stream, auth, Arc::new(row), 0)?;
        if stream.helper {
            return Ok((plan, None));
        }
        self.check_mapping(name, stream, &fields)?;
        if stream.whole && !keyed {
            let error = self.error(&format!("streams.{name}.whole"), "who is missing is told by ids");
            return Err(error.help("say by `key` what a record's id is"));
        }
        let spec = StreamSpec {
            name: name.to_owned(),
            role: stream.role,
            origin: stream.origin,
            fields,
            mapping: mapping(stream),
            vendor: Some(stream.vendor.clone().or_else(|| self.spec.vendor.clone()).unwrap_or_else(|| self.spec.name.clone())),
            whole: stream.whole,
            notes: stream.notes.clone(),
        };
        Ok((plan, Some(Made { spec, keyed })))
    }

    fn check_mapping(&self, name: &str, stream: &Stream, fields: &[String]) -> Result<()> {
        if fields.is_empty() {
            return Err(self.error(&format!("streams.{name}"), "a stream needs `fields`, unless it is a `helper`"));
        }
        let ours = conform::fields_of(stream.role);
        for (field, rule) in &stream.map {
            let path = format!("streams.{name}.map.{field}");
            if !ours.contains(&field.as_str()) {
                let error = self.error(&path, format!("there is no field `{field}` to map to"));
                return Err(match nearest(field, ours.iter().copied()) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help(format!("there are: {}", ours.join(", "))),
                });
            }
            for theirs in &rule.0.from {
                if !fields.contains(theirs) {
                    let error = self.error(&path, format!("`{theirs}` is not among the stream's fields"));
                    return Err(match nearest(theirs, fields.iter().map(String::as_str)) {
                        Some(near) => error.help(format!("did you mean `{near}`?")),
                        None => error.help(format!("add it below `streams.{name}.fields`")),
                    });
                }
            }
        }
        Ok(())
    }

    /// What the places of a stream know beside the connection.
    fn stream_names(&self, stream: &Stream, place: &'static str) -> Names {
        let mut names = self.names(place);
        let mut keys = Vec::new();
        for part in &stream.for_each {
            match part {
                ForEach::Parent { give, batch, .. } => keys.extend(give.keys().map(|key| (key.clone(), part_type(*batch)))),
                ForEach::Values { name, batch, .. } => keys.push((name.clone(), part_type(*batch))),
            }
        }
        if !keys.is_empty() {
            names = names.with(Variable::Partition, Known::Keys(keys));
        }
        if let Some(cursor) = &stream.cursor {
            let ends: &[&str] = if cursor.kind == CursorKind::Opaque { &[START] } else { &[START, END] };
            names = names.with(Variable::Cursor, Known::Keys(ends.iter().map(|end| ((*end).to_owned(), Type::Any)).collect()));
        }
        names
    }

    fn row(&self, name: &str, stream: &Stream) -> Result<MakeRow> {
        let path = format!("streams.{name}");
        let names = with_lookups(stream, self.stream_names(stream, "a record's place")).with(Variable::Record, Known::Anything);
        let one = |key: &str, text: &Option<String>| {
            text.as_ref().map(|text| self.expression(&format!("{path}.{key}"), text, &names, PageVariable::None)).transpose()
        };
        let mut fields = Vec::new();
        for (field, spec) in &stream.fields {
            let path = format!("{path}.fields.{field}");
            let default = format!("record[\"{field}\"]");
            let text = spec.value.as_deref().unwrap_or(&default);
            let value = self.expression(&path, text, &names, PageVariable::None)?;
            fields.push((field.clone(), FieldPlan { value, words: spec.words.clone(), otherwise: spec.otherwise.clone() }));
        }
        let deleted =
            stream.deleted.as_ref().map(|text| self.condition(&format!("{path}.deleted"), text, &names, PageVariable::None));
        let position = stream
            .cursor
            .as_ref()
            .filter(|cursor| cursor.kind != CursorKind::Opaque)
            .map(|cursor| self.expression(&format!("{path}.cursor.value"), &cursor.value, &names, PageVariable::None));
        Ok(MakeRow { fields, key: one("key", &stream.key)?, deleted: deleted.transpose()?, position: position.transpose()? })
    }

    /// The plan of a stream of which the last step is `last`: rows for a user, or what a sub-stream sees.
    fn plan(&self, name: &str, stream: &Stream, auth: &AuthPlan, last: Arc<dyn Transform>, depth: usize) -> Result<StreamPlan> {
        let path = format!("streams.{name}");
        if depth > MAX_PARENTS {
            let message = format!("more than {MAX_PARENTS} streams stand one below the other, or in a circle");
            return Err(self.error(&format!("{path}.for_each"), message));
        }
        let (page, paging) = self.paging(&path, stream)?;
        let mut names = self.stream_names(stream, "a request");
        if page != PageVariable::None {
            names = names.with(Variable::Page, Known::Keys(page_keys(&page)));
        }
        let rules = [
            (format!("{path}.on_response"), stream.on_response.as_slice()),
            ("api.on_response".to_owned(), self.spec.api.on_response.as_slice()),
        ];
        if let Some(job) = &stream.job {
            names = names.with(Variable::Job, Known::Keys(job_keys(job)));
        }
        let requester = self.requester(&format!("{path}.request"), &stream.request, (&names, &page), auth, &rules)?;
        let pages = Pages { requester, paginator: paging, selector: self.selector(&path, stream, last)?, anew: Anew::default() };
        let place = format!("{path}.cursor");
        let (opaque, ordered): (Vec<_>, Vec<_>) = stream.cursor.iter().partition(|cursor| cursor.kind == CursorKind::Opaque);
        Ok(StreamPlan {
            name: name.to_owned(),
            primary_key: Vec::new(),
            schema: SchemaPlan::Inline(Value::Map(Map::default())),
            retriever: match &stream.job {
                None => Retriever::Pages(Box::new(pages)),
                Some(job) => Retriever::Job(Box::new(self.job(&path, (stream, job), auth, &rules, pages)?)),
            },
            partitions: self.partitions(&path, stream, auth, depth)?,
            cursor: ordered.first().map(|cursor| self.cursor(&place, stream, cursor)).transpose()?,
            bookmark: opaque.first().map(|cursor| self.bookmark(&place, stream, cursor, &page)).transpose()?,
            lookups: self.lookups(&path, stream, auth, depth)?,
            whole: stream.whole.then(|| Whole { shifting: self.shifts(stream, 0) }),
            codec: Arc::new(Codec),
        })
    }

    /// Whether pages of a stream, or of those that it is read for, are counted: then what follows a removed record moves.
    fn shifts(&self, stream: &Stream, depth: usize) -> bool {
        matches!(stream.paging, Paging::Offset { .. } | Paging::Page { .. })
            || depth <= MAX_PARENTS
                && stream.for_each.iter().any(|part| match part {
                    ForEach::Values { .. } => false,
                    ForEach::Parent { stream, .. } => {
                        self.spec.streams.get(stream).is_some_and(|parent| self.shifts(parent, depth + 1))
                    }
                })
    }

    /// The small streams that a stream looks into.
    fn lookups(&self, path: &str, stream: &Stream, auth: &AuthPlan, depth: usize) -> Result<Vec<LookupPlan>> {
        let mut out = Vec::new();
        for (name, Lookup { stream: other, key, value }) in &stream.lookup {
            let path = format!("{path}.lookup.{name}");
            let Some(spec) = self.spec.streams.get(other) else {
                return Err(self.unknown_stream(&format!("{path}.stream"), other));
            };
            let names = self.stream_names(spec, "a record that is looked up").with(Variable::Record, Known::Anything);
            let part = |key: &str, text: &str| self.expression(&format!("{path}.{key}"), text, &names, PageVariable::None);
            let names =
                vec![(LookupPlan::KEY.to_owned(), part("key", key)?), (LookupPlan::VALUE.to_owned(), part("value", value)?)];
            let given = Give { names, keep_raw: looks_at_last(spec) };
            let plan = self.plan(other, spec, auth, Arc::new(given), depth + 1)?;
            let plan = StreamPlan { cursor: None, bookmark: None, whole: None, ..plan };
            out.push(LookupPlan { name: name.clone(), stream: Arc::new(plan) });
        }
        Ok(out)
    }

    /// The job of a stream, of which `download` fetches the files.
    fn job(
        &self,
        path: &str,
        (stream, job): (&Stream, &Job),
        auth: &AuthPlan,
        rules: &[(String, &[ResponseRule])],
        download: Pages,
    ) -> Result<JobPlan> {
        let path = &format!("{path}.job");
        let Job { create, give, poll, every, at_most, done_when, failed_when, files } = job;
        if let Some(cursor) = stream.cursor.as_ref().filter(|cursor| cursor.kind == CursorKind::Opaque || cursor.newest_first) {
            let what = if cursor.newest_first { "`newest_first`" } else { "a cursor of `type: opaque`" };
            return Err(self.error(path, format!("a job is read as a whole: it cannot have {what}")));
        }
        if files.is_some() && give.contains_key(FILE) {
            return Err(self
                .error(&format!("{path}.give.{FILE}"), "`job.file` is the file that is fetched")
                .help("choose another name"));
        }
        for (key, request) in [("create", create), ("poll", poll)] {
            if !matches!(request.method, Method::Get | Method::Post) {
                return Err(self.error(&format!("{path}.{key}.method"), "a stream only asks").help("write `GET` or `POST`"));
            }
        }
        let (every, at_most) = (self.span(&format!("{path}.every"), every)?, self.span(&format!("{path}.at_most"), at_most)?);
        if every < SOONEST {
            return Err(self.error(&format!("{path}.every"), "a job is asked for once a second at most"));
        }
        if at_most < every || at_most > LONGEST_JOB {
            return Err(self.error(&format!("{path}.at_most"), "must lie between `every` and 24 hours"));
        }
        let none = PageVariable::None;
        let asked = self.stream_names(stream, "a request");
        let known = asked.clone().with(Variable::Job, Known::Keys(given_keys(job).collect()));
        let answered = |names: Names, place| {
            names.at(place).with(Variable::Response, Known::Anything).with(Variable::Headers, Known::Anything)
        };
        let kept = answered(asked.clone(), "what is kept of a job");
        let members = give
            .iter()
            .map(|(key, text)| Ok((key.clone(), self.expression(&format!("{path}.give.{key}"), text, &kept, none.clone())?)));
        let keep = Kept(members.collect::<Result<_>>()?);
        let state = answered(known.clone(), "how a job goes");
        let condition = |key: &str, text: &str| self.condition(&format!("{path}.{key}"), text, &state, none.clone());
        let done = condition("done_when", done_when)?;
        let failed = failed_when.as_ref().map(|text| condition("failed_when", text)).transpose()?;
        let targets = files.as_ref().map(|text| self.expression(&format!("{path}.files"), text, &state, none.clone()));
        let words = [
            (JobState::DONE, JobStatus::Completed),
            (JobState::FAILED, JobStatus::Failed),
            (JobState::RUNNING, JobStatus::Running),
        ];
        Ok(JobPlan {
            create: self.requester(&format!("{path}.create"), create, (&asked, &none), auth, rules)?,
            keep: Some(Arc::new(keep)),
            poll: self.requester(&format!("{path}.poll"), poll, (&known, &none), auth, rules)?,
            status: Arc::new(JobState { done, failed }),
            statuses: words.map(|(word, status)| (word.to_owned(), status)).into_iter().collect::<BTreeMap<_, _>>(),
            targets: targets.transpose()?.map(|targets| Arc::new(targets) as Expr),
            download,
            delete: None,
            abort: None,
            timeout: at_most,
            poll_every: every,
        })
    }

    fn selector(&self, path: &str, stream: &Stream, last: Arc<dyn Transform>) -> Result<Selector> {
        let names = self.stream_names(stream, "what finds records");
        let body = names.clone().with(Variable::Response, Known::Anything);
        let record = with_lookups(stream, names.at("a record's place")).with(Variable::Record, Known::Anything);
        let from = self.expression(&format!("{path}.records.from"), &stream.records.from, &body, PageVariable::None)?;
        let each = stream.records.each.as_ref();
        let each =
            each.map(|text| self.expression(&format!("{path}.records.each"), text, &record, PageVariable::None)).transpose()?;
        let filter = stream.records.r#where.as_ref();
        let filter = filter.map(|text| self.condition(&format!("{path}.records.where"), text, &record, PageVariable::None));
        let extract = match (from.expr().keys_of(Variable::Response), &each) {
            // Plain keys are found by the engine itself, which takes the records out instead of copying them.
            (Some(keys), None) => Extractor::Path(keys.into_iter().map(constant).collect()),
            (_, _) => Extractor::Custom(Arc::new(FindRecords { from, each })),
        };
        Ok(Selector {
            extract,
            filter: filter.transpose()?.map(|filter| Arc::new(filter) as Expr),
            transforms: vec![Transformation::Custom(last)],
            transform_first: false,
            normalize: None,
        })
    }

    /// What a place knows that looks at an answer once its records are taken.
    fn answer_names(&self, stream: &Stream, place: &'static str, page: &PageVariable) -> Names {
        let mut keys = page_keys(page);
        keys.push(("count".to_owned(), Type::Number));
        self.stream_names(stream, place)
            .with(Variable::Response, Known::Anything)
            .with(Variable::Headers, Known::Anything)
            .with(Variable::Last, Known::Anything)
            .with(Variable::Page, Known::Keys(keys))
    }

    fn paging(&self, path: &str, stream: &Stream) -> Result<(PageVariable, Option<Paginator>)> {
        let path = format!("{path}.paging");
        let answer = |page: &PageVariable| self.answer_names(stream, "what follows a page", page);
        let last = |page: &PageVariable, text: &Option<String>| {
            text.as_ref().map(|text| self.condition(&format!("{path}.last_when"), text, &answer(page), page.clone())).transpose()
        };
        let counted = |page: PageVariable, text: &Option<String>| -> Result<(PageVariable, Option<Paginator>)> {
            let undivided = stream.records.each.as_ref().map(|_| {
                let names = self.stream_names(stream, "what finds records").with(Variable::Response, Known::Anything);
                self.expression("records.from", &stream.records.from, &names, PageVariable::None)
            });
            let value: Expr =
                Arc::new(NextPage { page: page.clone(), last_when: last(&page, text)?, undivided: undivided.transpose()? });
            let strategy = PagingPlan::Token { value, stop: None };
            Ok((page, Some(Paginator { strategy, token: None, size: None })))
        };
        let address = |page: PageVariable, next: &str| -> Result<(PageVariable, Option<Paginator>)> {
            let placed = self.expression(&format!("{path}.next"), next, &answer(&page), page.clone())?;
            let below = self.template("api.url", &self.spec.api.url, &self.names("an address"), PageVariable::None)?;
            let address = Address { placed, instead: self.setup.instead.clone(), encode: false, below: Some(below) };
            let value: Expr = Arc::new(address);
            let strategy = PagingPlan::Token { value, stop: None };
            Ok((page, Some(Paginator { strategy, token: Some(Inject::Url), size: None })))
        };
        let size = |size: u32| self.setup.page_size.unwrap_or(size);
        let some = |own: &Option<u32>| own.map(size);
        match &stream.paging {
            Paging::None => Ok((PageVariable::None, None)),
            Paging::Offset { size: own, last_when } => counted(PageVariable::Offset(size(*own)), last_when),
            Paging::Page { size: own, first, last_when } => {
                counted(PageVariable::Number { first: *first, size: size(*own) }, last_when)
            }
            Paging::Token { next, size, last_when } => {
                let page = PageVariable::Token(some(size));
                let placed = self.expression(&format!("{path}.next"), next, &answer(&page), page.clone())?;
                let stop = last(&page, last_when)?.map(|stop| Arc::new(stop) as Expr);
                let strategy = PagingPlan::Token { value: Arc::new(placed), stop };
                Ok((page, Some(Paginator { strategy, token: None, size: None })))
            }
            Paging::NextUrl { next, size } => address(PageVariable::Url(some(size)), next),
            Paging::Link { size } => address(PageVariable::Url(some(size)), "headers.link.next.url"),
        }
    }

    fn partitions(&self, path: &str, stream: &Stream, auth: &AuthPlan, depth: usize) -> Result<Partitions> {
        let mut parts = Vec::new();
        for (index, part) in stream.for_each.iter().enumerate() {
            let path = format!("{path}.for_each[{index}]");
            let made = match part {
                ForEach::Values { values, name, batch: _ } => {
                    let names = self.names("a list of values");
                    let placed = self.expression(&format!("{path}.values"), values, &names, PageVariable::None)?;
                    if !placed.expr().ty().fits(Type::List) {
                        let message = format!("`values` is a list, not {}", placed.expr().ty().name());
                        return Err(self.error(&format!("{path}.values"), message));
                    }
                    Partitions::List { values: Arc::new(placed), name: name.clone(), inject: None }
                }
                ForEach::Parent { stream: parent, give, id, batch: _ } => {
                    let Some(spec) = self.spec.streams.get(parent) else {
                        return Err(self.unknown_stream(&format!("{path}.stream"), parent));
                    };
                    if !give.contains_key(id) {
                        let error = self.error(&format!("{path}.id"), format!("`{id}` is not among what `give` gives"));
                        return Err(error.help(format!("there are: {}", give.keys().cloned().collect::<Vec<_>>().join(", "))));
                    }
                    let names = self.stream_names(spec, "a parent's record").with(Variable::Record, Known::Anything);
                    let given = give.iter().map(|(key, text)| {
                        let path = format!("{path}.give.{key}");
                        Ok((key.clone(), self.expression(&path, text, &names, PageVariable::None)?))
                    });
                    let given = Give { names: given.collect::<Result<_>>()?, keep_raw: looks_at_last(spec) };
                    let plan = self.plan(parent, spec, auth, Arc::new(given), depth + 1)?;
                    // A parent is read from its beginning every time: old forms get new answers.
                    let plan = StreamPlan { cursor: None, bookmark: None, whole: None, ..plan };
                    Partitions::Parents(vec![Parent {
                        stream: Arc::new(plan),
                        key: vec![id.clone()],
                        name: id.clone(),
                        inject: None,
                        extra: give.keys().filter(|key| *key != id).map(|key| vec![key.clone()]).collect(),
                        incremental: false,
                    }])
                }
            };
            let (ForEach::Values { batch, .. } | ForEach::Parent { batch, .. }) = part;
            parts.push(match batch {
                None => made,
                Some(size) if (1..=MAX_BATCH).contains(size) => {
                    Partitions::Groups { of: Box::new(made), size: *size, distinct: true }
                }
                Some(_) => return Err(self.error(&format!("{path}.batch"), format!("must lie between 1 and {MAX_BATCH}"))),
            });
        }
        Ok(match parts.len() {
            0 => Partitions::One,
            1 => parts.swap_remove(0),
            _ => Partitions::Product(parts),
        })
    }

    fn cursor(&self, path: &str, stream: &Stream, cursor: &CursorSpec) -> Result<Cursor> {
        let form = |key: &str, text: &Option<String>| match text {
            None => Ok(Form::Rfc3339),
            Some(text) => Form::named(text).ok_or_else(|| {
                let error = self.error(&format!("{path}.{key}"), format!("`{text}` is no way to write a time"));
                error.help("write rfc3339, unix, unix_ms or a strftime format such as %Y-%m-%d")
            }),
        };
        let integer = cursor.kind == CursorKind::Integer;
        if integer && (cursor.written.is_some() || cursor.read.is_some() || cursor.slices.is_some()) {
            return Err(self.error(path, "`written`, `read` and `slices` are for `type: time`"));
        }
        let positions: Arc<dyn Positions> = if integer {
            Arc::new(Integers)
        } else {
            let (written, read) = (form("written", &cursor.written)?, form("read", &cursor.read)?);
            Arc::new(Times { written, read, precision: cursor.precision })
        };
        let names = self.names("the beginning of a stream");
        let start = cursor.start.as_ref();
        let start = start.map(|text| self.template(&format!("{path}.start"), text, &names, PageVariable::None)).transpose()?;
        let sliced = cursor.slices.is_some();
        if sliced && start.is_none() {
            return Err(self.error(path, "`slices` need a `start`").help("write `start: ${connection.start}` or a day"));
        }
        let ends = sliced || mentions_end(stream);
        Ok(Cursor {
            field: vec![POSITION.to_owned()],
            positions: Arc::clone(&positions),
            start: Arc::new(Start { at: start, positions, integer }),
            end: (ends && !integer).then(|| Arc::new(Now) as _),
            step: match &cursor.slices {
                None => None,
                Some(text) => Some(micros(self.span(&format!("{path}.slices"), text)?)),
            },
            gap: None,
            lookback: self.lookback(path, cursor)?,
            names: (START.to_owned(), END.to_owned()),
            inject_start: None,
            inject_end: None,
            filter: cursor.filter,
            newest_first: cursor.newest_first,
            global: false,
        })
    }

    /// A position in the API's own words: nothing can be reckoned with it.
    fn bookmark(&self, path: &str, stream: &Stream, cursor: &CursorSpec, page: &PageVariable) -> Result<Bookmark> {
        let CursorSpec { kind: _, value, written, read, precision, bound, overlap, start, slices, filter, newest_first } = cursor;
        let reckoned = [written, read, overlap, start, slices].into_iter().any(Option::is_some)
            || (*precision, *bound) != (Precision::default(), BoundKind::default());
        if reckoned || *filter || *newest_first {
            let error = self.error(path, "a cursor of `type: opaque` has nothing but its `value`");
            return Err(error.help("what it says is given back as `cursor.start`, and compared with nothing"));
        }
        let names = self.answer_names(stream, "where an answer says its position", page);
        let value = self.expression(&format!("{path}.value"), value, &names, page.clone())?;
        Ok(Bookmark { value: Arc::new(value), name: START.to_owned() })
    }

    /// What an overlap says for this connection; before there is one, for the defaults of its settings.
    fn overlap(&self, path: &str, text: &str) -> Result<Option<String>> {
        let placed = self.template(path, text, &self.names("an overlap"), PageVariable::None)?;
        let known = self.setup.config.as_map().is_some_and(|config| !config.is_empty());
        let examples = || Value::Map(self.spec.connection.iter().map(|(key, one)| (key.as_str(), example(one))).collect());
        let config = if known { self.setup.config.clone() } else { examples() };
        let scope = Scope::new(&config, jiff::Timestamp::UNIX_EPOCH);
        let found = placed.found(&scope).map_err(|error| self.error(path, error.message().to_owned()))?;
        Ok(found.filter(|found| !found.is_null()).map(|found| found.to_plain()))
    }

    /// How far back a later read begins: the overlap, and one step more where the remote leaves out its bound.
    fn lookback(&self, path: &str, cursor: &CursorSpec) -> Result<Option<Step>> {
        let further = match (cursor.bound, cursor.kind) {
            (BoundKind::Inclusive, _) => 0,
            (BoundKind::Exclusive, CursorKind::Time) => unit(cursor.precision),
            (BoundKind::Exclusive, CursorKind::Integer | CursorKind::Opaque) => 1,
        };
        let overlap = match &cursor.overlap {
            None => None,
            Some(text) => self.overlap(&format!("{path}.overlap"), text)?,
        };
        let overlap = match (&overlap, cursor.kind) {
            (None, _) => 0,
            (Some(text), CursorKind::Time) => {
                i64::try_from(self.span(&format!("{path}.overlap"), text)?.as_micros()).unwrap_or(i64::MAX)
            }
            (Some(text), CursorKind::Integer | CursorKind::Opaque) => text
                .parse::<i64>()
                .ok()
                .filter(|overlap| *overlap >= 0)
                .ok_or_else(|| self.error(&format!("{path}.overlap"), "the overlap of an integer is a whole number"))?,
        };
        let back = further.saturating_add(overlap);
        Ok(match cursor.kind {
            _ if back == 0 => None,
            CursorKind::Time => Some(Step::Span(jiff::Span::new().microseconds(back))),
            CursorKind::Integer | CursorKind::Opaque => Some(Step::Count(back)),
        })
    }
}

/// With what a stream looks into, where it looks into anything.
fn with_lookups(stream: &Stream, names: Names) -> Names {
    if stream.lookup.is_empty() {
        return names;
    }
    names.with(Variable::Lookup, Known::Keys(stream.lookup.keys().map(|name| (name.clone(), Type::Map)).collect()))
}

/// What is known of a part's names: of several together they are lists.
fn part_type(batch: Option<usize>) -> Type {
    if batch.is_some() { Type::List } else { Type::Any }
}

/// What a setting of this kind stands for where there is no connection yet.
fn example(setting: &Setting) -> Value {
    match (&setting.default, setting.kind) {
        (Some(default), _) => Value::from(default),
        (None, SettingKind::Integer) => Value::Int(1),
        (None, _) => Value::text("1d"),
    }
}

fn micros(span: Duration) -> Step {
    let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    Step::Span(jiff::Span::new().microseconds(micros))
}

/// What requests for a job's files see of it.
fn job_keys(job: &Job) -> Vec<(String, Type)> {
    let file = job.files.as_ref().map(|_| (FILE.to_owned(), Type::Any));
    given_keys(job).chain(file).collect()
}

fn given_keys(job: &Job) -> impl Iterator<Item = (String, Type)> {
    job.give.keys().map(|key| (key.clone(), Type::Any))
}

fn page_keys(page: &PageVariable) -> Vec<(String, Type)> {
    let own = match page {
        PageVariable::None | PageVariable::Url(_) => None,
        PageVariable::Offset(_) => Some(("offset", Type::Number)),
        PageVariable::Number { .. } => Some(("number", Type::Number)),
        PageVariable::Token(_) => Some(("token", Type::Any)),
    };
    let size = page.size().map(|_| ("size", Type::Number));
    own.into_iter().chain(size).map(|(name, ty)| (name.to_owned(), ty)).collect()
}

/// Whether what follows a page depends on its last record.
fn looks_at_last(stream: &Stream) -> bool {
    match &stream.paging {
        Paging::Token { next, .. } | Paging::NextUrl { next, .. } => next.contains("last"),
        Paging::None | Paging::Offset { .. } | Paging::Page { .. } | Paging::Link { .. } => false,
    }
}

/// Whether the stream's requests name the end of what they ask for.
fn mentions_end(stream: &Stream) -> bool {
    let made = stream.job.as_ref().map(|job| &job.create);
    std::iter::once(&stream.request).chain(made).any(names_end)
}

fn names_end(request: &Request) -> bool {
    let texts = request.query.values().chain(request.headers.values()).chain(request.form.values()).chain([&request.path]);
    let in_json = request.json.as_ref().map(ToString::to_string);
    texts.chain(in_json.as_ref()).any(|text| text.contains("cursor.end"))
}
