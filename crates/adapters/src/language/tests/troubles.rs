//! What remotes do wrong, or do to slow us down.

use std::io::Write as _;
use std::time::Duration;

use headwater_sdk::ErrorKind;
use headwater_sdk::http::Pause;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wiremock::ResponseTemplate;

use super::remote::{NOW, PLAIN, Remote, file, json, people, status};

const ADA: &str = r#"[{"id":1,"name":"Ada"}]"#;

fn plain() -> String {
    file("", PLAIN)
}

#[tokio::test]
async fn refusals_have_their_kind_and_are_asked_once() {
    for (code, kind) in [
        (401, ErrorKind::Auth),
        (403, ErrorKind::Auth),
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (409, ErrorKind::Conflict),
        (422, ErrorKind::Rejected),
    ] {
        let remote = Remote::answering([status(code).set_body_string(r#"{"error":"ada@example.com"}"#)]).await;
        let error = remote.failure(&plain()).await;
        assert_eq!((error.kind(), remote.asked().await.len()), (kind, 1), "{code}");
        let told = format!("{error} {error:?}");
        assert!(!told.contains("ada@") && !told.contains("hunter2"), "{told}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_not_for_ever() {
    for (code, kind, tries) in
        [(500, ErrorKind::Unavailable, 6), (503, ErrorKind::Unavailable, 6), (429, ErrorKind::RateLimited, 21)]
    {
        let remote = Remote::answering([status(code)]).await;
        let error = remote.failure(&plain()).await;
        assert_eq!((error.kind(), remote.asked().await.len()), (kind, tries), "{code}");
        let remote = Remote::answering([status(code), status(code), json(ADA)]).await;
        assert_eq!(remote.all(&plain()).await.keys(), ["1"]);
    }
}

#[tokio::test]
async fn both_forms_of_retry_after_are_obeyed() {
    let date = "Sun, 01 Feb 2026 00:00:09 GMT";
    for (said, waited) in [("7", 7), (date, 9)] {
        let remote = Remote::answering([status(429).insert_header("retry-after", said), json(ADA)]).await;
        assert_eq!(remote.all(&plain()).await.keys(), ["1"]);
        assert_eq!(remote.pause.elapsed().as_secs(), waited, "{said} at {NOW}");
    }
    let remote = Remote::answering([status(429).insert_header("retry-after", "86400"), json(ADA)]).await;
    let error = remote.failure(&plain()).await;
    assert_eq!((error.kind(), remote.asked().await.len()), (ErrorKind::RateLimited, 1), "a day is for the next run");
}

#[tokio::test]
async fn an_answer_that_is_not_what_it_should_be_is_told_without_its_content() {
    for answer in [
        ResponseTemplate::new(200).set_body_raw("<html>ada@example.com</html>", "text/html"),
        json(r#"[{"id":1,"name":"Ada"},{"id":2,"na"#),
        json(r#"["ada@example.com"]"#),
        json(r#"[{"name":"no id"}]"#),
    ] {
        let error = Remote::answering([answer]).await.failure(&plain()).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(!format!("{error} {error:?}").contains("ada@"), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = async move {
        for turn in 0..3 {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            assert!(socket.read(&mut head).await.unwrap() > 0);
            let length = if turn < 2 { ADA.len() + 10 } else { ADA.len() };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{ADA}"
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    };
    let source = Remote::at(&url, &plain(), "s", &Pause::virtual_time());
    let stream = people(&source).await;
    let (all, ()) = tokio::join!(headwater_sdk::testkit::collect(&source, &stream, None), serving);
    let all = all.unwrap();
    assert_eq!(all.keys(), ["1"]);
}

#[tokio::test]
async fn an_empty_page_ends_counting_but_not_tokens() {
    let offset = "    request: { path: /p, query: { o: '${page.offset}' } }\n    paging: { type: offset, size: 1 }\n    records: { from: response }\n";
    let remote = Remote::answering([json(ADA), json("[]"), status(500)]).await;
    assert_eq!(remote.all(&file("", offset)).await.keys(), ["1"]);
    assert_eq!(remote.asked().await, ["/p?o=0", "/p?o=1"]);
    let token = "    request: { path: /p, query: { t: '${page.token}' } }\n    paging: { type: token, next: response.next }\n    records: { from: response.items }\n";
    let pages = [r#"{"items":[],"next":"a"}"#, r#"{"items":null,"next":"b"}"#, r#"{"items":[{"id":1}]}"#];
    let remote = Remote::answering(pages.map(json)).await;
    assert_eq!(remote.all(&file("", token)).await.keys(), ["1"]);
    assert_eq!(remote.asked().await, ["/p", "/p?t=a", "/p?t=b"]);
    let remote = Remote::answering([json("")]).await;
    assert!(remote.all(&plain()).await.rows.is_empty(), "an empty body is an empty page");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_refused_and_the_secret_stays_home() {
    let elsewhere = Remote::answering([json(ADA)]).await;
    let away = elsewhere.server.uri();
    let remote = Remote::answering([status(302).insert_header("location", format!("{away}/people").as_str())]).await;
    let bearer = file("  auth: { type: bearer, token: '${connection.secret}' }\n", PLAIN);
    let error = remote.failure(&bearer).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    assert!(elsewhere.requests().await.is_empty());
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let packed = {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(ADA.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let by_transport =
        ResponseTemplate::new(200).set_body_raw(packed.clone(), "application/json").insert_header("content-encoding", "gzip");
    let by_itself = ResponseTemplate::new(200).set_body_raw(packed, "application/gzip");
    let stream = "    request: { path: /p, decode: { packed: gzip } }\n    records: { from: response }\n";
    for (answer, text) in [(by_transport.clone(), plain()), (by_transport, file("", stream)), (by_itself, file("", stream))] {
        assert_eq!(Remote::answering([answer]).await.all(&text).await.keys(), ["1"]);
    }
}

#[tokio::test]
async fn xml_and_lines_are_read() {
    let xml = "    request: { path: /p, decode: { type: xml } }\n    records: { from: response.people.person }\n";
    let body = "<people><person><id>1</id></person><person><id>2</id></person></people>";
    let answer = || ResponseTemplate::new(200).set_body_raw(body, "application/xml");
    assert_eq!(Remote::answering([answer()]).await.all(&file("", xml)).await.keys(), ["1", "2"]);
    let lines = "    request: { path: /p, decode: { type: json_lines } }\n    records: { from: response }\n";
    let answer = ResponseTemplate::new(200).set_body_raw("{\"id\":1}\n{\"id\":2}\n", "application/x-ndjson");
    assert_eq!(Remote::answering([answer]).await.all(&file("", lines)).await.keys(), ["1", "2"]);
}

const PAGES: &str = "    request: { path: /p, query: { t: '${page.token}' } }\n    paging: { type: token, next: response.next }\n    records: { from: response.items }\n";

fn page(id: usize, last: bool) -> ResponseTemplate {
    let next = if last { "null".to_owned() } else { format!("\"n{id}\"") };
    json(&format!(r#"{{"items":[{{"id":{id}}}],"next":{next}}}"#))
}

#[tokio::test]
async fn the_budget_of_the_file_holds_over_pages() {
    let remote = Remote::answering((0..5).map(|n| page(n, n == 4))).await;
    let all = remote.all(&file("  budget: { requests: 2, per: 10s }\n", PAGES)).await;
    assert_eq!((all.rows.len(), remote.pause.elapsed()), (5, Duration::from_secs(20)));
}

#[tokio::test]
async fn what_headers_say_of_the_budget_is_obeyed() {
    let reset = NOW.parse::<jiff::Timestamp>().unwrap().as_second() + 30;
    let spent = |left: &str| page(0, false).insert_header("x-left", left).insert_header("x-reset", reset.to_string().as_str());
    let api = "  budget: { requests: 100, per: 1s, remaining_header: x-left, reset_header: x-reset }\n";
    for (left, waited) in [("0", 30), ("1", 0)] {
        let remote = Remote::answering([spent(left), page(1, true)]).await;
        assert_eq!(remote.all(&file(api, PAGES)).await.rows.len(), 2);
        assert_eq!(remote.pause.elapsed().as_secs(), waited, "{left} left");
    }
}

#[tokio::test]
async fn two_connections_of_one_credential_share_its_budget() {
    let api = "  budget: { requests: 3, per: 3s }\n  auth: { type: bearer, token: '${connection.secret}' }\n";
    let text = file(api, PLAIN);
    let begun = Pause::real();
    let remote = Remote::answering([json(ADA)]).await;
    let at = |secret: &str| Remote::at(&remote.server.uri(), &text, secret, &Pause::real());
    let (one, two, other) = (at("a"), at("a"), at("b"));
    let stream = people(&one).await;
    for source in [&one, &two, &other, &one, &other, &other] {
        assert_eq!(headwater_sdk::testkit::collect(source, &stream, None).await.unwrap().rows.len(), 1);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "three requests each are within both budgets");
    drop((one, two));
    let again = at("a");
    assert_eq!(headwater_sdk::testkit::collect(&again, &stream, None).await.unwrap().rows.len(), 1);
    assert!(begun.elapsed() >= Duration::from_secs(3), "the fourth waits, whichever connection makes it");
}
