//! The yardstick: the smallest HTTP forwarder that can be written on Pingora. One upstream, the
//! default keepalive pool, no plugins, no logger, no tuning; what it costs, a gateway on Pingora
//! cannot go below without changing Pingora. `bare LISTEN UPSTREAM [THREADS]`.

use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(listen), Some(Ok(upstream))) = (
        arguments.first(),
        arguments.get(1).map(|upstream| upstream.parse()),
    ) else {
        eprintln!(
            "bare LISTEN UPSTREAM [THREADS], for example: bare 127.0.0.1:9081 127.0.0.1:9082"
        );
        return ExitCode::FAILURE;
    };
    let threads = arguments
        .get(2)
        .and_then(|threads| threads.parse().ok())
        .unwrap_or(1);
    let conf = ServerConf {
        threads,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream });
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
