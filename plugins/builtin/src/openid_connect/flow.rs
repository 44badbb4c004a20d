//! The authorization code flow (OpenID Connect Core §3.1): to the provider, back with a code, and on with a session.

use super::{
    answers::{moved, page},
    endpoint::{form, is_code},
    login::Login,
    place,
    sessions::{FLOW_LIFETIME, Held, Pending, Stored, random},
    single_flight::Failed,
    tokens::Granted,
};
use crate::auth::{Place, Presented, argument};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crossway_sdk::{exchange::Exchange, flow::Reply};
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Logins of one browser that are on their way; the oldest end when there are more.
const MOST_FLOWS: usize = 6;
/// What a sealed text is for.
const FLOW: &str = "flow";

/// A login on its way.
#[derive(Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: Option<String>,
    verifier: Option<String>,
    target: String,
    redirect_uri: String,
    began: u64,
    /// Whether the provider was asked not to ask the user.
    silent: bool,
}

impl Login {
    /// Sends the user to the provider.
    pub(super) async fn begin(
        &self,
        ex: &mut Exchange<'_>,
        target: String,
        silent: bool,
        now: u64,
    ) -> Result<Reply, Failed> {
        let discovery = self.tokens.provider.discovery().await?;
        let endpoint = discovery.authorization_endpoint.as_ref();
        let endpoint = endpoint
            .ok_or_else(|| Failed::new("the discovery document names no authorization_endpoint"))?;
        let flow = Flow {
            state: random(),
            nonce: self.nonce.then(random),
            verifier: self.pkce.then(random),
            target,
            redirect_uri: self.redirect.uri(ex),
            began: now,
            silent,
        };
        let challenge = flow.verifier.as_ref();
        let challenge = challenge.map(|text| URL_SAFE_NO_PAD.encode(Sha256::digest(text)));
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &*self.tokens.client_id),
            ("scope", &*self.tokens.scope),
            ("redirect_uri", &*flow.redirect_uri),
            ("state", &*flow.state),
        ];
        fields.extend(flow.nonce.as_deref().map(|nonce| ("nonce", nonce)));
        if let Some(challenge) = &challenge {
            fields.push(("code_challenge", challenge));
            fields.push(("code_challenge_method", "S256"));
        }
        if silent {
            fields.push(("prompt", "none"));
        }
        let extra = self.extra.iter().map(|(name, value)| (&**name, &**value));
        fields.extend(extra.filter(|(name, _)| !silent || *name != "prompt"));
        let location = match &self.pushed {
            None => endpoint.with(&form(fields)),
            Some(pushed) => {
                let uri = pushed.push(&self.tokens, &fields, now).await?;
                let client = ("client_id", &*self.tokens.client_id);
                endpoint.with(&form([client, ("request_uri", &*uri)]))
            }
        };
        self.keep_flow(ex, &flow)?;
        moved(&location)
    }

    fn keep_flow(&self, ex: &mut Exchange<'_>, flow: &Flow) -> Result<(), Failed> {
        let https = place::is_https(ex);
        let failed = || Failed::new("the login does not fit into a cookie");
        let text = serde_json::to_vec(flow).ok();
        let sealed = text.and_then(|text| self.sessions.seal.seal(FLOW, text));
        let sealed = sealed.ok_or_else(failed)?;
        let cookie = self.sessions.jar.set_flow(&flow.state, &sealed, https);
        let mut cookies = vec![cookie.ok_or_else(failed)?];
        let mut others: Vec<(u64, String)> = self
            .sessions
            .jar
            .flows(headers(ex))
            .into_iter()
            .map(|name| (self.flow(ex, &name).map_or(0, |flow| flow.began), name))
            .collect();
        others.sort_unstable();
        let surplus = (others.len() + 1).saturating_sub(MOST_FLOWS);
        let ended = others.iter().take(surplus);
        cookies.extend(ended.filter_map(|(_, name)| self.sessions.jar.end_flow(name, https)));
        ex.state::<Pending>().0.extend(cookies);
        Ok(())
    }

    /// The user comes back from the provider.
    pub(super) async fn come_back(&self, ex: &mut Exchange<'_>, now: u64) -> Result<Reply, Failed> {
        let single = |name| match argument(ex, name) {
            Presented::Nothing => Ok(None),
            Presented::Text(text) => Ok(Some(text.into_owned())),
            Presented::Unusable => Err(Reply::status(400)),
        };
        let arguments = || {
            Ok::<_, Reply>((
                single("state")?,
                single("code")?,
                single("error")?,
                single("iss")?,
            ))
        };
        let (state, code, error, issuer) = match arguments() {
            Ok(arguments) => arguments,
            Err(reply) => return Ok(reply),
        };
        // Codes are credentials: not for the access log.
        Place::Argument("code").hide(ex);
        let Some((name, flow)) = state.and_then(|state| self.matching(ex, &state, now)) else {
            // Replayed, too old, of another browser: the login begins anew where the user wanted to go.
            tracing::info!("a user came back from the OpenID provider without a login on its way");
            return match ex.session.req_header().method {
                Method::GET => moved(&self.redirect.start(ex)),
                _ => Ok(Reply::status(400)),
            };
        };
        let ended = self.sessions.jar.end_flow(&name, place::is_https(ex));
        ex.state::<Pending>().0.extend(ended);
        if let Some(error) = error {
            if flow.silent && error.ends_with("_required") {
                return self.begin(ex, flow.target, false, now).await;
            }
            let code = if is_code(&error) {
                &*error
            } else {
                "an unknown error"
            };
            return Err(Failed::new(format!(
                "the provider refused the login: {code}"
            )));
        }
        let discovery = self.tokens.provider.discovery().await?;
        // RFC 9207: the answer of another provider is not for this login.
        if issuer.is_some_and(|issuer| issuer != discovery.issuer) {
            return Err(Failed::new("the answer is of another issuer"));
        }
        let code = code.ok_or_else(|| Failed::new("the provider gave no code"))?;
        let (verifier, nonce) = (flow.verifier.as_deref(), flow.nonce.as_deref());
        let granted = self
            .tokens
            .redeem(&code, &flow.redirect_uri, verifier, nonce, now)
            .await?;
        let user = self.user(&granted).await;
        let session = Stored::new(Held::new(granted), user, now);
        self.sessions.begin(ex, &session).await?;
        match self.sessions.jar.is_strict() {
            true => Ok(page(&flow.target)),
            false => moved(&flow.target),
        }
    }

    /// The login on its way that has this state.
    fn matching(&self, ex: &Exchange<'_>, state: &str, now: u64) -> Option<(String, Flow)> {
        let name = self.sessions.jar.flow(state)?;
        let flow = self.flow(ex, &name)?;
        let same = bool::from(flow.state.as_bytes().ct_eq(state.as_bytes()));
        (same && now.saturating_sub(flow.began) < FLOW_LIFETIME).then_some((name, flow))
    }

    /// What the provider knows of the user; nothing when it does not say, or says it of another one.
    async fn user(&self, granted: &Granted) -> Option<Value> {
        let discovery = self.tokens.provider.discovery().await.ok()?;
        let endpoint = discovery.userinfo_endpoint.as_ref()?;
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", granted.access_token)).ok()?;
        authorization.set_sensitive(true);
        let caller = &self.tokens.caller;
        let answer = caller
            .get::<Value>("userinfo", &endpoint.0, Some(authorization))
            .await;
        let user = match answer {
            Ok(user) => user,
            Err(error) => {
                tracing::warn!(%error, "nothing more is known of a user");
                return None;
            }
        };
        // OpenID Connect Core §5.3.2.
        let (_, claims) = granted.id_token.as_ref()?;
        if user.get("sub") != claims.get("sub") {
            tracing::warn!("what the userinfo endpoint said is of another user");
            return None;
        }
        Some(user)
    }

    fn flow(&self, ex: &Exchange<'_>, name: &str) -> Option<Flow> {
        let sealed = self.sessions.jar.read_flow(headers(ex), name)?;
        let text = self.sessions.seal.open(FLOW, sealed.as_bytes())?;
        serde_json::from_slice(&text).ok()
    }
}

fn headers<'e>(ex: &'e Exchange<'_>) -> &'e http::HeaderMap {
    &ex.session.req_header().headers
}
