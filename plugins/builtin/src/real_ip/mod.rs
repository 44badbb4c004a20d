//! `real-ip`: takes the client's address from what a proxy before the gateway says, if that proxy is to be believed.

mod address;
mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::{
    expr::{IpSet, Lookup, Variable},
    prelude::*,
};
use http::{HeaderMap, HeaderName};
use std::net::SocketAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The plugin.
pub struct RealIp {
    source: Source,
    trusted: Option<IpSet>,
}

/// Where the address stands.
enum Source {
    /// At the end of X-Forwarded-For, or with `recursive` before the trusted proxies there.
    ForwardedFor {
        recursive: bool,
    },
    Variable(Variable),
}

#[phases]
impl Plugin for RealIp {
    const NAME: &'static str = "real-ip";
    const PRIORITY: i32 = 23000;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let variable =
            Variable::parse(&config.source).map_err(|e| cx.error("/source", e.to_string()))?;
        if variable.needs_body() {
            let message = "expected a variable that is there before the request body";
            return Err(cx.error("/source", message));
        }
        let source = match variable {
            Variable::Header(name) if name == X_FORWARDED_FOR => Source::ForwardedFor {
                recursive: config.recursive,
            },
            other => Source::Variable(other),
        };
        let trusted = match &config.trusted_addresses {
            None => None,
            Some(networks) => Some(IpSet::parse(networks).map_err(|e| {
                let at = networks.iter().position(|n| IpSet::parse([n]).is_err());
                let path = format!("/trusted_addresses/{}", at.unwrap_or(0));
                cx.error(path, format!("invalid ip address: {}", e.0))
            })?),
        };
        Ok(Self { source, trusted })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if let Some(client) = self.client(ex) {
            ex.request.client = client;
        }
        Step::next()
    }
}

impl RealIp {
    /// The client that a proxy which is believed names; `None` to leave it as it is.
    fn client(&self, ex: &Exchange<'_>) -> Option<SocketAddr> {
        let believed = |trusted: &IpSet| trusted.contains(ex.request.client.ip());
        if !self.trusted.as_ref().is_none_or(believed) {
            return None;
        }
        match &self.source {
            Source::ForwardedFor { recursive } => {
                let trusted = self.trusted.as_ref().filter(|_| *recursive);
                forwarded_for(&ex.session.req_header().headers, trusted)
            }
            Source::Variable(variable) => {
                let mut text = Vec::new();
                ex.lookup(variable)?.write_to(&mut text);
                address::parse(&text)
            }
        }
    }
}

/// The last address, or the last one that is not of a trusted proxy; when all are, the first. The lines of the header are one
/// list (RFC 9110 §5.3). What is no address is nobody to be trusted, and ends the search without a result.
fn forwarded_for(headers: &HeaderMap, trusted: Option<&IpSet>) -> Option<SocketAddr> {
    let lines = headers.get_all(&X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|b| *b == b','));
    let mut outermost = None;
    for hop in hops {
        let address = address::parse(hop)?;
        match trusted {
            Some(trusted) if trusted.contains(address.ip()) => outermost = Some(address),
            _ => return Some(address),
        }
    }
    outermost
}
