//! What Python's `ast.literal_eval` makes of a text. Manifests rely on it: every rendered template goes through it.

use super::py::Py;

/// How deep a literal may be nested: each level costs stack.
const MAX_DEPTH: usize = 64;

/// The value, or none where Python would raise.
pub(crate) fn literal(text: &str) -> Option<Py<'static>> {
    // Most texts are no literal, and their first letter shows it.
    let text = text.trim_start_matches([' ', '\t']);
    let first = text.bytes().next()?;
    if !matches!(
        first,
        b'0'..=b'9' | b'-' | b'+' | b'.' | b'"' | b'\'' | b'[' | b'(' | b'{' | b'T' | b'F' | b'N' | b'r' | b'R' | b'u' | b'U'
    ) {
        return None;
    }
    let mut reader = Reader { text: text.as_bytes(), at: 0, brackets: 0 };
    let first = reader.value(0)?;
    reader.space();
    let value = if reader.eat(b',') {
        let mut items = vec![first];
        reader.space();
        while !reader.done() {
            items.push(reader.value(0)?);
            reader.space();
            if !reader.eat(b',') {
                break;
            }
            reader.space();
        }
        Py::tuple(items)
    } else {
        first
    };
    while matches!(reader.peek(), Some(b'\n' | b' ' | b'\t')) {
        reader.at += 1;
    }
    reader.done().then_some(value)
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    brackets: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn done(&self) -> bool {
        self.at >= self.text.len()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Line ends count as space within brackets only.
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\x0c'))
            || (self.brackets > 0 && matches!(self.peek(), Some(b'\n' | b'\r')))
        {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<Py<'static>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'-' | b'+' => self.signed(),
            b'0'..=b'9' | b'.' => self.number(),
            b'"' | b'\'' | b'r' | b'R' | b'u' | b'U' => self.strings(),
            b'[' => self.sequence(b']', depth).map(|(items, _)| Py::list(items)),
            b'(' => self.sequence(b')', depth).and_then(|(mut items, comma)| match (items.len(), comma) {
                (1, false) => items.pop(),
                _ => Some(Py::tuple(items)),
            }),
            b'{' => self.dict(depth),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Py<'static>> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80) {
            self.at += 1;
        }
        match self.text.get(from..self.at)? {
            b"True" => Some(Py::Bool(true)),
            b"False" => Some(Py::Bool(false)),
            b"None" => Some(Py::None),
            _ => None,
        }
    }

    fn signed(&mut self) -> Option<Py<'static>> {
        let negative = self.eat(b'-');
        if !negative {
            self.at += 1;
        }
        // One sign, before a number.
        self.space();
        if !matches!(self.peek(), Some(b'0'..=b'9' | b'.')) {
            return None;
        }
        match self.number()? {
            Py::Int(number) => Some(Py::Int(if negative { -number } else { number })),
            Py::Float(number) => Some(Py::Float(if negative { -number } else { number })),
            _ => None,
        }
    }

    fn digits(&mut self, ok: impl Fn(u8) -> bool, out: &mut String) -> Option<()> {
        let from = out.len();
        loop {
            match self.peek() {
                Some(byte) if ok(byte) => out.push(char::from(byte)),
                // One underscore, between digits only.
                Some(b'_') if out.len() > from && self.text.get(self.at + 1).copied().is_some_and(&ok) => {}
                _ => break,
            }
            self.at += 1;
        }
        Some(())
    }

    fn number(&mut self) -> Option<Py<'static>> {
        if self.peek() == Some(b'0') {
            let radix = match self.text.get(self.at + 1) {
                Some(b'x' | b'X') => Some(16),
                Some(b'o' | b'O') => Some(8),
                Some(b'b' | b'B') => Some(2),
                _ => None,
            };
            if let Some(radix) = radix {
                self.at += 2;
                if self.peek() == Some(b'_') {
                    self.at += 1;
                }
                let mut digits = String::new();
                self.digits(|byte| char::from(byte).is_digit(radix), &mut digits)?;
                let value = i128::from_str_radix(&digits, radix).ok()?;
                return self.ends().then_some(Py::Int(value));
            }
        }
        let mut written = String::new();
        self.digits(|byte| byte.is_ascii_digit(), &mut written)?;
        let whole = written.len();
        let mut float = false;
        if self.eat(b'.') {
            float = true;
            written.push('.');
            self.digits(|byte| byte.is_ascii_digit(), &mut written)?;
            if written.len() == 1 {
                return None;
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            float = true;
            self.at += 1;
            written.push('e');
            if let Some(sign @ (b'+' | b'-')) = self.peek() {
                written.push(char::from(sign));
                self.at += 1;
            }
            let before = written.len();
            self.digits(|byte| byte.is_ascii_digit(), &mut written)?;
            if written.len() == before {
                return None;
            }
        }
        if !self.ends() {
            return None;
        }
        if float {
            return written.parse().ok().map(Py::Float);
        }
        // `0012` is no number, `000` is.
        if whole > 1 && written.starts_with('0') && written.bytes().any(|byte| byte != b'0') {
            return None;
        }
        Some(written.parse().map_or_else(|_| Py::Big(written.into()), Py::Int))
    }

    /// Whether a number may end here.
    fn ends(&self) -> bool {
        !self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte >= 0x80)
    }

    /// Texts beside each other are one.
    fn strings(&mut self) -> Option<Py<'static>> {
        let mut out = String::new();
        let mut any = false;
        loop {
            let raw = match (self.peek(), self.text.get(self.at + 1)) {
                (Some(b'r' | b'R'), Some(b'"' | b'\'')) => {
                    self.at += 1;
                    true
                }
                (Some(b'u' | b'U'), Some(b'"' | b'\'')) => {
                    self.at += 1;
                    false
                }
                (Some(b'"' | b'\''), _) => false,
                _ => return any.then(|| Py::from(out)),
            };
            self.string(raw, &mut out)?;
            any = true;
            self.space();
        }
    }

    fn string(&mut self, raw: bool, out: &mut String) -> Option<()> {
        let quote = self.peek()?;
        let rest = self.text.get(self.at..)?;
        let triple = rest.starts_with(&[quote; 3]);
        self.at += if triple { 3 } else { 1 };
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek()?;
            if byte == quote && (!triple || self.text.get(self.at..)?.starts_with(&[quote; 3])) {
                self.at += if triple { 3 } else { 1 };
                out.push_str(std::str::from_utf8(&bytes).ok()?);
                return Some(());
            }
            match byte {
                b'\n' if !triple => return None,
                b'\\' if raw => {
                    bytes.push(byte);
                    bytes.push(*self.text.get(self.at + 1)?);
                    self.at += 2;
                }
                b'\\' => self.escape(&mut bytes)?,
                _ => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let byte = *self.text.get(self.at + 1)?;
        self.at += 2;
        let code = match byte {
            b'\n' => return Some(()),
            b'\\' | b'\'' | b'"' => u32::from(byte),
            b'n' => 10,
            b't' => 9,
            b'r' => 13,
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'x' => self.hex(2)?,
            b'u' => self.hex(4)?,
            b'U' => self.hex(8)?,
            b'0'..=b'7' => {
                let mut code = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = self.peek() else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    self.at += 1;
                }
                code
            }
            b'N' => return None,
            other => {
                out.push(b'\\');
                out.push(other);
                return Some(());
            }
        };
        out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text = std::str::from_utf8(self.text.get(self.at..self.at + digits)?).ok()?;
        self.at += digits;
        u32::from_str_radix(text, 16).ok()
    }

    fn sequence(&mut self, close: u8, depth: usize) -> Option<(Vec<Py<'static>>, bool)> {
        self.at += 1;
        self.brackets += 1;
        let mut items = Vec::new();
        let mut comma = false;
        loop {
            self.space();
            if self.eat(close) {
                self.brackets -= 1;
                return Some((items, comma));
            }
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.value(depth + 1)?);
            self.space();
            comma = self.eat(b',');
        }
    }

    fn dict(&mut self, depth: usize) -> Option<Py<'static>> {
        self.at += 1;
        self.brackets += 1;
        let mut members = Vec::new();
        loop {
            self.space();
            if self.eat(b'}') {
                self.brackets -= 1;
                return Some(Py::dict(members));
            }
            let key = self.value(depth + 1)?;
            if matches!(key, Py::List(_) | Py::Dict(_)) {
                return None;
            }
            self.space();
            if !self.eat(b':') {
                return None;
            }
            let value = self.value(depth + 1)?;
            members.push((key, value));
            self.space();
            if !self.eat(b',') && self.peek() != Some(b'}') {
                return None;
            }
        }
    }
}
