use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::engine::{Map, Slice};

fn value(json: &str) -> Value {
    crate::engine::json::parse(json.as_bytes()).unwrap()
}

fn eval(template: &str, config: &str) -> Value {
    let (config, parameters) = (value(config), Arc::new(Value::Map(Map::default())));
    let scope = Scope::new(&config, "2024-06-15T12:00:00Z".parse::<Timestamp>().unwrap());
    Template::new(template, &parameters, "here").unwrap().value(&scope).unwrap()
}

fn literal_of(text: &str) -> Option<String> {
    literal::literal(text).map(|value| value.to_value().to_json())
}

#[test]
fn literals_are_read_as_python_reads_them() {
    for (text, expected) in [
        ("123", "123"),
        ("1_000", "1000"),
        ("0x1F", "31"),
        ("0b11", "3"),
        ("0o17", "15"),
        ("1e5", "100000.0"),
        ("1.", "1.0"),
        (".5", "0.5"),
        ("000", "0"),
        ("-5", "-5"),
        ("+5", "5"),
        (" 5", "5"),
        ("5,", "[5]"),
        ("(1, 2)", "[1,2]"),
        ("(1)", "1"),
        ("()", "[]"),
        ("[1, [2]]", "[1,[2]]"),
        ("{'a': 1, \"b\": None}", r#"{"a":1,"b":null}"#),
        ("'it''s'", r#""its""#),
        (r"'\x41\n\u00fc'", r#""A\nü""#),
        ("True", "true"),
        ("12345678901234567890123456789012345678901234567890", "12345678901234567890123456789012345678901234567890"),
    ] {
        assert_eq!(literal_of(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn other_texts_stay_texts() {
    for text in [
        "0012",
        "true",
        "null",
        "1__0",
        "_1",
        "1_",
        "2024-01-01",
        "+49 30 1234567",
        "--5",
        "1 2",
        "[1, 2",
        "{1}",
        "'a",
        "a",
        "",
        "1e",
        "0x",
        "1+2j",
        "b'x'",
        "'a\nb'",
        "12:30",
        "1.2.3",
        "1e5x",
    ] {
        assert_eq!(literal_of(text), None, "{text}");
    }
}

#[test]
fn a_type_error_gives_the_template_itself() {
    for template in ["{{ none|length }}", "{{ config.none > 1 }}", "{{ 'a'+1 }}", "{{ config.zz|string }}"] {
        assert_eq!(eval(template, r#"{"none":null}"#), Value::text(template), "{template}");
    }
}

#[test]
fn what_is_taken_of_nothing_is_nothing() {
    for template in
        ["{{ config.a.b }}", "{{ config.a + 'x' }}", "{{ config.a | int }}", "{{ config.a.get('x') }}", "{{ not config.a.b }}"]
    {
        assert_eq!(eval(template, "{}"), Value::Null, "{template}");
    }
}

#[test]
fn unknown_names_and_functions_are_errors() {
    let (config, parameters) = (value("{}"), Arc::new(Value::Null));
    let scope = Scope::new(&config, Timestamp::UNIX_EPOCH);
    for template in ["{{ zz }}", "{{ range(3) }}", "{{ record }}", "{{ 1 / 0 }}", "{{ 'a' | nope }}"] {
        let template = Template::new(template, &parameters, "here").unwrap();
        assert_eq!(template.value(&scope).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[test]
fn text_asked_for_stays_text() {
    let (config, parameters) = (value(r#"{"zip":"01234","n":5,"none":null}"#), Arc::new(Value::Null));
    let scope = Scope::new(&config, Timestamp::UNIX_EPOCH);
    let text = |source| Template::new(source, &parameters, "here").unwrap().kinds(Kinds::Text).value(&scope).unwrap();
    assert_eq!(text("{{ config.n }}"), Value::text("5"));
    assert_eq!(text("{{ config.none }}"), Value::text("None"));
    assert_eq!(text("{{ config.zip }}"), Value::text("01234"));
    assert_eq!(text("{{ config.zz }}"), Value::Null);
}

#[test]
fn nothing_is_repeated_however_often_in_no_time() {
    assert_eq!(eval("{{ () * 6666666666666666666 }}", "{}").to_json(), "[]");
    assert_eq!(eval("{{ 6666666666666666666 * [] }}", "{}").to_json(), "[]");
}

#[test]
fn blocks_and_loops_write_text() {
    assert_eq!(
        eval(
            "{% for x in config.l %}{{ loop.index }}{{ x }}{% if not loop.last %};{% endif %}{% endfor %}",
            r#"{"l":["a","b"]}"#
        )
        .as_str(),
        Some("1a;2b")
    );
    assert_eq!(eval("{% set a, b = config.l %}{{ b }}-{{ a }}", r#"{"l":["x","y"]}"#).as_str(), Some("y-x"));
    assert_eq!(
        eval("{% if config.n > 3 -%} many {%- elif config.n %}few{% else %}none{% endif %}", r#"{"n":5}"#).as_str(),
        Some("many")
    );
}

/// The recorded interpolations of the program whose manifests these are.
#[test]
fn recorded_interpolations_agree() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/lowcode/interpolation.json")).unwrap();
    let recorded = value(&text);
    let context = recorded.get("context").unwrap();
    let part = |name: &str| context.get(name).unwrap();
    let map = |value: &Value| value.as_map().unwrap().clone();
    let slice = Slice {
        partition: map(part("stream_slice").get("partition").unwrap()),
        interval: map(part("stream_slice").get("cursor_slice").unwrap()),
        ..Slice::default()
    };
    let scope = Scope {
        record: Some(part("record")),
        response: Some(part("response")),
        headers: Some(part("headers")),
        last_record: Some(part("last_record")),
        last_page_size: Some(2),
        next_page_token: Some(part("next_page_token")),
        slice: Some(&slice),
        ..Scope::new(part("config"), recorded.get("frozen_time").unwrap().as_str().unwrap().parse().unwrap())
    };
    let parameters = Arc::new(part("parameters").clone());
    let mut wrong = Vec::new();
    for case in recorded.get("cases").unwrap().as_list().unwrap() {
        let source = case.get("template").unwrap().as_str().unwrap();
        let expected = case.get("expect").unwrap();
        let template = Template::new(source, &parameters, "here").unwrap();
        match (expected.get("value").or_else(|| expected.get("py_repr")), template.value(&scope)) {
            (None, Err(_)) => {}
            (Some(value), Ok(found)) if found.to_json() == value.to_json() => {
                let truth = expected.get("as_boolean").unwrap();
                // The recording gave no parameters to conditions.
                if !source.contains("parameters") && Value::Bool(template.test(&scope).unwrap()) != *truth {
                    wrong.push(format!("{source}: as a condition"));
                }
                if template.text(&scope).unwrap() != python_text(value) {
                    wrong.push(format!("{source}: as text"));
                }
            }
            (expected, found) => wrong.push(format!(
                "{source}: {:?} is not {:?}",
                found.map(|found| found.to_json()),
                expected.map(Value::to_json)
            )),
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

proptest! {
    #[test]
    fn no_template_makes_it_panic(source in r#"[{}%#a-c.'"\[\]()|~+*/ 0-9<>=,:if-]{0,40}"#) {
        let (config, parameters) = (value(r#"{"a":{"b":[1,"x"]}}"#), Arc::new(Value::Null));
        let scope = Scope::new(&config, Timestamp::UNIX_EPOCH);
        for source in [source.clone(), format!("{{{{ {source} }}}}"), format!("{{{{ config.a {source} }}}}")] {
            if let Ok(template) = Template::new(&source, &parameters, "here") {
                drop(template.value(&scope));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let source = String::from_utf8_lossy(&bytes);
        let (config, parameters) = (Value::Null, Arc::new(Value::Null));
        let scope = Scope::new(&config, Timestamp::UNIX_EPOCH);
        for source in [format!("{{{{{source}}}}}"), format!("{{%{source}%}}"), source.into_owned()] {
            if let Ok(template) = Template::new(&source, &parameters, "here") {
                drop(template.value(&scope));
            }
        }
    }

    #[test]
    fn no_text_makes_the_literal_reader_panic(text in any::<String>()) {
        drop(literal::literal(&text));
    }

    #[test]
    fn what_is_written_as_python_is_read_back(text in any::<String>(), number in any::<i64>(), float in any::<f64>().prop_filter("finite", |f| f.is_finite())) {
        for value in [Value::text(text.as_str()), Value::Int(number), Value::float(float)] {
            let list = Value::List(vec![value, Value::Null, Value::Bool(true)]);
            let written = python_text(&list);
            prop_assert_eq!(literal::literal(&written).map(|read| read.to_value().to_json()), Some(list.to_json()), "{}", written);
        }
    }
}
