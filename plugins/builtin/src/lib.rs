//! The plugins that Crossway has built in, and the one list of them. They stand on the SDK alone, as a third party's
//! plugins do.

pub mod basic_auth;
pub mod body_transformer;
pub mod brotli;
pub mod consumer_restriction;
pub mod cors;
pub mod fault_injection;
pub mod grpc_transcode;
pub mod grpc_web;
pub mod gzip;
pub mod ip_restriction;
pub mod jwt_auth;
pub mod key_auth;
pub mod limit_conn;
pub mod limit_count;
pub mod limit_req;
pub mod mocking;
pub mod prometheus;
pub mod proxy_rewrite;
pub mod redirect;
pub mod request_id;
pub mod response_rewrite;
pub mod traffic_split;

mod auth;
mod compression;
mod limit;
mod request_body;
mod rewrite;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use crossway_sdk::definition::{Definition, Doubled, Registry};

/// All built-in plugins.
///
/// # Errors
/// Two of them have one name, which is a mistake in the list below.
pub fn registry() -> Result<Registry, Doubled> {
    Registry::default()
        .plugin(Definition::auth::<basic_auth::BasicAuth>())?
        .plugin(Definition::of::<body_transformer::BodyTransformer>())?
        .plugin(Definition::of::<brotli::Brotli>())?
        .plugin(Definition::of::<consumer_restriction::ConsumerRestriction>())?
        .plugin(Definition::of::<cors::Cors>())?
        .plugin(Definition::of::<fault_injection::FaultInjection>())?
        .plugin(Definition::of::<grpc_transcode::GrpcTranscode>())?
        .plugin(Definition::of::<grpc_web::GrpcWeb>())?
        .plugin(Definition::of::<gzip::Gzip>())?
        .plugin(Definition::of::<ip_restriction::IpRestriction>())?
        .plugin(Definition::auth::<jwt_auth::JwtAuth>())?
        .plugin(Definition::auth::<key_auth::KeyAuth>())?
        .plugin(Definition::of::<limit_conn::LimitConn>())?
        .plugin(Definition::of::<limit_count::LimitCount>())?
        .plugin(Definition::of::<limit_req::LimitReq>())?
        .plugin(Definition::of::<mocking::Mocking>())?
        .plugin(Definition::of::<prometheus::Prometheus>())?
        .plugin(Definition::of::<proxy_rewrite::ProxyRewrite>())?
        .plugin(Definition::of::<redirect::Redirect>())?
        .plugin(Definition::of::<request_id::RequestId>())?
        .plugin(Definition::of::<response_rewrite::ResponseRewrite>())?
        .plugin(Definition::of::<traffic_split::TrafficSplit>())
}
