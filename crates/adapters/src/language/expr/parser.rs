//! Tokens into a tree.

use crate::engine::Value;

use super::functions::Function;
use super::lexer::{Token, tokens};
use super::{Comparison, ExprError, MAX_DEPTH, MAX_LEN, MAX_LINKS, Node, Step, Variable};

/// A tree in which every node knows where it began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parsed {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Literal(Value),
    Text(Vec<Parsed>),
    Variable(Variable, Vec<(usize, Step)>),
    Steps(Box<Parsed>, Vec<Step>),
    Call(Function, Vec<Parsed>),
    List(Vec<Parsed>),
    Not(Box<Parsed>),
    And(Box<Parsed>, Box<Parsed>),
    Or(Box<Parsed>, Box<Parsed>),
    Compare(Comparison, Box<Parsed>, Box<Parsed>),
    Default(Box<Parsed>, Box<Parsed>),
    If(Box<Parsed>, Box<Parsed>, Box<Parsed>),
}

/// A whole expression.
pub(super) fn expression(text: &str) -> Result<Parsed, ExprError> {
    within(text)?;
    let parsed = nested(text, 0, 0)?;
    Ok(parsed)
}

/// Text with `${…}` in it.
pub(super) fn template(text: &str) -> Result<Parsed, ExprError> {
    within(text)?;
    filled(text, 0, 0)
}

fn within(text: &str) -> Result<(), ExprError> {
    if text.len() > MAX_LEN {
        return Err(ExprError::new(0, format!("an expression is longer than {MAX_LEN} bytes")));
    }
    Ok(())
}

fn nested(text: &str, base: usize, depth: usize) -> Result<Parsed, ExprError> {
    let mut parser = Parser { tokens: tokens(text, base)?, next: 0, end: base + text.len(), depth };
    let parsed = parser.expression()?;
    match parser.peek() {
        None => Ok(parsed),
        Some((at, token)) => Err(ExprError::new(*at, format!("nothing may follow here, found {}", shown(token)))),
    }
}

fn filled(text: &str, base: usize, depth: usize) -> Result<Parsed, ExprError> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let at = base + text.len() - rest.len();
        let Some((before, after)) = rest.split_once("${") else {
            if !rest.is_empty() {
                parts.push(literal(at, rest));
            }
            break;
        };
        // `$${` writes `${`.
        if let Some(before) = before.strip_suffix('$') {
            parts.push(literal(at, &format!("{before}${{")));
            rest = after;
            continue;
        }
        if !before.is_empty() {
            parts.push(literal(at, before));
        }
        let begin = at + before.len() + 2;
        let length = closing(after).ok_or_else(|| ExprError::new(begin - 2, "`${` is opened here and never closed"))?;
        let (inner, tail) = after.split_at_checked(length).unwrap_or((after, ""));
        parts.push(nested(inner, begin, depth + 1)?);
        rest = tail.strip_prefix('}').unwrap_or(tail);
    }
    Ok(match parts.len() {
        0 => literal(base, ""),
        1 => parts.swap_remove(0),
        _ => Parsed { at: base, kind: Kind::Text(parts) },
    })
}

fn literal(at: usize, text: &str) -> Parsed {
    Parsed { at, kind: Kind::Literal(Value::text(text)) }
}

