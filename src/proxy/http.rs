//! Pingora's callbacks, in the order in which they run. Each says what happens; how stands in the files beside.

use super::{
    Challenges, InFlight, Reports, admit, body, challenge, decide,
    exchange::Stage,
    failure, forward, grpc, mtls,
    reply::{self, insert},
    response, tries,
};
use crate::{
    listener::{Reason, http::Refusal},
    snapshot::Current,
};
use async_trait::async_trait;
use bytes::Bytes;
use crossway_sdk::{
    exchange::Exchange, expectation, flow::Reply, plugin::Phases, request::ResponseSource,
    variables,
};
use http::{HeaderMap, HeaderName, StatusCode, Version, header};
use pingora_core::{
    Error, ErrorType, Result, modules::http::HttpModules, protocols::Digest,
    upstreams::peer::HttpPeer,
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};
use std::{any::Any, sync::Arc, time::Duration};

const X_APISIX_UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-apisix-upstream-status");

/// How long the rest of a body that nobody wants is read before the connection is closed: nginx's `lingering_time`.
const DRAIN: Duration = Duration::from_secs(30);

/// The gateway as Pingora sees it.
pub struct Proxy {
    current: Arc<Current>,
    reports: Arc<dyn Reports>,
    challenges: Option<Arc<dyn Challenges>>,
}

impl Proxy {
    /// A proxy that serves whatever `current` holds.
    pub fn new(current: Arc<Current>, reports: Arc<dyn Reports>) -> Self {
        Self {
            current,
            reports,
            challenges: None,
        }
    }

    /// Answers certificate authorities that ask for a proof.
    #[must_use]
    pub fn with_challenges(mut self, challenges: Option<Arc<dyn Challenges>>) -> Self {
        self.challenges = challenges;
        self
    }

    async fn answer(
        &self,
        session: &mut Session,
        flight: &mut InFlight,
        reply: Reply,
    ) -> Result<bool> {
        reply::send(session, flight, reply, ResponseSource::Gateway).await?;
        Ok(true)
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Box<InFlight>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(InFlight::new(self.current.load()))
    }

    /// No modules: compression is a plugin's business.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    /// The edge gives a request that it refused in this way.
    fn on_connection_reuse(
        &self,
        _: &mut Session,
        flight: &mut Self::CTX,
        given: Box<dyn Any + Send + Sync>,
    ) {
        flight.refused = given.downcast::<Refusal>().ok().map(|r| r.status);
    }

