//! `attach-consumer-label`: tells the upstream labels of the consumer in headers, which no client can set itself.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::rewrite::headers::{self, Name};
use crossway_sdk::{prelude::*, schema::member};
use http::HeaderValue;

/// The plugin.
pub struct AttachConsumerLabel {
    /// Headers, each with the label that it carries.
    headers: Box<[(Name, Box<str>)]>,
}

#[phases]
impl Plugin for AttachConsumerLabel {
    const NAME: &'static str = "attach-consumer-label";
    const PRIORITY: i32 = 2399;
    type Config = Config;

    fn build(config: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        let headers = config.headers.iter().map(|(name, label)| {
            let path = member("/headers", name);
            let label = label.strip_prefix('$').unwrap_or(label);
            Ok((headers::name(name, &path)?, label.into()))
        });
        Ok(Self {
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        let labels = ex.request.identity.as_ref().map(|i| &i.consumer.labels);
        for (name, label) in &self.headers {
            let value = labels
                .and_then(|labels| labels.get(&**label))
                .and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok());
            match value {
                Some(value) => head.insert_header(name.spelling.clone(), value)?,
                // The client's own would pass for a label.
                None => drop(head.remove_header(&name.name)),
            }
        }
        Ok(())
    }
}
