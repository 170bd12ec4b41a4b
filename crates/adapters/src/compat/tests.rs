use proptest::prelude::*;

use super::document::{parse, resolve};
use super::{Manifest, Surroundings};

const GOOD: &str = r##"version: 7.39.1
type: DeclarativeSource
check: { type: CheckStream, stream_names: [people] }
definitions:
  base: { type: HttpRequester, url_base: "https://api.example.com/{{ config['shop'] }}" }
streams:
  - type: DeclarativeStream
    name: people
    primary_key: [id]
    retriever:
      type: SimpleRetriever
      requester: { $ref: "#/definitions/base", path: "/p/{{ stream_partition.part }}", http_method: GET }
      partition_router: { type: ListPartitionRouter, values: [a, b], cursor_field: part }
      record_selector:
        type: RecordSelector
        extractor: { type: DpathExtractor, field_path: [data, "*"] }
        record_filter: { type: RecordFilter, condition: "{{ record.x > 1 }}" }
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: at
      datetime_format: "%Y-%m-%d"
      start_datetime: "2026-01-01"
      step: P1D
      cursor_granularity: P1D
    transformations:
      - { type: AddFields, fields: [{ path: [a, b], value: "{{ record['x'] | int }}" }] }
"##;

fn load(text: &str) -> headwater_sdk::Result<Manifest> {
    let clock = headwater_sdk::Clock::fixed(jiff::Timestamp::UNIX_EPOCH);
    let cx = headwater_sdk::BuildContext {
        clock,
        base_dir: ".".into(),
        env: std::sync::Arc::new(|_| None),
        allow_private_hosts: false,
    };
    let pause = headwater_sdk::http::Pause::virtual_time();
    let around = Surroundings { cx, pause, allow_hosts: Vec::new(), sequential: true };
    futures::executor::block_on(Manifest::load(text.as_bytes(), br#"{"shop":"s"}"#, &[], &around))
}

#[test]
fn a_good_manifest_is_taken() {
    let manifest = load(GOOD).unwrap();
    assert!(manifest.streams[0].plan.is_ok(), "{:?}", manifest.streams[0].plan);
}

fn resolved(text: &str) -> Result<String, String> {
    parse(text.as_bytes()).and_then(|value| resolve(&value)).map(|value| value.to_json()).map_err(|problem| problem.to_string())
}

#[test]
fn a_reference_is_the_component_with_what_is_said_beside_it() {
    let text = "{definitions: {a: {x: 1, y: {z: 2}}}, b: {$ref: '#/definitions/a', x: 3}}";
    assert_eq!(
        resolved(text).unwrap(),
        r##"{"definitions":{"a":{"x":1,"y":{"z":2}}},"b":{"x":3,"y":{"z":2}},"type":"DeclarativeSource"}"##
    );
}

#[test]
fn a_reference_to_itself_or_to_nothing_is_told_with_its_path() {
    assert_eq!(resolved("{a: {b: {$ref: '#/a'}}}").unwrap_err(), "a.b.b: the reference `#/a` leads back to itself");
    assert_eq!(resolved("{a: {b: {$ref: '#/c'}}}").unwrap_err(), "a.b: the reference `#/c` leads nowhere");
}

#[test]
fn references_of_references_do_not_grow_without_end() {
    let mut text = "{a0: [1,1,1,1,1,1,1,1,1,1],".to_owned();
    for level in 1..12 {
        let one = format!("{{$ref: '#/a{}'}}", level - 1);
        text += &format!("a{level}: [{}],", vec![one; 10].join(","));
    }
    text += "}";
    assert!(resolved(&text).unwrap_err().contains("grow without end"));
}

#[test]
fn parameters_reach_what_does_not_say_it_itself() {
    let text = "{streams: [{type: DeclarativeStream, $parameters: {path: /p, name: n}, retriever: {requester: {path: /own}, paginator: {}}}]}";
    let found = parse(text.as_bytes()).and_then(|value| resolve(&value)).unwrap();
    let stream = &found.get("streams").unwrap().as_list().unwrap()[0];
    assert_eq!(stream.get("name").unwrap().as_str(), Some("n"));
    let requester = stream.get("retriever").unwrap().get("requester").unwrap();
    assert_eq!(requester.get("path").unwrap().as_str(), Some("/own"));
    assert_eq!(requester.get("type").unwrap().as_str(), Some("HttpRequester"));
}

proptest! {
    #[test]
    fn no_bytes_make_the_manifest_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        drop(parse(&bytes).and_then(|value| resolve(&value)));
    }

    #[test]
    fn no_yaml_makes_the_manifest_parser_panic(text in r##"[a-c$\n :{}\[\],&*!|>'"#/0-9-]{0,80}"##) {
        drop(parse(text.as_bytes()).and_then(|value| resolve(&value)));
    }

    /// Most of what is wrong in a manifest is a little wrong.
    #[test]
    fn no_change_of_a_manifest_makes_its_compiler_panic(at in 0..GOOD.len(), gone in 0_usize..12, with in r##"[a-dPTX$\n :{}\[\],&*!|>'"#/0-9.%-]{0,8}"##) {
        let end = (at + gone).min(GOOD.len());
        drop(load(&format!("{}{with}{}", GOOD.get(..at).unwrap(), GOOD.get(end..).unwrap())));
    }
}