    async fn request_filter(&self, session: &mut Session, flight: &mut Self::CTX) -> Result<bool> {
        self.reports.began();
        // A client that half-closes after its request still wants the answer.
        session.set_abort_on_close(false);
        if session.req_header().version == Version::HTTP_2 {
            // One stream may stand still while its connection does not, which is all that the edge sees.
            let patience = flight.rules().client_write_timeout;
            session.set_write_timeout(Some(patience));
            flight.is_call = grpc::is_call(session.req_header());
        }
        session.set_total_drain_timeout(Some(DRAIN));
        if let Err(reply) = admit::admit(session, flight) {
            if session.req_header().version == Version::HTTP_2 {
                // The edge has judged no other head of HTTP/2 than those that are no HTTP/2.
                match reply.status.as_u16() {
                    400 => self.reports.stopped(Reason::Malformed),
                    414 | 431 => self.reports.stopped(Reason::Oversized),
                    _ => {}
                }
            }
            return self.answer(session, flight, reply).await;
        }
        if let Some(challenges) = &self.challenges
            && let Some(reply) = challenge::answer(session, flight, &**challenges)
        {
            return self.answer(session, flight, reply).await;
        }
        if flight.request.tls
            && let Err(reply) = mtls::judge(session, flight)
        {
            return self.answer(session, flight, reply).await;
        }
        if session.req_header().version == Version::HTTP_10 {
            session.set_ignore_info_resp(true);
        }
        match decide::decide(session, flight).await {
            Some(reply) => self.answer(session, flight, reply).await,
            None => {
                if let Some(reply) = grpc::refusal(session.req_header(), flight) {
                    return self.answer(session, flight, reply).await;
                }
                // The gateway itself says that the body may come: not every upstream does.
                expectation::meet(session).await?;
                body::settle(session, flight).await?;
                Ok(false)
            }
        }
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        flight: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        tries::pick(session, flight)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        flight: &mut Self::CTX,
        error: Box<Error>,
    ) -> Box<Error> {
        tries::not_connected(flight, error)
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _: bool,
        _: &HttpPeer,
        _: std::os::unix::io::RawFd,
        _: Option<&Digest>,
        flight: &mut Self::CTX,
    ) -> Result<()> {
        if let Some(attempt) = flight.request.tries.last_mut() {
            attempt.connected = Some(attempt.began.elapsed());
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        head: &mut RequestHeader,
        flight: &mut Self::CTX,
    ) -> Result<()> {
        let client_host = session.req_header().headers.get(header::HOST).cloned();
        forward::shape(flight, flight.rules(), client_host, head)?;
        flight.request.upstream_host = head.headers.get(header::HOST).cloned();
        if flight.has(Phases::BEFORE_PROXY) {
            flight
                .each_chain(session, |chain, ex| chain.before_proxy(ex, head))
                .map_err(internal)?;
        }
        body::hand_over(session, flight, head)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        chunk: &mut Option<Bytes>,
        end: bool,
        flight: &mut Self::CTX,
    ) -> Result<()> {
        body::filter_request(session, flight, chunk, end)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        flight: &mut Self::CTX,
    ) -> Result<()> {
        let limits = &{ flight.rules().answers };
        if is_interim(head) {
            flight.interim += 1;
            return response::judge_interim(head, flight.interim, limits);
        }
        let websocket = flight.route.as_ref().is_some_and(|r| r.websocket);
        response::judge(session, head, websocket, limits)?;
        let status = head.status.as_u16();
        if let Some(attempt) = flight.request.tries.last_mut() {
            attempt.status = Some(status);
            attempt.answered = Some(attempt.began.elapsed());
        }
        if let Some(picked) = &flight.picked {
            picked.node().report_http(status);
        }
        flight.bodiless_answer = body::is_bodiless(session, head);
        flight.answered(status, ResponseSource::Upstream);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        flight: &mut Self::CTX,
    ) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        if flight.request.keep_upstream_head {
            flight.request.upstream_head = Some(Box::new(head.clone()));
        }
        let shown = flight.rules().show_upstream_status || head.status.is_server_error();
        if let Some(value) = shown.then(|| tries::statuses(flight)).flatten() {
            insert(head, &X_APISIX_UPSTREAM_STATUS, value);
        }
        if !reply::dress(session, flight, head) {
            return Error::e_explain(ErrorType::HTTPStatus(500), "a plugin failed");
        }
        flight.request.response.status = head.status.as_u16();
        body::fill(session, flight, head)?;
        response::frame(session, head)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        chunk: &mut Option<Bytes>,
        end: bool,
        flight: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if let (true, Some(attempt)) = (end, flight.request.tries.last_mut()) {
            attempt.ended = Some(attempt.began.elapsed());
        }
        body::filter_answer(session, flight, chunk, end)?;
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        flight: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        body::filter_trailers(session, flight, trailers)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        flight: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        body::take_back(session, flight);
        tries::broken(session, flight, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        flight: &mut Self::CTX,
    ) -> FailToProxy {
        body::take_back(session, flight);
        let started = session
            .response_written()
            .is_some_and(|head| !is_interim(head));
        let status = failure::status_of(error);
        tracing::debug!(%error, ?status, "a request failed");
        if error.etype() == &ErrorType::WriteTimedout
            && error.esource() == &pingora_core::ErrorSource::Downstream
        {
            self.reports.stopped(Reason::ResponseRate);
        }
        if let (false, Some(status)) = (started, status) {
            let source = match error.esource() {
                pingora_core::ErrorSource::Upstream => ResponseSource::Proxy,
                _ => ResponseSource::Gateway,
            };
            // Pingora closes the connection after this; the answer must not promise otherwise.
            session.set_keepalive(None);
            if status >= 500 && !flight.request.tries.is_empty() {
                name_upstream_status(flight);
            }
            let sent = reply::send(session, flight, Reply::status(status), source).await;
            if let Err(error) = sent {
                tracing::debug!(%error, "the client did not take its answer");
            }
            return FailToProxy {
                error_code: status,
                can_reuse_downstream: false,
            };
        }
        if !started {
            // nginx's word for a client that left before its answer.
            flight.request.response.status = 499;
        }
        FailToProxy {
            error_code: status.unwrap_or(0),
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, flight: &mut Self::CTX) {
        body::take_back(session, flight);
        tries::over(flight);
        if flight.stage > Stage::Arrived && flight.has(Phases::LOG) {
            flight.request.response.bytes_in = variables::request_length(session);
            flight.request.response.bytes_out = variables::bytes_sent(session);
            let snapshot = flight.snapshot.clone();
            let mut exchange = Exchange::new(session, &mut flight.request);
            match &flight.chain {
                Some(chain) => {
                    snapshot.global.log_beside(chain, &mut exchange);
                    chain.log(&mut exchange);
                }
                None => snapshot.global.log(&mut exchange),
            }
        }
        let conduct = &flight.snapshot.conduct;
        self.reports.ended(session, &flight.request, conduct);
    }

    /// The access log and the metrics tell of failures; Pingora's own lines, one for each, would let clients flood the log.
    fn suppress_error_log(&self, _: &Session, _: &Self::CTX, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Self::CTX,
        _: &Error,
        _: pingora_proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }
}

/// Whether another answer follows; none does after a switch of protocols.
fn is_interim(head: &ResponseHeader) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}

fn internal(failed: crate::chain::Failed) -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(500), failed.to_string())
}

/// Has the answer that the gateway gives in an upstream's place name the upstream's status.
fn name_upstream_status(flight: &mut InFlight) {
    if let Some(value) = tries::statuses(flight) {
        flight
            .request
            .response_headers
            .push((X_APISIX_UPSTREAM_STATUS, value));
    }
}
