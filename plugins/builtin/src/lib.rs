//! The plugins that Crossway has built in. Each is a folder with its configuration and its tests; none knows more of
//! the gateway than the SDK tells.

pub mod fault_injection;
pub mod limit_conn;
pub mod limit_count;
pub mod limit_req;
pub mod proxy_rewrite;
pub mod redirect;
pub mod response_rewrite;
pub mod traffic_split;

mod limit;
mod request_body;
mod rewrite;
#[cfg(test)]
mod scenes;

use crossway_sdk::definition::Definition;

/// The definitions of all built-in plugins.
pub fn all() -> Vec<Definition> {
    vec![
        Definition::of::<fault_injection::FaultInjection>(),
        Definition::of::<limit_conn::LimitConn>(),
        Definition::of::<limit_count::LimitCount>(),
        Definition::of::<limit_req::LimitReq>(),
        Definition::of::<proxy_rewrite::ProxyRewrite>(),
        Definition::of::<redirect::Redirect>(),
        Definition::of::<response_rewrite::ResponseRewrite>(),
        Definition::of::<traffic_split::TrafficSplit>(),
    ]
}
