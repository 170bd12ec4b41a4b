use headwater_sdk::testkit::{Resumed, check_deletion_arrives, check_source_contract, collect};
use headwater_sdk::{Connector as _, ErrorKind};

use super::*;
use crate::process::config::SingerConfig;
use crate::process::singer::{Singer, SingerSource};

fn tap(config: Value) -> SingerSource {
    let mut settings = json!({});
    settings["config"] = config;
    tap_with(settings)
}

fn tap_with(mut settings: Value) -> SingerSource {
    settings["command"] = fake("tap");
    let config: SingerConfig = doc(settings).parse().unwrap();
    SingerSource::new(config, &cx(Path::new("/")), EAGER).unwrap()
}

#[tokio::test]
async fn a_tap_keeps_the_contract_of_a_source() {
    let source = tap(json!({}));
    let all = check_source_contract(&source, "people", 0).await.unwrap();
    assert_eq!((all.rows.len(), all.checkpoints.len()), (10, 6));
    assert_eq!(all.keys()[9], "9");
    assert_eq!((all.rows[3].get("email"), all.rows[3].get("score")), ("person.3@example.com", "1.5"));
    assert_eq!(stream(&source, "people").await.mapping.0["external_id"].from, ["id"]);
}

#[tokio::test]
async fn a_tap_without_states_is_read_again_from_its_beginning() {
    let all = check_source_contract(&tap(json!({"fault": "no_state"})), "people", 10).await.unwrap();
    assert_eq!((all.rows.len(), all.checkpoints.len()), (10, 1));
}

#[tokio::test]
async fn states_that_cannot_be_trusted_cover_nothing_before_the_end() {
    let source = tap_with(json!({"config": {"fault": "crash"}, "resumable": false}));
    let (covered, _, error) = broken_off(&source, "people").await;
    assert_eq!((covered, error.kind()), (0, ErrorKind::Unavailable));
    let all = check_source_contract(&tap_with(json!({"config": {}, "resumable": false})), "people", 0).await.unwrap();
    assert_eq!((all.rows.len(), all.checkpoints.len()), (10, 1));
}

#[tokio::test]
async fn a_state_comes_back_as_the_text_it_was() {
    let source = tap(json!({}));
    let all = collect(&source, &stream(&source, "people").await, None).await.unwrap();
    let last = all.last().unwrap();
    assert_eq!(last.state, json!({"states": [["", r#"{"seen": 10, "exact": 12345678901234567890123}"#]]}));
}

#[tokio::test]
async fn what_was_covered_before_a_failure_stays_covered() {
    for (fault, kind, says) in [
        ("crash", ErrorKind::Unavailable, "python3 failed (exit_code=3)"),
        ("killed", ErrorKind::Unavailable, "python3 was killed (signal=9)"),
        ("garbage", ErrorKind::Protocol, "the program printed a damaged message, which may have been a record (column="),
        ("long", ErrorKind::Protocol, "python3 printed a line that is longer than it may be"),
    ] {
        let source = tap_with(json!({"config": {"fault": fault, "at": 7}, "max_line_bytes": 1_000_000}));
        let (covered, rows, error) = broken_off(&source, "people").await;
        assert_eq!((covered, rows, error.kind()), (6, 6, kind), "{error}");
        assert!(error.to_string().starts_with(says), "{error}");
    }
}

#[tokio::test]
async fn what_a_tap_prints_beside_its_messages_does_no_harm() {
    for fault in ["prose", "flood", "chatter"] {
        let source = tap_with(json!({"config": {"fault": fault}, "silence_secs": 1}));
        let all = collect(&source, &stream(&source, "people").await, None).await.unwrap();
        assert_eq!(all.rows.len(), 10, "{fault}");
    }
}

#[tokio::test]
async fn what_may_hold_records_is_not_passed_over() {
    for (fault, kind) in [("no_schema", ErrorKind::Protocol), ("unknown", ErrorKind::Protocol), ("batch", ErrorKind::Unsupported)]
    {
        let (_, _, error) = broken_off(&tap(json!({"fault": fault})), "people").await;
        assert_eq!(error.kind(), kind, "{fault}: {error}");
    }
    let none = tap(json!({"fault": "no_catalog"})).streams().await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Protocol);
}

#[tokio::test]
async fn a_hanging_tap_is_killed_with_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let source = tap_with(json!({"config": {"fault": "hang", "pids": pids}, "silence_secs": 1}));
    let (covered, _, error) = broken_off(&source, "people").await;
    assert_eq!((covered, error.kind()), (6, ErrorKind::Unavailable));
    assert!(error.to_string().contains("silence_secs=1"), "{error}");
    gone(&pids).await;
}

#[tokio::test]
async fn what_a_tap_leaves_behind_does_not_hold_the_read_up() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let source = tap(json!({"fault": "leaves", "pids": pids}));
    let all = collect(&source, &stream(&source, "people").await, None).await.unwrap();
    assert_eq!(all.rows.len(), 10);
    gone(&pids).await;
}

#[tokio::test]
async fn nobody_listening_ends_the_tap_and_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let pids = dir.path().join("pids");
    let source = tap(json!({"fault": "hang", "pids": pids, "at": 8}));
    let mut events = source.read(&stream(&source, "people").await, None).await.unwrap();
    while !pids.exists() {
        let _more = tokio::time::timeout(Duration::from_millis(50), events.try_next()).await;
    }
    drop(events);
    gone(&pids).await;
}

/// Waits until the processes in the file are no more.
async fn gone(pids: &Path) {
    let pids = std::fs::read_to_string(pids).unwrap();
    assert_eq!(pids.split(' ').count(), 2, "{pids}");
    let all_gone = async {
        while pids.split(' ').any(runs) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), all_gone).await.expect("they still run");
}

