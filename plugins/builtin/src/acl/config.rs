//! Configuration of `acl`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Values of labels, by name.
pub type Labels = BTreeMap<String, Vec<String>>;

/// Admits or refuses by the labels of the consumer. At least one of `allow_labels` and `deny_labels` must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Only who has one of these values in one of these labels is admitted.
    #[schemars(extend("minProperties" = 1, "additionalProperties" = {"type": "array", "minItems": 1, "items": {"type": "string"}}))]
    pub allow_labels: Option<Labels>,
    /// Who has one of these values in one of these labels is refused; looked at first.
    #[schemars(extend("minProperties" = 1, "additionalProperties" = {"type": "array", "minItems": 1, "items": {"type": "string"}}))]
    pub deny_labels: Option<Labels>,
    /// Status of a refusal.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 200, max = 999))]
    pub rejected_code: u16,
    /// Message of a refusal, in place of `The consumer is forbidden.`
    pub rejected_msg: Option<String>,
    /// Where the labels of a user stand whom an identity provider knows and no consumer is: a JSONPath.
    #[serde(default = "groups")]
    #[schemars(length(min = 1))]
    pub external_user_label_field: String,
    /// The name under which the lists have these labels; without it, `external_user_label_field`.
    #[schemars(length(min = 1))]
    pub external_user_label_field_key: Option<String>,
    /// How such a label is read. Without it: a list as it is, a text with `[` at its beginning as JSON, a text with commas as
    /// several, any other text as one.
    pub external_user_label_field_parser: Option<Parser>,
    /// What stands between the values of a `segmented_text`: a regular expression.
    #[schemars(length(min = 1))]
    pub external_user_label_field_separator: Option<String>,
}

/// How a label is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Parser {
    /// A text with `external_user_label_field_separator` between the values.
    SegmentedText,
    /// A text that is a JSON list.
    Json,
    /// A list.
    Table,
}

fn forbidden() -> u16 {
    403
}

fn groups() -> String {
    "groups".to_owned()
}
