//! What APISIX has that is bound to Lua: fields that carry its source, and plugins. They are known, so that the refusal can say
//! why.

use serde_json::Value;

use super::problem::Problem;
use crossway_sdk::schema::member;

const FIELDS: [&str; 3] = ["filter_func", "script", "script_id"];

const REASON: &str = "it is bound to Lua, which Crossway does not run";

/// Plugins that run Lua source, or hand requests to a runner beside APISIX, and why each is not there.
const PLUGINS: [(&str, &str); 6] = [
    ("serverless-pre-function", LUA_PLUGIN),
    ("serverless-post-function", LUA_PLUGIN),
    ("inspect", LUA_PLUGIN),
    ("ext-plugin-pre-req", RUNNER_PLUGIN),
    ("ext-plugin-post-req", RUNNER_PLUGIN),
    ("ext-plugin-post-resp", RUNNER_PLUGIN),
];

const LUA_PLUGIN: &str =
    "it runs Lua source, which Crossway does not; what it does can be a plugin written in Rust";

const RUNNER_PLUGIN: &str = "it hands requests to a plugin runner through the Lua runtime of Apache APISIX, which Crossway does not have; \
     what it does can be a plugin written in Rust";

/// The refusal of a plugin that is not there.
pub fn unknown_plugin(name: &str) -> String {
    match PLUGINS.iter().find(|(known, _)| *known == name) {
        Some((_, reason)) => format!("unknown plugin [{name}]: {reason}"),
        None => format!("unknown plugin [{name}]"),
    }
}

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

#[cfg(test)]
mod tests {
    use super::unknown_plugin;

    #[test]
    fn a_plugin_that_is_bound_to_lua_is_refused_with_the_reason() {
        assert_eq!(unknown_plugin("nonsense"), "unknown plugin [nonsense]");
        for name in [
            "serverless-pre-function",
            "serverless-post-function",
            "ext-plugin-pre-req",
        ] {
            let refusal = unknown_plugin(name);
            assert!(
                refusal.starts_with(&format!("unknown plugin [{name}]: ")),
                "{refusal}"
            );
            assert!(
                refusal.contains("Lua") && refusal.contains("written in Rust"),
                "{refusal}"
            );
        }
    }
}
