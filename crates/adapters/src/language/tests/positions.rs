//! Where streams stand: slices, filters, order, and words that only the remote understands.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::{Source as _, SourceEvent};
use wiremock::matchers::{path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::remote::{Remote, file, json, people, status};
use crate::language::Declarative;

/// People by day of January, page by page, between two days; the remote itself filters.
struct Days;

impl Respond for Days {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let said = |name: &str| request.url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let (from, to) = (said("from").unwrap_or_default(), said("to").unwrap_or_else(|| "9".to_owned()));
        let skipped = said("skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
        let days = (1..=31).map(|day| format!("2026-01-{day:02}")).filter(|day| *day >= from && *day <= to);
        let people: Vec<String> =
            days.skip(skipped).take(2).map(|day| format!(r#"{{"id":"{day}","at":"{day}T00:00:00Z"}}"#)).collect();
        json(&format!("[{}]", people.join(",")))
    }
}

const SLICES: &str = "    request: { path: /p, query: { from: '${cursor.start}', to: '${cursor.end}', skip: '${page.offset}' } }\n    paging: { type: offset, size: 2 }\n    records: { from: response }\n    cursor: { type: time, value: record.at, precision: day, start: '2026-01-20', slices: 5d }\n";

async fn days() -> Remote {
    let remote = Remote::answering([status(500)]).await;
    Mock::given(path("/p")).respond_with(Days).with_priority(1).mount(&remote.server).await;
    remote
}

#[tokio::test]
async fn slices_follow_each_other_without_a_gap() {
    let remote = days().await;
    let all = remote.all(&file("", SLICES)).await;
    let found: BTreeSet<&str> = all.keys().into_iter().collect();
    let wanted: Vec<String> = (20..=31).map(|day| format!("2026-01-{day}")).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), wanted);
    let begun: Vec<String> = remote.asked().await.into_iter().filter(|asked| asked.contains("skip=0")).collect();
    assert_eq!(
        begun,
        [
            "/p?from=2026-01-20&skip=0&to=2026-01-25",
            "/p?from=2026-01-25&skip=0&to=2026-01-30",
            "/p?from=2026-01-30&skip=0&to=2026-02-01"
        ]
    );
}

#[tokio::test]
async fn a_kill_at_any_checkpoint_loses_nothing_and_stays_inside_its_slice() {
    let text = file("  budget: { concurrent: 1 }\n", SLICES);
    let whole = days().await.all(&text).await;
    let wanted: BTreeSet<&str> = whole.keys().into_iter().collect();
    assert!(whole.checkpoints.len() > 6, "every page has one");
    for (rows, checkpoint) in &whole.checkpoints {
        let remote = days().await;
        let rest = remote.read(&text, Some(checkpoint.clone())).await.unwrap();
        let mut found: BTreeSet<&str> = whole.keys()[..*rows].iter().copied().collect();
        found.extend(rest.keys());
        assert_eq!(found, wanted, "after {rows} rows");
        let inside = serde_json::to_string(checkpoint).unwrap().contains("\"next\"");
        let first = remote.asked().await.remove(0);
        assert_eq!(!first.contains("skip=0"), inside, "after {rows} rows: {first}");
    }
}

#[tokio::test]
async fn what_the_remote_cannot_leave_out_we_leave_out() {
    let stream = "    request: { path: /p }\n    records: { from: response }\n    cursor: { type: time, value: record.at, filter: true, start: '2026-01-20' }\n";
    let first = json(
        r#"[{"id":1,"at":"2026-01-19T23:59:59Z"},{"id":2,"at":"2026-01-20T00:00:00Z"},{"id":3,"at":"2026-01-21T00:00:00Z"}]"#,
    );
    let second = json(
        r#"[{"id":2,"at":"2026-01-20T00:00:00Z"},{"id":3,"at":"2026-01-21T00:00:00Z"},{"id":4,"at":"2026-01-21T00:00:00Z"}]"#,
    );
    let remote = Remote::answering([first, second]).await;
    let text = file("", stream);
    let all = remote.all(&text).await;
    assert_eq!(all.keys(), ["2", "3"]);
    let next = remote.read(&text, all.last()).await.unwrap();
    assert_eq!(next.keys(), ["3", "4"], "equal times at the border are given again, never lost");
}

#[tokio::test]
async fn newest_first_ends_at_the_first_that_is_old() {
    let stream = "    request: { path: /p, query: { t: '${page.token}' } }\n    paging: { type: token, next: response.next }\n    records: { from: response.items }\n    cursor: { type: integer, value: record.id, newest_first: true, filter: true }\n";
    let page =
        |ids: [i64; 2], next: &str| json(&format!(r#"{{"items":[{{"id":{}}},{{"id":{}}}],"next":{next}}}"#, ids[0], ids[1]));
    let remote = Remote::answering([
        page([4, 3], "\"a\""),
        page([2, 1], "null"),
        page([6, 5], "\"a\""),
        page([4, 3], "\"b\""),
        status(500),
    ])
    .await;
    let text = file("", stream);
    let all = remote.all(&text).await;
    assert_eq!(all.keys(), ["4", "3", "2", "1"]);
    let next = remote.read(&text, all.last()).await.unwrap();
    assert_eq!(next.keys(), ["6", "5", "4"]);
    assert_eq!(remote.asked().await.len(), 4, "the page after the old ones is not asked for");
}

const OPAQUE: &str = "    request: { path: /p, query: { since: '${cursor.start}', t: '${page.token}' } }\n    paging: { type: token, next: response.next }\n    records: { from: response.items }\n    cursor: { type: opaque, value: response.sync }\n";

async fn answers(server: &MockServer, since: Option<&str>, token: Option<&str>, body: &str) {
    let with = |name: &'static str, value: Option<&str>| -> Box<dyn wiremock::Match> {
        match value {
            Some(value) => Box::new(query_param(name, value)),
            None => Box::new(query_param_is_missing(name)),
        }
    };
    let (since, token) = (with("since", since), with("t", token));
    let both = move |request: &Request| since.matches(request) && token.matches(request);
    Mock::given(both).respond_with(json(body)).with_priority(1).mount(server).await;
}

#[tokio::test]
async fn a_word_of_the_remote_is_kept_and_given_back() {
    let remote = Remote::answering([status(500)]).await;
    answers(&remote.server, None, None, r#"{"items":[{"id":1}],"next":"a"}"#).await;
    answers(&remote.server, None, Some("a"), r#"{"items":[{"id":2}],"sync":"s 1/+"}"#).await;
    answers(&remote.server, Some("s 1/+"), None, r#"{"items":[{"id":3}],"sync":"s2"}"#).await;
    answers(&remote.server, Some("s2"), None, r#"{"items":[]}"#).await;
    let text = file("", OPAQUE);
    let first = remote.all(&text).await;
    assert_eq!(first.keys(), ["1", "2"]);
    let second = remote.read(&text, first.last()).await.unwrap();
    assert_eq!(second.keys(), ["3"]);
    let third = remote.read(&text, second.last()).await.unwrap();
    let fourth = remote.read(&text, third.last()).await.unwrap();
    assert!(third.rows.is_empty() && fourth.rows.is_empty(), "an answer without a word leaves the one before");
}

#[tokio::test]
async fn a_word_counts_only_when_its_read_came_to_its_end() {
    let remote = Remote::answering([status(500)]).await;
    answers(&remote.server, None, None, r#"{"items":[{"id":1}],"next":"a","sync":"s1"}"#).await;
    answers(&remote.server, None, Some("a"), r#"{"items":[{"id":2}]}"#).await;
    answers(&remote.server, Some("s1"), None, r#"{"items":[{"id":3}],"sync":"s2"}"#).await;
    let text = file("", OPAQUE);
    let all = remote.all(&text).await;
    let (rows, inside) = all.checkpoints.first().cloned().unwrap();
    assert_eq!(rows, 1);
    let rest = remote.read(&text, Some(inside)).await.unwrap();
    assert_eq!(rest.keys(), ["2"], "the read that was begun is ended before its word is used");
    let next = remote.read(&text, rest.last()).await.unwrap();
    assert_eq!(next.keys(), ["3"]);
}

#[tokio::test]
async fn the_last_record_can_be_the_word() {
    let stream = "    request: { path: /p, query: { after: '${cursor.start}' } }\n    records: { from: response }\n    cursor: { type: opaque, value: last.id }\n";
    let remote = Remote::answering([json(r#"[{"id":"x9"},{"id":"a1"}]"#), json("[]")]).await;
    let text = file("", stream);
    let first = remote.all(&text).await;
    assert!(remote.read(&text, first.last()).await.unwrap().rows.is_empty());
    assert_eq!(remote.asked().await, ["/p", "/p?after=a1"]);
}

#[test]
fn an_opaque_cursor_is_not_reckoned_with() {
    for more in [
        "slices: 1d",
        "start: '2026-01-01'",
        "overlap: 5m",
        "filter: true",
        "newest_first: true",
        "bound: exclusive",
        "written: unix",
    ] {
        let text = file("", &OPAQUE.replace("value: response.sync", &format!("value: response.sync, {more}")));
        let error = Declarative::parse("shop.yaml", &text, "").unwrap_err();
        assert!(error.to_string().contains("opaque"), "{more}: {error}");
    }
    let end = file("", &OPAQUE.replace("cursor.start", "cursor.end"));
    assert!(Declarative::parse("shop.yaml", &end, "").is_err(), "it has no end");
}

#[tokio::test]
async fn what_stands_in_a_checkpoint_is_no_secret_and_no_person() {
    let remote = Remote::answering([json(r#"{"items":[{"id":1,"name":"Ada Example"}],"sync":"s1"}"#)]).await;
    let source = remote.source(&file("", OPAQUE));
    let mut events = source.read(&people(&source).await, None).await.unwrap();
    let mut stored: Vec<Checkpoint> = Vec::new();
    while let Some(event) = events.next().await {
        if let SourceEvent::Checkpoint(checkpoint) = event.unwrap() {
            stored.push(checkpoint);
        }
    }
    let text = serde_json::to_string(&stored).unwrap();
    assert!(text.contains("s1") && !text.contains("Ada") && !text.contains("hunter2"), "{text}");
}
