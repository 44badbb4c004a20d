//! Documents made from the schemas: what a schema accepts, its model must read.

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::{CERT, KEY};
use crate::model::Kind;

/// A source of choices (xorshift), so that one number stands for one document.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit.max(1)
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Texts of which at least one fits every pattern.
const TEXTS: [&str; 22] = [
    "a",
    "7",
    "a.com",
    "*.a.com",
    "*",
    "/x",
    "10.0.0.1",
    "10.0.0.0/8",
    "::1",
    "fd00::/8",
    "[::1]:80",
    "a:80",
    "GET",
    "http://a:1",
    "vault/1",
    "jack/credentials/a",
    "$env://A",
    "é b",
    "arg_x",
    "",
    CERT,
    KEY,
];

/// A value that the schema may accept; keywords between fields are left to chance.
fn make(schema: &Value, choices: &mut Choices) -> Value {
    if let Some(options) = schema["enum"].as_array() {
        let option = choices.of(options).clone();
        // The schema takes 1.0 for 1.
        return match option.as_i64() {
            Some(n) if choices.below(2) == 0 => json!(n as f64),
            _ => option,
        };
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(branches) = schema[keyword]
            .as_array()
            .filter(|b| b[0]["required"].is_null())
        {
            return make(choices.of(branches), choices);
        }
    }
    match schema["type"].as_str() {
        Some("object") => object(schema, choices),
        Some("array") => {
            let length = choices.below(3);
            (0..length)
                .map(|_| make(&schema["items"], choices))
                .collect()
        }
        Some("boolean") => json!(choices.below(2) == 0),
        Some("integer") => integer(schema, choices),
        Some("number") => json!(*choices.of(&[1.0, 0.5, 1e-9, 60.0, 1e9])),
        Some("string") | None => json!(*choices.of(&TEXTS)),
        other => panic!("no document can be made for the type {other:?}"),
    }
}

/// Certificates and keys are rarely made by chance.
fn text_of(name: &str, schema: &Value, choices: &mut Choices) -> Value {
    let items = &schema["items"];
    if items["anyOf"][0]["title"] == "PEM" {
        return json!([text_of(name, items, choices)]);
    }
    match schema["anyOf"][0]["title"] == "PEM" {
        true => json!(*choices.of(&[if name.contains("key") { KEY } else { CERT }, "$env://A"])),
        false => make(schema, choices),
    }
}

fn integer(schema: &Value, choices: &mut Choices) -> Value {
    let least = schema["minimum"]
        .as_i64()
        .expect("every integer is bounded");
    let most = schema["maximum"]
        .as_i64()
        .expect("every integer is bounded");
    let n = *choices.of(&[least, most, least + 1]);
    let float = Number::from_f64(n as f64).expect("it is finite");
    if choices.below(3) == 0 {
        Value::Number(float)
    } else {
        json!(n)
    }
}

fn object(schema: &Value, choices: &mut Choices) -> Value {
    let mut made = Map::new();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let needed = required.iter().any(|other| other == name);
        if property["not"].is_null() && (needed || choices.below(4) == 0) {
            made.insert(name.clone(), text_of(name, property, choices));
        }
    }
    // One of the groups of fields of which a document needs one.
    for keyword in ["oneOf", "anyOf"] {
        if let Some(groups) = schema[keyword].as_array() {
            let group = choices.of(groups);
            for name in group["required"].as_array().into_iter().flatten() {
                let name = name.as_str().expect("a name");
                made.insert(name.to_owned(), make(&schema["properties"][name], choices));
            }
        }
    }
    if schema["additionalProperties"].is_object() {
        for _ in 0..choices.below(3) {
            let name = (*choices.of(&TEXTS)).to_owned();
            made.insert(name, make(&schema["additionalProperties"], choices));
        }
    }
    Value::Object(made)
}

/// How many of many documents were valid, and the first that its model refused after all.
fn judge(kind: Kind, seeds: impl Iterator<Item = u64>) -> (usize, Option<String>) {
    let row = kind.row();
    let mut valid = 0;
    for seed in seeds {
        let mut choices = Choices(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let document = make(kind.schema(), &mut choices);
        let schema = row
            .narrow
            .and_then(|narrow| narrow(&document))
            .unwrap_or(row.compiled());
        let mut problems = schema.problems(&document);
        (row.rules_first)(&document, &mut problems);
        if problems.is_empty() {
            (row.rules)(&document, &mut problems);
        }
        if problems.is_empty() {
            valid += 1;
            if let Err(problem) = (row.decodes)(&document) {
                return (valid, Some(format!("{kind:?} {document}: {problem}")));
            }
        }
    }
    (valid, None)
}

#[test]
fn every_model_reads_what_its_schema_accepts() {
    for kind in Kind::ALL {
        let (valid, refused) = judge(*kind, 1..4000);
        assert_eq!(refused, None);
        assert!(
            valid > 20,
            "only {valid} valid documents were made for {kind:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_model_reads_what_its_schema_accepts_whatever_the_choices(seed: u64) {
        for kind in Kind::ALL {
            prop_assert_eq!(judge(*kind, std::iter::once(seed)).1, None);
        }
    }
}
