//! Reads that show everything, and those that do not.

use futures::StreamExt as _;
use headwater_sdk::testkit::{Resumed, check_deletion_arrives, check_source_contract, collect};
use headwater_sdk::{Source as _, SourceEvent};
use wiremock::ResponseTemplate;

use super::remote::{Remote, file, json, people, status};

const PAGED: &str = "    request: { path: /p, query: { page: '${page.token}' } }
    paging: { type: token, next: response.next }
    records: { from: response.items }
    whole: true
";

fn page(ids: &[u32], next: &str) -> ResponseTemplate {
    let items: Vec<String> = ids.iter().map(|id| format!(r#"{{"id":{id},"name":"N{id}"}}"#)).collect();
    json(&format!(r#"{{"items":[{}],"next":{next}}}"#, items.join(",")))
}

#[tokio::test]
async fn a_read_of_all_pages_shows_everything_and_misses_who_was_removed() {
    let both = [page(&[1, 2], "2"), page(&[3], "null")];
    let remote = Remote::answering(both.clone()).await;
    let source = remote.source(&file("", PAGED));
    let stream = people(&source).await;
    let read = collect(&source, &stream, None).await.unwrap();
    assert_eq!((read.rows.len(), read.whole), (3, Some(Resumed::No)));
    let remote = Remote::answering([page(&[1], "2"), page(&[3], "null")]).await;
    check_deletion_arrives(&remote.source(&file("", PAGED)), "people", &read, "2").await.unwrap();
    // From the middle it shows only the rest, and says so.
    let remote = Remote::answering([page(&[3], "null")]).await;
    let rest = collect(&remote.source(&file("", PAGED)), &stream, Some(read.checkpoints[0].1.clone())).await.unwrap();
    assert_eq!((rest.keys(), rest.whole), (vec!["3"], Some(Resumed::Yes)));
}

#[tokio::test]
async fn an_answer_that_is_passed_over_or_empty_shows_nothing() {
    let passes = format!("{PAGED}    on_response: [{{ status: [404], then: ignore }}]\n");
    for answer in [status(404), status(200)] {
        let remote = Remote::answering([page(&[1, 2], "2"), answer]).await;
        let source = remote.source(&file("", &passes));
        let read = collect(&source, &people(&source).await, None).await.unwrap();
        assert_eq!((read.rows.len(), read.whole), (2, None));
    }
}

#[tokio::test]
async fn with_a_cursor_only_a_read_from_the_beginning_shows_everything() {
    let with = format!("{PAGED}    cursor: {{ type: integer, value: record.id }}\n");
    let remote = Remote::answering([page(&[1, 2], "null")]).await;
    let source = remote.source(&file("", &with));
    let stream = people(&source).await;
    let first = collect(&source, &stream, None).await.unwrap();
    assert_eq!(first.whole, Some(Resumed::No));
    assert_eq!(collect(&source, &stream, first.last()).await.unwrap().whole, None);
    let bounded = with.replace("value: record.id", "value: record.id, start: '1'");
    let remote = Remote::answering([page(&[1, 2], "null")]).await;
    let source = remote.source(&file("", &bounded));
    let breach = check_source_contract(&source, "people", 2).await.unwrap_err().to_string();
    assert_eq!(breach, "S8: a read from the beginning does not say that it showed everything");
}

#[tokio::test]
async fn where_pages_are_counted_a_record_may_slip_past() {
    for (paging, expected) in [
        ("{ type: offset, size: 2, last_when: response.next == null }", true),
        ("{ type: page, size: 2, last_when: response.next == null }", true),
        ("{ type: token, next: response.next }", false),
    ] {
        let counted = PAGED.replace("{ type: token, next: response.next }", paging).replace("'${page.token}'", "x");
        let remote = Remote::answering([page(&[1, 2], "null")]).await;
        let source = remote.source(&file("", &counted));
        let events = source.read(&people(&source).await, None).await.unwrap();
        let shifting = events.filter_map(async |event| match event.unwrap() {
            SourceEvent::Whole { resumed: false, shifting } => Some(shifting),
            _ => None,
        });
        assert_eq!(shifting.collect::<Vec<_>>().await, [expected], "{paging}");
    }
}
