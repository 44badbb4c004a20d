//! Who gets in.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use crossway_sdk::expr::IpSet;

use super::*;

fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(format!("/apisix/admin{path}"))
}

fn empty(builder: axum::http::request::Builder) -> Request<Body> {
    builder.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_key_is_needed_and_a_viewer_only_reads() {
    let api = Api::new();
    let refused = |why: &str| json!({"error_msg": "failed to check token", "description": why});
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
        let none = api.send(empty(request(method, "/routes/1"))).await.is(401);
        assert_eq!(none.json(), refused("missing apikey"));
        assert_eq!(none.headers["server"], "APISIX/3.18.0");
    }
    let wrong = request("GET", "/routes").header("x-api-key", "no");
    let wrong = api.send(empty(wrong)).await.is(401).json();
    assert_eq!(wrong, refused("wrong apikey"));

    let viewer = |method: &str| request(method, "/routes").header("x-api-key", VIEWER);
    api.send(empty(viewer("GET"))).await.is(200);
    let wrong = api.send(empty(viewer("POST"))).await.is(401).json();
    assert_eq!(wrong, refused("invalid method for role viewer"));

    let query = request("GET", &format!("/routes?api_key={KEY}"));
    api.send(empty(query)).await.is(200);
    let cookie = request("GET", "/routes").header("cookie", format!("x_api_key={KEY}"));
    api.send(empty(cookie)).await.is(200);
    api.send(empty(request("HEAD", ""))).await.is(200);
    api.send(empty(request("HEAD", "/routes"))).await.is(401);
    api.send(empty(request("GET", "/openapi.json")))
        .await
        .is(401);
}

#[tokio::test]
async fn without_required_keys_anybody_may_write() {
    let api = Api::over(Memory::default().group("/apisix"), |options| {
        options.key_required = false;
    });
    let body = route().to_string();
    let put = request("PUT", "/routes/1").body(body.into()).unwrap();
    api.send(put).await.is(201);
}

#[tokio::test]
async fn only_addresses_of_the_list_get_in() {
    let api = Api::over(Memory::default().group("/apisix"), |options| {
        options.allow = IpSet::parse(["10.0.0.0/8"]).unwrap();
    });
    let from = |address: Option<&str>| {
        let mut request = empty(request("GET", "/routes").header("x-api-key", KEY));
        if let Some(address) = address {
            let address: SocketAddr = address.parse().unwrap();
            request.extensions_mut().insert(ConnectInfo(address));
        }
        request
    };
    api.send(from(Some("10.1.2.3:4"))).await.is(200);
    for address in [Some("127.0.0.1:4"), Some("[::1]:4"), None] {
        let refused = api.send(from(address)).await.is(403);
        assert!(refused.text.starts_with("<html>"));
    }
}

#[tokio::test]
async fn pages_of_other_origins_may_call_where_that_is_allowed() {
    let api = Api::new();
    let asked = api
        .send(empty(request("OPTIONS", "/routes/1")))
        .await
        .is(200);
    assert_eq!(asked.headers["access-control-allow-origin"], "*");
    assert_eq!(asked.headers["access-control-allow-headers"], "*");
    assert_eq!(
        asked.headers["access-control-allow-methods"],
        "POST, GET, PUT, OPTIONS, DELETE, PATCH"
    );
    let read = api.get("/routes").await.is(200);
    assert_eq!(read.headers["access-control-expose-headers"], "*");

    let closed = Api::over(Memory::default().group("/apisix"), |options| {
        options.cors = false;
    });
    closed
        .send(empty(request("OPTIONS", "/routes")))
        .await
        .is(401);
    let read = closed.get("/routes").await.is(200);
    assert!(!read.headers.contains_key("access-control-allow-origin"));
}
