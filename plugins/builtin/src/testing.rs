//! Reads what a plugin decided, for tests.

use crossway_sdk::{
    build::BuildError,
    definition::{Definition, Instance},
    flow::{Error, Flow, Reply, ReplyBody},
    testing::{Consumers, Scene, build},
};
use serde_json::Value;
use std::sync::Arc;

/// An instance that is accepted.
pub(crate) fn built(definition: &Definition, config: Value) -> Arc<dyn Instance> {
    build(definition, config).unwrap()
}

/// JSON pointer and message of a refusal.
pub(crate) fn refused(definition: &Definition, config: Value) -> (String, String) {
    let BuildError { path, message } = build(definition, config).err().expect("it was accepted");
    (path, message)
}

/// A request with these header lines, each ended by CR LF.
pub(crate) fn get(target: &str, lines: impl AsRef<[u8]>) -> Vec<u8> {
    let mut raw = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n").into_bytes();
    raw.extend_from_slice(lines.as_ref());
    raw.extend_from_slice(b"\r\n");
    raw
}

/// The scene of a request.
pub(crate) async fn scene(raw: impl AsRef<[u8]>) -> Scene {
    Scene::new(raw.as_ref()).await.unwrap()
}

/// The scene of a request among consumers.
pub(crate) async fn scene_with(raw: impl AsRef<[u8]>, consumers: Consumers) -> Scene {
    Scene::with(raw.as_ref(), Arc::new(consumers))
        .await
        .unwrap()
}

/// Whether the request goes on.
pub(crate) fn goes_on(flow: Result<Flow, Error>) -> bool {
    matches!(flow.unwrap(), Flow::Next)
}

/// The answer that ended the request.
pub(crate) fn reply(flow: Result<Flow, Error>) -> Reply {
    match flow.unwrap() {
        Flow::Respond(reply) => reply,
        Flow::Next => panic!("the request went on"),
    }
}

/// Status and body of the answer that ended the request.
pub(crate) fn said(flow: Result<Flow, Error>) -> (u16, String) {
    let reply = reply(flow);
    (reply.status.as_u16(), body(&reply))
}

/// The text of a body.
pub(crate) fn body(reply: &Reply) -> String {
    match &reply.body {
        ReplyBody::Default => String::new(),
        ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

/// A header of a reply.
pub(crate) fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    let (_, value) = reply.headers.iter().find(|(n, _)| n == name)?;
    value.to_str().ok()
}

/// The target that the upstream gets.
pub(crate) fn target(scene: &Scene) -> String {
    let rewritten = scene.request.rewritten.target.as_deref();
    let target = match rewritten {
        Some(target) => target.to_vec(),
        None => scene
            .request
            .target(scene.session.req_header())
            .into_owned(),
    };
    String::from_utf8(target).unwrap()
}

/// A header that the upstream gets.
pub(crate) fn sent_up<'s>(scene: &'s Scene, name: &str) -> Option<&'s str> {
    scene.session.req_header().headers.get(name)?.to_str().ok()
}
