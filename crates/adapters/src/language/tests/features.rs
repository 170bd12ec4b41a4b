use std::path::Path;

use crate::language::Declarative;
use crate::language::rehearsal::{Expected, rehearse};

/// What stands before the parts that a test is about.
const HEAD: &str = r#"version: 1
name: shop
title: Shop
summary: reads people
connection:
  key: { type: secret, about: A key. }
  lists: { type: list, default: [a, b], about: Lists. }
hosts: [api.shop.example, login.shop.example]
"#;

/// A stream of people that ends a file.
const FIELDS: &str = "    key: record.id\n    fields: { id: , name: }\n    map: { external_id: id, full_name: name }\n";

struct Case<'a> {
    api: &'a str,
    streams: &'a str,
    exchanges: &'a str,
    then: &'a str,
    files: &'a [(&'a str, &'a str)],
    rows: &'a [&'a str],
}

const PLAIN_API: &str = "api: { url: https://api.shop.example }\n";

async fn check(case: &Case<'_>) {
    let Case { api, streams, exchanges, then, files, rows } = case;
    let then = if then.is_empty() { String::new() } else { format!("    then:\n      exchanges:\n{then}") };
    let text = format!(
        "{HEAD}{api}streams:\n{streams}{FIELDS}tests:\n  people:\n    stream: people\n    page_size: 2\n    exchanges:\n{exchanges}{then}"
    );
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("expected")).unwrap();
    for (name, text) in *files {
        write(name, text);
    }
    write("expected/people.jsonl", &rows.join("\n"));
    write("expected/people_then.jsonl", "");
    assert_eq!(problems(&text, folder.path()).await, Vec::<String>::new(), "{text}");
}

async fn problems(text: &str, folder: &Path) -> Vec<String> {
    let shop = Declarative::parse("shop.yaml", text, "").unwrap_or_else(|error| panic!("{error} {:?}\n{text}", error.help));
    let outcomes = rehearse(&shop, folder, Expected::Compare).await.unwrap();
    outcomes.into_iter().flat_map(|outcome| outcome.problems).collect()
}

const ADA: &str = r#"{"key":"1","fields":{"id":"1","name":"Ada"}}"#;
const BO: &str = r#"{"key":"2","fields":{"id":"2","name":"Bo"}}"#;
const CY: &str = r#"{"key":"3","fields":{"id":"3","name":"Cy"}}"#;

