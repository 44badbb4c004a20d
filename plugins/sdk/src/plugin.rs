//! The plugin trait: one struct, one typed configuration, the phases it takes part in.

use crate::{
    build::{BuildCx, BuildError},
    endpoint::Endpoint,
    exchange::Exchange,
    flow::{Error, Step},
    stream::StreamExchange,
};
use bytes::Bytes;
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

bitflags::bitflags! {
    /// The phases of a request, in the order in which they run; then those of a stream session, which has no others.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Phases: u16 {
        /// Before anything is decided: authentication, rewriting.
        const REWRITE = 1;
        /// The consumer is known: restrictions, limits, routing.
        const ACCESS = 2;
        /// Each time a request head is about to be sent to a node.
        const BEFORE_PROXY = 4;
        /// Each piece of the request body on its way to the upstream.
        const REQUEST_BODY = 8;
        /// The response head, from the upstream or from the gateway.
        const HEADER_FILTER = 16;
        /// Each piece of the response body.
        const BODY_FILTER = 32;
        /// The request is over.
        const LOG = 64;
        /// A TCP, TLS or UDP session has found its stream route; nothing was sent to a node yet.
        const STREAM_ACCESS = 128;
        /// The session is over.
        const STREAM_LOG = 256;
    }

    /// Where a plugin may be configured.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Scopes: u8 {
        /// On a route or a plugin config.
        const ROUTE = 1;
        /// On a service.
        const SERVICE = 2;
        /// On a consumer or a consumer group.
        const CONSUMER = 4;
        /// In a global rule.
        const GLOBAL = 8;
        /// On a stream route.
        const STREAM = 16;
        /// Every place of an HTTP request.
        const HTTP = Self::ROUTE.bits() | Self::SERVICE.bits() | Self::CONSUMER.bits() | Self::GLOBAL.bits();
    }
}

/// A plugin. One instance is built for each place where it is configured and lives as long as that configuration:
/// an edit elsewhere does not disturb it, an edit of its own configuration makes a new one.
///
/// Write `#[phases]` above the `impl`: it fills in [`Plugin::PHASES`] from the methods that are there, and a phase
/// that is not implemented costs nothing at run time.
pub trait Plugin: Sized + Send + Sync + 'static {
    /// The name under which it is configured, e.g. `limit-count`.
    const NAME: &'static str;
    /// Higher runs first. Your own plugins: 1 to 99 run after all built-in ones that decide.
    const PRIORITY: i32;
    /// Where it may be configured.
    const SCOPES: Scopes = Scopes::HTTP;
    /// Filled in by `#[phases]`.
    const PHASES: Phases;
    /// True for a plugin of which a global rule's copy is skipped when the route has one (APISIX's `prefer_route`).
    const PREFER_ROUTE: bool = false;
    /// Secret fields of the configuration and of the metadata, as paths such as `auth.password`: they are encrypted at rest and not
    /// shown by lists (APISIX's `encrypt_fields`). A list on the way stands for all of its items, an object at the end for all its values.
    const ENCRYPTED: &'static [&'static str] = &[];
    /// Where configurations of other plugins stand inside of this one's, as paths like those of [`Plugin::ENCRYPTED`]: there are
    /// objects whose members are named as plugins, or pairs of a name and a configuration. Secret fields in there are treated like
    /// those of the plugins themselves.
    const NESTED: &'static [&'static str] = &[];
    /// The configuration. Derive `Deserialize` with `deny_unknown_fields`, and `JsonSchema`: bounds that are written as
    /// `#[schemars(range(min = …))]` are checked before `build` runs. Doc comments become the reference page.
    type Config: DeserializeOwned + JsonSchema;

    /// Judges the configuration and prepares all that a request would otherwise have to look up or parse. It must not wait, do I/O
    /// or have effects outside of the instance: it also runs to check a configuration that is then thrown away.
    ///
    /// # Errors
    /// What is wrong with the configuration, and at which JSON path.
    fn build(config: Self::Config, cx: &BuildCx<'_>) -> Result<Self, BuildError>;

    /// The JSON Schema (draft-07) of this plugin's metadata document; `None` accepts any object.
    fn metadata_schema() -> Option<serde_json::Value> {
        None
    }

    /// Requests that it answers itself where a route has `public-api`, whether or not it is configured anywhere.
    fn endpoints() -> Vec<Endpoint> {
        Vec::new()
    }

    /// Before anything is decided.
    fn rewrite<'a>(&'a self, _ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }

    /// The consumer, if there is one, is known.
    fn access<'a>(&'a self, _ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }

    /// The head that is about to go to the node; runs again on each retry.
    ///
    /// # Errors
    /// Ends the request with a 500.
    fn before_proxy(&self, _ex: &mut Exchange<'_>, _head: &mut RequestHeader) -> Result<(), Error> {
        Ok(())
    }

    /// A piece of the request body on its way to the upstream; `end` marks the last one.
    ///
    /// # Errors
    /// Ends the request.
    fn request_body(
        &self,
        _ex: &mut Exchange<'_>,
        _chunk: &mut Option<Bytes>,
        _end: bool,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// The response head. To change a body in `body_filter`, remove Content-Length here.
    ///
    /// # Errors
    /// Ends the request with a 500 when nothing was sent yet.
    fn header_filter(
        &self,
        _ex: &mut Exchange<'_>,
        _head: &mut ResponseHeader,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// A piece of the response body; `end` marks the last one.
    ///
    /// # Errors
    /// Ends the response as incomplete.
    fn body_filter(
        &self,
        _ex: &mut Exchange<'_>,
        _chunk: &mut Option<Bytes>,
        _end: bool,
    ) -> Result<(), Error> {
        Ok(())
    }

    /// The request is over: count it, log it. Must not wait.
    fn log(&self, _ex: &mut Exchange<'_>) {}

    /// A session on a stream route, before a node was picked. A reply closes the connection: there is nobody to read it,
    /// its status is what the session is counted under. Of UDP it is the first datagram of a client. A plugin that has
    /// this or [`stream_log`](Self::stream_log) names [`Scopes::STREAM`].
    fn stream_access<'a>(&'a self, _ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        Step::next()
    }

    /// The session is over: count it, log it. Must not wait.
    fn stream_log(&self, _ex: &mut StreamExchange<'_>) {}
}

/// A plugin that names the consumer. It owns the credential half of the configuration, which stands on consumers and credentials.
pub trait Authenticator: Plugin {
    /// Secret fields of the credential, as [`Plugin::ENCRYPTED`] has those of the configuration.
    const ENCRYPTED_CREDENTIAL: &'static [&'static str] = &[];
    /// What stands under the plugin's name on a consumer.
    type Credential: DeserializeOwned + JsonSchema + Send + Sync + 'static;

    /// The key under which a credential is found; unique over all consumers. `None` when it is not looked up by key.
    fn index(credential: &Self::Credential) -> Option<String>;

    /// Rules that the schema cannot say.
    ///
    /// # Errors
    /// What is wrong with the credential, and at which JSON path.
    fn check(_credential: &Self::Credential) -> Result<(), BuildError> {
        Ok(())
    }
}
