#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, refused, reply, request, text};
use crossway_sdk::{build::Host, endpoint::Answer, shared::SharedStates, upstream::UpstreamHandle};
use serde_json::json;

struct Here;

impl Answer for Here {
    fn answer<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::respond(Reply::bytes(200, "here"))
    }
}

/// A gateway with two endpoints.
#[derive(Default)]
struct Gateway {
    metrics: crossway_sdk::prometheus::Registry,
    shared: SharedStates,
    endpoints: Vec<Endpoint>,
}

impl Host for Gateway {
    fn upstream(&self, _: &str) -> Option<UpstreamHandle> {
        None
    }
    fn inline_upstream(&self, _: &str, _: &str, _: &Value) -> Result<UpstreamHandle, BuildError> {
        Err(BuildError::new("", "there are no upstreams"))
    }
    fn metrics(&self) -> &crossway_sdk::prometheus::Registry {
        &self.metrics
    }
    fn shared(&self) -> &SharedStates {
        &self.shared
    }
    fn runtime(&self) -> tokio::runtime::Handle {
        tokio::runtime::Handle::current()
    }
    fn attribute(&self, _: &str) -> Option<&Value> {
        None
    }
    fn plugin(&self, _: &str) -> Option<crossway_sdk::build::Enabled<'_>> {
        None
    }
    fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }
}

fn plugin(config: Value) -> PublicApi {
    let endpoint = |method, path| Endpoint {
        method,
        path,
        answer: Arc::new(Here),
    };
    let gateway = Gateway {
        endpoints: vec![
            endpoint(http::Method::GET, "/apisix/one"),
            endpoint(http::Method::POST, "/apisix/two"),
        ],
        ..Gateway::default()
    };
    let cx = BuildCx::new("routes/1", "public-api", None, None, &gateway);
    PublicApi::build(serde_json::from_value(config).unwrap(), &cx).unwrap()
}

#[tokio::test]
async fn the_path_and_the_method_name_the_endpoint() {
    for (config, ask, status) in [
        (json!({}), "GET /apisix/one", 200),
        (json!({}), "GET /apisix/one?a=1", 200),
        (json!({}), "GET /apisix/on%65", 404),
        (json!({}), "POST /apisix/one", 404),
        (json!({}), "GET /apisix/two", 404),
        (json!({}), "GET /apisix/admin/routes", 404),
        (json!({"uri": "/apisix/two"}), "POST /anything", 200),
        (json!({"uri": "/apisix/two"}), "GET /apisix/one", 404),
        (json!({"uri": "/none"}), "GET /apisix/one", 404),
    ] {
        let mut scene = request(&format!("{ask} HTTP/1.1\nHost: a.test")).await;
        let answer = reply(scene.access(&plugin(config)).await);
        assert_eq!(answer.status, status, "{ask}");
        if status == 200 {
            assert_eq!(text(&answer).unwrap(), "here");
        }
    }
    // The normalised path decides.
    let mut scene = request("GET /apisix/on%65 HTTP/1.1\nHost: a.test").await;
    scene.request.normal_path = Some("/apisix/one".into());
    assert_eq!(reply(scene.access(&plugin(json!({}))).await).status, 200);
}

#[tokio::test]
async fn without_endpoints_all_is_404() {
    let mut scene = request("GET /apisix/one HTTP/1.1\nHost: a.test").await;
    let plugin = built::<PublicApi>(json!({}));
    assert_eq!(reply(scene.access(&*plugin).await).status, 404);
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (
            json!({"uri": "apisix"}),
            "expected a path that begins with / (at /uri)",
        ),
        (json!({"url": "/a"}), "url"),
    ] {
        let said = refused::<PublicApi>(config);
        assert!(said.contains(expected), "{said}");
    }
}
