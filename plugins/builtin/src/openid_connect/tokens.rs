//! The token endpoint: codes and refresh tokens become tokens.

use super::{
    client_auth::Credentials,
    endpoint::Caller,
    provider::Provider,
    sessions::Held,
    single_flight::Failed,
    token::{Claims, Verifier, check_id_token, verified_before},
};
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Seconds that an access token lives when nobody says.
const LIFETIME: u64 = 3600;

/// What is needed to get tokens.
pub(super) struct Tokens {
    pub(super) provider: Arc<Provider>,
    pub(super) caller: Caller,
    pub(super) credentials: Credentials,
    pub(super) verifier: Verifier,
    pub(super) client_id: Box<str>,
    pub(super) scope: Box<str>,
    pub(super) expires_in: Option<u64>,
    pub(super) leeway: u64,
}

/// Tokens that were verified.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) access_token: String,
    pub(super) access_until: u64,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: Option<(String, Claims)>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    id_token: Option<String>,
    refresh_token: Option<String>,
    /// A number, which some providers write as a text.
    expires_in: Option<Value>,
}

impl Tokens {
    /// Redeems a code.
    pub(super) async fn redeem(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: Option<&str>,
        nonce: Option<&str>,
        now: u64,
    ) -> Result<Granted, Failed> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
        ];
        fields.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        let granted = self.ask(&fields, nonce, now).await?;
        match granted.id_token {
            Some(_) => Ok(granted),
            None => Err(Failed::new("the provider gave no ID token")),
        }
    }

    /// Renews tokens with the refresh token among them.
    pub(super) async fn refresh(&self, before: &Held, now: u64) -> Result<Held, Failed> {
        let token = before.refresh_token.as_deref();
        let token = token.ok_or_else(|| Failed::new("there is no refresh token"))?;
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", &*self.scope),
        ];
        let granted = self.ask(&fields, None, now).await?;
        // OpenID Connect Core §12.2: it is the same user.
        let known = verified_before(&before.id_token);
        let known = known.as_ref().and_then(|claims| claims.get("sub"));
        match &granted.id_token {
            Some((_, claims)) if claims.get("sub") != known => {
                Err(Failed::new("the renewed ID token is for another user"))
            }
            _ => Ok(before.renewed(granted)),
        }
    }

    async fn ask(
        &self,
        fields: &[(&str, &str)],
        nonce: Option<&str>,
        now: u64,
    ) -> Result<Granted, Failed> {
        let discovery = self.provider.discovery().await?;
        let endpoint = discovery.token_endpoint.as_ref();
        let endpoint = endpoint
            .ok_or_else(|| Failed::new("the discovery document names no token_endpoint"))?;
        let (headers, body) = self
            .credentials
            .sign(&endpoint.0.to_string(), fields, now)?;
        let answer: Answer = self
            .caller
            .post("token endpoint", &endpoint.0, headers, body)
            .await?;
        let id_token = match answer.id_token {
            Some(token) => {
                #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
                let claims = self.verifier.verify(&token, &self.provider, now as f64);
                let claims = claims.await?;
                check_id_token(&claims, &discovery.issuer, &self.client_id, nonce)?;
                Some((token, claims))
            }
            None => None,
        };
        let said = answer.expires_in.as_ref().and_then(|value| match value {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        });
        // A second for the way of the answer, as lua-resty-openidc has it.
        let lives = said.or(self.expires_in).unwrap_or(LIFETIME);
        let lives = lives.saturating_sub(1).saturating_sub(self.leeway);
        Ok(Granted {
            access_token: answer.access_token,
            access_until: now.saturating_add(lives),
            refresh_token: answer.refresh_token,
            id_token,
        })
    }
}
