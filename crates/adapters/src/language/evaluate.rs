//! Our expressions as the engine sees them.

use headwater_sdk::{Error, ErrorKind, Result};

use super::expr::{EvalError, Expr, Scope, Variable};
use crate::engine::{self, Evaluate, Map, Value};

/// The name of the address of a job's file in the variable `job`.
pub(super) const FILE: &str = "file";

/// How a place's `page` variable follows from what the engine keeps of paging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PageVariable {
    /// There is one page.
    None,
    /// `page.offset`, `page.size`.
    Offset(u32),
    /// `page.number`, `page.size`.
    Number {
        /// The first page.
        first: u32,
        /// Records per page.
        size: u32,
    },
    /// `page.token`, `page.size`.
    Token(Option<u32>),
    /// The address of the next page; `page.size`.
    Url(Option<u32>),
}

impl PageVariable {
    pub(super) fn size(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Offset(size) | Self::Number { size, .. } => Some(*size),
            Self::Token(size) | Self::Url(size) => *size,
        }
    }

    /// The variable for this request: `token` is what the page before said about this one.
    fn value(&self, token: Option<&Value>, count: Option<usize>) -> Value {
        let mut map = Map::default();
        match self {
            Self::None => {}
            Self::Offset(_) => drop(map.insert("offset", token.cloned().unwrap_or(Value::Int(0)))),
            Self::Number { first, .. } => drop(map.insert("number", token.cloned().unwrap_or(Value::Int((*first).into())))),
            Self::Token(_) => {
                if let Some(token) = token {
                    map.insert("token", token.clone());
                }
            }
            Self::Url(_) => {}
        }
        if let Some(size) = self.size() {
            map.insert("size", Value::Int(size.into()));
        }
        if let Some(count) = count.and_then(|count| i64::try_from(count).ok()) {
            map.insert("count", Value::Int(count));
        }
        Value::Map(map)
    }
}

/// An expression in its place.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    expr: Expr,
    page: PageVariable,
    /// What messages call it.
    path: String,
    constant: Option<Value>,
    partition: bool,
    cursor: bool,
    paging: bool,
    headers: bool,
    last: bool,
    job: bool,
}

/// The variables that are made for one evaluation.
#[derive(Default)]
pub(super) struct Made {
    partition: Option<Value>,
    cursor: Option<Value>,
    page: Option<Value>,
    headers: Option<Value>,
    last: Option<Value>,
    job: Option<Value>,
}

impl Placed {
    pub(super) fn new(expr: Expr, page: PageVariable, path: impl Into<String>) -> Self {
        let constant = expr.as_constant().cloned();
        let [partition, cursor, paging, headers, last, job] =
            [Variable::Partition, Variable::Cursor, Variable::Page, Variable::Headers, Variable::Last, Variable::Job]
                .map(|variable| expr.mentions(variable));
        Self { expr, page, path: path.into(), constant, partition, cursor, paging, headers, last, job }
    }

    pub(super) fn expr(&self) -> &Expr {
        &self.expr
    }

    /// The variables that this expression needs and the engine keeps in another shape.
    fn made(&self, scope: &engine::Scope<'_>) -> Made {
        Made {
            partition: self.partition.then(|| partition(scope)),
            cursor: self.cursor.then(|| cursor(scope)),
            page: self.paging.then(|| self.page.value(token(scope), scope.last_page_size)),
            last: self.last.then(|| last(scope)),
            headers: self.headers.then(|| headers(scope)),
            job: self.job.then(|| job(scope)),
        }
    }

    /// Does something with the expression and its scope.
    pub(super) fn with<T>(
        &self,
        scope: &engine::Scope<'_>,
        work: impl FnOnce(&Expr, &Scope<'_>) -> Result<T, EvalError>,
    ) -> Result<T> {
        let made = self.made(scope);
        work(&self.expr, &made.scope(scope)).map_err(|error| self.failed(&error))
    }

    pub(super) fn failed(&self, error: &EvalError) -> Error {
        Error::new(ErrorKind::Protocol, error.to_string())
            .context("at", self.path.clone())
            .hint("the connector file expects another kind of value there than the remote gives")
    }

    /// Its value; nothing is `None`.
    pub(super) fn found(&self, scope: &engine::Scope<'_>) -> Result<Option<Value>> {
        if let Some(value) = &self.constant {
            return Ok(Some(value.clone()));
        }
        self.with(scope, |expr, scope| Ok(expr.eval(scope)?.map(std::borrow::Cow::into_owned)))
    }
}

impl Made {
    /// All variables of a record's place.
    pub(super) fn all(scope: &engine::Scope<'_>) -> Self {
        Self { partition: Some(partition(scope)), cursor: Some(cursor(scope)), page: None, headers: None, last: None, job: None }
    }

