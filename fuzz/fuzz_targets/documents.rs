//! Arbitrary bytes as a document of each kind: judged without a panic, and what is accepted decodes.
#![no_main]

use crossway::model::{self, Kind};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Decodes a document that was accepted.
fn decode(kind: Kind, document: &Value) -> Result<(), model::Problem> {
    match kind {
        Kind::Route => model::decode::<model::Route>(document).map(drop),
        Kind::Service => model::decode::<model::Service>(document).map(drop),
        Kind::Upstream => model::decode::<model::Upstream>(document).map(drop),
        Kind::Consumer => model::decode::<model::Consumer>(document).map(drop),
        Kind::Ssl => model::decode::<model::Ssl>(document).map(drop),
        _ => Ok(()),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    for kind in Kind::ALL {
        if model::check(*kind, &document).is_ok() {
            decode(*kind, &document).expect("what passes the check decodes");
        }
    }
    // The same bytes as an expression and as a template: refused or compiled, never a panic.
    if let Ok(expression) = crossway_sdk::expr::Expression::parse(&document) {
        let nothing = std::collections::HashMap::<String, String>::new();
        let explained = expression.explain(&nothing);
        assert_eq!(expression.matches(&nothing), explained.is_none());
    }
    if let Some(text) = document.as_str() {
        drop(crossway_sdk::expr::Template::parse(text));
    }
});