#[tokio::test]
async fn pages_by_number_end_where_the_answer_says() {
    check(&Case {
        api: PLAIN_API,
        streams: "  people:\n    request: { path: /p, query: { page: '${page.number}' } }\n    paging: { type: page, size: 50, first: 0, last_when: response.last }\n    records: { from: response.items }\n",
        exchanges: "      - { request: GET /p?page=0, answer: one }\n      - { request: GET /p?page=1, answer: two }\n",
        then: "",
        files: &[
            ("one", r#"{"items":[{"id":1,"name":"Ada"}],"last":false}"#),
            ("two", r#"{"items":[{"id":2,"name":"Bo"},{"id":3,"name":"Cy"}],"last":true}"#),
        ],
        rows: &[ADA, BO, CY],
    })
    .await;
}

#[tokio::test]
async fn pages_follow_addresses_in_the_answer_and_in_link_headers() {
    for (paging, headers, one) in [
        (
            "{ type: next_url, next: response.next }",
            "",
            r#"{"items":[{"id":1,"name":"Ada"}],"next":"https://api.shop.example/p?after=x"}"#,
        ),
        ("{ type: next_url, next: response.next }", "", r#"{"items":[{"id":1,"name":"Ada"}],"next":"/p?after=x"}"#),
        (
            "{ type: link }",
            ", answer_headers: { link: '<https://api.shop.example/p?after=x>; rel=\"next\"' }",
            r#"{"items":[{"id":1,"name":"Ada"}]}"#,
        ),
    ] {
        let streams = format!(
            "  people:\n    request: {{ path: /p, query: {{ size: '5' }} }}\n    paging: {paging}\n    records: {{ from: response.items }}\n"
        );
        let exchanges = format!(
            "      - {{ request: GET /p?size=5, answer: one{headers} }}\n      - {{ request: GET /p?after=x, answer: two }}\n"
        );
        check(&Case {
            api: PLAIN_API,
            streams: &streams,
            exchanges: &exchanges,
            then: "",
            files: &[("one", one), ("two", r#"{"items":[{"id":2,"name":"Bo"}],"next":null}"#)],
            rows: &[ADA, BO],
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_carries_the_cursor_and_the_token_and_keeps_numbers_numbers() {
    check(&Case {
        api: PLAIN_API,
        streams: "  people:\n    origin: form\n    request: { path: /search, method: POST, json: { limit: '${page.size}', after: '${page.token}', filter: { from: '${cursor.start}' } } }\n    paging: { type: token, next: response.next, size: 50 }\n    records: { from: response.items }\n    cursor: { type: time, value: record.at, written: unix_ms, read: unix }\n",
        exchanges: "      - { request: POST /search, json: { limit: 2, filter: {} }, answer: one }\n      - { request: POST /search, json: { limit: 2, after: n2, filter: {} }, answer: two }\n",
        then: "        - { request: POST /search, json: { limit: 2, filter: { from: 1768900501000 } }, answer: none }\n",
        files: &[
            ("one", r#"{"items":[{"id":1,"name":"Ada","at":1768900501}],"next":"n2"}"#),
            ("two", r#"{"items":[{"id":2,"name":"Bo","at":1768900000}]}"#),
            ("none", r#"{"items":[]}"#),
        ],
        rows: &[ADA, BO],
    })
    .await;
}

#[tokio::test]
async fn tokens_are_fetched_before_and_made_anew_when_refused() {
    let oauth = "api:\n  url: https://api.shop.example\n  auth: { type: oauth2, grant: client_credentials, token_url: https://login.shop.example/token, client_id: me, client_secret: '${connection.key}', scopes: [read] }\n";
    let session = "api:\n  url: https://api.shop.example\n  auth:\n    type: session\n    request: { path: /login, method: POST, json: { key: '${connection.key}' } }\n    token: data.token\n    header: X-Session\n";
    let asked =
        "{ request: POST /token, form: { grant_type: client_credentials, client_id: me, client_secret: test-key, scope: read }";
    let login = "{ request: POST /login, json: { key: test-key }";
    let streams = "  people:\n    request: { path: /p }\n    records: { from: response }\n";
    for (api, ask, header) in [(oauth, asked, "authorization: Bearer "), (session, login, "x-session: ")] {
        let exchanges = format!(
            "      - {ask}, answer: t1 }}\n      - {{ request: GET /p, headers: {{ {header}t1 }}, status: 401 }}\n      - {ask}, answer: t2 }}\n      - {{ request: GET /p, headers: {{ {header}t2 }}, answer: people }}\n"
        );
        check(&Case {
            api,
            streams,
            exchanges: &exchanges,
            then: "",
            files: &[
                ("t1", r#"{"access_token":"t1","expires_in":3600,"data":{"token":"t1"}}"#),
                ("t2", r#"{"access_token":"t2","expires_in":3600,"data":{"token":"t2"}}"#),
                ("people", r#"[{"id":1,"name":"Ada"}]"#),
            ],
            rows: &[ADA],
        })
        .await;
    }
}

#[tokio::test]
async fn values_and_parents_make_parts_and_lists_in_records_make_records() {
    check(&Case {
        api: PLAIN_API,
        streams: "  shops:\n    helper: true\n    request: { path: '/lists/${partition.list}/shops' }\n    records: { from: response, where: record.open == true }\n    for_each: [{ type: values, values: connection.lists, name: list }]\n  people:\n    request: { path: '/shops/${partition.shop}/teams' }\n    records: { from: 'response.teams', each: record.members }\n    for_each: [{ type: parent, stream: shops, id: shop, give: { shop: record.id } }]\n",
        exchanges: "      - { request: GET /lists/a/shops, answer: shops_a }\n      - { request: GET /lists/b/shops, answer: shops_b }\n      - { request: GET /shops/s%2F1/teams, answer: teams }\n",
        then: "",
        files: &[
            ("shops_a", r#"[{"id":"s/1","open":true},{"id":"s2","open":false}]"#),
            ("shops_b", "[]"),
            (
                "teams",
                r#"{"teams":[{"id":1,"name":"Ada","members":[{"n":1},{"n":2}]},{"id":2,"name":"Bo","members":[]},{"id":3,"name":"Cy","members":[{"n":3}]}]}"#,
            ),
        ],
        rows: &[ADA, ADA, CY],
    })
    .await;
}

#[tokio::test]
async fn answers_mean_what_the_file_says() {
    check(&Case {
        api: "api:\n  url: https://api.shop.example\n  on_response:\n    - { status: [403], when: response.code == 'busy', then: rate_limit }\n    - { status: [404], then: ignore }\n",
        streams: "  people:\n    request: { path: '/lists/${partition.list}' }\n    records: { from: response }\n    for_each: [{ type: values, values: connection.lists, name: list }]\n",
        exchanges: "      - { request: GET /lists/a, status: 403, answer: busy }\n      - { request: GET /lists/a, answer: people }\n      - { request: GET /lists/b, status: 404 }\n",
        then: "",
        files: &[("busy", r#"{"code":"busy"}"#), ("people", r#"[{"id":1,"name":"Ada"}]"#)],
        rows: &[ADA],
    })
    .await;
}

#[tokio::test]
async fn csv_keeps_what_it_holds() {
    check(&Case {
        api: PLAIN_API,
        streams: "  people:\n    request: { path: /export, decode: { type: csv, delimiter: ';' } }\n    records: { from: response }\n",
        exchanges: "      - { request: GET /export, answer: export }\n",
        then: "",
        files: &[("export", "id;name\n0012;NA\n")],
        rows: &[r#"{"key":"0012","fields":{"id":"0012","name":"NA"}}"#],
    })
    .await;
}

#[tokio::test]
async fn null_clears_absent_keeps_and_gone_is_gone() {
    check(&Case {
        api: PLAIN_API,
        streams: "  people:\n    request: { path: /p }\n    records: { from: response }\n    deleted: record.gone == true\n",
        exchanges: "      - { request: GET /p, answer: people }\n",
        then: "",
        files: &[("people", r#"[{"id":1,"name":null},{"id":2},{"id":3,"gone":true}]"#)],
        rows: &[
            r#"{"key":"1","fields":{"id":"1","name":""}}"#,
            r#"{"key":"2","fields":{"id":"2"}}"#,
            r#"{"key":"3","deleted":true,"fields":{"id":"3"}}"#,
        ],
    })
    .await;
}

#[tokio::test]
async fn a_rehearsal_says_what_went_otherwise() {
    let text = format!(
        "{HEAD}{PLAIN_API}streams:\n  people:\n    request: {{ path: /p, query: {{ a: '1' }} }}\n    records: {{ from: response }}\n{FIELDS}tests:\n  people:\n    stream: people\n    exchanges:\n      - {{ request: GET /p?a=1, answer: people }}\n      - {{ request: GET /q }}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("expected")).unwrap();
    std::fs::write(folder.path().join("people"), r#"[{"id":1,"name":"Ada"}]"#).unwrap();
    std::fs::write(folder.path().join("expected/people.jsonl"), BO).unwrap();
    let found = problems(&text, folder.path()).await;
    for part in ["never asked: GET /q", "expected, but not given", "given, but not expected"] {
        assert!(found.iter().any(|problem| problem.contains(part)), "{part}: {found:?}");
    }
    let other = text.replace("a: '1'", "a: '2'");
    let found = problems(&other, folder.path()).await;
    assert!(found.iter().any(|problem| problem == "asked, but not recorded: GET /p?a=2; recorded is GET /p?a=1"), "{found:?}");
}