    pub(super) fn scope<'a>(&'a self, scope: &engine::Scope<'a>) -> Scope<'a> {
        let mut out = Scope::at(scope.now).with(Variable::Connection, scope.config);
        let given = [
            (Variable::Record, scope.record),
            (Variable::Response, scope.response),
            (Variable::Headers, self.headers.as_ref()),
            (Variable::Partition, self.partition.as_ref()),
            (Variable::Cursor, self.cursor.as_ref()),
            (Variable::Page, self.page.as_ref()),
            (Variable::Last, self.last.as_ref()),
            (Variable::Job, self.job.as_ref()),
            (Variable::Lookup, scope.more(Variable::Lookup.name())),
            (Variable::Row, scope.more(Variable::Row.name())),
            (Variable::Rows, scope.more(Variable::Rows.name())),
            (Variable::Key, scope.more(Variable::Key.name())),
            (Variable::Field, scope.more(Variable::Field.name())),
            (Variable::Job, scope.more(Variable::Job.name())),
        ];
        for (variable, value) in given {
            if let Some(value) = value {
                out = out.with(variable, value);
            }
        }
        out
    }
}

/// What the page before said about this one; the engine hands it on under a name.
fn token<'a>(scope: &engine::Scope<'a>) -> Option<&'a Value> {
    scope.next_page_token?.get("next_page_token")
}

/// The last record as it arrived: the engine has it as the row that was made of it.
fn last(scope: &engine::Scope<'_>) -> Value {
    let Some(record) = scope.last_record else { return Value::Null };
    match record.get(super::rows::RAW).and_then(Value::as_str) {
        Some(raw) => engine::json::parse(raw.as_bytes()).unwrap_or_default(),
        None => record.clone(),
    }
}

fn partition(scope: &engine::Scope<'_>) -> Value {
    let Some(slice) = scope.slice else { return Value::Map(Map::default()) };
    let mut map = slice.partition.clone();
    // What a parent gives along stands there by its own name.
    for (key, value) in slice.extra.entries() {
        map.insert(key.clone(), value.clone());
    }
    Value::Map(map)
}

/// What was kept of the job, and the address of the file that is fetched.
fn job(scope: &engine::Scope<'_>) -> Value {
    let mut map = scope.more("creation_response").and_then(Value::as_map).cloned().unwrap_or_default();
    if let Some(file) = scope.more("download_target").filter(|file| !file.is_null()) {
        map.insert(FILE, file.clone());
    }
    Value::Map(map)
}

fn cursor(scope: &engine::Scope<'_>) -> Value {
    let interval = scope.slice.map(|slice| slice.interval.clone()).unwrap_or_default();
    Value::Map(interval.into_iter().filter(|(_, value)| !value.is_null()).collect())
}

fn headers(scope: &engine::Scope<'_>) -> Value {
    let mut map = scope.headers.and_then(Value::as_map).cloned().unwrap_or_default();
    if let Some(status) = scope.status {
        map.insert("status", Value::Int(status.into()));
    }
    Value::Map(map)
}

impl Evaluate for Placed {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        Ok(self.found(scope)?.unwrap_or_default())
    }

    fn test(&self, scope: &engine::Scope<'_>) -> Result<bool> {
        self.with(scope, Expr::holds)
    }

    fn uses(&self, name: &str) -> bool {
        match name {
            "last_record" => self.last,
            "last_page_size" => self.paging,
            _ => true,
        }
    }

    fn constant(&self) -> Option<&Value> {
        self.constant.as_ref()
    }
}

/// Keys with expressions; one whose value is nothing is left out.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) members: Vec<(String, Placed)>,
    /// Whether a next page's address already says everything, so that nothing is added to it.
    pub(super) first_page_only: bool,
}

impl Evaluate for Object {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        let mut map = Map::default();
        if self.first_page_only && scope.next_page_token.is_some() {
            return Ok(Value::Map(map));
        }
        for (key, value) in &self.members {
            if let Some(value) = value.found(scope)?.filter(|value| !value.is_null()) {
                map.insert(key.as_str(), value);
            }
        }
        Ok(Value::Map(map))
    }
}

/// A JSON body.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Leaf(Box<Placed>),
    Constant(Value),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Tree {
    fn found(&self, scope: &engine::Scope<'_>) -> Result<Option<Value>> {
        Ok(Some(match self {
            Self::Leaf(leaf) => return leaf.found(scope),
            Self::Constant(value) => value.clone(),
            Self::List(items) => {
                let items = items.iter().map(|item| item.found(scope)).collect::<Result<Vec<_>>>()?;
                Value::List(items.into_iter().flatten().collect())
            }
            Self::Map(members) => {
                let mut map = Map::default();
                for (key, member) in members {
                    if let Some(value) = member.found(scope)? {
                        map.insert(key.as_str(), value);
                    }
                }
                Value::Map(map)
            }
        }))
    }
}

impl Evaluate for Tree {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        Ok(self.found(scope)?.unwrap_or_default())
    }
}

/// An address or path: what is put in by `${…}` is encoded, so that it stays one part whatever it holds.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) placed: Placed,
    /// In a test run: what stands in for the vendor's hosts.
    pub(super) instead: Option<String>,
    /// Whether it is a path, of which every value is a part, or a whole address that the settings or the remote say.
    pub(super) encode: bool,
    /// What an address without a host stands below.
    pub(super) below: Option<Placed>,
}

