//! The plugins that Crossway has built in, and the one list of them. They stand on the SDK alone, as a third party's
//! plugins do.

pub mod acl;
pub mod api_breaker;
pub mod attach_consumer_label;
pub mod authz_casbin;
pub mod basic_auth;
pub mod batch_requests;
pub mod body_transformer;
pub mod brotli;
pub mod clickhouse_logger;
pub mod client_control;
pub mod consumer_restriction;
pub mod cors;
pub mod csrf;
pub mod data_mask;
pub mod datadog;
pub mod degraphql;
pub mod echo;
pub mod elasticsearch_logger;
pub mod error_log_logger;
pub mod error_page;
pub mod exit_transformer;
pub mod fault_injection;
pub mod file_logger;
pub mod forward_auth;
pub mod graphql_limit_count;
pub mod graphql_proxy_cache;
pub mod grpc_transcode;
pub mod grpc_web;
pub mod gzip;
pub mod hmac_auth;
pub mod http_logger;
pub mod ip_restriction;
pub mod jwe_decrypt;
pub mod jwt_auth;
pub mod kafka_logger;
pub mod key_auth;
pub mod ldap_auth;
pub mod limit_conn;
pub mod limit_count;
pub mod limit_req;
pub mod loki_logger;
pub mod mocking;
pub mod multi_auth;
pub mod opa;
pub mod openid_connect;
pub mod opentelemetry;
pub mod prometheus;
pub mod proxy_cache;
pub mod proxy_control;
pub mod proxy_mirror;
pub mod proxy_rewrite;
pub mod public_api;
pub mod real_ip;
pub mod redirect;
pub mod referer_restriction;
pub mod request_id;
pub mod request_validation;
pub mod response_rewrite;
pub mod splunk_hec_logging;
pub mod syslog;
pub mod tcp_logger;
pub mod traffic_label;
pub mod traffic_split;
pub mod ua_restriction;
pub mod udp_logger;
pub mod uri_blocker;
pub mod workflow;
pub mod zipkin;

mod answer_text;
mod apart;
mod auth;
mod compression;
mod graphql;
mod json_path;
mod limit;
mod logger;
mod redis;
mod remote;
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
        .plugin(Definition::of::<acl::Acl>())?
        .plugin(Definition::of::<api_breaker::ApiBreaker>())?
        .plugin(Definition::of::<attach_consumer_label::AttachConsumerLabel>())?
        .plugin(Definition::of::<authz_casbin::AuthzCasbin>())?
        .plugin(Definition::auth::<basic_auth::BasicAuth>())?
        .plugin(Definition::of::<batch_requests::BatchRequests>())?
        .plugin(Definition::of::<body_transformer::BodyTransformer>())?
        .plugin(Definition::of::<brotli::Brotli>())?
        .plugin(Definition::of::<clickhouse_logger::ClickhouseLogger>())?
        .plugin(Definition::of::<client_control::ClientControl>())?
        .plugin(Definition::of::<consumer_restriction::ConsumerRestriction>())?
        .plugin(Definition::of::<cors::Cors>())?
        .plugin(Definition::of::<csrf::Csrf>())?
        .plugin(Definition::of::<data_mask::DataMask>())?
        .plugin(Definition::of::<datadog::Datadog>())?
        .plugin(Definition::of::<degraphql::Degraphql>())?
        .plugin(Definition::of::<echo::Echo>())?
        .plugin(Definition::of::<elasticsearch_logger::ElasticsearchLogger>())?
        .plugin(Definition::of::<error_log_logger::ErrorLogLogger>())?
        .plugin(Definition::of::<error_page::ErrorPage>())?
        .plugin(Definition::of::<exit_transformer::ExitTransformer>())?
        .plugin(Definition::of::<fault_injection::FaultInjection>())?
        .plugin(Definition::of::<file_logger::FileLogger>())?
        .plugin(Definition::of::<forward_auth::ForwardAuth>())?
        .plugin(Definition::of::<graphql_limit_count::GraphqlLimitCount>())?
        .plugin(Definition::of::<graphql_proxy_cache::GraphqlProxyCache>())?
        .plugin(Definition::of::<grpc_transcode::GrpcTranscode>())?
        .plugin(Definition::of::<grpc_web::GrpcWeb>())?
        .plugin(Definition::of::<gzip::Gzip>())?
        .plugin(Definition::auth::<hmac_auth::HmacAuth>())?
        .plugin(Definition::of::<http_logger::HttpLogger>())?
        .plugin(Definition::of::<ip_restriction::IpRestriction>())?
        .plugin(Definition::auth::<jwe_decrypt::JweDecrypt>())?
        .plugin(Definition::auth::<jwt_auth::JwtAuth>())?
        .plugin(Definition::of::<kafka_logger::KafkaLogger>())?
        .plugin(Definition::auth::<key_auth::KeyAuth>())?
        .plugin(Definition::auth::<ldap_auth::LdapAuth>())?
        .plugin(Definition::of::<limit_conn::LimitConn>())?
        .plugin(Definition::of::<limit_count::LimitCount>())?
        .plugin(Definition::of::<limit_req::LimitReq>())?
        .plugin(Definition::of::<loki_logger::LokiLogger>())?
        .plugin(Definition::of::<mocking::Mocking>())?
        .plugin(Definition::of::<multi_auth::MultiAuth>())?
        .plugin(Definition::of::<opa::Opa>())?
        .plugin(Definition::of::<openid_connect::OpenidConnect>())?
        .plugin(Definition::of::<opentelemetry::OpenTelemetry>())?
        .plugin(Definition::of::<prometheus::Prometheus>())?
        .plugin(Definition::of::<proxy_cache::ProxyCache>())?
        .plugin(Definition::of::<proxy_control::ProxyControl>())?
        .plugin(Definition::of::<proxy_mirror::ProxyMirror>())?
        .plugin(Definition::of::<proxy_rewrite::ProxyRewrite>())?
        .plugin(Definition::of::<public_api::PublicApi>())?
        .plugin(Definition::of::<real_ip::RealIp>())?
        .plugin(Definition::of::<redirect::Redirect>())?
        .plugin(Definition::of::<referer_restriction::RefererRestriction>())?
        .plugin(Definition::of::<request_id::RequestId>())?
        .plugin(Definition::of::<request_validation::RequestValidation>())?
        .plugin(Definition::of::<response_rewrite::ResponseRewrite>())?
        .plugin(Definition::of::<splunk_hec_logging::SplunkHecLogging>())?
        .plugin(Definition::of::<syslog::Syslog>())?
        .plugin(Definition::of::<tcp_logger::TcpLogger>())?
        .plugin(Definition::of::<traffic_label::TrafficLabel>())?
        .plugin(Definition::of::<traffic_split::TrafficSplit>())?
        .plugin(Definition::of::<ua_restriction::UaRestriction>())?
        .plugin(Definition::of::<udp_logger::UdpLogger>())?
        .plugin(Definition::of::<uri_blocker::UriBlocker>())?
        .plugin(Definition::of::<workflow::Workflow>())?
        .plugin(Definition::of::<zipkin::Zipkin>())
}
