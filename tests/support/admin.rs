//! The client of the Admin API.

use std::net::SocketAddr;

use serde_json::Value;

use super::Request;

/// Requests to `/apisix/admin`, with the key.
#[derive(Clone, Debug)]
pub struct Admin {
    addr: SocketAddr,
    key: String,
}

impl Admin {
    pub(super) fn new(addr: SocketAddr, key: &str) -> Self {
        Self {
            addr,
            key: key.to_owned(),
        }
    }

    /// The same API, with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self::new(self.addr, key)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn get(&self, path: &str) -> Request {
        self.request("GET", path)
    }

    pub fn put(&self, path: &str, document: &Value) -> Request {
        self.request("PUT", path).json(document)
    }

    pub fn post(&self, path: &str, document: &Value) -> Request {
        self.request("POST", path).json(document)
    }

    pub fn patch(&self, path: &str, document: &Value) -> Request {
        self.request("PATCH", path).json(document)
    }

    pub fn delete(&self, path: &str) -> Request {
        self.request("DELETE", path)
    }

    /// Any method on `/apisix/admin` + `path`, with the key.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.without_key(method, path)
            .header("X-API-KEY", &self.key)
    }

    /// Any method on `/apisix/admin` + `path`, without a key.
    pub fn without_key(&self, method: &str, path: &str) -> Request {
        Request::new(self.addr, method, &format!("/apisix/admin{path}"))
    }
}
