use super::{Csrf, cookie_time};
use crate::testing::*;
use crossway_sdk::definition::{Definition, Instance};
use http::header::SET_COOKIE;
use pingora_http::ResponseHeader;
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<Csrf>()
}

fn plugin(config: Value) -> Arc<dyn Instance> {
    built(&definition(), config)
}

/// The whole Set-Cookie of a response, and the token in it.
async fn handed_out(plugin: &dyn Instance) -> (String, String) {
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.append_header(SET_COOKIE, "own=1").unwrap();
    scene(get("/", ""))
        .await
        .header_filter(plugin, &mut head)
        .unwrap();
    let cookies: Vec<_> = head.headers.get_all(SET_COOKIE).iter().collect();
    assert_eq!(cookies.len(), 2, "the upstream's cookie stays");
    let cookie = cookies[1].to_str().unwrap().to_owned();
    let token = cookie.split_once('=').unwrap().1.split(';').next().unwrap();
    (cookie.clone(), token.to_owned())
}

async fn judged(plugin: &dyn Instance, method: &str, lines: &str) -> Option<(u16, String)> {
    let raw = format!("{method} / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n");
    let flow = scene(raw).await.access(plugin).await;
    match flow.as_ref().unwrap() {
        crossway_sdk::flow::Flow::Next => None,
        crossway_sdk::flow::Flow::Respond(_) => Some(said(flow)),
    }
}

#[tokio::test]
async fn a_token_has_to_come_back_in_header_and_cookie() {
    let plugin = plugin(json!({"key": "userkey"}));
    let (cookie, token) = handed_out(&*plugin).await;
    assert!(cookie.starts_with("apisix-csrf-token="), "{cookie}");
    assert!(cookie.contains(";path=/;SameSite=Lax;Expires="), "{cookie}");
    let right = format!("apisix-csrf-token: {token}\r\nCookie: a=b; apisix-csrf-token={token}\r\n");
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(judged(&*plugin, method, &right).await, None, "{method}");
    }
    let refused = async |lines: String| {
        let (status, body) = judged(&*plugin, "POST", &lines).await.expect("a refusal");
        assert_eq!(status, 401);
        let body: Value = serde_json::from_str(&body).unwrap();
        body["error_msg"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused(String::new()).await, "no csrf token in headers");
    assert_eq!(
        refused("apisix-csrf-token: \r\n".to_owned()).await,
        "no csrf token in headers"
    );
    assert_eq!(
        refused(format!("apisix-csrf-token: {token}\r\n")).await,
        "no csrf cookie"
    );
    assert_eq!(
        refused(format!(
            "apisix-csrf-token: {token}\r\nCookie: apisix-csrf-token=x\r\n"
        ))
        .await,
        "csrf token mismatch"
    );
    assert_eq!(
        refused(format!("{right}apisix-csrf-token: other\r\n")).await,
        "csrf token mismatch"
    );
    assert_eq!(
        refused("apisix-csrf-token: x\r\nCookie: apisix-csrf-token=x\r\n".to_owned()).await,
        "Failed to verify the csrf token signature"
    );
}

#[tokio::test]
async fn what_only_reads_needs_no_token() {
    let plugin = plugin(json!({"key": "userkey"}));
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(judged(&*plugin, method, "").await, None, "{method}");
    }
    assert!(judged(&*plugin, "get", "").await.is_some());
}

#[tokio::test]
async fn another_key_or_name_does_not_do() {
    let (_, token) = handed_out(&*plugin(json!({"key": "one"}))).await;
    let lines = format!("apisix-csrf-token: {token}\r\nCookie: apisix-csrf-token={token}\r\n");
    assert!(
        judged(&*plugin(json!({"key": "two"})), "POST", &lines)
            .await
            .is_some()
    );
    let named = plugin(json!({"key": "one", "name": "X-Token"}));
    assert!(judged(&*named, "POST", &lines).await.is_some());
    let lines = format!("x-token: {token}\r\nCookie: X-Token={token}\r\n");
    assert_eq!(judged(&*named, "POST", &lines).await, None);
}

#[test]
fn times_are_written_as_nginx_writes_them() {
    assert_eq!(cookie_time(1_290_079_655), "Thu, 18-Nov-10 11:27:35 GMT");
    assert_eq!(cookie_time(2_208_988_800), "Sun, 01-Jan-2040 00:00:00 GMT");
    assert_eq!(cookie_time(-5), "Thu, 01-Jan-70 00:00:00 GMT");
    assert!(
        cookie_time(i64::MAX).ends_with("-9999 22:00:00 GMT")
            || cookie_time(i64::MAX).contains("-9999 ")
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(refused(json!({})).1, "property \"key\" is required");
    assert_eq!(refused(json!({"key": ""})).0, "/key");
    assert_eq!(refused(json!({"key": "a", "name": "a b"})).0, "/name");
    assert_eq!(refused(json!({"key": "a", "name": ""})).0, "/name");
    assert_eq!(refused(json!({"key": "a", "expires": "1"})).0, "/expires");
}
