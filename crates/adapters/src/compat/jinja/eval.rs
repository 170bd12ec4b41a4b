//! Evaluates templates.

use std::borrow::Cow;

use super::py::{Py, place};
use super::tree::{Args, Cmp, Expr, Node};
use super::{filters, macros, methods};
use crate::engine::{Scope, Value};

/// How many steps one evaluation may take: far above any real template, and a bound for hostile ones.
const MAX_STEPS: u32 = 200_000;
/// The longest text one evaluation may make.
const MAX_TEXT: usize = 8 * 1024 * 1024;

/// Why there is no value.
#[derive(Debug)]
pub(super) enum Fail {
    /// Something was taken of what is not there; the template's default stands in.
    Undefined,
    /// Python would raise; a lowercase fragment without values.
    Error(Cow<'static, str>),
    /// Python would raise a `TypeError`; the template's own text stands in.
    Kind,
}

impl Fail {
    pub(super) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }
}

pub(super) type Eval<'a> = Result<Py<'a>, Fail>;

/// What a template sees.
pub(super) struct Context<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) parameters: &'a Value,
    locals: Vec<(&'a str, Py<'a>)>,
    steps: u32,
}

/// The arguments of a call, evaluated.
pub(super) struct Given<'a> {
    pub(super) plain: Vec<Py<'a>>,
    pub(super) named: Vec<(&'a str, Py<'a>)>,
}

