//! YAML as a JSON value.

use serde_json::Value;

/// Reads one document. `yes`, `no`, `on` and `off` are texts, as in YAML 1.2; a document of comments only is `null`.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options::<Option<Value>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| error.to_string())
}
