//! Text into a template: the grammar of Jinja 3, as far as manifests use it.

use super::lex::{Token, lex};
use super::tree::{Args, Cmp, Expr, Node, Op};

/// How deep expressions may be nested: each level costs stack.
const MAX_DEPTH: usize = 64;
/// The longest template: real ones have some hundred bytes.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("the template is longer than {MAX_BYTES} bytes"));
    }
    let mut tags = split(text)?.into_iter().peekable();
    let (nodes, end) = body(&mut tags, 0)?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(format!("`{word}` without its beginning")),
    }
}

enum Tag<'a> {
    Text(&'a str),
    Print(&'a str),
    Block(&'a str),
}

type Tags<'a> = std::iter::Peekable<std::vec::IntoIter<Tag<'a>>>;

/// Cuts a template at its marks. A `-` beside a mark takes the space there away; a line end right after a block goes too.
fn split(text: &str) -> Result<Vec<Tag<'_>>, String> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        let open = ["{{", "{%", "{#"].iter().filter_map(|mark| rest.find(mark)).min();
        let Some(at) = open else {
            if !rest.is_empty() {
                tags.push(Tag::Text(rest.strip_suffix('\n').unwrap_or(rest)));
            }
            return Ok(tags);
        };
        let (before, from) = rest.split_at(at);
        let kind = from.as_bytes().get(1).copied().unwrap_or(b'{');
        let mut inner = from.get(2..).unwrap_or_default();
        let cut = inner.starts_with('-');
        if cut || inner.starts_with('+') {
            inner = inner.get(1..).unwrap_or_default();
        }
        let before = if cut { before.trim_end() } else { before };
        if !before.is_empty() {
            tags.push(Tag::Text(before));
        }
        let close = match kind {
            b'{' => end_of(inner, "}}"),
            b'%' => end_of(inner, "%}"),
            _ => inner.find("#}"),
        };
        let close = close.ok_or_else(|| format!("`{}` is never closed", from.get(..2).unwrap_or_default()))?;
        let (code, after) = inner.split_at(close);
        rest = after.get(2..).unwrap_or_default();
        let code = match code.strip_suffix('-') {
            Some(code) => {
                rest = rest.trim_start();
                code
            }
            None => code.strip_suffix('+').unwrap_or(code),
        };
        match kind {
            b'{' => tags.push(Tag::Print(code)),
            b'%' => tags.push(Tag::Block(code)),
            _ => {}
        }
    }
}

/// Where the mark stands that is not inside a string or an inner brace.
fn end_of(text: &str, mark: &str) -> Option<usize> {
    let mut quote = None;
    let mut braces = 0_usize;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match quote {
            Some(_) if letter == '\\' => {
                letters.next();
            }
            Some(open) => {
                if letter == open {
                    quote = None;
                }
            }
            None if braces == 0 && text.get(at..)?.starts_with(mark) => return Some(at),
            None => match letter {
                '"' | '\'' => quote = Some(letter),
                '{' => braces += 1,
                '}' => braces = braces.saturating_sub(1),
                _ => {}
            },
        }
    }
    None
}