/// Where the `}` stands that closes the expression, past quotes and inner brackets.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(mark), c) if c == mark => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '{') => open += 1,
            (None, '}') if open == 0 => return Some(at),
            (None, '}') => open -= 1,
            (None, _) => {}
        }
    }
    None
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&(usize, Token)> {
        self.tokens.get(self.next)
    }

    fn at(&self) -> usize {
        self.peek().map_or(self.end, |(at, _)| *at)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some((_, Token::Sign(own))) if *own == sign);
        self.next += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some((_, Token::Name(own))) if own == word);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), ExprError> {
        if self.sign(sign) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{sign}`")))
    }

    fn unexpected(&self, wanted: &str) -> ExprError {
        match self.peek() {
            Some((at, token)) => ExprError::new(*at, format!("expected {wanted}, found {}", shown(token))),
            None => ExprError::new(self.end, format!("expected {wanted}, but the expression ends")),
        }
    }

    fn expression(&mut self) -> Result<Parsed, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::new(self.at(), format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let at = self.at();
        let parsed = if self.word("if") {
            let condition = self.expression()?;
            if !self.word("then") {
                return Err(self.unexpected("`then`"));
            }
            let yes = self.expression()?;
            if !self.word("else") {
                return Err(self.unexpected("`else`"));
            }
            let no = self.expression()?;
            Parsed { at, kind: Kind::If(Box::new(condition), Box::new(yes), Box::new(no)) }
        } else {
            self.any()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn any(&mut self) -> Result<Parsed, ExprError> {
        let mut left = self.all()?;
        let mut links = 0;
        while self.word("or") {
            self.link(&mut links)?;
            let right = self.all()?;
            left = Parsed { at: left.at, kind: Kind::Or(Box::new(left), Box::new(right)) };
        }
        Ok(left)
    }

    fn all(&mut self) -> Result<Parsed, ExprError> {
        let mut left = self.not()?;
        let mut links = 0;
        while self.word("and") {
            self.link(&mut links)?;
            let right = self.not()?;
            left = Parsed { at: left.at, kind: Kind::And(Box::new(left), Box::new(right)) };
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Parsed, ExprError> {
        let at = self.at();
        if !self.word("not") {
            return self.comparison();
        }
        // `not not not …` would recurse without a bracket being opened.
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExprError::new(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let inner = self.not()?;
        self.depth -= 1;
        Ok(Parsed { at, kind: Kind::Not(Box::new(inner)) })
    }

    fn comparison(&mut self) -> Result<Parsed, ExprError> {
        let left = self.default()?;
        let signs = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = signs.into_iter().find(|(sign, _)| self.sign(sign)).map(|(_, comparison)| comparison);
        let Some(comparison) = found.or_else(|| self.word("in").then_some(Comparison::In)) else { return Ok(left) };
        let right = self.default()?;
        Ok(Parsed { at: left.at, kind: Kind::Compare(comparison, Box::new(left), Box::new(right)) })
    }

    fn default(&mut self) -> Result<Parsed, ExprError> {
        let mut left = self.primary()?;
        let mut links = 0;
        while self.sign("??") {
            self.link(&mut links)?;
            let right = self.primary()?;
            left = Parsed { at: left.at, kind: Kind::Default(Box::new(left), Box::new(right)) };
        }
        Ok(left)
    }

    fn link(&self, links: &mut usize) -> Result<(), ExprError> {
        *links += 1;
        if *links > MAX_LINKS {
            return Err(ExprError::new(self.at(), format!("more than {MAX_LINKS} links in a chain")));
        }
        Ok(())
    }

    fn primary(&mut self) -> Result<Parsed, ExprError> {
        let Some((at, token)) = self.peek().cloned() else { return Err(self.unexpected("a value")) };
        self.next += 1;
        let kind = match token {
            Token::Plain(text) => Kind::Literal(Value::text(text)),
            Token::Filled(text, begin) => {
                if self.depth >= MAX_DEPTH {
                    return Err(ExprError::new(at, format!("nested deeper than {MAX_DEPTH} levels")));
                }
                let mut parsed = filled(&text, begin, self.depth)?;
                // In quotes a value becomes text, even if it stands alone.
                if !matches!(parsed.kind, Kind::Text(_) | Kind::Literal(Value::Text(_))) {
                    parsed = Parsed { at, kind: Kind::Text(vec![parsed]) };
                }
                parsed.kind
            }
            Token::Number(text) => Kind::Literal(text.parse().map_or_else(|_| Value::Number(text.as_str().into()), Value::Int)),
            Token::Sign("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                inner.kind
            }
            Token::Sign("[") => Kind::List(self.items("]")?),
            Token::Name(name) => return self.named(at, &name),
            Token::Sign(_) => {
                self.next -= 1;
                return Err(self.unexpected("a value"));
            }
        };
        self.stepped(Parsed { at, kind })
    }

    fn named(&mut self, at: usize, name: &str) -> Result<Parsed, ExprError> {
        let literal = match name {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            _ => None,
        };
        if let Some(value) = literal {
            return Ok(Parsed { at, kind: Kind::Literal(value) });
        }
        if self.sign("(") {
            let function = Function::named(name).ok_or_else(|| {
                let error = ExprError::new(at, format!("there is no function `{name}`"));
                match headwater_sdk::document::nearest(name, Function::names()) {
                    Some(near) => error.help(format!("did you mean `{near}`?")),
                    None => error.help(format!("there are: {}", Function::names().collect::<Vec<_>>().join(", "))),
                }
            })?;
            let arguments = self.items(")")?;
            function.arity(at, arguments.len())?;
            return self.stepped(Parsed { at, kind: Kind::Call(function, arguments) });
        }
        let Some(variable) = Variable::ALL.into_iter().find(|variable| variable.name() == name) else {
            let error = ExprError::new(at, format!("there is no variable `{name}`"));
            let names = Variable::ALL.map(Variable::name);
            return Err(match headwater_sdk::document::nearest(name, names) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("a text stands in quotes: '{name}'")),
            });
        };
        let steps = self.steps()?;
        Ok(Parsed { at, kind: Kind::Variable(variable, steps) })
    }

    fn items(&mut self, close: &str) -> Result<Vec<Parsed>, ExprError> {
        let mut items = Vec::new();
        if self.sign(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expression()?);
            if self.sign(close) {
                return Ok(items);
            }
            self.expect(",")?;
        }
    }

    fn stepped(&mut self, parsed: Parsed) -> Result<Parsed, ExprError> {
        let steps = self.steps()?;
        if steps.is_empty() {
            return Ok(parsed);
        }
        let at = parsed.at;
        Ok(Parsed { at, kind: Kind::Steps(Box::new(parsed), steps.into_iter().map(|(_, step)| step).collect()) })
    }

    fn steps(&mut self) -> Result<Vec<(usize, Step)>, ExprError> {
        let mut steps = Vec::new();
        let mut links = 0;
        loop {
            let at = self.at();
            self.link(&mut links)?;
            if self.sign(".") {
                let at = self.at();
                match self.peek().cloned() {
                    Some((_, Token::Name(name))) => steps.push((at, Step::Key(name))),
                    Some((_, Token::Number(digits))) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                        steps.push((at, Step::Key(digits)));
                    }
                    _ => return Err(self.unexpected("a key").help("write a key with other characters as [\"the key\"]")),
                }
                self.next += 1;
            } else if self.sign("[") {
                let step = match self.peek().cloned() {
                    Some((_, Token::Plain(key) | Token::Filled(key, _))) => Step::Key(key),
                    Some((_, Token::Sign("*"))) => Step::Each,
                    Some((_, Token::Number(number))) => {
                        let wrong = || ExprError::new(at, "a list is counted in whole numbers from 0, or from -1 backwards");
                        Step::Index(number.parse().map_err(|_| wrong())?)
                    }
                    _ => return Err(self.unexpected("a number, a key in quotes or `*`")),
                };
                self.next += 1;
                self.expect("]")?;
                steps.push((at, step));
            } else {
                return Ok(steps);
            }
        }
    }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Name(text) | Token::Number(text) => format!("`{text}`"),
        Token::Plain(_) | Token::Filled(..) => "a text".to_owned(),
        Token::Sign(sign) => format!("`{sign}`"),
    }
}

impl Parsed {
    /// The tree without its places.
    pub(super) fn strip(self) -> Node {
        let boxed = |parsed: Box<Self>| Box::new(parsed.strip());
        let all = |parsed: Vec<Self>| parsed.into_iter().map(Self::strip).collect();
        match self.kind {
            Kind::Literal(value) => Node::Literal(value),
            Kind::Text(parts) => Node::Text(all(parts)),
            Kind::Variable(variable, steps) => Node::Variable(variable, steps.into_iter().map(|(_, step)| step).collect()),
            Kind::Steps(inner, steps) => Node::Steps(boxed(inner), steps),
            Kind::Call(function, arguments) => Node::Call(function, all(arguments)),
            Kind::List(items) => Node::List(all(items)),
            Kind::Not(inner) => Node::Not(boxed(inner)),
            Kind::And(a, b) => Node::And(boxed(a), boxed(b)),
            Kind::Or(a, b) => Node::Or(boxed(a), boxed(b)),
            Kind::Compare(comparison, a, b) => Node::Compare(comparison, boxed(a), boxed(b)),
            Kind::Default(a, b) => Node::Default(boxed(a), boxed(b)),
            Kind::If(a, b, c) => Node::If(boxed(a), boxed(b), boxed(c)),
        }
    }
}
