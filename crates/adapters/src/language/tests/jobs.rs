//! Jobs: ordered, waited for, fetched file by file.

use headwater_model::checkpoint::Checkpoint;
use headwater_sdk::ErrorKind;
use headwater_sdk::testkit::{Breach, Collected};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use super::remote::{Remote, file, json, status};
use crate::language::Declarative;

const AUTH: &str = "  auth: { type: bearer, token: '${connection.secret}' }\n  headers: { x-account: a1 }\n";

const EXPORT: &str = "    job:
      create: { method: POST, path: /exports, json: { kind: people } }
      give: { id: response.id }
      poll: { path: '/exports/${job.id}' }
      every: 10s
      at_most: 1m
      done_when: response.state == 'ready'
      failed_when: response.state == 'failed'
      files: response.files
    request: { path: '${job.file}', anonymous: true, decode: { type: csv } }
    records: { from: response }
";

/// Answers a path; what is mounted later counts first.
async fn answers(remote: &Remote, verb: &str, at: &str, answer: ResponseTemplate, times: Option<u64>, priority: u8) {
    let mock = Mock::given(method(verb)).and(path(at)).respond_with(answer).with_priority(priority);
    let mock = match times {
        Some(times) => mock.up_to_n_times(times),
        None => mock,
    };
    mock.mount(&remote.server).await;
}

fn csv(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.to_owned(), "text/csv")
}

