//! A small typed expression language: paths, literals, comparisons, `and`/`or`/`not`, `??`, `if … then … else …`, a closed set of
//! functions, and text with `${…}` in it.
//!
//! An expression is compiled when its file is loaded, for the place it stands in: a place knows which variables exist there, and
//! what they are. So a misspelt name is an error of the file, with a suggestion, and not an empty column a week later.
//!
//! Invariants:
//! - Text is never read as a number, and a number is never rounded: what arrived as `"0012"` leaves as `0012`.
//! - What is absent stays apart from what is null: null clears a field, an absent field keeps what was there.
//! - Compiling never panics, whatever the text; its length and depth are bounded, and so is the work of evaluating it.

mod check;
mod eval;
mod functions;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;
mod times;

use crate::engine::Value;

pub use check::{Known, Names, Type};
pub use eval::{Found, Scope};
pub(crate) use times::{formatted, instant, parse_duration};

/// The longest expression: more is a program, and belongs into a native connector.
pub const MAX_LEN: usize = 4 * 1024;
/// How deep brackets, calls and `${…}` may be nested; the parser and the evaluation recurse.
pub const MAX_DEPTH: usize = 24;
/// How many links a chain of `or`, `and`, `??` or keys may have.
pub const MAX_LINKS: usize = 64;

/// Why an expression means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    /// Where in its text, in bytes.
    pub at: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl ExprError {
    pub(crate) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Why an expression has no value for this record: a function was given something that it cannot take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvalError(pub(crate) String);

/// What is told apart in expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// The connection's settings.
    Connection,
    /// The record at hand.
    Record,
    /// The body of the answer.
    Response,
    /// The headers of the answer, names in lower case; and its `status`.
    Headers,
    /// What tells this partition from others: list values, values of the parent's record.
    Partition,
    /// The bounds of what is asked for: `start`, `end`.
    Cursor,
    /// Where paging stands: `number`, `offset`, `size`, `token`, and `count` of the records just read.
    Page,
    /// The last record of the page just read.
    Last,
    /// The job of the remote: what making it gave, and the file of it that is fetched; of one that a sink fills `id` and `next`.
    Job,
    /// Small streams that were read first, as keys and values.
    Lookup,
    /// The token that signing in gave.
    Session,
    /// The row that a sink writes.
    Row,
    /// The rows of a batch that a sink writes.
    Rows,
    /// What a sink looks for: `field`, `value`, `values`.
    Key,
    /// The value of the field that a sink writes or reads.
    Field,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Connection,
        Self::Record,
        Self::Response,
        Self::Headers,
        Self::Partition,
        Self::Cursor,
        Self::Page,
        Self::Last,
        Self::Job,
        Self::Lookup,
        Self::Session,
        Self::Row,
        Self::Rows,
        Self::Key,
        Self::Field,
    ];

    /// Its name in expressions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Record => "record",
            Self::Response => "response",
            Self::Headers => "headers",
            Self::Partition => "partition",
            Self::Cursor => "cursor",
            Self::Page => "page",
            Self::Last => "last",
            Self::Job => "job",
            Self::Lookup => "lookup",
            Self::Session => "session",
            Self::Row => "row",
            Self::Rows => "rows",
            Self::Key => "key",
            Self::Field => "field",
        }
    }
}

/// A compiled expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    node: Node,
    ty: Type,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Literal(Value),
    Text(Vec<Self>),
    Variable(Variable, Vec<Step>),
    Steps(Box<Self>, Vec<Step>),
    Call(functions::Function, Vec<Self>),
    List(Vec<Self>),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    Default(Box<Self>, Box<Self>),
    If(Box<Self>, Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Key(String),
    Index(i64),
    Each,
}

impl Expr {
    /// Compiles an expression for a place where these names exist.
    ///
    /// # Errors
    /// When it cannot be read, names what does not exist, or gives a function what it cannot take.
    pub fn compile(text: &str, names: &Names) -> Result<Self, ExprError> {
        let parsed = parser::expression(text)?;
        let ty = check::check(&parsed, names)?;
        Ok(Self { node: parsed.strip(), ty })
    }

