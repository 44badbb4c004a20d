//! For tests: plugins built from JSON, requests written as text, and what became of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crossway_sdk::{
    build::{BuildCx, BuildError},
    definition::{Definition, Instance},
    flow::{Error, Flow, Reply, ReplyBody},
    plugin::Plugin,
    testing::{self, Bench, Scene},
};
use serde_json::Value;
use std::sync::Arc;

/// An instance that was accepted.
pub(crate) fn built<P: Plugin>(config: Value) -> Arc<dyn Instance> {
    testing::build(&Definition::of::<P>(), config).expect("a configuration that is accepted")
}

/// Why a configuration was refused: `message (at /path)`.
pub(crate) fn refused<P: Plugin>(config: Value) -> String {
    match testing::build(&Definition::of::<P>(), config.clone()) {
        Ok(_) => panic!("accepted: {config}"),
        Err(error) => error.to_string(),
    }
}

/// An instance in a place of use, past the schema.
pub(crate) fn placed<P: Plugin>(
    bench: &Bench,
    resource: &str,
    config: Value,
) -> Result<P, BuildError> {
    let cx = BuildCx::new(resource, P::NAME, bench.metadata.as_ref(), None, bench);
    P::build(
        serde_json::from_value(config).expect("a configuration of the right form"),
        &cx,
    )
}

/// A request; `head` is its request line and headers.
pub(crate) async fn request(head: &str) -> Scene {
    let head = head.replace('\n', "\r\n");
    Scene::new(format!("{head}\r\n\r\n").as_bytes())
        .await
        .expect("a request that can be read")
}

/// `GET /`.
pub(crate) async fn get() -> Scene {
    request("GET / HTTP/1.1\nHost: example.com").await
}

/// A POST with a form.
pub(crate) async fn form(body: &str) -> Scene {
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    Scene::new(head.as_bytes())
        .await
        .expect("a request that can be read")
}

/// Whether the request goes on.
pub(crate) fn passes(flow: Result<Flow, Error>) -> bool {
    matches!(flow.expect("no failure"), Flow::Next)
}

/// The answer of the plugin.
pub(crate) fn reply(flow: Result<Flow, Error>) -> Reply {
    match flow.expect("no failure") {
        Flow::Respond(reply) => reply,
        Flow::Next => panic!("the request went on"),
    }
}

/// The body of an answer; `None` for the gateway's page.
pub(crate) fn text(reply: &Reply) -> Option<String> {
    match &reply.body {
        ReplyBody::Default => None,
        ReplyBody::Bytes(bytes) => Some(String::from_utf8(bytes.to_vec()).unwrap()),
    }
}

/// A header of an answer.
pub(crate) fn header(reply: &Reply, name: &str) -> Option<String> {
    let found = reply.headers.iter().find(|(n, _)| n.as_str() == name)?;
    Some(String::from_utf8(found.1.as_bytes().to_vec()).unwrap())
}

/// A header that the plugin set on the response to come.
pub(crate) fn promised(scene: &Scene, name: &str) -> Option<String> {
    let found = scene
        .request
        .response_headers
        .iter()
        .rfind(|(n, _)| n.as_str() == name)?;
    Some(String::from_utf8(found.1.as_bytes().to_vec()).unwrap())
}