impl<'a> Given<'a> {
    /// The argument at a place, or of a name.
    pub(super) fn get(&self, index: usize, name: &str) -> Option<&Py<'a>> {
        self.plain.get(index).or_else(|| self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| value))
    }

    pub(super) fn text(&self, index: usize, name: &str) -> Option<String> {
        self.get(index, name).map(Py::to_text)
    }

    pub(super) fn truth(&self, index: usize, name: &str) -> bool {
        self.get(index, name).is_some_and(Py::truthy)
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(scope: Scope<'a>, parameters: &'a Value) -> Self {
        Self { scope, parameters, locals: Vec::new(), steps: 0 }
    }

    pub(super) fn render(&mut self, nodes: &'a [Node], out: &mut String) -> Result<(), Fail> {
        for node in nodes {
            if out.len() > MAX_TEXT {
                return Err(Fail::new("the template makes too long a text"));
            }
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(expr) => self.eval(expr)?.write(out),
                Node::If { arms, otherwise } => {
                    let mut chosen = otherwise;
                    for (test, body) in arms {
                        if self.eval(test)?.truthy() {
                            chosen = body;
                            break;
                        }
                    }
                    self.render(chosen, out)?;
                }
                Node::For { names, over, body, otherwise } => self.repeat(names, over, (body, otherwise), out)?,
                Node::Set { names, value } => {
                    let value = self.eval(value)?;
                    self.bind(names, value)?;
                }
            }
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        names: &'a [Box<str>],
        over: &'a Expr,
        (body, otherwise): (&'a [Node], &'a [Node]),
        out: &mut String,
    ) -> Result<(), Fail> {
        let items = self.eval(over)?.items().ok_or(Fail::Kind)?;
        if items.is_empty() {
            return self.render(otherwise, out);
        }
        let (outer, last) = (self.locals.len(), items.len() - 1);
        for (index, item) in items.into_iter().enumerate() {
            self.bind(names, item)?;
            let text = |text: &'static str| Py::Str(Cow::Borrowed(text));
            let number = |number: usize| Py::Int(i128::try_from(number).unwrap_or_default());
            let members = vec![
                (text("index"), number(index + 1)),
                (text("index0"), number(index)),
                (text("first"), Py::Bool(index == 0)),
                (text("last"), Py::Bool(index == last)),
                (text("length"), number(last + 1)),
            ];
            self.locals.push(("loop", Py::dict(members)));
            self.render(body, out)?;
            self.locals.truncate(outer);
        }
        Ok(())
    }

    fn bind(&mut self, names: &'a [Box<str>], value: Py<'a>) -> Result<(), Fail> {
        if let [name] = names {
            self.locals.push((name, value));
            return Ok(());
        }
        let items = value.items().filter(|items| items.len() == names.len());
        let items = items.ok_or_else(|| Fail::new("a value does not have as many items as there are names for it"))?;
        self.locals.extend(names.iter().map(|name| &**name).zip(items));
        Ok(())
    }

    fn name(&self, name: &str) -> Eval<'a> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(known, _)| *known == name) {
            return Ok(value.clone());
        }
        let scope = &self.scope;
        static NOTHING: Value = Value::Null;
        let slice = |part: fn(&'a crate::engine::Slice) -> Py<'a>| Ok(scope.slice.map_or_else(|| Py::dict(Vec::new()), part));
        let here = |value: Option<&'a Value>| value.map(Py::of);
        let found = match name {
            "config" => Some(Py::of(scope.config)),
            "parameters" | "options" => Some(Py::of(self.parameters)),
            "record" => here(scope.record),
            "response" => here(scope.response),
            "headers" => scope.headers.and_then(Value::as_map).map(Py::Headers),
            "last_record" => here(scope.last_record).or_else(|| scope.last_page_size.map(|_| Py::None)),
            "last_page_size" => scope.last_page_size.map(|size| Py::Int(i128::try_from(size).unwrap_or_default())),
            "next_page_token" => Some(Py::of(scope.next_page_token.unwrap_or(&NOTHING))),
            "stream_slice" => return slice(Py::Slice),
            "stream_partition" => return slice(|slice| Py::MapRef(&slice.partition)),
            "stream_interval" => return slice(|slice| Py::MapRef(&slice.interval)),
            "stream_state" => Some(Py::dict(Vec::new())),
            _ => here(scope.more(name)),
        };
        found.ok_or_else(|| Fail::new(format!("the name `{name}` does not exist here")))
    }

    pub(super) fn eval(&mut self, expr: &'a Expr) -> Eval<'a> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(Fail::new("the template takes too many steps"));
        }
        Ok(match expr {
            Expr::Name(name) => self.name(name)?,
            Expr::Str(text) => Py::Str(Cow::Borrowed(text)),
            Expr::Int(number) => Py::Int(*number),
            Expr::Float(number) => Py::Float(*number),
            Expr::Bool(yes) => Py::Bool(*yes),
            Expr::None => Py::None,
            Expr::List(items) => Py::list(self.all(items)?),
            Expr::Tuple(items) => Py::tuple(self.all(items)?),
            Expr::Dict(members) => {
                let mut pairs = Vec::with_capacity(members.len());
                for (key, value) in members {
                    pairs.push((self.eval(key)?, self.eval(value)?));
                }
                Py::dict(pairs)
            }
            Expr::Attr(of, name) => {
                let of = self.eval(of)?;
                attribute(&of, name)?
            }
            Expr::Item(of, index) => {
                let (of, index) = (self.eval(of)?, self.eval(index)?);
                item(&of, &index)?
            }
            Expr::Slice { of, from, to, by } => {
                let of = self.eval(of)?;
                let bounds = [self.bound(from.as_deref())?, self.bound(to.as_deref())?, self.bound(by.as_deref())?];
                part(&of, bounds)?
            }
            Expr::Call { of, args } => self.call(of, args)?,
            Expr::Filter { of, name, args } => {
                let of = self.eval(of)?;
                let args = self.given(args)?;
                filters::apply(self, name, of, &args)?
            }
            Expr::Test { of, name, args, negated } => {
                let of = self.eval(of)?;
                let args = self.given(args)?;
                Py::Bool(filters::test(name, &of, &args)? != *negated)
            }
            Expr::Not(value) => Py::Bool(!self.eval(value)?.truthy()),
            Expr::Neg(value) => negative(&self.eval(value)?)?,
            Expr::And(left, right) => {
                let left = self.eval(left)?;
                if left.truthy() { self.eval(right)? } else { left }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left)?;
                if left.truthy() { left } else { self.eval(right)? }
            }
            Expr::Binary(op, left, right) => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                super::arithmetic::binary(*op, &left, &right)?
            }
            Expr::Compare(first, rest) => {
                let mut left = self.eval(first)?;
                for (cmp, right) in rest {
                    let right = self.eval(right)?;
                    if !compare(*cmp, &left, &right)? {
                        return Ok(Py::Bool(false));
                    }
                    left = right;
                }
                Py::Bool(true)
            }
            Expr::Concat(parts) => {
                let mut out = String::new();
                for part in parts {
                    self.eval(part)?.write(&mut out);
                }
                Py::from(out)
            }
            Expr::Cond { test, then, otherwise } => match (self.eval(test)?.truthy(), otherwise) {
                (true, _) => self.eval(then)?,
                (false, Some(otherwise)) => self.eval(otherwise)?,
                (false, None) => Py::Undefined,
            },
        })
    }

    fn all(&mut self, exprs: &'a [Expr]) -> Result<Vec<Py<'a>>, Fail> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    fn bound(&mut self, expr: Option<&'a Expr>) -> Result<Option<i128>, Fail> {
        match expr.map(|expr| self.eval(expr)).transpose()? {
            None | Some(Py::None) => Ok(None),
            Some(value) => value.as_int().map(Some).ok_or(Fail::Kind),
        }
    }

    fn given(&mut self, args: &'a Args) -> Result<Given<'a>, Fail> {
        let plain = self.all(&args.plain)?;
        let mut named = Vec::with_capacity(args.named.len());
        for (name, value) in &args.named {
            named.push((&**name, self.eval(value)?));
        }
        Ok(Given { plain, named })
    }

    fn call(&mut self, of: &'a Expr, args: &'a Args) -> Eval<'a> {
        match of {
            Expr::Name(name) => {
                let args = self.given(args)?;
                macros::call(self, name, &args)
            }
            Expr::Attr(of, name) => {
                let of = self.eval(of)?;
                let args = self.given(args)?;
                methods::call(&of, name, &args)
            }
            _ => Err(Fail::Kind),
        }
    }
}

