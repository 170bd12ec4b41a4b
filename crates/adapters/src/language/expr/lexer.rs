//! Text into tokens, each with where it began.

use super::ExprError;

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A name: a variable, a key, a function or a word such as `and`.
    Name(String),
    /// A number, as it is written.
    Number(String),
    /// A text in single quotes, in which nothing is special.
    Plain(String),
    /// A text in double quotes, still with its `${…}`; with the place its content begins at.
    Filled(String, usize),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// The longest signs first, so that `<=` is not `<` and something unknown.
const SIGNS: [&str; 17] = ["??", "==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "*", "{", "}", ":"];

/// The tokens of `text`. `base` is added to every place.
pub(super) fn tokens(text: &str, base: usize) -> Result<Vec<(usize, Token)>, ExprError> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = base + text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(out) };
        let (token, length) = if first.is_alphabetic() || first == '_' {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let length = name.len();
            (Token::Name(name), length)
        } else if first.is_ascii_digit() || (first == '-' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit())) {
            let number = number(rest);
            (Token::Number(number.to_owned()), number.len())
        } else if first == '\'' {
            let (content, length) = quoted(rest, '\'', at)?;
            (Token::Plain(content), length)
        } else if first == '"' {
            let (content, length) = quoted(rest, '"', at)?;
            (Token::Filled(content, at + 1), length)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let instead = match first {
                '=' => ": write `==`",
                '&' => ": write `and`",
                '|' => ": write `or`",
                '!' => ": write `not`",
                _ => "",
            };
            let sign = sign.ok_or_else(|| ExprError::new(at, format!("`{first}` means nothing here{instead}")))?;
            (Token::Sign(sign), sign.len())
        };
        out.push((at, token));
        rest = rest.get(length..).unwrap_or_default();
    }
}

fn number(text: &str) -> &str {
    let mut end = usize::from(text.starts_with('-'));
    let mut point = false;
    for (at, c) in text.char_indices().skip(end) {
        let digit_follows = text.get(at + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if c.is_ascii_digit() || (c == '.' && !point && digit_follows) {
            point |= c == '.';
            end = at + 1;
        } else {
            break;
        }
    }
    text.get(..end).unwrap_or_default()
}

/// The content between two quotes, and the length with them. A quote is doubled to stand for itself; inside `${…}` of a filled
/// text quotes belong to the inner expression.
fn quoted(text: &str, quote: char, at: usize) -> Result<(String, usize), ExprError> {
    let mut content = String::new();
    let mut inner = 0_usize;
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((index, c)) = characters.next() {
        if quote == '"' && c == '$' && characters.peek().is_some_and(|(_, next)| *next == '{') {
            inner += 1;
            content.push_str("${");
            characters.next();
            continue;
        }
        if inner > 0 {
            inner -= usize::from(c == '}');
            content.push(c);
            continue;
        }
        if c == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return Ok((content, index + 1));
            }
        }
        content.push(c);
    }
    Err(ExprError::new(at, "a quote is opened here and never closed"))
}