#[tokio::test]
async fn an_older_tap_takes_its_catalog_by_another_argument() {
    let source = tap_with(json!({"config": {"argument": "--properties"}, "catalog_argument": "properties"}));
    let all = collect(&source, &stream(&source, "people").await, None).await.unwrap();
    assert_eq!(all.rows.len(), 10);
}

#[tokio::test]
async fn a_child_sees_what_it_is_given_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"printf '%s' "$(env | sort | grep -v '^_=\|^PWD=\|^SHLVL=')" > seen; cat "$2" > config; ls -l "$2" > mode
        echo '{"streams": []}'"#;
    let settings = json!({
        "command": ["sh", "-c", script, "sh"],
        "config": {"api": {"token": {"env": "TOKEN"}}, "n": 5},
        "env": {"MODE": "test", "KEY": {"env": "TOKEN"}},
    });
    let source = Singer.source(&doc(settings), &cx(dir.path())).unwrap();
    source.streams().await.unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("seen"), format!("KEY={TOKEN}\nMODE=test\nPATH=/usr/local/bin:/usr/bin:/bin"));
    assert_eq!(read("config"), format!(r#"{{"api":{{"token":"{TOKEN}"}},"n":5}}"#));
    assert!(read("mode").starts_with("-rw-------"), "{}", read("mode"));
    let path = read("mode").split_whitespace().last().unwrap().to_owned();
    assert!(!Path::new(&path).exists());
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_key() {
    let refused = |mut settings: Value| {
        if settings.get("command").is_none() {
            settings["command"] = json!(["tap"]);
        }
        let error = Singer.source(&doc(settings), &cx(Path::new("/"))).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.config_path().unwrap().to_owned()
    };
    assert_eq!(refused(json!({"command": []})), "command");
    assert_eq!(refused(json!({"config": {"a": [{"b": {"env": "MISSING"}}]}})), "config.a[0].b");
    assert_eq!(refused(json!({"config": {"a": 1}, "config_file": "x.json"})), "config_file");
    assert_eq!(refused(json!({"config_file": "nowhere.json"})), "config_file");
    assert_eq!(refused(json!({"env": {"A": [1]}})), "env.A");
    assert_eq!(refused(json!({"silence_secs": 0})), "silence_secs");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_matter_of_settings() {
    let settings = json!({"command": ["no-such-tap"]});
    let error = Singer.source(&doc(settings), &cx(Path::new("/"))).unwrap().streams().await.unwrap_err();
    assert_eq!((error.kind(), error.config_path()), (ErrorKind::Config, Some("command")));
}

#[tokio::test]
async fn a_stream_to_be_read_by_a_cursor_must_exist() {
    let source = tap_with(json!({"config": {}, "cursors": {"persons": "id"}}));
    assert_eq!(source.streams().await.unwrap_err().config_path(), Some("cursors.persons"));
}

#[tokio::test]
async fn who_is_missing_from_a_whole_table_is_missed() {
    let whole = |config: Value| tap_with(json!({"config": config, "whole": ["people"]}));
    let all = check_source_contract(&whole(json!({})), "people", 10).await.unwrap();
    assert_eq!(all.last().unwrap().state, json!({"states": []}));
    let without = json!({"without": 4, "counted": 9});
    check_deletion_arrives(&whole(without.clone()), "people", &all, "4").await.unwrap();
    // Nobody said that it shows everything, or the tap itself counts more than it sent.
    for source in [tap(without), whole(json!({"without": 4}))] {
        let read = collect(&source, &stream(&source, "people").await, None).await.unwrap();
        assert_eq!((read.rows.len(), read.whole), (9, None));
    }
}

#[tokio::test]
async fn a_whole_table_that_broke_off_goes_on_in_the_middle() {
    let source = tap_with(json!({"config": {}, "whole": ["people"]}));
    let people = stream(&source, "people").await;
    let all = collect(&source, &people, None).await.unwrap();
    let rest = collect(&source, &people, Some(all.checkpoints[2].1.clone())).await.unwrap();
    assert_eq!((rest.rows.len(), rest.whole), (4, Some(Resumed::Yes)));
}

#[tokio::test]
async fn only_what_is_read_from_its_beginning_shows_everything() {
    for settings in
        [json!({"config": {}, "whole": ["persons"]}), json!({"config": {}, "whole": ["people"], "cursors": {"people": "id"}})]
    {
        assert_eq!(tap_with(settings).streams().await.unwrap_err().config_path(), Some("whole"));
    }
}
