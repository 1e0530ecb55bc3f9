//! The example app and the documents that it follows.

#[path = "../examples/hello/main.rs"]
#[expect(
    dead_code,
    reason = "only what it answers is tried here; it is run by its own binary"
)]
mod hello;

use serde_json::Value;

const HEALTH: &str = include_str!("../docs/health.md");

/// The parts of a document that are written in `language`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str())
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

#[test]
fn the_answers_in_the_document_fit_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../docs/health.schema.json")).unwrap();
    let words = schema["$defs"]["status"]["enum"].as_array().unwrap();
    let answers = blocks(HEALTH, "json");
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert!(words.contains(&answer["status"]), "{answer}");
        assert!(answer["version"].is_string(), "{answer}");
        for (name, check) in answer["checks"].as_object().unwrap() {
            let said = check.get(0).map_or(check, |first| &first["status"]);
            assert!(words.contains(said), "{name}: {check}");
        }
        let known = schema["properties"].as_object().unwrap();
        assert!(
            answer
                .as_object()
                .unwrap()
                .keys()
                .all(|key| known.contains_key(key)),
            "{answer}"
        );
    }
}

#[test]
fn the_examples_are_short_and_in_two_languages() {
    for language in ["python", "js"] {
        let examples = blocks(HEALTH, language);
        assert_eq!(examples.len(), 1, "{language}");
        assert!(
            examples[0].contains("FLY_IMAGE_REF") && examples[0].contains("/health"),
            "{language}"
        );
        assert!(
            examples[0].lines().filter(|line| !line.is_empty()).count() <= 12,
            "{language}"
        );
    }
}
