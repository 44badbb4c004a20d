//! One request through all phases of one plugin.

use crate::example::{Example, Source};
use bytes::Bytes;
use crossway_sdk::{
    definition::{Definition, Instance},
    flow::{Error, Flow, Reply, ReplyBody},
    request::ResponseSource,
    testing::Scene,
};
use http::HeaderMap;
use pingora_http::ResponseHeader;
use std::sync::Arc;

/// What became of a request.
pub(crate) struct Outcome {
    /// The answer, when the plugin gave one.
    pub(crate) answer: Option<Reply>,
    /// What the upstream gets otherwise.
    pub(crate) sent: Option<Sent>,
    /// What the client gets: of the answer, or of the response if the example has one.
    pub(crate) response: Option<(u16, HeaderMap, Bytes)>,
}

/// A request as the upstream gets it.
pub(crate) struct Sent {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// Who asks, as far as the plugin found out.
    pub(crate) consumer: Option<String>,
}

/// An instance of an example.
pub(crate) fn built(definition: &Definition, example: &Example) -> Arc<dyn Instance> {
    if let Some(metadata) = &example.metadata {
        definition.check_metadata(metadata).unwrap();
    }
    example
        .bench()
        .build(definition, example.config.clone())
        .unwrap_or_else(|e| panic!("{}: {e}", definition.name))
}

/// Runs a request through the phases, the last one included. `None`: it is none, and meets no plugin.
pub(crate) async fn run(
    definition: &Definition,
    example: &Example,
    plugin: &dyn Instance,
    raw: &[u8],
) -> Option<Result<Outcome, Error>> {
    let consumers = Arc::new(example.consumers(definition));
    let mut scene = Scene::with(raw, consumers).await.ok()?;
    scene.request.identity = example.identity();
    let outcome = phases(example, plugin, &mut scene).await;
    plugin.log(&mut scene.exchange());
    Some(outcome)
}

async fn phases(
    example: &Example,
    plugin: &dyn Instance,
    scene: &mut Scene,
) -> Result<Outcome, Error> {
    let known = scene.request.identity.is_some();
    for flow in [scene.rewrite(plugin).await?, scene.access(plugin).await?] {
        if let Flow::Respond(reply) = flow {
            scene.request.response.status = reply.status.as_u16();
            let body = match &reply.body {
                ReplyBody::Bytes(body) => body.clone(),
                ReplyBody::Default => Bytes::new(),
            };
            let mut head = ResponseHeader::build(reply.status, None)?;
            for (name, value) in &reply.headers {
                head.append_header(name, value)?;
            }
            let response = respond(plugin, scene, head, body, ResponseSource::Gateway)?;
            return Ok(Outcome {
                answer: Some(reply),
                sent: None,
                response: Some(response),
            });
        }
    }
    let mut head = scene.session.req_header().clone();
    plugin.before_proxy(&mut scene.exchange(), &mut head)?;
    let mut body = Some(scene.request.body.clone().unwrap_or_default());
    plugin.request_body(&mut scene.exchange(), &mut body, true)?;
    let rewritten = &scene.request.rewritten;
    let method = rewritten.method.as_ref().unwrap_or(&head.method);
    let target = match &rewritten.target {
        Some(target) => target.to_vec(),
        None => scene.request.target(&head).into_owned(),
    };
    let mut headers = head.headers.clone();
    if let Some(host) = &rewritten.host {
        headers.insert("host", host.clone());
    }
    let consumer = scene
        .request
        .consumer_name()
        .filter(|_| !known)
        .map(str::to_owned);
    let sent = Sent {
        line: format!("{method} {}", String::from_utf8_lossy(&target)),
        headers,
        body: scene
            .request
            .body_replaced
            .then(|| scene.request.body.clone())
            .flatten(),
        consumer,
    };
    let Some(response) = &example.response else {
        let head = ResponseHeader::build(200, None)?;
        let body = Bytes::from_static(b"a body");
        respond(plugin, scene, head, body, ResponseSource::Upstream)?;
        return Ok(Outcome {
            answer: None,
            sent: Some(sent),
            response: None,
        });
    };
    let mut head = ResponseHeader::build(response.status, None)?;
    let body = Bytes::from(response.body.clone().unwrap_or_default());
    for (name, value) in &response.headers {
        head.append_header(name.clone(), value)?;
    }
    let source = match response.source {
        Source::Upstream => ResponseSource::Upstream,
        Source::Gateway => ResponseSource::Gateway,
    };
    let response = respond(plugin, scene, head, body, source)?;
    Ok(Outcome {
        answer: None,
        sent: Some(sent),
        response: Some(response),
    })
}

fn respond(
    plugin: &dyn Instance,
    scene: &mut Scene,
    mut head: ResponseHeader,
    body: Bytes,
    source: ResponseSource,
) -> Result<(u16, HeaderMap, Bytes), Error> {
    scene.request.response.source = source;
    scene.request.response.status = head.status.as_u16();
    scene.header_filter(plugin, &mut head)?;
    let mut body = Some(body);
    plugin.body_filter(&mut scene.exchange(), &mut body, true)?;
    let status = head.status.as_u16();
    Ok((status, head.headers.clone(), body.unwrap_or_default()))
}
