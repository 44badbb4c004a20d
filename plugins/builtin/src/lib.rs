//! The plugins that Crossway has built in, and the one list of them. They stand on the SDK alone, as a third party's
//! plugins do.

pub mod basic_auth;
pub mod clickhouse_logger;
pub mod consumer_restriction;
pub mod cors;
pub mod datadog;
pub mod elasticsearch_logger;
pub mod error_log_logger;
pub mod fault_injection;
pub mod file_logger;
pub mod http_logger;
pub mod ip_restriction;
pub mod jwt_auth;
pub mod kafka_logger;
pub mod key_auth;
pub mod limit_conn;
pub mod limit_count;
pub mod limit_req;
pub mod loki_logger;
pub mod mocking;
pub mod prometheus;
pub mod proxy_rewrite;
pub mod redirect;
pub mod request_id;
pub mod response_rewrite;
pub mod splunk_hec_logging;
pub mod syslog;
pub mod tcp_logger;
pub mod traffic_split;
pub mod udp_logger;
pub mod zipkin;

mod auth;
mod limit;
mod logger;
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
        .plugin(Definition::of::<consumer_restriction::ConsumerRestriction>())?
        .plugin(Definition::of::<cors::Cors>())?
        .plugin(Definition::of::<error_log_logger::ErrorLogLogger>())?
        .plugin(Definition::of::<fault_injection::FaultInjection>())?
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
        .plugin(Definition::of::<clickhouse_logger::ClickhouseLogger>())?
        .plugin(Definition::of::<datadog::Datadog>())?
        .plugin(Definition::of::<elasticsearch_logger::ElasticsearchLogger>())?
        .plugin(Definition::of::<file_logger::FileLogger>())?
        .plugin(Definition::of::<http_logger::HttpLogger>())?
        .plugin(Definition::of::<kafka_logger::KafkaLogger>())?
        .plugin(Definition::of::<loki_logger::LokiLogger>())?
        .plugin(Definition::of::<splunk_hec_logging::SplunkHecLogging>())?
        .plugin(Definition::of::<syslog::Syslog>())?
        .plugin(Definition::of::<tcp_logger::TcpLogger>())?
        .plugin(Definition::of::<udp_logger::UdpLogger>())?
        .plugin(Definition::of::<zipkin::Zipkin>())?
        .plugin(Definition::of::<traffic_split::TrafficSplit>())
}
