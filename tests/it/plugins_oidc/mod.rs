//! `openid-connect`, with a browser on one side and a provider on the other.

mod access;
mod bearer;
mod clients;
mod hostile;
mod kept;
mod login;
mod proxy;
mod ways;

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Gateway, OpenidProvider, Response, Upstream};

/// A gateway with the plugin on every path, its provider and its upstream.
struct World {
    gateway: Gateway,
    provider: OpenidProvider,
    upstream: Upstream,
}

impl World {
    async fn with(more: Value) -> Self {
        let (gateway, provider) = (Gateway::start().await, OpenidProvider::start().await);
        Self::of(gateway, provider, more).await
    }

    async fn of(gateway: Gateway, provider: OpenidProvider, more: Value) -> Self {
        let upstream = Upstream::start().await;
        let world = Self {
            gateway,
            provider,
            upstream,
        };
        world.configure(more).await;
        world
    }

    async fn configure(&self, more: Value) {
        self.configure_on(&self.gateway, more).await;
    }

    async fn configure_on(&self, gateway: &Gateway, more: Value) {
        self.serve(gateway, json!({"openid-connect": self.config(more)}))
            .await;
    }

    /// The configuration of the plugin, with changes; null takes an attribute away.
    fn config(&self, more: Value) -> Value {
        let mut config = json!({
            "client_id": "gateway", "client_secret": "hush", "discovery": self.provider.discovery(),
            "redirect_uri": "/callback", "use_pkce": true, "use_nonce": true, "timeout": 2,
            "session": {"secret": "0123456789abcdef"}, "set_refresh_token_header": true,
        });
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        config.as_object_mut().unwrap().retain(|_, v| !v.is_null());
        config
    }

    async fn serve(&self, gateway: &Gateway, plugins: Value) {
        let route = json!({
            "uri": "/*", "plugins": plugins, "upstream": self.upstream.document(),
        });
        gateway.put("/routes/1", route).await;
    }
}

/// Keeps cookies as a browser does.
#[derive(Default, Clone)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    async fn get(&mut self, world: &World, target: &str) -> Response {
        self.get_at(&world.gateway, target).await
    }

    async fn get_at(&mut self, gateway: &Gateway, target: &str) -> Response {
        let mut request = gateway.get(target).host("app.test");
        let cookies: Vec<_> = self.0.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if !cookies.is_empty() {
            request = request.header("Cookie", cookies.join("; "));
        }
        let response = request.await;
        for cookie in response.headers.all("set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match cookie.contains("Max-Age=0") {
                true => drop(self.0.remove(name)),
                false => drop(self.0.insert(name.to_owned(), value.to_owned())),
            }
        }
        response
    }

    /// Goes to the provider and back; the answer to the callback.
    async fn log_in(&mut self, world: &World, target: &str) -> Response {
        let sent = self.get(world, target).await.expect_status(302);
        let back = world.provider.log_in(sent.header("location").unwrap());
        let back = back.strip_prefix("http://app.test").unwrap().to_owned();
        self.get(world, &back).await
    }
}

fn decoded(text: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}
