//! The text of an expression into words and signs.

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(Box<str>),
    Str(Box<str>),
    Int(i128),
    Float(f64),
    Sign(&'static str),
}

/// Longest first.
const SIGNS: [&str; 28] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".", "|",
    "=", ";", "&", "@",
];

pub(super) fn lex(code: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let used = if first.is_alphabetic() || first == '_' {
            let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
            tokens.push(Token::Name(rest.get(..end).unwrap_or_default().into()));
            end
        } else if first.is_ascii_digit() {
            let (token, end) = number(rest)?;
            tokens.push(token);
            end
        } else if first == '"' || first == '\'' {
            let (text, end) = string(rest, first)?;
            tokens.push(Token::Str(text.into()));
            end
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or_else(|| format!("`{first}` was not expected"))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest.get(used..).unwrap_or_default().trim_start();
    }
    Ok(tokens)
}

fn number(text: &str) -> Result<(Token, usize), String> {
    let digits = |from: usize| text.bytes().skip(from).take_while(|byte| byte.is_ascii_digit() || *byte == b'_').count();
    let mut end = digits(0);
    let byte = |at: usize| text.as_bytes().get(at).copied();
    let mut float = false;
    if byte(end) == Some(b'.') && byte(end + 1).is_some_and(|next| next.is_ascii_digit()) {
        float = true;
        end += 1 + digits(end + 1);
    }
    if matches!(byte(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(byte(end + 1), Some(b'+' | b'-')));
        let more = digits(end + 1 + sign);
        if more > 0 {
            float = true;
            end += 1 + sign + more;
        }
    }
    let written = text.get(..end).unwrap_or_default().replace('_', "");
    let token = if float { written.parse().map(Token::Float).ok() } else { written.parse().map(Token::Int).ok() };
    token.map(|token| (token, end)).ok_or_else(|| format!("`{written}` is no number"))
}

fn string(text: &str, quote: char) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next().map(|(_, next)| next) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(next @ ('\\' | '\'' | '"')) => out.push(next),
                Some(next) => {
                    out.push('\\');
                    out.push(next);
                }
                None => break,
            },
            letter if letter == quote => return Ok((out, at + 1)),
            letter => out.push(letter),
        }
    }
    Err("a text is never closed".to_owned())
}
