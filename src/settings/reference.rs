//! The reference page, from the schema alone.

use super::keys::{Inside, Key, list};
use serde_json::Value;

const INTRODUCTION: &str = "\
# Settings

Every key of the settings file (`crossway run -c FILE`), with the environment variable that overrides it. Precedence:
environment, file, default. A variable holds the text itself, or YAML where the key takes something else than a text
(`CROSSWAY_LISTEN_HTTP='[127.0.0.1:80, 127.0.0.1:8080]'`); an empty variable counts as not set. Unknown keys and unknown
`CROSSWAY_` variables are refused, except `CROSSWAY_CONFIG`, which names the settings file itself, and what Kubernetes sets for
services whose name begins with `crossway`.

On SIGHUP the file is read again. Keys that are *live* take effect then, all of them together, for requests, connections and sessions that
begin after it; an HTTP/1 connection that is open is held to the new limits from its next request on, and nothing that is open is ended. Keys
that *need a restart* stay as they are until another process takes over (SIGUSR2) or the gateway is started anew; the log and `/v1/status` name
those that wait.

This page is generated from the source; `UPDATE_REFERENCE=1 cargo nextest run settings` writes it anew.
";

pub(super) fn write(keys: &[Key]) -> String {
    let mut page = INTRODUCTION.to_owned();
    let is_section = |key: &&Key| matches!(key.inside, Inside::Section(_));
    page.push_str("\n## Top level\n");
    for key in keys.iter().filter(|key| !is_section(key)) {
        entry(&mut page, key);
    }
    for key in keys.iter().filter(is_section) {
        section(&mut page, key);
    }
    page
}

fn section(page: &mut String, key: &Key) {
    let Inside::Section(below) = &key.inside else {
        return entry(page, key);
    };
    page.push_str(&format!("\n## `{}`\n\n{}\n", key.path, doc(&key.schema)));
    for key in below
        .iter()
        .filter(|key| !matches!(key.inside, Inside::Section(_)))
    {
        entry(page, key);
    }
    for key in below
        .iter()
        .filter(|key| matches!(key.inside, Inside::Section(_)))
    {
        section(page, key);
    }
}

fn entry(page: &mut String, key: &Key) {
    page.push_str(&format!(
        "\n### `{}`\n\n`{}` · {}{}{} · {}\n\n{}\n",
        key.path,
        key.variable(),
        key.types()
            .iter()
            .map(|t| type_name(t))
            .collect::<Vec<_>>()
            .join(" or "),
        range(&key.schema),
        default(&key.schema),
        if key.is_live() {
            "live"
        } else {
            "needs a restart"
        },
        doc(&key.schema),
    ));
    let choices = list(&key.schema, "oneOf");
    if !choices.is_empty() {
        page.push('\n');
    }
    for choice in choices {
        let name = choice
            .get("const")
            .and_then(Value::as_str)
            .unwrap_or_default();
        page.push_str(&format!("- `{name}`: {}\n", doc(choice)));
    }
    if let Inside::Items(below) = &key.inside {
        page.push_str("\nEach item:\n\n");
        for key in below {
            page.push_str(&format!("- `{}`: {}\n", key.name, doc(&key.schema)));
            for choice in list(&key.schema, "oneOf") {
                let name = choice
                    .get("const")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                page.push_str(&format!("  - `{name}`: {}\n", doc(choice)));
            }
        }
    }
}

fn doc(schema: &Value) -> String {
    let text = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn type_name(of: &str) -> &str {
    match of {
        "string" => "text",
        "array" => "list",
        "object" => "mapping",
        "boolean" => "true or false",
        other => other,
    }
}

fn range(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(min), Some(max)) => format!(", {min} to {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    }
}

fn default(schema: &Value) -> String {
    match schema.get("default") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => {
            // So that a release does not change the page.
            let text = text.replace(env!("CARGO_PKG_VERSION"), "<version>");
            format!(" · default `{text}`")
        }
        Some(Value::Array(items)) if items.is_empty() => " · default: empty".to_owned(),
        Some(Value::Object(members)) if members.is_empty() => " · default: empty".to_owned(),
        Some(other) => format!(" · default `{other}`"),
    }
}
