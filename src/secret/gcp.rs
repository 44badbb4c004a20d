//! Google Cloud Secret Manager: the latest version of a secret, with a token that a service account is given for a signed claim
//! (RFC 7523).

use super::fetch::{Line, SEGMENT, Trouble, Unfit, address, own, part_of};
use crate::model::secret::{Gcp, GcpAuth};
use base64::{
    Engine, alphabet,
    engine::{
        DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD,
    },
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::AUTHORIZATION, header::CONTENT_TYPE};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::rust_crypto::DEFAULT_PROVIDER};
use parking_lot::Mutex;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A token is no longer used so long before its end, as in APISIX.
const MARGIN: Duration = Duration::from_secs(60);
/// Seconds for which a claim holds; Google takes no more.
const CLAIM: u64 = 3600;
/// A file with a service account has so many bytes at most.
const MAX_FILE: u64 = 1 << 16;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Base64 with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `key` is the name of a secret and, behind a slash, its field; names have no slashes.
pub(super) async fn fetch(
    line: &Line<'_>,
    tokens: &Tokens,
    gcp: &Gcp,
    key: &str,
) -> Result<String, Trouble> {
    let (name, field) = match key.split_once('/') {
        Some((name, field)) => (name, Some(field)),
        None => (key, None),
    };
    let account = Account::of(gcp).await?;
    let slot = tokens.slot(&account);
    let known = slot.lock().await.valid(Instant::now());
    let mut answer = None;
    // The token that is known may have been withdrawn.
    if let Some(token) = known {
        let said = line.ask(account.access(name, &token)?).await?;
        match said.status() {
            StatusCode::UNAUTHORIZED => slot.lock().await.forget(&token),
            _ => answer = Some(said),
        }
    }
    let answer = match answer {
        Some(answer) => answer,
        None => {
            let token = slot.lock().await.renew(line, &account).await?;
            line.ask(account.access(name, &token)?).await?
        }
    };
    part_of(secret_of(line, answer.status(), answer.body())?, field)
}

/// The secret in an answer.
fn secret_of(line: &Line<'_>, status: StatusCode, body: &[u8]) -> Result<String, Trouble> {
    let body: Option<Value> = serde_json::from_slice(body).ok();
    let at = |pointer| body.as_ref()?.pointer(pointer)?.as_str();
    match (status, at("/error/status")) {
        (StatusCode::OK, _) => {}
        // A version that was disabled or destroyed.
        (StatusCode::NOT_FOUND, _) | (_, Some("FAILED_PRECONDITION")) => return Err(line.gone()),
        (status, code) => return Err(line.refused(status, code)),
    }
    let data = at("/payload/data").ok_or_else(|| line.nonsense())?;
    let secret = BASE64.decode(data).map_err(|_| line.nonsense())?;
    String::from_utf8(secret).map_err(|_| Trouble::Gone("the secret is no text".to_owned()))
}

pub(super) fn judge(gcp: &Gcp) -> Result<(), Unfit> {
    let Some(written) = &gcp.auth_config else {
        // The file is read when it is needed: it may come later, and change.
        return own("/auth_file", gcp.auth_file.as_deref().unwrap_or_default()).map(drop);
    };
    let account = Account::written(written)?;
    account.key()?;
    account.access("name", "token").map(drop)
}

/// A service account with all of its references resolved, and so with its private key.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Account {
    client_email: String,
    private_key: String,
    project_id: String,
    token_uri: String,
    scope: String,
    entries_uri: String,
}

/// What Google writes into such a file, as far as it is needed. There is more in it.
#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    project_id: String,
    #[serde(default = "crate::model::secret::token_uri")]
    token_uri: String,
    #[serde(default = "crate::model::secret::entries_uri")]
    entries_uri: String,
    scope: Option<Scope>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scope {
    One(String),
    Several(Vec<String>),
}

impl Account {
    async fn of(gcp: &Gcp) -> Result<Self, Trouble> {
        if let Some(written) = &gcp.auth_config {
            return Ok(Self::written(written)?);
        }
        let unfit = |why: &str| Trouble::from(("/auth_file", why.to_owned()));
        let path = own("/auth_file", gcp.auth_file.as_deref().unwrap_or_default())?;
        let file = tokio::fs::metadata(&*path).await;
        if file.is_ok_and(|file| !file.is_file() || file.len() > MAX_FILE) {
            return Err(unfit(
                "it is no plain file, or too large for a service account",
            ));
        }
        let text = tokio::fs::read(&*path).await;
        let text = text.map_err(|e| unfit(&format!("the file cannot be read: {}", e.kind())))?;
        let file: File = serde_json::from_slice(&text)
            .map_err(|_| unfit("the file holds no service account in JSON"))?;
        let scope = match file.scope {
            None => crate::model::secret::scope(),
            Some(Scope::One(scope)) => vec![scope],
            Some(Scope::Several(all)) => all,
        };
        Ok(Self {
            client_email: file.client_email,
            private_key: file.private_key,
            project_id: file.project_id,
            token_uri: address("/auth_file", &file.token_uri)?,
            scope: scope.join(" "),
            entries_uri: address("/auth_file", &file.entries_uri)?,
        })
    }

