//! Configuration of `graphql-limit-count`.

use crate::limit_count::Config as LimitCount;
use schemars::JsonSchema;
use serde::Deserialize;

/// Lets GraphQL requests pass whose depth, taken together, is within a number in each window of time. Only `POST` is
/// taken (405), with a body of `application/json` or `application/graphql` and 1 MiB at most (400). Either `count` and
/// `time_window`, or `rules`; what they and all other attributes mean is what they mean for `limit-count`, save that a
/// request counts as often as its document is deep.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Config(pub(crate) LimitCount);
