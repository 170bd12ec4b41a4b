use jiff::Timestamp;
use proptest::prelude::*;

use super::{Expr, ExprError, Known, MAX_DEPTH, MAX_LEN, Names, Scope, Type, Variable};
use crate::engine::{Value, json};

const RECORD: &str = r#"{
    "id": 12345678901234567890, "zip": "0012", "name": null, "empty": "", "n": 7, "price": 10.10, "micros": "1250000",
    "on": true, "first name": "Ada", "tags": ["a", "b"], "at": "2026-01-20T09:15:01Z", "unix": 1768900501,
    "page": "https://shop.example/q?utm_source=a%20b&x=1#top",
    "answers": [{"type": "text", "text": "hi"}, {"type": "email", "email": "ada@alder.example"}],
    "lists": [{"m": [1, 2]}, {"m": [3]}], "by": {"k1": {"v": 1}, "k2": {"v": 2}}
}"#;

fn names() -> Names {
    let settings = vec![("api_key".to_owned(), Type::Text), ("days".to_owned(), Type::Number)];
    Names::new("a record's place").with(Variable::Connection, Known::Keys(settings)).with(Variable::Record, Known::Anything)
}

fn eval(compile: fn(&str, &Names) -> Result<Expr, ExprError>, text: &str) -> Option<String> {
    let record = json::parse(RECORD.as_bytes()).unwrap();
    let connection = json::parse(br#"{"api_key": "k", "days": 30}"#).unwrap();
    let now: Timestamp = "2026-02-01T00:00:00Z".parse().unwrap();
    let scope = Scope::at(now).with(Variable::Record, &record).with(Variable::Connection, &connection);
    let expr = compile(text, &names()).unwrap_or_else(|error| panic!("{text}: {error}"));
    expr.eval(&scope).unwrap_or_else(|error| panic!("{text}: {error}")).map(|value| value.to_json())
}

fn refused(text: &str) -> ExprError {
    Expr::compile(text, &names()).map(drop).expect_err(text)
}

#[test]
fn values_arrive_as_they_were_sent() {
    for (text, expected) in [
        ("record.zip", Some(r#""0012""#)),
        ("record.id", Some("12345678901234567890")),
        ("record.price", Some("10.10")),
        ("record.name", Some("null")),
        ("record.nothing", None),
        ("record.nothing.further", None),
        (r#"record["first name"]"#, Some(r#""Ada""#)),
        ("record.tags[0]", Some(r#""a""#)),
        ("record.tags[-1]", Some(r#""b""#)),
        ("record.tags[9]", None),
        ("record.answers[*].email", Some(r#"["ada@alder.example"]"#)),
        ("'it''s'", Some(r#""it's""#)),
        ("-12.50", Some("-12.50")),
        (r#""${record.zip}-${record.n}""#, Some(r#""0012-7""#)),
        (r#""${record.n}""#, Some(r#""7""#)),
        (r#""${record.nothing}""#, None),
        (r#""${record.nothing}/${record.n}""#, Some(r#""/7""#)),
        (r#""${find(record.answers, "type", "email").email}!""#, Some(r#""ada@alder.example!""#)),
    ] {
        assert_eq!(eval(Expr::compile, text).as_deref(), expected, "{text}");
    }
}

#[test]
fn conditions_know_absent_and_null_and_never_guess() {
    for (text, expected) in [
        ("record.n == 7", true),
        ("record.n == 7.0", true),
        ("record.zip == '12'", false),
        ("record.micros == 1250000", false),
        ("record.nothing == null", true),
        ("record.nothing != 'a'", true),
        ("record.nothing > 3", false),
        ("record.n >= 7 and not (record.n < 7)", true),
        ("record.on == true or record.nothing.x == 1", true),
        ("record.n in [1, 7]", true),
        ("'a' in record.tags", true),
        ("'a' in record.nothing", false),
        ("record.at > '2026-01-01'", true),
        ("has(record.name) and not has(record.nothing)", true),
        ("contains(record.page, 'utm')", true),
        ("if record.on then true else false", true),
    ] {
        assert_eq!(eval(Expr::compile, text).as_deref(), Some(if expected { "true" } else { "false" }), "{text}");
    }
}

#[test]
fn defaults_step_over_null_and_absent_but_null_says_more() {
    for (text, expected) in [
        ("record.nothing ?? record.zip", Some(r#""0012""#)),
        ("record.name ?? record.zip", Some(r#""0012""#)),
        ("record.name ?? record.nothing", Some("null")),
        ("record.nothing ?? record.other", None),
        ("record.empty ?? 'x'", Some(r#""""#)),
        ("filled(record.empty) ?? 'x'", Some(r#""x""#)),
    ] {
        assert_eq!(eval(Expr::compile, text).as_deref(), expected, "{text}");
    }
}

#[test]
fn functions_do_what_they_are_called() {
    for (text, expected) in [
        ("lower('ÀB')", Some(r#""àb""#)),
        ("lower(record.name)", Some("null")),
        ("lower(record.nothing)", None),
        ("join(record.tags, ', ')", Some(r#""a, b""#)),
        ("before('a@b', '@')", Some(r#""a""#)),
        ("after('a@b', '@')", Some(r#""b""#)),
        ("after('ab', '@')", None),
        ("url_param(record.page, 'utm_source')", Some(r#""a b""#)),
        ("url_param(record.page, 'nothing')", None),
        ("count(record.nothing)", Some("0")),
        ("count(where(record.answers, 'type', 'email'))", Some("1")),
        ("values(record.by)[*].v", Some("[1,2]")),
        ("entries(record.by)[1].key", Some(r#""k2""#)),
        ("values([])", Some("[]")),
        ("entries([])", Some("[]")),
        ("max(['2026-01-20', record.nothing, '2026-01-31', record.name])", Some(r#""2026-01-31""#)),
        ("min([3, record.n, 10.10])", Some("3")),
        ("max([record.nothing])", None),
        ("round('2.0000005', 6)", Some("2.000001")),
        ("round('-9.995', 2)", Some("-10")),
        ("round(9.994, 2)", Some("9.99")),
        ("round(7, 2)", Some("7")),
        ("round('0.4', 0)", Some("0")),
        ("round('1.25e-3', 4)", Some("0.0013")),
        ("scale('1.5E2', -2)", Some("1.5")),
        ("integer('-12')", Some("-12")),
        ("find(entries(record.by), 'value.v', 2).key", Some(r#""k2""#)),
        ("get(record, 'zip')", Some(r#""0012""#)),
        ("scale(record.micros, -6)", Some("1.25")),
        ("scale(record.n, 2)", Some("700")),
        ("scale(-0.05, -1)", Some("-0.005")),
        ("scale(12345678901234567890.5, -3)", Some("12345678901234567.8905")),
        ("time('2026-01-20')", Some(r#""2026-01-20T00:00:00Z""#)),
        ("time('20/01/2026 10:30', '%d/%m/%Y %H:%M')", Some(r#""2026-01-20T10:30:00Z""#)),
        ("time('2026-01-20T10:00:00+02:00')", Some(r#""2026-01-20T08:00:00Z""#)),
        ("from_unix(record.unix)", Some(r#""2026-01-20T09:15:01Z""#)),
        ("from_unix_ms('1768900501250')", Some(r#""2026-01-20T09:15:01.25Z""#)),
        ("unix(record.at)", Some("1768900501")),
        ("date(record.at)", Some(r#""2026-01-20""#)),
        ("format_time(record.at, '%d.%m.%Y')", Some(r#""20.01.2026""#)),
        ("shift(record.at, '-1d')", Some(r#""2026-01-19T09:15:01Z""#)),
        ("date(now())", Some(r#""2026-02-01""#)),
        ("parse_json('{\"a\": 1.0}').a", Some("1.0")),
        ("base64('a:b')", Some(r#""YTpi""#)),
    ] {
        assert_eq!(eval(Expr::compile, text).as_deref(), expected, "{text}");
    }
}

#[test]
fn what_sinks_send_is_put_together() {
    for (text, expected) in [
        ("md5('ada@example.com')", r#""3e3417d7ef77d5932a6734b916515ed5""#),
        ("wrap_each(replace_each(['o''b', 'c'], '''', ''''''), '<', '>')", r#"["<o''b>","<c>"]"#),
        ("object('a', record.n)", r#"{"a":7}"#),
        ("merge(object('a', 1), object('a', 2))", r#"{"a":2}"#),
        ("omit(merge(object('a', 1), object('b', 2)), 'a')", r#"{"b":2}"#),
        ("csv([object('b', 'x,\"y'), object('a', null)], '#N/A')", r##""a,b\n,\"x,\"\"y\"\n#N/A,\n""##),
    ] {
        assert_eq!(eval(Expr::compile, text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn templates_keep_the_kind_of_a_value_that_stands_alone() {
    for (text, expected) in [
        ("plain", Some(r#""plain""#)),
        ("", Some(r#""""#)),
        ("${record.n}", Some("7")),
        ("${record.nothing}", None),
        ("n=${record.n}&z=${record.zip}", Some(r#""n=7&z=0012""#)),
        ("$${record.n}", Some(r#""${record.n}""#)),
        ("${'}'}", Some(r#""}""#)),
    ] {
        assert_eq!(eval(Expr::template, text).as_deref(), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_is_an_error_of_the_file_with_a_suggestion() {
    for (text, message, help) in [
        ("recrod.id", "there is no variable `recrod`", Some("did you mean `record`?")),
        ("response.id", "`response` does not exist in a record's place", Some("there are: connection, record")),
        ("connection.api_kee", "`connection` has no `api_kee`", Some("did you mean `api_key`?")),
        ("lowre(record.a)", "there is no function `lowre`", Some("did you mean `lower`?")),
        ("lower(1)", "`lower` takes text, not a number", None),
        ("lower('a', 'b')", "`lower` takes 1 values, not 2", None),
        ("connection.days == '3'", "a number is never equal to text", Some("make them the same kind, by `text(…)` for example")),
        ("connection.days and true", "`and` and `or` needs true or false, not a number", None),
        ("connection.api_key.x", "`connection.api_key` is text, which has no keys", None),
        ("record.a ==", "expected a value, but the expression ends", None),
        ("record.a b", "nothing may follow here, found `b`", None),
        ("'open", "a quote is opened here and never closed", None),
        ("record.a § 1", "`§` means nothing here", None),
        ("record.a = 1", "`=` means nothing here: write `==`", None),
        ("record.a && record.b", "`&` means nothing here: write `and`", None),
    ] {
        let error = refused(text);
        assert_eq!((error.message.as_str(), error.help.as_deref()), (message, help), "{text}");
    }
}

#[test]
fn length_depth_and_chains_are_bounded() {
    for text in [
        "'".repeat(MAX_LEN + 1),
        format!("{}1{}", "(".repeat(MAX_DEPTH + 1), ")".repeat(MAX_DEPTH + 1)),
        format!("{}true", "not ".repeat(MAX_DEPTH + 1)),
        format!("{}1", "1 ?? ".repeat(200)),
        format!("record{}", ".a".repeat(200)),
        (0..MAX_DEPTH + 1).fold("1".to_owned(), |inner, _| format!("\"${{{inner}}}\"")),
    ] {
        assert!(Expr::compile(&text, &names()).is_err());
    }
}

#[test]
fn a_value_in_a_path_stays_one_part_of_it() {
    let record = json::parse(br#"{"a": "x/../y?z=1", "dots": "..", "none": null}"#).unwrap();
    let scope = Scope::at(Timestamp::UNIX_EPOCH).with(Variable::Record, &record);
    let path = |text: &str| Expr::template(text, &names()).unwrap().encoded(&scope).map_err(|error| error.to_string());
    assert_eq!(path("/a/${record.a}/b").unwrap(), "/a/x%2F..%2Fy%3Fz%3D1/b");
    assert_eq!(path("/a/${record.dots}").unwrap(), "/a/%2E%2E");
    assert!(path("/a/${record.none}").is_err());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
        drop(Expr::compile(&text, &names()));
        drop(Expr::template(&text, &names()));
    }

    #[test]
    fn nothing_like_an_expression_makes_it_panic(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "record", ".", "a", "[", "]", "*", "(", ")", ",", "'x'", "\"${", "}\"", "??", "==", "in", "not", "and", "if",
                "then", "else", "lower", "-1", "0.5", "${", "}", "é",
            ]),
            0..40,
        )
    ) {
        let text = parts.join(" ");
        let record = Value::Null;
        let scope = Scope::at(Timestamp::UNIX_EPOCH).with(Variable::Record, &record);
        for expr in [Expr::compile(&text, &names()), Expr::template(&text, &names())].into_iter().flatten() {
            drop(expr.eval(&scope));
        }
    }

    #[test]
    fn moving_the_decimal_point_there_and_back_changes_nothing(whole in 1_u64.., places in 0_i64..18) {
        let text = format!("scale(scale({whole}, -{places}), {places})");
        prop_assert_eq!(eval(Expr::compile, &text), Some(whole.to_string()));
    }
}
