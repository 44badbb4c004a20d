//! From a JSON Schema (draft-07, as schemars writes it) to a flat list of attributes.

use serde_json::{Map, Value};

/// One line of a table.
pub(crate) struct Attribute {
    /// `limit.rules[].count`; `*` stands for any name.
    pub(crate) path: String,
    pub(crate) types: String,
    /// The default, or `required`, or nothing.
    pub(crate) default: String,
    pub(crate) constraint: String,
    pub(crate) meaning: String,
}

/// All attributes, each followed by those inside it.
pub(crate) fn of(schema: &Value) -> Vec<Attribute> {
    let mut walk = Walk {
        root: schema,
        found: Vec::new(),
    };
    walk.members(&walk.resolved(schema), "", 0);
    walk.found
}

/// What the schema says of the document as a whole.
pub(crate) fn rules(schema: &Value) -> Vec<String> {
    let mut rules = Vec::new();
    match schema.get("minProperties").and_then(Value::as_u64) {
        Some(1) => rules.push("At least one of these must be there.".to_owned()),
        Some(count) => rules.push(format!("At least {count} of these must be there.")),
        None => {}
    }
    rules
}

/// The doc comment, on one line.
pub(crate) fn text(schema: &Value) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// No configuration nests deeper; a schema that refers to itself would.
const DEEPEST: usize = 6;

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Attribute>,
}

