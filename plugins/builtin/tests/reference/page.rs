//! One plugin's page.

use crate::attributes::{self, Attribute};
use crossway_sdk::{
    definition::Definition,
    plugin::{Phases, Scopes},
};
use serde_json::Value;

const SCOPES: [(Scopes, &str); 5] = [
    (Scopes::ROUTE, "routes and plugin configs"),
    (Scopes::SERVICE, "services"),
    (Scopes::CONSUMER, "consumers and consumer groups"),
    (Scopes::GLOBAL, "global rules"),
    (Scopes::STREAM, "stream routes"),
];

pub(crate) fn of(definition: &Definition, example: &str) -> String {
    let name = definition.name;
    let places = SCOPES
        .iter()
        .filter(|(scope, _)| definition.scopes.contains(*scope));
    let places: Vec<_> = places.map(|(_, place)| *place).collect();
    let mut page = format!(
        "<!-- Written by plugins/builtin/tests/reference.rs; UPDATE_REFERENCE=1 writes it anew. -->\n\n\
         # `{name}`\n\n{}\n\n\
         - Priority: {}\n- Phases: {}\n- May stand on: {}\n",
        attributes::text(definition.schema()),
        definition.priority,
        phases(definition.phases),
        places.join(", "),
    );
    if definition.prefer_route {
        page.push_str(
            "- A global rule's copy is skipped for a request whose route has one of its own.\n",
        );
    }
    page.push_str("\nWhere it differs from Apache APISIX: [README.md](../README.md).\n");
    page.push_str(example.trim_end());
    page.push('\n');
    section(&mut page, "Attributes", definition.schema());
    if let Some(schema) = definition.credential_schema() {
        section(&mut page, "Credential, on a consumer", schema);
    }
    if let Some(schema) = definition.metadata_schema() {
        section(&mut page, "Metadata", schema);
    }
    page
}

/// How the plugin's line in the list of plugins begins.
pub(crate) fn row(definition: &Definition) -> String {
    let name = definition.name;
    let phases = phases(definition.phases);
    format!(
        "| [`{name}`](docs/{name}.md) | {} | {phases} | ",
        definition.priority
    )
}

fn phases(phases: Phases) -> String {
    let names = phases.iter_names().map(|(name, _)| name.to_lowercase());
    names.collect::<Vec<_>>().join(", ")
}

fn section(page: &mut String, title: &str, schema: &Value) {
    page.push_str(&format!("\n## {title}\n\n"));
    let rules = attributes::rules(schema);
    for rule in &rules {
        page.push_str(&format!("{rule}\n\n"));
    }
    let attributes = attributes::of(schema);
    if attributes.is_empty() {
        page.push_str("None.\n");
        return;
    }
    page.push_str(
        "| Attribute | Type | Default | Constraint | Meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for attribute in &attributes {
        page.push_str(&line(attribute));
    }
}

fn line(attribute: &Attribute) -> String {
    let Attribute {
        path,
        types,
        default,
        constraint,
        meaning,
    } = attribute;
    let cells = [&format!("`{path}`"), types, default, constraint, meaning];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}
