//! Settings of TLS towards clients. Certificates are resources (`ssls`), not settings.

use super::value::Seconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};

/// TLS towards clients. The certificates themselves are resources: `ssls`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The server name that is taken for clients that send none (SNI), such as those that connect to an IP address. Without
    /// it, their handshakes are refused. A name that is sent and has no certificate is refused in any case.
    #[schemars(length(min = 1, max = 253))]
    #[schemars(extend("x-applies" = "live"))]
    pub fallback_sni: Option<String>,
    /// Versions of TLS, for `ssls` without `ssl_protocols`.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-applies" = "restart"))]
    pub protocols: Vec<TlsProtocol>,
    /// Whether clients may resume sessions by tickets. Their keys are made at random, replaced every 6 hours and forgotten after
    /// 12; another gateway, or this one after a restart, cannot read them.
    #[schemars(extend("x-applies" = "restart"))]
    pub session_tickets: bool,
    /// Sessions that are remembered for clients without tickets; 0 for none. Names that verify clients remember theirs apart, at
    /// most 64 each, or 1024 when `session_tickets` is off.
    #[schemars(range(max = 1_048_576))]
    #[schemars(extend("x-applies" = "restart"))]
    pub session_cache: usize,
    /// A directory with OCSP responses in DER, one in each file whose name ends in `.ocsp` or `.der`. A response is stapled to
    /// the certificate that it speaks of, as long as it holds. Who fetches the responses is up to you.
    #[schemars(extend("x-applies" = "live"))]
    pub ocsp_dir: Option<PathBuf>,
    /// Seconds after which `ocsp_dir` is read again.
    #[schemars(range(min = 1))]
    #[schemars(extend("x-applies" = "live"))]
    pub ocsp_reload: Seconds,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            fallback_sni: None,
            protocols: vec![TlsProtocol::V1_2, TlsProtocol::V1_3],
            session_tickets: true,
            session_cache: 4096,
            ocsp_dir: None,
            ocsp_reload: Seconds(Duration::from_secs(60)),
        }
    }
}

/// A version of TLS. Older ones are not served: they are broken (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum TlsProtocol {
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    V1_3,
}
