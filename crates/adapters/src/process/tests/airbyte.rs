use headwater_sdk::ErrorKind;
use headwater_sdk::testkit::{Resumed, check_deletion_arrives, check_source_contract, collect};

use super::*;
use crate::process::airbyte::AirbyteSource;
use crate::process::config::AirbyteConfig;

fn source(config: Value) -> AirbyteSource {
    source_with(config, json!({}))
}

fn source_with(mut config: Value, mut settings: Value) -> AirbyteSource {
    if config.get("token").is_none() {
        config["token"] = json!({"env": "TOKEN"});
    }
    settings["command"] = fake("source");
    settings["config"] = config;
    let config: AirbyteConfig = doc(settings).parse().unwrap();
    AirbyteSource::new(config, &cx(Path::new("/")), EAGER).unwrap()
}

#[tokio::test]
async fn a_source_keeps_the_contract() {
    let all = check_source_contract(&source(json!({})), "people", 0).await.unwrap();
    assert_eq!((all.rows.len(), all.checkpoints.len()), (10, 6));
    assert_eq!((all.keys()[9], all.rows[3].get("score")), ("9", "1.5"));
}

#[tokio::test]
async fn a_state_of_the_old_form_goes_back_as_it_was() {
    let source = source(json!({"legacy": true}));
    let all = check_source_contract(&source, "people", 0).await.unwrap();
    assert_eq!(all.last().unwrap().state, json!({"states": [["legacy", r#"{"seen": 10}"#]]}));
}

#[tokio::test]
async fn a_stream_read_as_a_whole_resumes_in_mid_read_and_starts_again_afterwards() {
    let source = source(json!({"full": true}));
    let all = check_source_contract(&source, "people", 10).await.unwrap();
    assert_eq!(all.last().unwrap().state, json!({"states": []}));
    let third = all.checkpoints[2].1.clone();
    assert_eq!(collect(&source, &stream(&source, "people").await, Some(third)).await.unwrap().keys(), ["6", "7", "8", "9"]);
}

#[tokio::test]
async fn a_failure_is_told_in_the_words_of_the_source_without_its_secrets() {
    for (fault, kind, says) in [
        ("trace", ErrorKind::Config, "the source failed: refused ***"),
        ("crash", ErrorKind::Unavailable, "python3 failed (exit_code=3)"),
        ("miscount", ErrorKind::Protocol, "the source counts more records than it sent (said=3, arrived=2)"),
        ("incomplete", ErrorKind::Unavailable, "the source ended without an error, and says that the stream is incomplete"),
        ("garbage", ErrorKind::Protocol, "the program printed a damaged message"),
    ] {
        let (covered, rows, error) = broken_off(&source(json!({"fault": fault})), "people").await;
        assert!(error.kind() == kind && error.to_string().starts_with(says), "{fault}: {error}");
        assert!(covered == rows && rows >= 6, "{fault}: {covered} of {rows}");
    }
    let refused = source(json!({"fault": "refused"})).check().await.unwrap_err();
    assert_eq!(refused.to_string(), "the source refuses its `config`: wrong token ***");
    let open = source(json!({"fault": "refused", "token": "in the open"})).check().await.unwrap_err();
    assert_eq!(open.to_string(), "the source refuses its `config`: wrong token ***");
}

#[tokio::test]
async fn who_is_missing_from_a_full_refresh_is_missed() {
    let whole = |config: Value| source_with(config, json!({"full_refresh": ["people"], "whole": ["people"]}));
    let all = check_source_contract(&whole(json!({})), "people", 10).await.unwrap();
    check_deletion_arrives(&whole(json!({"without": 4})), "people", &all, "4").await.unwrap();
    let source = whole(json!({}));
    let rest = collect(&source, &stream(&source, "people").await, Some(all.checkpoints[2].1.clone())).await.unwrap();
    assert_eq!((rest.rows.len(), rest.whole), (4, Some(Resumed::Yes)));
    let unsaid = source_with(json!({"without": 4}), json!({"full_refresh": ["people"]}));
    assert_eq!(collect(&unsaid, &stream(&unsaid, "people").await, None).await.unwrap().whole, None);
}

#[tokio::test]
async fn only_a_full_refresh_shows_everything() {
    for settings in [json!({"whole": ["people"]}), json!({"whole": ["persons"]})] {
        assert_eq!(source_with(json!({}), settings).streams().await.unwrap_err().config_path(), Some("whole"));
    }
}
