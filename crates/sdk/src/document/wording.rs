//! The parsers' complaints in words for the person who wrote the file.

use super::nearest;

/// A complaint and what to do about it.
pub type Said = (String, Option<String>);

/// What the YAML parser says, and the line to point at where it is not the one the parser stopped at.
#[must_use]
pub fn of_yaml(message: &str, text: &str, line: usize) -> (Said, usize) {
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split_once(", ").map_or(rest, |(key, _)| key);
        return ((format!("the key `{key}` stands twice"), Some("take one of the two out".to_owned())), line);
    }
    if message.starts_with("budget breached") {
        let hint = "write out what its aliases (`*name`) stand for".to_owned();
        return (("the file is too large once its aliases are expanded".to_owned(), Some(hint)), line);
    }
    // The parser notices a tab from the line before it.
    let tab =
        text.lines().enumerate().skip(line.saturating_sub(1)).find(|(_, line)| line.trim_start_matches(' ').starts_with('\t'));
    match tab {
        Some((index, _)) if message.contains("tab") => {
            (("not valid YAML: the line begins with a tab".to_owned(), Some("indent with spaces".to_owned())), index + 1)
        }
        _ => ((format!("not valid YAML: {message}"), None), line),
    }
}

/// What the parser of values says, where it stopped at `path`.
pub(crate) fn of_value(message: &str) -> Said {
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return (format!("the key `{field}` is missing"), None);
    }
    if let Some((value, rest)) = message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')) {
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        let hint = match nearest(value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write one of: {}", known.join(", ")),
        };
        return (format!("there is no `{value}` here"), Some(hint));
    }
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return (message.to_owned(), None);
    };
    let (found, number) = found_words(found);
    let expected = expected_words(expected);
    let hint = (number && expected == "text").then(|| "put it in quotes".to_owned());
    (format!("expected {expected}, found {found}"), hint)
}

/// As `of_value`, and nothing where it has no better words.
#[must_use]
pub fn plain(message: &str) -> Option<Said> {
    let said = of_value(message);
    (said.0 != message).then_some(said)
}

/// What stands in the file, and whether it is a number. Text is not repeated: it may be a secret in the wrong place.
fn found_words(found: &str) -> (String, bool) {
    let quoted = || found.split('`').nth(1).unwrap_or_default();
    match found.split_once(' ').map_or(found, |(kind, _)| kind) {
        "string" => ("text".to_owned(), false),
        "integer" | "floating" => (format!("the number {}", quoted()), true),
        "boolean" => (format!("`{}`", quoted()), false),
        "sequence" => ("a list".to_owned(), false),
        "map" => ("a section of keys and values".to_owned(), false),
        "unit" | "null" => ("nothing".to_owned(), false),
        _ => (found.to_owned(), false),
    }
}

fn expected_words(expected: &str) -> &str {
    match expected {
        "a string" | "a borrowed string" => "text",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative",
        "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number above zero",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a section of keys and values",
        _ if expected.starts_with("struct ") => "a section of keys and values",
        _ => expected,
    }
}

/// What a parser's message says to a person: the key to point at, what is wrong and what to do. `also_known` are keys that may
/// stand there beside those the parser knows of.
#[must_use]
pub fn of_key(message: &str, path: &str, also_known: &[&str]) -> (String, Said) {
    let path = if path == "." { "" } else { path };
    let Some(rest) = message.strip_prefix("unknown field `") else { return (path.to_owned(), of_value(message)) };
    let (field, rest) = rest.split_once('`').unwrap_or((rest, ""));
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).chain(also_known.iter().copied()).collect();
    // The parser stops at the unknown key itself, so the path may or may not end with it.
    let at = if path.is_empty() || path == field || path.ends_with(&format!(".{field}")) {
        if path.is_empty() { field.to_owned() } else { path.to_owned() }
    } else {
        format!("{path}.{field}")
    };
    let hint = match nearest(field, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "take it out: this section has no keys of its own".to_owned(),
        None => format!("known keys here: {}", known.join(", ")),
    };
    (at, (format!("unknown key `{field}`"), Some(hint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_is_not_quoted_but_translated() {
        for (message, said, hint) in [
            ("missing field `path`", "the key `path` is missing", None),
            ("invalid type: string \"hunter2\", expected i32", "expected a whole number, found text", None),
            (
                "invalid type: floating point `12.5`, expected a string",
                "expected text, found the number 12.5",
                Some("put it in quotes"),
            ),
            ("invalid type: sequence, expected a map", "expected a section of keys and values, found a list", None),
            ("invalid value: integer `-1`, expected u32", "expected a whole number, not negative, found the number -1", None),
            (
                "unknown variant `lead`, expected one of `leads`, `costs`",
                "there is no `lead` here",
                Some("did you mean `leads`?"),
            ),
            (
                "unknown variant `x`, expected `never` or `overwrite`",
                "there is no `x` here",
                Some("write one of: never, overwrite"),
            ),
            ("something else", "something else", None),
        ] {
            assert_eq!(of_value(message), (said.to_owned(), hint.map(str::to_owned)), "{message}");
        }
    }

    #[test]
    fn a_tab_is_pointed_at_where_it_stands() {
        let text = "sources:\n  list:\n    connector: file\n\tpath: a.csv\n";
        let ((said, hint), line) = of_yaml("while scanning a plain scalar, found a tab", text, 3);
        assert_eq!(
            (said.as_str(), hint.as_deref(), line),
            ("not valid YAML: the line begins with a tab", Some("indent with spaces"), 4)
        );
    }

    #[test]
    fn a_key_that_stands_twice_is_named() {
        let ((said, _), line) = of_yaml("duplicate mapping key: path, set DuplicateKeyPolicy in Options if acceptable", "", 6);
        assert_eq!((said.as_str(), line), ("the key `path` stands twice", 6));
    }
}
