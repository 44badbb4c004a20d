//! `proxy-control`: known, so that a configuration of Apache APISIX is taken. Request bodies are sent on as they come.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::prelude::*;

/// The plugin.
pub struct ProxyControl;

#[phases]
impl Plugin for ProxyControl {
    const NAME: &'static str = "proxy-control";
    const PRIORITY: i32 = 21990;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.request_buffering {
            tracing::debug!(
                resource = cx.resource(),
                "proxy-control has no effect: request bodies are always streamed"
            );
        }
        Ok(Self)
    }
}
