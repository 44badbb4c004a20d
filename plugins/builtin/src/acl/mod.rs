//! `acl`: admits or refuses by the labels of the consumer, or of a user whom an identity provider knows.

mod config;
mod label;
#[cfg(test)]
mod tests;

pub use config::{Config, Labels, Parser};

use crate::json_path::JsonPath;
use crossway_sdk::{expr::Pattern, prelude::*};
use label::Reading;

/// The plugin.
pub struct Acl {
    allow: Option<Labels>,
    deny: Option<Labels>,
    of_consumers: Reading,
    /// Where an external user's label stands, under which name the lists have it, and how it is read.
    external: (JsonPath, Box<str>, Reading),
    refusal: Reply,
}

#[phases]
impl Plugin for Acl {
    const NAME: &'static str = "acl";
    const PRIORITY: i32 = 2410;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.allow_labels.is_none() && config.deny_labels.is_none() {
            let message = "expected at least one of allow_labels and deny_labels";
            return Err(cx.error("", message));
        }
        let field = &config.external_user_label_field;
        let path = JsonPath::parse(field)
            .map_err(|e| cx.error("/external_user_label_field", e.to_string()))?;
        let name = config.external_user_label_field_key.as_ref();
        let at = "/external_user_label_field_separator";
        let separator = config.external_user_label_field_separator.as_ref();
        let separator = separator
            .map(|text| segments(text).map_err(|e| cx.error(at, e)))
            .transpose()?;
        let reading = match (config.external_user_label_field_parser, separator) {
            (None, _) => Reading::guess(cx)?,
            (Some(Parser::Json), _) => Reading::Json,
            (Some(Parser::Table), _) => Reading::List,
            (Some(Parser::SegmentedText), Some(separator)) => Reading::Segments(separator),
            (Some(Parser::SegmentedText), None) => {
                return Err(cx.error(at, "the parser segmented_text needs a separator"));
            }
        };
        let message = config.rejected_msg.as_deref();
        Ok(Self {
            allow: config.allow_labels,
            deny: config.deny_labels,
            of_consumers: Reading::guess(cx)?,
            external: (path, name.unwrap_or(field).as_str().into(), reading),
            refusal: Reply::message(
                config.rejected_code,
                message.unwrap_or("The consumer is forbidden."),
            ),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let admitted = if let Some(identity) = &ex.request.identity {
            let labels = &identity.consumer.labels;
            self.admits(|wanted, in_doubt| {
                wanted.iter().any(|(name, values)| {
                    let label = labels.get(name);
                    label.is_some_and(|label| self.of_consumers.text_has(label, values, in_doubt))
                })
            })
        } else if let Some(user) = &ex.request.external_user {
            let (path, name, reading) = &self.external;
            let label = path.first(user);
            self.admits(|wanted, in_doubt| match (label, wanted.get(&**name)) {
                (Some(label), Some(values)) => reading.has(label, values, in_doubt),
                _ => false,
            })
        } else {
            return Step::respond(Reply::message(401, "Missing authentication."));
        };
        match admitted {
            true => Step::next(),
            false => Step::respond(self.refusal.clone()),
        }
    }
}

impl Acl {
    /// Where a label cannot be read to its end, nobody is admitted by it, and nobody gets around a denial.
    fn admits(&self, has_one_of: impl Fn(&Labels, bool) -> bool) -> bool {
        let denied = self
            .deny
            .as_ref()
            .is_some_and(|deny| has_one_of(deny, true));
        !denied
            && self
                .allow
                .as_ref()
                .is_none_or(|allow| has_one_of(allow, false))
    }
}

/// What separates values, with the white space around it.
fn segments(separator: &str) -> Result<Pattern, String> {
    Pattern::new(&format!(r"\s*(?:{separator})\s*"), false).map_err(|e| e.to_string())
}
