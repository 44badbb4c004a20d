//! Configurations that are wrong in one place, made from the examples: each refusal names the place.

use crate::example::{Example, REGISTRY};
use crossway_sdk::{build::BuildError, definition::Definition};
use serde_json::{Map, Value, json};

const UNKNOWN: &str = "no/such~attribute";

/// One of the documents that a plugin reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Config,
    Credential,
    Metadata,
}

/// A document that is accepted, and its schema.
fn parts<'d>(definition: &'d Definition, example: &Example) -> Vec<(Part, &'d Value, Value)> {
    let person = example.consumer.as_ref();
    let credential = person.and_then(|p| p.plugins.get(definition.name));
    let mut parts = vec![(Part::Config, definition.schema(), example.config.clone())];
    if let (Some(schema), Some(credential)) = (definition.credential_schema(), credential) {
        parts.push((Part::Credential, schema, credential.clone()));
    }
    if let Some(schema) = definition.metadata_schema() {
        let metadata = example.metadata.clone().unwrap_or_else(|| json!({}));
        parts.push((Part::Metadata, schema, metadata));
    }
    parts.retain(|(part, _, document)| judge(definition, example, *part, document).is_ok());
    parts
}

fn judge(
    definition: &Definition,
    example: &Example,
    part: Part,
    document: &Value,
) -> Result<(), BuildError> {
    match part {
        Part::Config => example
            .bench()
            .build(definition, document.clone())
            .map(|_| ()),
        Part::Credential => definition.credential(document).map(|_| ()),
        Part::Metadata => definition.check_metadata(document),
    }
}

/// The pointers of all objects in a document.
fn objects(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            found.push(path.to_owned());
            for (name, inner) in members {
                objects(inner, &crossway_sdk::schema::member(path, name), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                objects(item, &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn an_unknown_attribute_is_pointed_at_wherever_it_stands() {
    let pointer = UNKNOWN.replace('~', "~0").replace('/', "~1");
    for definition in REGISTRY.iter() {
        let example = Example::of(definition.name);
        for (part, schema, document) in parts(definition, &example) {
            let mut places = Vec::new();
            objects(&document, "", &mut places);
            for place in places {
                let mut wrong = document.clone();
                let object = wrong
                    .pointer_mut(&place)
                    .and_then(Value::as_object_mut)
                    .unwrap();
                object.insert(UNKNOWN.to_owned(), json!({}));
                let told = format!("{} {part:?} {place}", definition.name);
                let Err(refused) = judge(definition, &example, part, &wrong) else {
                    assert!(
                        is_free(schema, &place),
                        "{told}: an unknown attribute was taken"
                    );
                    continue;
                };
                // A map with names of the user's own refuses the value, or the name in words of its own.
                let at = format!("{place}/{pointer}");
                let named = refused.path == at && refused.message.contains(UNKNOWN);
                let inside = !place.is_empty() && refused.path.starts_with(&place);
                assert!(named || inside, "{told}: {refused:?}");
            }
        }
    }
}

/// Whether the schema leaves the names in an object to the user.
fn is_free(root: &Value, place: &str) -> bool {
    let mut here = variants(root, root);
    for segment in place.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let inside = here.iter().flat_map(|schema| inner(schema, &name));
        here = inside.flat_map(|schema| variants(root, schema)).collect();
    }
    here.iter()
        .any(|schema| match schema.get("additionalProperties") {
            Some(Value::Bool(free)) => *free,
            Some(_) | None => true,
        })
}

/// The schema of a member or an item.
fn inner<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let member = schema
        .get("properties")
        .and_then(|members| members.get(name));
    let more = schema
        .get("additionalProperties")
        .filter(|more| more.is_object());
    let item = schema
        .get("items")
        .filter(|_| name.parse::<usize>().is_ok());
    // What a schema says nothing of is any value.
    static ANY: Value = Value::Bool(true);
    let silent = schema.get("properties").is_none() && more.is_none() && item.is_none();
    member.or(item).or(more).or(silent.then_some(&ANY))
}

/// The schema with its references followed, and its alternatives.
fn variants<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut found = Vec::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        if let Some(Value::String(pointer)) = schema.get("$ref") {
            open.extend(root.pointer(pointer.trim_start_matches('#')));
            continue;
        }
        let branches = ["anyOf", "oneOf", "allOf"].into_iter();
        let branches = branches
            .filter_map(|key| schema.get(key)?.as_array())
            .flatten();
        let before = open.len();
        open.extend(branches);
        if open.len() == before {
            found.push(schema);
        }
    }
    found
}

