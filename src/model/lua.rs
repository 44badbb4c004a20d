//! The fields of APISIX that carry Lua source. They are known, so that the refusal can say why.

use serde_json::Value;

use super::problem::{Problem, member};

const FIELDS: [&str; 3] = ["filter_func", "script", "script_id"];

const REASON: &str = "it is bound to Lua, which Crossway does not run";

/// Refuses `filter_func`, `script` and `script_id`, and `_meta.pre_function` of any plugin.
pub(super) fn rules(document: &Value, fields: bool, plugins: bool, problems: &mut Vec<Problem>) {
    if fields {
        for field in FIELDS {
            if document.get(field).is_some() {
                problems.push(Problem::in_property(&member("", field), REASON));
            }
        }
    }
    if plugins && let Some(Value::Object(plugins)) = document.get("plugins") {
        for (name, config) in plugins {
            if config
                .get("_meta")
                .and_then(|meta| meta.get("pre_function"))
                .is_some()
            {
                let path = format!("{}/_meta/pre_function", member("/plugins", name));
                problems.push(Problem::in_property(&path, REASON));
            }
        }
    }
}
