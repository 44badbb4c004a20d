//! Whether a document says something that its kind can say. References to other documents and the
//! configurations of plugins are judged elsewhere.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{decode::decode, kind::Kind, lua, problem::Problem};

/// The first problem of a document, if it has one. See [`check_all`].
pub fn check(kind: Kind, document: &Value) -> Result<(), Problem> {
    match check_all(kind, document).into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// All problems of a document: fields bound to Lua, then its schema, then the rules between its
/// fields (which are only asked once the schema is met).
///
/// The document is judged as it would be stored: the id of its path must already be in it for the
/// kinds that require one, and secret texts must be in the clear. `create_time` and `update_time` are
/// accepted; whether a client may set them is for the caller to say.
pub fn check_all(kind: Kind, document: &Value) -> Vec<Problem> {
    let mut problems = judge(kind, document);
    if problems.is_empty() {
        problems.extend((kind.row().decodes)(document).err());
    }
    problems
}

/// Checks a document and decodes it, in one go: what [`check`] and [`decode`](super::decode()) do together.
///
/// # Errors
/// The first problem.
pub fn checked<T: DeserializeOwned>(kind: Kind, document: &Value) -> Result<T, Problem> {
    match judge(kind, document).into_iter().next() {
        Some(problem) => Err(problem),
        None => decode(document),
    }
}

/// All problems but that it does not decode.
fn judge(kind: Kind, document: &Value) -> Vec<Problem> {
    let row = kind.row();
    let mut problems = Vec::new();
    lua::rules(document, row.lua_fields, row.plugins, &mut problems);
    // Rules that APISIX asks before the schema, so that their wording wins.
    (row.rules_first)(document, &mut problems);
    let schema = row
        .narrow
        .and_then(|narrow| narrow(document))
        .unwrap_or_else(|| row.compiled());
    let refused: Vec<String> = problems
        .iter()
        .map(|problem| problem.path.clone())
        .collect();
    let violations = schema.problems(document);
    problems.extend(
        violations
            .into_iter()
            .filter(|problem| !refused.contains(&problem.path)),
    );
    if problems.is_empty() {
        (row.rules)(document, &mut problems);
    }
    problems
}
