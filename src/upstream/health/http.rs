//! A probe that sends an HTTP/1.1 request and reads the status. Pingora's connector and parser serve, so that TLS is
//! what traffic would meet; its `HttpHealthCheck` does not: it reads bodies without end, and has one set of thresholds
//! of its own.

use super::{
    checks::{Active, ProbeKind},
    probe::{Probe, ProbeConnector, Verdict},
};
use crate::upstream::{
    node::Node,
    peer,
    place::Place,
    spec::{PassHost, Spec},
};
use async_trait::async_trait;
use http::{HeaderValue, header};
use pingora_core::{ErrorType, protocols::http::client::HttpSession, upstreams::peer::HttpPeer};
use pingora_http::RequestHeader;
use std::sync::Arc;

pub(super) struct HttpProbe {
    active: Active,
    spec: Arc<Spec>,
    connector: Arc<ProbeConnector>,
}

impl HttpProbe {
    pub(super) fn new(active: Active, spec: Arc<Spec>, connector: Arc<ProbeConnector>) -> Self {
        Self {
            active,
            spec,
            connector,
        }
    }

    /// `Host` of the request: that of the upstream's rule where it has one, that of the check, the node's. Without
    /// port: so does the library that APISIX probes with.
    fn host(&self, node: &Node) -> Option<HeaderValue> {
        let of = |name: &str| HeaderValue::from_str(name).ok();
        match (&self.spec.pass_host, &self.active.host) {
            (PassHost::Rewrite(host), _) => Some(host.clone()),
            (PassHost::Node, _) if node.has_name() => of(node.host()),
            (_, Some(host)) => of(host),
            (_, None) => of(node.host_to_name()),
        }
    }

    fn request(&self, node: &Node) -> pingora_core::Result<(RequestHeader, String)> {
        let path = self.active.path.as_bytes();
        let count = self.active.headers.len() + 4;
        let mut request = RequestHeader::build(self.active.method.clone(), path, Some(count))?;
        let host = self.host(node);
        if let Some(host) = &host {
            request.insert_header(header::HOST, host)?;
        }
        request.insert_header(header::USER_AGENT, "crossway (health check)")?;
        request.insert_header(header::CONNECTION, "close")?;
        if !self.active.body.is_empty() {
            request.insert_header(header::CONTENT_LENGTH, self.active.body.len())?;
        }
        for (name, value) in &self.active.headers {
            request.insert_header(name, value)?;
        }
        let sni = host
            .as_ref()
            .and_then(|host| host.to_str().ok())
            .and_then(peer::name_of);
        Ok((
            request,
            sni.unwrap_or(peer::bare(node.host_to_name())).to_owned(),
        ))
    }

    fn peer(&self, address: &Place, sni: String) -> HttpPeer {
        let tls = self.active.kind == ProbeKind::Https;
        let mut peer = peer::at(address, tls, if tls { sni } else { String::new() });
        if tls {
            peer.client_cert_key = self.spec.tls.client_cert.clone();
            peer.options.ca = self.spec.tls.ca.clone();
            peer.options.verify_cert = self.active.verify;
            peer.options.verify_hostname = self.active.verify;
        }
        // Where checks have a port of their own, something else listens.
        if let (Some(protocol), None) = (self.spec.proxy_protocol, self.active.port) {
            protocol.speak_for_gateway(&mut peer);
        }
        peer
    }

    async fn status(&self, node: &Node, address: &Place) -> pingora_core::Result<u16> {
        let (request, sni) = self.request(node)?;
        let peer = self.peer(address, sni);
        let (mut session, _) = self.connector.http().get_http_session(&peer).await?;
        session.write_request_header(Box::new(request)).await?;
        if !self.active.body.is_empty() {
            session
                .write_request_body(self.active.body.clone(), true)
                .await?;
        }
        session.finish_request_body().await?;
        final_status(&mut session).await
    }
}

/// The first status that is not informational. The rest is left unread: the connection goes with the session.
async fn final_status(session: &mut HttpSession) -> pingora_core::Result<u16> {
    loop {
        session.read_response_header().await?;
        let status = session
            .response_header()
            .map_or(0, |head| head.status.as_u16());
        if !(100..200).contains(&status) {
            return Ok(status);
        }
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn check(&self, node: &Node, address: &Place) -> Verdict {
        match self.status(node, address).await {
            Ok(status) => Verdict::Status(status),
            Err(error) => match error.etype() {
                ErrorType::ConnectTimedout
                | ErrorType::ReadTimedout
                | ErrorType::WriteTimedout
                | ErrorType::TLSHandshakeTimedout => Verdict::TimedOut,
                _ => Verdict::Failed(error.to_string()),
            },
        }
    }
}