/// Values of which no attribute takes all.
fn nonsense() -> [Value; 9] {
    [
        json!({"a": {"b": [{}]}}),
        json!([[[{}]]]),
        json!(false),
        json!(""),
        json!("\u{0}\r\n"),
        json!(-7.5),
        json!(1.0e300),
        json!(u64::MAX),
        json!([]),
    ]
}

/// Attributes that take any value.
fn takes_anything(schema: &Value) -> bool {
    match schema {
        Value::Bool(all) => *all,
        Value::Object(members) => {
            let says = ["type", "anyOf", "oneOf", "allOf", "enum", "$ref", "const"];
            !says.iter().any(|key| members.contains_key(*key))
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_is_pointed_at() {
    let none = Map::new();
    let mut wrong_places = Vec::new();
    for definition in REGISTRY.iter() {
        let example = Example::of(definition.name);
        for (part, schema, document) in parts(definition, &example) {
            let attributes = schema
                .get("properties")
                .and_then(Value::as_object)
                .unwrap_or(&none);
            for (name, attribute) in attributes {
                let mut refusals = 0;
                for value in nonsense() {
                    let mut wrong = document.clone();
                    wrong[name] = value.clone();
                    let Err(refused) = judge(definition, &example, part, &wrong) else {
                        continue;
                    };
                    refusals += 1;
                    let place = format!("/{name}");
                    let inside =
                        refused.path == place || refused.path.starts_with(&format!("{place}/"));
                    let told = format!("{} {part:?} {name} = {value}", definition.name);
                    // A rule between attributes may point at the other one, or at the whole.
                    let poor = [
                        "False schema",
                        "under any",
                        "did not match any variant",
                        "invalid type",
                    ];
                    let poor = poor.iter().any(|words| refused.message.contains(words));
                    if poor
                        || refused.message.is_empty()
                        || !(inside || refused.message.contains(name))
                    {
                        wrong_places.push(format!("{told}: {refused:?}"));
                    }
                }
                assert!(
                    refusals > 0 || takes_anything(attribute),
                    "{} {part:?} takes anything as {name}",
                    definition.name
                );
            }
        }
    }
    assert!(wrong_places.is_empty(), "{wrong_places:#?}");
}

#[tokio::test]
async fn a_missing_attribute_is_pointed_at() {
    for definition in REGISTRY.iter() {
        let example = Example::of(definition.name);
        for (part, schema, document) in parts(definition, &example) {
            let required = schema.get("required").and_then(Value::as_array);
            for name in required.into_iter().flatten().filter_map(Value::as_str) {
                let mut wrong = document.clone();
                wrong.as_object_mut().unwrap().remove(name);
                let refused = judge(definition, &example, part, &wrong).expect_err(name);
                assert_eq!(
                    refused.path,
                    format!("/{name}"),
                    "{}: {refused:?}",
                    definition.name
                );
                assert_eq!(refused.message, format!("property \"{name}\" is required"));
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_object_is_no_configuration() {
    for definition in REGISTRY.iter() {
        let example = Example::of(definition.name);
        for (part, _, _) in parts(definition, &example) {
            for value in [json!(null), json!([]), json!("x"), json!(1), json!(true)] {
                let refused = judge(definition, &example, part, &value).expect_err(definition.name);
                assert_eq!(refused.path, "", "{}: {refused:?}", definition.name);
                let expected = "wrong type: expected object, got ";
                assert!(
                    refused.message.contains(expected),
                    "{}: {refused:?}",
                    definition.name
                );
            }
        }
    }
}
