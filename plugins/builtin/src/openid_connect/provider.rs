//! What a provider says of itself, and its keys. One for all places of use that ask it in the same way.

use super::{document::Document, endpoint::Caller, keys::KeySet, single_flight::Failed};
use http::Uri;
use serde::{Deserialize, Deserializer, de::Error};
use std::{sync::Arc, time::Duration};
use tokio::runtime::Handle;

/// How long what a provider says of itself is kept.
const LIFETIME: Duration = Duration::from_secs(3600);

/// The discovery document (OpenID Connect Discovery §3); of it what is used here.
#[derive(Deserialize)]
pub(super) struct Discovery {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Option<Address>,
    pub(super) token_endpoint: Option<Address>,
    pub(super) userinfo_endpoint: Option<Address>,
    pub(super) jwks_uri: Option<Address>,
    pub(super) end_session_endpoint: Option<Address>,
    pub(super) ping_end_session_endpoint: Option<Address>,
    pub(super) revocation_endpoint: Option<Address>,
    pub(super) introspection_endpoint: Option<Address>,
    pub(super) pushed_authorization_request_endpoint: Option<Address>,
}

/// An address of `http` or `https`.
#[derive(Debug, Clone)]
pub(super) struct Address(pub(super) Uri);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        crossway_sdk::client::target("", &text)
            .map(Self)
            .map_err(|e| D::Error::custom(e.message))
    }
}

impl Address {
    /// With arguments behind those that it has.
    pub(super) fn with(&self, query: &str) -> String {
        let text = self.0.to_string();
        let mark = if text.contains('?') { '&' } else { '?' };
        format!("{text}{mark}{query}")
    }
}

/// A provider.
pub(super) struct Provider {
    uri: Uri,
    caller: Caller,
    runtime: Handle,
    discovery: Document<Discovery>,
    keys: Document<KeySet>,
}

impl Provider {
    pub(super) fn new(uri: Uri, caller: Caller, runtime: Handle, keys: Duration) -> Self {
        Self {
            uri,
            caller,
            runtime,
            discovery: Document::new(LIFETIME),
            keys: Document::new(keys),
        }
    }

    /// What the provider says of itself.
    pub(super) async fn discovery(&self) -> Result<Arc<Discovery>, Failed> {
        let (caller, uri) = (self.caller.clone(), self.uri.clone());
        let fetch = || async move { caller.get("discovery", &uri, None).await.map(Arc::new) };
        self.discovery.get(&self.runtime, fetch).await
    }

    /// Its keys; anew when those that are held lack one.
    pub(super) async fn keys(&self, anew: bool) -> Result<Arc<KeySet>, Failed> {
        let discovery = self.discovery().await?;
        let missing = || Failed::new("the discovery document names no jwks_uri");
        let Address(uri) = discovery.jwks_uri.clone().ok_or_else(missing)?;
        let caller = self.caller.clone();
        let fetch = || async move { caller.get("jwks", &uri, None).await.map(Arc::new) };
        match anew {
            true => self.keys.renew(&self.runtime, fetch).await,
            false => self.keys.get(&self.runtime, fetch).await,
        }
    }
}