/// Reads nodes up to a word that ends or divides the block; gives that word with what follows it.
fn body<'a>(tags: &mut Tags<'a>, depth: usize) -> Result<(Vec<Node>, Option<&'a str>), String> {
    if depth > MAX_DEPTH {
        return Err("blocks are nested too deeply".to_owned());
    }
    let mut nodes = Vec::new();
    while let Some(tag) = tags.next() {
        match tag {
            Tag::Text(text) => nodes.push(Node::Text(text.into())),
            Tag::Print(code) => nodes.push(Node::Print(whole(code)?)),
            Tag::Block(code) => {
                let code = code.trim();
                let (word, rest) =
                    code.split_once(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or((code, ""));
                match word {
                    "if" => nodes.push(branch(rest, tags, depth)?),
                    "for" => nodes.push(repeat(rest, tags, depth)?),
                    "set" => nodes.push(assign(rest)?),
                    "elif" | "else" | "endif" | "endfor" => return Ok((nodes, Some(code))),
                    other => return Err(format!("the block `{other}` is not supported")),
                }
            }
        }
    }
    Ok((nodes, None))
}

fn branch(test: &str, tags: &mut Tags<'_>, depth: usize) -> Result<Node, String> {
    let mut arms = Vec::new();
    let mut test = Some(whole(test)?);
    let mut otherwise = Vec::new();
    loop {
        let (nodes, end) = body(tags, depth + 1)?;
        match test.take() {
            Some(test) => arms.push((test, nodes)),
            None => otherwise = nodes,
        }
        match end {
            Some("endif") => return Ok(Node::If { arms, otherwise }),
            Some("else") => {}
            Some(word) if word.starts_with("elif") => test = Some(whole(word.get(4..).unwrap_or_default())?),
            _ => return Err("an `if` is never closed".to_owned()),
        }
    }
}

fn repeat(head: &str, tags: &mut Tags<'_>, depth: usize) -> Result<Node, String> {
    let (names, over) = head.split_once(" in ").ok_or("a `for` without `in`")?;
    let (names, over) = (targets(names)?, whole(over)?);
    let (inner, end) = body(tags, depth + 1)?;
    let (otherwise, end) = if end == Some("else") { body(tags, depth + 1)? } else { (Vec::new(), end) };
    if end != Some("endfor") {
        return Err("a `for` is never closed".to_owned());
    }
    Ok(Node::For { names, over, body: inner, otherwise })
}

fn assign(code: &str) -> Result<Node, String> {
    let (names, value) = code.split_once('=').ok_or("a `set` without `=`")?;
    Ok(Node::Set { names: targets(names)?, value: whole(value)? })
}

fn targets(text: &str) -> Result<Vec<Box<str>>, String> {
    let names: Vec<Box<str>> = text.trim().trim_matches(['(', ')']).split(',').map(|name| name.trim().into()).collect();
    let is_name = |name: &str| name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    if names.iter().all(|name| is_name(name)) { Ok(names) } else { Err(format!("`{}` is no name", text.trim())) }
}

/// Reads an expression that is the whole text; commas outside of brackets make a tuple.
fn whole(code: &str) -> Result<Expr, String> {
    let mut parser = Parser { tokens: lex(code)?, at: 0, depth: 0 };
    let first = parser.expression()?;
    let value = if parser.eat(",") {
        let mut items = vec![first];
        while !parser.done() {
            items.push(parser.expression()?);
            if !parser.eat(",") {
                break;
            }
        }
        Expr::Tuple(items)
    } else {
        first
    };
    if parser.done() { Ok(value) } else { Err(format!("{} was not expected", parser.here())) }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn here(&self) -> String {
        match self.peek() {
            Some(Token::Name(name)) => format!("`{name}`"),
            Some(Token::Str(_)) => "a text".to_owned(),
            Some(Token::Int(_) | Token::Float(_)) => "a number".to_owned(),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
            None => "the end".to_owned(),
        }
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.eat(sign) { Ok(()) } else { Err(format!("`{sign}` is missing before {}", self.here())) }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(name)) if &**name == word)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Result<Box<str>, String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(format!("a name is missing before {}", self.here())),
        }
    }

    fn expression(&mut self) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".to_owned());
        }
        let mut value = self.or()?;
        while self.eat_word("if") {
            let test = Box::new(self.or()?);
            let otherwise = if self.eat_word("else") { Some(Box::new(self.expression()?)) } else { None };
            value = Expr::Cond { test, then: Box::new(value), otherwise };
        }
        self.depth -= 1;
        Ok(value)
    }

    fn or(&mut self) -> Result<Expr, String> {
        let mut left = self.and()?;
        while self.eat_word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, String> {
        let mut left = self.not()?;
        while self.eat_word("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, String> {
        let mut turns = 0_usize;
        while self.eat_word("not") {
            turns += 1;
        }
        let value = self.compare()?;
        Ok(match turns {
            0 => value,
            odd if odd % 2 == 1 => Expr::Not(Box::new(value)),
            _ => Expr::Not(Box::new(Expr::Not(Box::new(value)))),
        })
    }

    fn compare(&mut self) -> Result<Expr, String> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let signs = [("==", Cmp::Eq), ("!=", Cmp::Ne), ("<=", Cmp::Le), (">=", Cmp::Ge), ("<", Cmp::Lt), (">", Cmp::Gt)];
            let cmp = if let Some((sign, cmp)) = signs.into_iter().find(|(sign, _)| self.is(sign)) {
                self.eat(sign);
                cmp
            } else if self.eat_word("in") {
                Cmp::In
            } else if self.is_word("not") && matches!(self.tokens.get(self.at + 1), Some(Token::Name(name)) if &**name == "in") {
                self.at += 2;
                Cmp::NotIn
            } else {
                break;
            };
            rest.push((cmp, self.sum()?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn sum(&mut self) -> Result<Expr, String> {
        let mut left = self.concat()?;
        loop {
            let op = if self.eat("+") {
                Op::Add
            } else if self.eat("-") {
                Op::Sub
            } else {
                return Ok(left);
            };
            left = Expr::Binary(op, Box::new(left), Box::new(self.concat()?));
        }
    }

    fn concat(&mut self) -> Result<Expr, String> {
        let first = self.product()?;
        if !self.is("~") {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat("~") {
            parts.push(self.product()?);
        }
        Ok(Expr::Concat(parts))
    }

    fn product(&mut self) -> Result<Expr, String> {
        let mut left = self.power()?;
        loop {
            let signs = [("*", Op::Mul), ("//", Op::FloorDiv), ("/", Op::Div), ("%", Op::Mod)];
            let Some((sign, op)) = signs.into_iter().find(|(sign, _)| self.is(sign)) else { return Ok(left) };
            self.eat(sign);
            left = Expr::Binary(op, Box::new(left), Box::new(self.power()?));
        }
    }

    fn power(&mut self) -> Result<Expr, String> {
        let mut left = self.unary(true)?;
        while self.eat("**") {
            left = Expr::Binary(Op::Pow, Box::new(left), Box::new(self.unary(true)?));
        }
        Ok(left)
    }

    fn unary(&mut self, filters: bool) -> Result<Expr, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".to_owned());
        }
        let mut value = if self.eat("-") {
            Expr::Neg(Box::new(self.unary(false)?))
        } else if self.eat("+") {
            self.unary(false)?
        } else {
            self.primary()?
        };
        value = self.postfix(value)?;
        if filters {
            value = self.filters(value)?;
        }
        self.depth -= 1;
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expr, String> {
        let token = self.peek().cloned().ok_or("an expression is missing")?;
        self.at += 1;
        Ok(match token {
            Token::Int(number) => Expr::Int(number),
            Token::Float(number) => Expr::Float(number),
            Token::Str(text) => {
                let mut text = text.into_string();
                while let Some(Token::Str(more)) = self.peek() {
                    text.push_str(more);
                    self.at += 1;
                }
                Expr::Str(text.into())
            }
            Token::Name(name) => match &*name {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                _ => Expr::Name(name),
            },
            Token::Sign("(") => self.parenthesis()?,
            Token::Sign("[") => Expr::List(self.items("]")?),
            Token::Sign("{") => self.dict()?,
            Token::Sign(sign) => return Err(format!("`{sign}` was not expected")),
        })
    }

    fn parenthesis(&mut self) -> Result<Expr, String> {
        if self.eat(")") {
            return Ok(Expr::Tuple(Vec::new()));
        }
        let first = self.expression()?;
        if self.eat(")") {
            return Ok(first);
        }
        self.expect(",")?;
        let mut items = vec![first];
        items.extend(self.items(")")?);
        Ok(Expr::Tuple(items))
    }

    fn items(&mut self, close: &str) -> Result<Vec<Expr>, String> {
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.expression()?);
            if !self.eat(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn dict(&mut self) -> Result<Expr, String> {
        let mut members = Vec::new();
        while !self.eat("}") {
            let key = self.expression()?;
            self.expect(":")?;
            members.push((key, self.expression()?));
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Dict(members))
    }

    fn postfix(&mut self, mut value: Expr) -> Result<Expr, String> {
        loop {
            if self.eat(".") {
                value = match self.peek().cloned() {
                    Some(Token::Int(index)) => {
                        self.at += 1;
                        Expr::Item(Box::new(value), Box::new(Expr::Int(index)))
                    }
                    _ => Expr::Attr(Box::new(value), self.name()?),
                };
            } else if self.eat("[") {
                value = self.subscript(value)?;
            } else if self.is("(") {
                value = Expr::Call { of: Box::new(value), args: self.args()? };
            } else {
                return Ok(value);
            }
        }
    }

    fn subscript(&mut self, of: Expr) -> Result<Expr, String> {
        let of = Box::new(of);
        let mut parts = [None, None, None];
        let mut part = 0;
        let mut sliced = false;
        while !self.eat("]") {
            if self.eat(":") {
                sliced = true;
                part += 1;
            } else {
                let value = Box::new(self.expression()?);
                *parts.get_mut(part).ok_or("a slice has three parts")? = Some(value);
                if !self.is(":") && !self.is("]") {
                    return Err(format!("`]` is missing before {}", self.here()));
                }
            }
        }
        let [from, to, by] = parts;
        match (sliced, from) {
            (true, from) => Ok(Expr::Slice { of, from, to, by }),
            (false, Some(index)) => Ok(Expr::Item(of, index)),
            (false, None) => Err("an index is missing".to_owned()),
        }
    }

    fn args(&mut self) -> Result<Args, String> {
        self.expect("(")?;
        let mut args = Args::default();
        while !self.eat(")") {
            let named = matches!((self.peek(), self.tokens.get(self.at + 1)), (Some(Token::Name(_)), Some(Token::Sign("="))));
            if named {
                let name = self.name()?;
                self.expect("=")?;
                args.named.push((name, self.expression()?));
            } else {
                args.plain.push(self.expression()?);
            }
            if !self.eat(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(args)
    }

    fn filters(&mut self, mut value: Expr) -> Result<Expr, String> {
        loop {
            if self.eat("|") {
                let name = self.name()?;
                let args = if self.is("(") { self.args()? } else { Args::default() };
                value = Expr::Filter { of: Box::new(value), name, args };
            } else if self.eat_word("is") {
                value = self.test(value)?;
            } else if self.is("(") {
                value = Expr::Call { of: Box::new(value), args: self.args()? };
            } else {
                return Ok(value);
            }
        }
    }

    fn test(&mut self, of: Expr) -> Result<Expr, String> {
        let negated = self.eat_word("not");
        let name = self.name()?;
        let mut args = Args::default();
        if self.is("(") {
            args = self.args()?;
        } else {
            let word = |name: &str| matches!(name, "else" | "or" | "and" | "is" | "if" | "in" | "not");
            let operand = match self.peek() {
                Some(Token::Name(name)) => !word(name),
                Some(Token::Str(_) | Token::Int(_) | Token::Float(_) | Token::Sign("[" | "{")) => true,
                _ => false,
            };
            if operand {
                args.plain.push(self.primary().and_then(|value| self.postfix(value))?);
            }
        }
        Ok(Expr::Test { of: Box::new(of), name, args, negated })
    }
}