/// A remote that has the export `j1` with two files, ready at the third look.
async fn exporting() -> Remote {
    let remote = Remote::answering([status(404)]).await;
    answers(&remote, "POST", "/exports", json(r#"{"id":"j1","secret":"not kept"}"#), None, 1).await;
    answers(&remote, "GET", "/exports/j1", json(r#"{"state":"busy"}"#), Some(2), 1).await;
    answers(&remote, "GET", "/exports/j1", json(r#"{"state":"ready","files":["/f/1?sig=x%3D","/f/2"]}"#), None, 2).await;
    answers(&remote, "GET", "/f/1", csv("id,name\n1,Ada\n2,Bo\n"), None, 1).await;
    answers(&remote, "GET", "/f/2", csv("id,name\n3,\"Cy, junior\"\n"), None, 1).await;
    remote
}

async fn resumed(remote: &Remote, text: &str, from: &Checkpoint) -> Collected {
    remote.read(text, Some(from.clone())).await.unwrap_or_else(|breach| panic!("{breach}"))
}

#[tokio::test]
async fn a_job_is_ordered_waited_for_and_its_files_are_fetched_without_credentials() {
    let remote = exporting().await;
    let all = remote.all(&file(AUTH, EXPORT)).await;
    assert_eq!(all.keys(), ["1", "2", "3"]);
    assert_eq!(remote.pause.elapsed().as_secs(), 20, "two looks in vain");
    assert_eq!(remote.asked().await, ["/exports", "/exports/j1", "/exports/j1", "/exports/j1", "/f/1?sig=x%3D", "/f/2"]);
    for request in remote.requests().await {
        let signed = request.url.path().starts_with("/f/");
        assert_eq!(request.headers.contains_key("authorization"), !signed, "{}", request.url);
        assert_eq!(request.headers.contains_key("x-account"), !signed, "{}", request.url);
    }
}

#[tokio::test]
async fn a_read_that_was_killed_goes_on_with_the_same_job() {
    let remote = exporting().await;
    let text = file(AUTH, EXPORT);
    let all = remote.all(&text).await;
    assert_eq!(all.checkpoints.iter().map(|(rows, _)| *rows).collect::<Vec<_>>(), [0, 2, 3, 3]);
    for (before, from) in all.checkpoints.iter().take(2) {
        assert!(!format!("{from:?}").contains("not kept"), "only what `give` names is kept");
        let rest = resumed(&remote, &text, from).await;
        assert_eq!(rest.keys(), ["1", "2", "3"][*before..], "after {before}");
    }
    let ordered = remote.asked().await.iter().filter(|asked| *asked == "/exports").count();
    assert_eq!(ordered, 1, "the first read alone ordered one");
}

#[tokio::test]
async fn a_job_that_the_remote_has_forgotten_is_ordered_anew() {
    for gone in [status(404), json(r#"{"state":"failed"}"#)] {
        let remote = exporting().await;
        let text = file(AUTH, EXPORT);
        let all = remote.all(&text).await;
        remote.server.reset().await;
        answers(&remote, "GET", "/exports/j1", gone, None, 1).await;
        answers(&remote, "POST", "/exports", json(r#"{"id":"j2"}"#), None, 1).await;
        answers(&remote, "GET", "/exports/j2", json(r#"{"state":"ready","files":["/f/9"]}"#), None, 1).await;
        answers(&remote, "GET", "/f/9", csv("id,name\n1,Ada\n2,Bo\n3,Cy\n"), None, 1).await;
        let (_, from) = &all.checkpoints[1];
        assert_eq!(resumed(&remote, &text, from).await.keys(), ["1", "2", "3"], "rows repeat, and none is lost");
        assert_eq!(remote.asked().await, ["/exports/j1", "/exports", "/exports/j2", "/f/9"]);
    }
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_waited_for_again_and_not_ordered_twice() {
    let remote = Remote::answering([json(r#"{"state":"busy"}"#)]).await;
    answers(&remote, "POST", "/exports", json(r#"{"id":"j1"}"#), None, 1).await;
    let source = remote.source(&file(AUTH, EXPORT));
    let stream = super::remote::people(&source).await;
    let (checkpoints, error) = broken_off(&source, &stream).await;
    assert_eq!((error.kind(), checkpoints.len()), (ErrorKind::Unavailable, 1));
    assert!(remote.pause.elapsed().as_secs() <= 80, "{:?}", remote.pause.elapsed());
    answers(&remote, "GET", "/exports/j1", json(r#"{"state":"ready","files":"/f/1"}"#), None, 1).await;
    answers(&remote, "GET", "/f/1", csv("id,name\n1,Ada\n"), None, 1).await;
    let rest = resumed(&remote, &file(AUTH, EXPORT), &checkpoints[0]).await;
    assert_eq!(rest.keys(), ["1"]);
    assert_eq!(remote.asked().await.iter().filter(|asked| *asked == "/exports").count(), 1);
}

async fn broken_off(
    source: &dyn headwater_sdk::Source,
    stream: &headwater_sdk::StreamSpec,
) -> (Vec<Checkpoint>, headwater_sdk::Error) {
    use futures::StreamExt as _;
    let mut events = source.read(stream, None).await.unwrap();
    let mut checkpoints = Vec::new();
    loop {
        match events.next().await.expect("an error") {
            Ok(headwater_sdk::SourceEvent::Whole { .. }) => {}
            Ok(headwater_sdk::SourceEvent::Checkpoint(checkpoint)) => checkpoints.push(checkpoint),
            Ok(headwater_sdk::SourceEvent::Page(_)) => {}
            Err(error) => return (checkpoints, error),
        }
    }
}

#[tokio::test]
async fn a_job_that_fails_fails_its_stream_and_one_without_files_gives_nothing() {
    let remote = Remote::answering([json(r#"{"id":"j1"}"#), json(r#"{"state":"failed"}"#)]).await;
    assert_eq!(remote.failure(&file("", EXPORT)).await.kind(), ErrorKind::Rejected);
    for files in ["null", "[]"] {
        let done = json(&format!(r#"{{"state":"ready","files":{files}}}"#));
        let remote = Remote::answering([json(r#"{"id":"j1"}"#), done]).await;
        let all = remote.all(&file("", EXPORT)).await;
        assert_eq!((all.rows.len(), remote.requests().await.len()), (0, 2));
    }
}

#[tokio::test]
async fn a_large_file_is_given_in_parts_and_read_on_within_it() {
    use std::fmt::Write as _;
    let mut body = "id,name\n".to_owned();
    for id in 0..25_000 {
        writeln!(body, "{id},n").unwrap();
    }
    let remote = Remote::answering([status(404)]).await;
    answers(&remote, "POST", "/exports", json(r#"{"id":"j1"}"#), None, 1).await;
    answers(&remote, "GET", "/exports/j1", json(r#"{"state":"ready","files":["/f/1"]}"#), None, 1).await;
    answers(&remote, "GET", "/f/1", csv(&body), None, 1).await;
    let text = file("", EXPORT);
    let all = remote.all(&text).await;
    assert_eq!(all.checkpoints.iter().map(|(rows, _)| *rows).collect::<Vec<_>>(), [0, 10_000, 20_000, 25_000, 25_000]);
    assert_eq!(remote.asked().await.len(), 3, "the file is fetched once");
    let rest = resumed(&remote, &text, &all.checkpoints[2].1).await;
    assert_eq!((rest.rows.len(), rest.keys()[0]), (5_000, "20000"));
}

#[tokio::test]
async fn a_job_without_files_is_fetched_where_its_request_says() {
    let stream = EXPORT
        .replace("      files: response.files\n", "")
        .replace("path: '${job.file}', anonymous: true", "path: '/exports/${job.id}/rows'");
    let remote = exporting().await;
    answers(&remote, "GET", "/exports/j1/rows", csv("id,name\n1,Ada\n"), None, 1).await;
    assert_eq!(remote.all(&file(AUTH, &stream)).await.keys(), ["1"]);
    let last = remote.requests().await.pop().unwrap();
    assert!(last.headers.contains_key("authorization"));
}

#[test]
fn what_is_wrong_about_a_job_is_found_when_the_file_is_loaded() {
    for (from, to, message) in [
        ("every: 10s", "every: 10ms", "a job is asked for once a second at most"),
        ("at_most: 1m", "at_most: 2d", "must lie between `every` and 24 hours"),
        ("at_most: 1m", "at_most: 5s", "must lie between `every` and 24 hours"),
        ("${job.id}", "${job.idd}", "`job` has no `idd`"),
        ("give: { id: response.id }", "give: { id: record.id }", "`record` does not exist in what is kept of a job"),
        ("give: { id: response.id }", "give: { file: response.id, id: response.id }", "`job.file` is the file that is fetched"),
        ("response.state == 'ready'", "\"'ready'\"", "a condition is true or false, not text"),
        ("      files: response.files\n", "", "`job` has no `file`"),
        ("method: POST", "method: PUT", "a stream only asks"),
        (
            "    records: { from: response }\n",
            "    records: { from: response }\n    cursor: { type: opaque, value: response.t }\n",
            "a job is read as a whole: it cannot have a cursor of `type: opaque`",
        ),
    ] {
        assert!(EXPORT.contains(from), "{from}");
        let text = file("", &EXPORT.replacen(from, to, 1));
        let error = Declarative::parse("shop.yaml", &text, "").map(drop).expect_err(to);
        assert_eq!(error.message, message);
        assert!(error.line.is_some());
    }
}

#[tokio::test]
async fn the_answers_of_a_job_are_judged_by_the_stream_s_rules() {
    let remote = exporting().await;
    answers(&remote, "GET", "/exports/j1", status(429).insert_header("retry-after", "7"), Some(1), 1).await;
    remote.all(&file("", EXPORT)).await;
    let refused = Remote::answering([status(403)]).await;
    let Err(Breach::Source(error)) = refused.read(&file("", EXPORT), None).await else { panic!("a refusal") };
    assert_eq!(error.kind(), ErrorKind::Auth);
}