    fn written(auth: &GcpAuth) -> Result<Self, Unfit> {
        let text = |field, text| own(field, text).map(|text| text.into_owned());
        let scopes: Result<Vec<_>, _> = auth
            .scope
            .iter()
            .map(|scope| text("/auth_config/scope", scope))
            .collect();
        Ok(Self {
            client_email: text("/auth_config/client_email", &auth.client_email)?,
            private_key: text("/auth_config/private_key", &auth.private_key)?,
            project_id: text("/auth_config/project_id", &auth.project_id)?,
            token_uri: address("/auth_config/token_uri", &auth.token_uri)?,
            scope: scopes?.join(" "),
            entries_uri: address("/auth_config/entries_uri", &auth.entries_uri)?,
        })
    }

    fn key(&self) -> Result<EncodingKey, Unfit> {
        // The text of the error could hold a part of the key.
        let unfit = || {
            (
                "/auth_config/private_key",
                "expected an RSA key in PEM".to_owned(),
            )
        };
        let key = EncodingKey::from_rsa_pem(self.private_key.trim().as_bytes());
        let key = key.map_err(|_| unfit())?;
        (DEFAULT_PROVIDER.signer_factory)(&Algorithm::RS256, &key).map_err(|_| unfit())?;
        Ok(key)
    }

    /// The claim for which there is a token, signed with RS256.
    fn claim(&self, now: u64) -> Result<String, Unfit> {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(json!({
            "iss": self.client_email, "aud": self.token_uri, "scope": self.scope,
            "iat": now, "exp": now.saturating_add(CLAIM),
        }));
        let message = format!("{header}.{claims}");
        let unfit = || {
            (
                "/auth_config/private_key",
                "it cannot be signed with".to_owned(),
            )
        };
        let signer = (DEFAULT_PROVIDER.signer_factory)(&Algorithm::RS256, &self.key()?);
        let signer = signer.map_err(|_| unfit())?;
        let signature = signer.try_sign(message.as_bytes()).map_err(|_| unfit())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn grant(&self, now: u64) -> Result<Request<Bytes>, Unfit> {
        let encoded = |text: &str| utf8_percent_encode(text, SEGMENT).to_string();
        let claim = self.claim(now)?;
        let form = format!(
            "grant_type={}&assertion={}",
            encoded(GRANT),
            encoded(&claim)
        );
        Request::post(&self.token_uri)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.into())
            .map_err(|_| ("/auth_config/token_uri", "it cannot be used".to_owned()))
    }

    fn access(&self, name: &str, token: &str) -> Result<Request<Bytes>, Unfit> {
        let encoded = |text| utf8_percent_encode(text, SEGMENT);
        let target = format!(
            "{}/projects/{}/secrets/{}/versions/latest:access",
            self.entries_uri,
            encoded(&self.project_id),
            encoded(name)
        );
        let unfit = || ("/auth_config/entries_uri", "it cannot be used".to_owned());
        let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| unfit())?;
        bearer.set_sensitive(true);
        let request = Request::get(target).header(AUTHORIZATION, bearer);
        request.body(Bytes::new()).map_err(|_| unfit())
    }
}

/// Tokens that hold still, by account.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Account, Arc<tokio::sync::Mutex<Slot>>>>);

impl Tokens {
    /// The place of an account's token. Those of accounts that nobody uses are given up with their tokens.
    fn slot(&self, account: &Account) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut all = self.0.lock();
        let now = Instant::now();
        all.retain(|_, slot| {
            let unused = slot.try_lock().is_ok_and(|slot| slot.valid(now).is_none());
            Arc::strong_count(slot) > 1 || !unused
        });
        all.entry(account.clone()).or_default().clone()
    }
}

/// The token of an account. Who locks it asks for a new one alone, and the others wait for that.
#[derive(Default)]
struct Slot(Option<(Arc<str>, Instant)>);

/// What a token endpoint says.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    #[serde(default)]
    expires_in: u64,
}

impl Slot {
    fn valid(&self, now: Instant) -> Option<Arc<str>> {
        let held = self.0.as_ref().filter(|(_, until)| *until > now);
        held.map(|(token, _)| token.clone())
    }

    /// Forgets this token, unless another one has taken its place.
    fn forget(&mut self, token: &Arc<str>) {
        self.0.take_if(|(held, _)| Arc::ptr_eq(held, token));
    }

    /// The token, a new one if there is none.
    async fn renew(&mut self, line: &Line<'_>, account: &Account) -> Result<Arc<str>, Trouble> {
        let began = Instant::now();
        if let Some(token) = self.valid(began) {
            return Ok(token);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let answer = line.ask(account.grant(now)?).await?;
        let body = answer.body();
        if answer.status() != StatusCode::OK {
            let said: Option<Value> = serde_json::from_slice(body).ok();
            let code = said.as_ref().and_then(|said| said.get("error")?.as_str());
            return Err(line.refused(answer.status(), code));
        }
        let granted: Option<Granted> = serde_json::from_slice(body).ok();
        let sendable = |g: &Granted| HeaderValue::from_str(&g.access_token).is_ok();
        let granted = granted.filter(sendable).ok_or_else(|| {
            Trouble::Unreachable("Google Cloud answered something that is no token".to_owned())
        })?;
        let token: Arc<str> = granted.access_token.into();
        let holds = Duration::from_secs(granted.expires_in.min(CLAIM)).saturating_sub(MARGIN);
        self.0 = Some((token.clone(), began + holds));
        Ok(token)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
