//! What a template is once it is read.

/// A piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(Box<str>),
    Print(Expr),
    If { arms: Vec<(Expr, Vec<Self>)>, otherwise: Vec<Self> },
    For { names: Vec<Box<str>>, over: Expr, body: Vec<Self>, otherwise: Vec<Self> },
    Set { names: Vec<Box<str>>, value: Expr },
}

/// An expression.
#[derive(Debug, Clone)]
pub(super) enum Expr {
    Name(Box<str>),
    Str(Box<str>),
    Int(i128),
    Float(f64),
    Bool(bool),
    None,
    List(Vec<Self>),
    Tuple(Vec<Self>),
    Dict(Vec<(Self, Self)>),
    Attr(Box<Self>, Box<str>),
    Item(Box<Self>, Box<Self>),
    Slice { of: Box<Self>, from: Option<Box<Self>>, to: Option<Box<Self>>, by: Option<Box<Self>> },
    Call { of: Box<Self>, args: Args },
    Filter { of: Box<Self>, name: Box<str>, args: Args },
    Test { of: Box<Self>, name: Box<str>, args: Args, negated: bool },
    Not(Box<Self>),
    Neg(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Binary(Op, Box<Self>, Box<Self>),
    Compare(Box<Self>, Vec<(Cmp, Self)>),
    Concat(Vec<Self>),
    Cond { test: Box<Self>, then: Box<Self>, otherwise: Option<Box<Self>> },
}

/// What stands between the parentheses of a call.
#[derive(Debug, Clone, Default)]
pub(super) struct Args {
    pub(super) plain: Vec<Expr>,
    pub(super) named: Vec<(Box<str>, Expr)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
