//! The end of a session: here, and at the provider (OpenID Connect RP-Initiated Logout 1.0; RFC 7009 for revocation).

use super::{
    answers::{moved, unkept},
    endpoint::form,
    sessions::Stored,
    single_flight::Failed,
    tokens::Tokens,
};
use crossway_sdk::flow::Reply;

/// How sessions end.
pub(super) struct Logout {
    pub(super) path: Box<str>,
    pub(super) then: Option<Box<str>>,
    pub(super) revoke: bool,
}

impl Logout {
    /// What the browser gets. Its cookies end whatever the provider does.
    pub(super) async fn end(&self, tokens: &Tokens, session: Option<&Stored>, now: u64) -> Reply {
        let discovery = match tokens.provider.discovery().await {
            Ok(discovery) => discovery,
            Err(error) => {
                tracing::warn!(%error, "the OpenID provider does not learn of a logout");
                return unkept(Reply::status(503));
            }
        };
        if let (Some(session), true) = (session, self.revoke)
            && let Some(endpoint) = &discovery.revocation_endpoint
        {
            let held = &session.tokens;
            let refresh = held.refresh_token.as_deref();
            let refresh = refresh.map(|token| ("refresh_token", token));
            let both = refresh
                .into_iter()
                .chain([("access_token", &*held.access_token)]);
            for (kind, token) in both {
                let fields = [("token", token), ("token_type_hint", kind)];
                let uri = &endpoint.0;
                let outcome: Result<_, Failed> = async {
                    let (headers, body) =
                        tokens.credentials.sign(&uri.to_string(), &fields, now)?;
                    tokens.caller.send("revocation", uri, headers, body).await
                }
                .await;
                if let Err(error) = outcome {
                    tracing::warn!(%error, kind, "a token cannot be revoked");
                }
            }
        }
        let location = if let Some(endpoint) = &discovery.end_session_endpoint {
            let mut fields = vec![("client_id", &*tokens.client_id)];
            fields.extend(session.map(|session| ("id_token_hint", &*session.tokens.id_token)));
            let then = self.then.as_deref();
            fields.extend(then.map(|then| ("post_logout_redirect_uri", then)));
            Some(endpoint.with(&form(fields)))
        } else if let Some(then) = &self.then {
            Some(then.to_string())
        } else {
            let ping = discovery.ping_end_session_endpoint.as_ref();
            ping.map(|endpoint| endpoint.0.to_string())
        };
        let Some(location) = location else {
            let page = "<html><body>Logged Out</body></html>\n";
            return unkept(Reply::bytes(200, page)).content_type("text/html; charset=utf-8");
        };
        moved(&location).unwrap_or_else(|error| {
            tracing::warn!(%error, "a user cannot be sent on after the logout");
            unkept(Reply::status(500))
        })
    }
}
