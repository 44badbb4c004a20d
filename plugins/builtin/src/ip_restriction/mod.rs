//! `ip-restriction`: admits or refuses by the client's address, which is that of the connection unless another plugin
//! or a trusted proxy has found out a better one.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::{expr::IpSet, prelude::*};
use std::net::IpAddr;

/// The plugin.
pub struct IpRestriction {
    networks: IpSet,
    /// What to do with an address that is among them.
    admits_listed: bool,
    refusal: Reply,
}

#[phases]
impl Plugin for IpRestriction {
    const NAME: &'static str = "ip-restriction";
    const PRIORITY: i32 = 3000;
    const SCOPES: Scopes = Scopes::HTTP.union(Scopes::STREAM);
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let (place, networks) = match (config.whitelist, config.blacklist) {
            (Some(networks), None) => ("whitelist", networks),
            (None, Some(networks)) => ("blacklist", networks),
            (Some(_), Some(_)) => {
                return Err(cx.error("", "expected either whitelist or blacklist, got both"));
            }
            (None, None) => {
                return Err(cx.error("", "expected either whitelist or blacklist, got neither"));
            }
        };
        let refuse = |error| {
            let mut each = networks.iter();
            let at = each.position(|n| IpSet::parse([n]).is_err()).unwrap_or(0);
            cx.error(format!("/{place}/{at}"), format!("{error}"))
        };
        Ok(Self {
            networks: IpSet::parse(&networks).map_err(refuse)?,
            admits_listed: place == "whitelist",
            refusal: Reply::message(config.response_code, &config.message),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        self.judge(ex.request.client.ip())
    }

    fn stream_access<'a>(&'a self, ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        self.judge(ex.session.client.ip())
    }
}

impl IpRestriction {
    fn judge(&self, client: IpAddr) -> Step<'_> {
        if self.networks.contains(client) == self.admits_listed {
            Step::next()
        } else {
            Step::respond(self.refusal.clone())
        }
    }
}