impl Walk<'_> {
    fn members(&mut self, schema: &Value, prefix: &str, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        for alternative in alternatives(schema) {
            self.members(&self.resolved(alternative), prefix, depth);
        }
        let required = list(schema, "required");
        for (name, member) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let member = self.resolved(member);
            let path = format!("{prefix}{name}");
            if self.found.iter().any(|attribute| attribute.path == path) {
                continue;
            }
            self.found.push(Attribute {
                types: self.types(&member),
                default: match member.get("default") {
                    _ if required.iter().any(|r| r == name) => "required".to_owned(),
                    None | Some(Value::Null) => String::new(),
                    Some(default) => format!("`{default}`"),
                },
                constraint: self.constraints(&member).join("; "),
                meaning: self.meaning(&member),
                path: path.clone(),
            });
            self.inside(&member, &path, depth);
        }
    }

    /// What stands inside an attribute: its members, those of its items, those under any name.
    fn inside(&mut self, schema: &Value, path: &str, depth: usize) {
        self.members(schema, &format!("{path}."), depth + 1);
        for schema in std::iter::once(schema).chain(alternatives(schema)) {
            let schema = self.resolved(schema);
            for (key, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
                if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
                    self.members(&self.resolved(inner), &format!("{path}{mark}."), depth + 1);
                }
            }
        }
    }

    /// The schema with its references followed, and without the choice of `null`. What stands outside wins.
    fn resolved(&self, schema: &Value) -> Value {
        let mut members = match schema {
            Value::Object(members) => members.clone(),
            _ => Map::new(),
        };
        loop {
            let inner = match members.remove("$ref") {
                Some(Value::String(pointer)) => self
                    .root
                    .pointer(pointer.trim_start_matches('#'))
                    .expect("a reference that leads somewhere")
                    .clone(),
                _ => match single(&members) {
                    Some((key, inner)) => {
                        members.remove(key);
                        inner
                    }
                    None => return Value::Object(members),
                },
            };
            for (key, value) in inner.as_object().into_iter().flatten() {
                members.entry(key).or_insert_with(|| value.clone());
            }
        }
    }

    fn types(&self, schema: &Value) -> String {
        let named = match schema.get("type") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        };
        let mut types: Vec<String> = named
            .iter()
            .filter(|t| *t != "null")
            .map(|t| self.type_of(t, schema))
            .collect();
        types.extend(
            alternatives(schema).map(|alternative| self.types(&self.resolved(alternative))),
        );
        if let (true, Some(first)) = (types.is_empty(), choices(schema).first()) {
            types.push(if first.is_string() { "text" } else { "number" }.to_owned());
        }
        let mut once: Vec<String> = Vec::new();
        for name in types {
            if !once.contains(&name) {
                once.push(name);
            }
        }
        if once.is_empty() {
            "any".to_owned()
        } else {
            once.join(" or ")
        }
    }

    fn type_of(&self, name: &str, schema: &Value) -> String {
        let inner = |key| schema.get(key).filter(|inner| inner.is_object());
        match name {
            "string" => "text".to_owned(),
            "boolean" => "true or false".to_owned(),
            "array" => match inner("items") {
                Some(items) => format!("list of {}", self.types(&self.resolved(items))),
                None => "list".to_owned(),
            },
            "object" => match inner("additionalProperties") {
                Some(values) => format!("mapping to {}", self.types(&self.resolved(values))),
                None => "mapping".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    fn constraints(&self, schema: &Value) -> Vec<String> {
        let mut said = Vec::new();
        let bound = |key: &str| schema.get(key).filter(|bound| !bound.is_null());
        match (bound("minimum"), bound("maximum")) {
            (Some(min), Some(max)) => said.push(format!("{min} to {max}")),
            (Some(min), None) => said.push(format!("at least {min}")),
            (None, Some(max)) => said.push(format!("at most {max}")),
            (None, None) => {}
        }
        let phrases = [
            ("exclusiveMinimum", "more than {}"),
            ("exclusiveMaximum", "less than {}"),
            ("minLength", "at least {} characters"),
            ("maxLength", "at most {} characters"),
            ("minItems", "at least {} items"),
            ("maxItems", "at most {} items"),
            ("minProperties", "at least {} members"),
            ("maxProperties", "at most {} members"),
        ];
        for (key, phrase) in phrases {
            let Some(bound) = bound(key) else { continue };
            said.push(
                match (phrase.strip_prefix("at least {} "), bound.as_u64()) {
                    (Some(_), Some(1)) => "not empty".to_owned(),
                    _ => phrase.replace("{}", &bound.to_string()),
                },
            );
        }
        if let Some(pattern) = bound("pattern").and_then(Value::as_str) {
            said.push(format!("matches `{pattern}`"));
        }
        if bound("uniqueItems").is_some_and(|unique| *unique == Value::Bool(true)) {
            said.push("no item twice".to_owned());
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            let choices: Vec<String> = choices.iter().map(written).collect();
            said.push(format!("one of {}", choices.join(", ")));
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
                let inner = self.constraints(&self.resolved(inner));
                said.extend(inner.iter().map(|constraint| format!("each {constraint}")));
            }
        }
        for alternative in alternatives(schema) {
            let mut alternative = self.resolved(alternative);
            if let (true, Some(members)) = (bound("minimum").is_some(), alternative.as_object_mut())
            {
                members.remove("minimum");
            }
            let types = self.types(&alternative);
            let inner = self.constraints(&alternative);
            said.extend(
                inner
                    .iter()
                    .map(|constraint| format!("{types}: {constraint}")),
            );
        }
        said
    }

    /// The doc comment, and those of the values to choose from.
    fn meaning(&self, schema: &Value) -> String {
        let mut meaning = text(schema);
        let items = schema.get("items").map(|items| self.resolved(items));
        for schema in std::iter::once(schema).chain(&items) {
            for choice in list(schema, "oneOf") {
                let said = |value: &Value| meaning.contains(&format!("{}:", written(value)));
                match (choice.get("const"), text(choice)) {
                    (Some(value), text) if !text.is_empty() && !said(value) => {
                        meaning.push_str(&format!(" {}: {text}", written(value)));
                    }
                    _ => {}
                }
            }
        }
        meaning
    }
}

/// The one schema that an `allOf` holds, or that an `anyOf` or `oneOf` holds beside `null` and bare values.
fn single(members: &Map<String, Value>) -> Option<(&'static str, Value)> {
    ["allOf", "anyOf", "oneOf"].into_iter().find_map(|key| {
        let inner = members.get(key)?.as_array()?;
        let mut others = inner
            .iter()
            .filter(|schema| schema.get("type").is_none_or(|t| t != "null"));
        match (others.next(), others.next()) {
            (Some(one), None) if one.get("const").is_none() => Some((key, one.clone())),
            _ => None,
        }
    })
}

/// Schemas of which one applies, without `null` and without bare values.
fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    let both = ["anyOf", "oneOf"]
        .into_iter()
        .flat_map(move |key| list(schema, key));
    both.filter(|one| one.get("const").is_none() && one.get("enum").is_none())
        .filter(|one| one.get("type").is_none_or(|t| t != "null"))
}

/// The values of which one must be taken; none when any will do.
fn choices(schema: &Value) -> Vec<Value> {
    let mut values: Vec<Value> = list(schema, "enum").to_vec();
    for one in list(schema, "oneOf").iter().chain(list(schema, "anyOf")) {
        values.extend(one.get("const").cloned());
        values.extend(list(one, "enum").iter().cloned());
    }
    values.retain(|value| !value.is_null());
    values
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}

fn list<'a>(schema: &'a Value, key: &str) -> &'a [Value] {
    schema
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