/// `of.name`: a property, else a member.
fn attribute<'a>(of: &Py<'a>, name: &'a str) -> Eval<'a> {
    if let Some(value) = methods::property(of, name) {
        return Ok(value);
    }
    item(of, &Py::Str(Cow::Borrowed(name)))
}

/// `of[key]`: undefined where there is none.
fn item<'a>(of: &Py<'a>, key: &Py<'a>) -> Eval<'a> {
    if matches!(of, Py::Undefined) {
        return Err(Fail::Undefined);
    }
    Ok(of.item(key).or_else(|| key_property(of, key)).unwrap_or(Py::Undefined))
}

/// Jinja looks for an attribute where there is no such member.
fn key_property<'a>(of: &Py<'a>, key: &Py<'a>) -> Option<Py<'a>> {
    match key {
        Py::Str(name) => methods::property(of, name),
        _ => None,
    }
}

fn part<'a>(of: &Py<'a>, [from, to, by]: [Option<i128>; 3]) -> Eval<'a> {
    if matches!(of, Py::Undefined) {
        return Err(Fail::Undefined);
    }
    let items = of.items().filter(|_| !of.is_mapping()).ok_or(Fail::Kind)?;
    let by = by.unwrap_or(1);
    let len = i128::try_from(items.len()).unwrap_or_default();
    let clamp = |bound: i128, low: i128, high: i128| (if bound < 0 { bound + len } else { bound }).clamp(low, high);
    let (mut at, end) = match by.signum() {
        1 => (clamp(from.unwrap_or(0), 0, len), clamp(to.unwrap_or(len), 0, len)),
        -1 => (from.map_or(len - 1, |from| clamp(from, -1, len - 1)), to.map_or(-1, |to| clamp(to, -1, len - 1))),
        _ => return Err(Fail::new("a slice's step is zero")),
    };
    let mut out = Vec::new();
    while (by > 0 && at < end) || (by < 0 && at > end) {
        out.extend(place(at, items.len()).and_then(|at| items.get(at)).cloned());
        at += by;
    }
    Ok(match of {
        Py::Str(_) => Py::from(out.iter().map(Py::to_text).collect::<String>()),
        Py::Tuple(_) => Py::tuple(out),
        _ => Py::list(out),
    })
}

fn negative<'a>(value: &Py<'a>) -> Eval<'a> {
    match value {
        Py::Int(number) => Ok(Py::Int(-number)),
        Py::Bool(yes) => Ok(Py::Int(-i128::from(*yes))),
        Py::Float(number) => Ok(Py::Float(-number)),
        Py::Delta(micros) => Ok(Py::Delta(-micros)),
        Py::Undefined => Err(Fail::Undefined),
        _ => Err(Fail::Kind),
    }
}

fn compare(cmp: Cmp, left: &Py<'_>, right: &Py<'_>) -> Result<bool, Fail> {
    use std::cmp::Ordering::{Greater, Less};
    Ok(match cmp {
        Cmp::Eq => left.equals(right),
        Cmp::Ne => !left.equals(right),
        Cmp::In => contains(right, left)?,
        Cmp::NotIn => !contains(right, left)?,
        Cmp::Lt | Cmp::Le | Cmp::Gt | Cmp::Ge => {
            if matches!(left, Py::Undefined) || matches!(right, Py::Undefined) {
                return Err(Fail::Undefined);
            }
            let order = left.compare(right);
            let order = order.ok_or(Fail::Kind)?;
            match cmp {
                Cmp::Lt => order == Less,
                Cmp::Le => order != Greater,
                Cmp::Gt => order == Greater,
                _ => order != Less,
            }
        }
    })
}

pub(super) fn contains(within: &Py<'_>, what: &Py<'_>) -> Result<bool, Fail> {
    match (within, what) {
        (Py::Str(text), Py::Str(part)) => Ok(text.contains(&**part)),
        (Py::Str(_), _) => Err(Fail::Kind),
        (Py::Undefined, _) => Ok(false),
        _ if within.is_mapping() => Ok(within.item(what).is_some()),
        _ => match within.items() {
            Some(items) => Ok(items.iter().any(|item| item.equals(what))),
            None => Err(Fail::Kind),
        },
    }
}
