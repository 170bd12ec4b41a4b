use proptest::prelude::*;

use super::document::{parse, resolve};

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
}