    /// Compiles text with `${…}` in it. Without any it is a literal; text that is one `${…}` alone keeps the kind of its value.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn template(text: &str, names: &Names) -> Result<Self, ExprError> {
        let parsed = parser::template(text)?;
        let ty = check::check(&parsed, names)?;
        Ok(Self { node: parsed.strip(), ty })
    }

    /// A value that is always the same.
    #[must_use]
    pub fn constant(value: Value) -> Self {
        let ty = Type::of(&value);
        Self { node: Node::Literal(value), ty }
    }

    /// What kind of value it gives, as far as the file tells.
    #[must_use]
    pub fn ty(&self) -> Type {
        self.ty
    }

    /// The value, where it is the same in every scope.
    #[must_use]
    pub fn as_constant(&self) -> Option<&Value> {
        match &self.node {
            Node::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Its value in this scope; `None` is absent.
    ///
    /// # Errors
    /// When a function is given what it cannot take.
    pub fn eval<'a>(&'a self, scope: &'a Scope<'a>) -> Result<Found<'a>, EvalError> {
        eval::eval(&self.node, scope)
    }

    /// Its value as text; absent and null are `None`.
    ///
    /// # Errors
    /// As [`eval`](Self::eval).
    pub fn text(&self, scope: &Scope<'_>) -> Result<Option<String>, EvalError> {
        Ok(eval::eval(&self.node, scope)?.filter(|value| !value.is_null()).map(|value| value.to_plain()))
    }

    /// Its value as text in which every part that is put in is encoded for a path.
    ///
    /// # Errors
    /// As [`eval`](Self::eval), and when a part has no value.
    pub fn encoded(&self, scope: &Scope<'_>) -> Result<String, EvalError> {
        let parts = match &self.node {
            Node::Text(parts) => parts.as_slice(),
            node => std::slice::from_ref(node),
        };
        let mut out = String::new();
        for part in parts {
            match part {
                Node::Literal(value) => out.push_str(&value.to_plain()),
                part => {
                    let value = eval::eval(part, scope)?.map(|value| value.to_plain()).filter(|text| !text.is_empty());
                    let value = value.ok_or_else(|| EvalError("a part of the path has no value".to_owned()))?;
                    out.push_str(&eval::path_part(&value));
                }
            }
        }
        Ok(out)
    }

    /// The keys it names, where it is nothing but keys of this variable.
    #[must_use]
    pub fn keys_of(&self, variable: Variable) -> Option<Vec<String>> {
        let Node::Variable(own, steps) = &self.node else { return None };
        let key = |step: &Step| match step {
            Step::Key(key) => Some(key.clone()),
            Step::Index(_) | Step::Each => None,
        };
        if *own == variable { steps.iter().map(key).collect() } else { None }
    }

    /// Whether it holds; absent and null do not.
    ///
    /// # Errors
    /// When its value is neither true nor false.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        eval::truth(eval::eval(&self.node, scope)?.as_deref())
    }

    /// Whether the variable occurs in it.
    #[must_use]
    pub fn mentions(&self, variable: Variable) -> bool {
        self.node.mentions(variable)
    }
}

impl Node {
    fn mentions(&self, variable: Variable) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Variable(own, _) => *own == variable,
            Self::Text(nodes) | Self::Call(_, nodes) | Self::List(nodes) => nodes.iter().any(|node| node.mentions(variable)),
            Self::Steps(node, _) | Self::Not(node) => node.mentions(variable),
            Self::And(a, b) | Self::Or(a, b) | Self::Compare(_, a, b) | Self::Default(a, b) => {
                a.mentions(variable) || b.mentions(variable)
            }
            Self::If(a, b, c) => [a, b, c].into_iter().any(|node| node.mentions(variable)),
        }
    }
}
