//! Where each key of a YAML text stands, so that every complaint about a value can name its line.

use std::collections::HashMap;

use granit_parser::{Event, Parser, Span};

/// A place in a text: bytes for a label, the line for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// How long it is, in bytes.
    pub len: usize,
}

/// The position of every key and list item, by its dotted path: `sources.q4_list.path`, `sinks.crm.match_on[1]`.
#[derive(Debug, Default)]
pub struct Positions(HashMap<String, Position>);

enum Level {
    Map { prefix: String, key: Option<String> },
    List { prefix: String, next: usize },
}

impl Positions {
    /// Reads the positions; a text that is not YAML has none.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut found = HashMap::new();
        let mut levels: Vec<Level> = Vec::new();
        for step in Parser::new_from_str(text) {
            let Ok((event, span)) = step else { break };
            match event {
                Event::MappingStart(..) => {
                    let prefix = enter(&mut levels, &mut found, text, &span);
                    levels.push(Level::Map { prefix, key: None });
                }
                Event::SequenceStart(..) => {
                    let prefix = enter(&mut levels, &mut found, text, &span);
                    levels.push(Level::List { prefix, next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    levels.pop();
                }
                Event::Scalar(value, ..) => match levels.last_mut() {
                    Some(Level::Map { prefix, key: key @ None }) => {
                        found.insert(joined(prefix, &value), position(text, &span));
                        *key = Some(value.into_owned());
                    }
                    Some(_) => drop(enter(&mut levels, &mut found, text, &span)),
                    None => {}
                },
                Event::Alias(_) => drop(enter(&mut levels, &mut found, text, &span)),
                _ => {}
            }
        }
        Self(found)
    }

    /// The position of a path, or of the nearest thing that contains it.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.0.get(path) {
                return Some(*position);
            }
            path = path.rsplit_once(['.', '['])?.0;
        }
    }
}

/// The path of the value that starts here; consumes the key it belongs to.
fn enter(levels: &mut [Level], found: &mut HashMap<String, Position>, text: &str, span: &Span) -> String {
    match levels.last_mut() {
        None => String::new(),
        Some(Level::Map { prefix, key }) => joined(prefix, &key.take().unwrap_or_default()),
        Some(Level::List { prefix, next }) => {
            let path = format!("{prefix}[{next}]");
            *next += 1;
            found.insert(path.clone(), position(text, span));
            path
        }
    }
}

fn joined(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn position(text: &str, span: &Span) -> Position {
    let range = span.byte_range().unwrap_or(0..0);
    let offset = range.start.min(text.len());
    Position { line: span.start.line(), offset, len: range.end.saturating_sub(offset).min(text.len() - offset) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lists_and_flow_maps_have_their_lines() {
        let text = "version: 1\nsources:\n  q4:\n    connector: file\n    cost: { amount: \"1\", kind: list }\n    keep:\n      - a\n      - b\n";
        let positions = Positions::of(text);
        let line = |path: &str| positions.get(path).map(|position| position.line);
        assert_eq!(line("version"), Some(1));
        assert_eq!(line("sources.q4.cost.kind"), Some(5));
        assert_eq!(line("sources.q4.keep[1]"), Some(8));
        assert_eq!(line("sources.q4.nothing"), Some(3));
    }
}
