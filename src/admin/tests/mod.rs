//! The Admin API over a store in memory and a real authority, without a socket.

mod concurrent;
mod configs;
mod consumers;
mod crud;
mod door;
mod fixture;
mod lists;
mod plugins;
mod readonly;
mod refusals;
mod served;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Admin, AdminKeys, Options, Role, router};
use crate::{
    store::{Memory, Store},
    sync::Authority,
};

const KEY: &str = "the-key";
const VIEWER: &str = "the-viewer";

/// An Admin API and what it writes to.
#[derive(Clone)]
struct Api {
    router: Router,
    authority: Arc<Authority>,
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answered {
    fn json(&self) -> Value {
        assert!(self.text.ends_with('\n'), "{:?}", self.text);
        serde_json::from_str(&self.text).unwrap()
    }

    /// The answer, which has this status.
    #[track_caller]
    fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// The reason of a refusal.
    #[track_caller]
    fn refused(self, status: u16) -> String {
        let body = self.is(status).json();
        body["error_msg"].as_str().unwrap().to_owned()
    }
}

impl Api {
    fn new() -> Self {
        Self::over(Memory::default().group("/apisix"), |_| {})
    }

    fn over(store: impl Store, change: impl FnOnce(&mut Options)) -> Self {
        let authority = Authority::new(Arc::new(store), fixture::state());
        tokio::spawn(authority.clone().follow());
        let keys = AdminKeys::new([(KEY, Role::Admin), (VIEWER, Role::Viewer)]).unwrap();
        let mut options = Options::new("APISIX/3.18.0".parse().unwrap());
        options.allow = Default::default();
        change(&mut options);
        let admin = Admin::new(authority.clone(), keys, options);
        Self {
            router: router(Arc::new(admin)),
            authority,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answered {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answered {
        let request = Request::builder()
            .method(method)
            .uri(format!("/apisix/admin{path}"))
            .header("x-api-key", KEY);
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answered {
        self.call("GET", path, Body::empty()).await
    }

    async fn put(&self, path: &str, document: Value) -> Answered {
        self.call("PUT", path, document.to_string()).await
    }

    async fn post(&self, path: &str, document: Value) -> Answered {
        self.call("POST", path, document.to_string()).await
    }

    async fn patch(&self, path: &str, document: Value) -> Answered {
        self.call("PATCH", path, document.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answered {
        self.call("DELETE", path, Body::empty()).await
    }
}

fn upstream() -> Value {
    json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}})
}

fn route() -> Value {
    json!({"uri": "/a", "upstream": upstream()})
}

/// A document with more fields.
fn with(mut document: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut document, more) {
        fields.extend(more);
    }
    document
}