impl Evaluate for Address {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        let text =
            self.placed.with(scope, |expr, scope| if self.encode { expr.encoded(scope).map(Some) } else { expr.text(scope) })?;
        let Some(mut text) = text.filter(|text| !text.is_empty()) else { return Ok(Value::Null) };
        if let Some(below) = &self.below
            && !text.contains("://")
        {
            let base = below.with(scope, Expr::text)?.unwrap_or_default();
            let joined = headwater_sdk::http::Url::parse(&base).and_then(|base| base.join(&text));
            let wrong = |_| Error::new(ErrorKind::Protocol, "the remote names a next page that is no address");
            text = joined.map_err(wrong)?.into();
        }
        Ok(match &self.instead {
            Some(origin) => elsewhere(&text, origin).into(),
            None => text.into(),
        })
    }

    fn uses(&self, name: &str) -> bool {
        self.placed.uses(name)
    }
}

/// The same address on another origin; a path stays as it is.
fn elsewhere(address: &str, origin: &str) -> String {
    match address.split_once("://") {
        Some((_, rest)) => {
            let path = rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default();
            format!("{origin}{path}")
        }
        None => address.to_owned(),
    }
}

/// What follows a page, where the file says by numbers and conditions.
#[derive(Debug, Clone)]
pub(super) struct NextPage {
    pub(super) page: PageVariable,
    pub(super) last_when: Option<Placed>,
    /// Where the records are, if they are divided further: a page is full by what the remote counts.
    pub(super) undivided: Option<Placed>,
}

impl Evaluate for NextPage {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        let count = match &self.undivided {
            None => scope.last_page_size.unwrap_or_default(),
            Some(from) => from.found(scope)?.as_ref().and_then(Value::as_list).map_or(0, <[Value]>::len),
        };
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let at = |first: i64| token(scope).and_then(Value::as_int).unwrap_or(first);
        if count == 0 {
            return Ok(Value::Null);
        }
        let last = match &self.last_when {
            Some(condition) => condition.test(scope)?,
            None => self.page.size().is_some_and(|size| count < i64::from(size)),
        };
        Ok(match &self.page {
            _ if last => Value::Null,
            PageVariable::Offset(_) => Value::Int(at(0).saturating_add(count)),
            PageVariable::Number { first, .. } => Value::Int(at(i64::from(*first)).saturating_add(1)),
            PageVariable::None | PageVariable::Token(_) | PageVariable::Url(_) => Value::Null,
        })
    }
}

/// The refresh token of the last answer, else the one the user gave.
#[derive(Debug, Clone)]
pub(super) struct Refreshed(pub(super) Placed);

impl Evaluate for Refreshed {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        match scope.more("refresh_token") {
            Some(token) if !token.is_null() => Ok(token.clone()),
            _ => self.0.value(scope),
        }
    }
}

/// The form of a token request: constant members, the refresh token, what we assert.
#[derive(Debug, Clone)]
pub(super) struct TokenForm {
    pub(super) members: Object,
    pub(super) refresh_token: Option<Refreshed>,
}

impl Evaluate for TokenForm {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        let mut out = self.members.value(scope)?;
        if let (Some(refresh), Some(map)) = (&self.refresh_token, out.as_map_mut()) {
            map.insert("refresh_token", refresh.value(scope)?);
        }
        if let (Some(assertion), Some(map)) = (scope.more("assertion"), out.as_map_mut()) {
            map.insert("assertion", assertion.clone());
        }
        Ok(out)
    }
}

/// What is kept of a job; none of it may be missing, or nobody could ask for the job again.
#[derive(Debug, Clone)]
pub(super) struct Kept(pub(super) Vec<(String, Placed)>);

impl Evaluate for Kept {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        let mut map = Map::default();
        for (key, placed) in &self.0 {
            let missing = || {
                Error::new(ErrorKind::Protocol, format!("the answer to a job's order says no `{key}`"))
                    .context("at", placed.path.clone())
            };
            map.insert(key.as_str(), placed.found(scope)?.filter(Value::truthy).ok_or_else(missing)?);
        }
        Ok(Value::Map(map))
    }
}

/// How a job goes, in the engine's words.
#[derive(Debug, Clone)]
pub(super) struct JobState {
    pub(super) done: Placed,
    pub(super) failed: Option<Placed>,
}

impl JobState {
    pub(super) const DONE: &'static str = "done";
    pub(super) const FAILED: &'static str = "failed";
    pub(super) const RUNNING: &'static str = "running";
}

impl Evaluate for JobState {
    fn value(&self, scope: &engine::Scope<'_>) -> Result<Value> {
        let failed = self.failed.as_ref().map(|failed| failed.test(scope)).transpose()?.unwrap_or_default();
        let word = if failed {
            Self::FAILED
        } else if self.done.test(scope)? {
            Self::DONE
        } else {
            Self::RUNNING
        };
        Ok(word.into())
    }
}
