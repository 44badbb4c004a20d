//! The authorization code flow (OpenID Connect Core §3.1): to the provider, back with a code, and on with a session.

use super::{
    config::UnauthAction,
    cookies::{FLOW_LIFETIME, Jar},
    endpoint::{form, is_code},
    place::{self, Redirect},
    seal::Seal,
    session::{Stored, Timeouts},
    single_flight::Failed,
    tokens::{Granted, Renewal, Tokens},
};
use crate::auth::{Presented, argument};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crossway_sdk::{exchange::Exchange, flow::Reply};
use http::{HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Logins of one browser that are on their way; the oldest end when there are more.
const MOST_FLOWS: usize = 6;
const SESSION: &str = "session";
const FLOW: &str = "flow";

/// How users log in.
pub(super) struct Login {
    pub(super) tokens: Arc<Tokens>,
    pub(super) renewal: Renewal,
    pub(super) redirect: Redirect,
    pub(super) jar: Jar,
    pub(super) seal: Seal,
    pub(super) timeouts: Timeouts,
    pub(super) unauth: UnauthAction,
    pub(super) pkce: bool,
    pub(super) nonce: bool,
    /// Arguments of the authorization endpoint that are configured.
    pub(super) extra: Vec<(String, String)>,
    pub(super) renews: bool,
    pub(super) reauthorize: bool,
    pub(super) interval: Option<u64>,
    pub(super) logout: super::logout::Logout,
}

/// What came of a request.
pub(super) enum Entry {
    /// A user with a session. The access token is there unless it expired.
    User(Box<Stored>, bool),
    /// Nobody, and that is allowed.
    Nobody,
    Answer(Reply),
}

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

/// The cookies that the answer to a request sets.
#[derive(Default)]
pub(super) struct Pending(pub(super) Vec<HeaderValue>);

impl Login {
    pub(super) async fn enter(&self, ex: &mut Exchange<'_>, now: u64) -> Result<Entry, Failed> {
        let path = ex.request.path(ex.session.req_header()).to_owned();
        if self.redirect.is_at(&path) {
            return self.come_back(ex, now).await.map(Entry::Answer);
        }
        let session = self.read(ex, now);
        if path == *self.logout.path {
            let ended = self.jar.end_session(headers(ex), place::is_https(ex));
            ex.state::<Pending>().0.extend(ended);
            let reply = self.logout.end(&self.tokens, session.as_ref(), now).await;
            return Ok(Entry::Answer(reply));
        }
        let Some(mut session) = session else {
            return self.turn_away(ex, now).await;
        };
        let mut write = self.timeouts.touch(&mut session, now);
        let expired =
            now >= session.access_until && !self.renew(&mut session, &mut write, now).await;
        if self.reauthorize || (self.renews && expired) {
            return self.turn_away(ex, now).await;
        }
        let old = |interval| now.saturating_sub(session.authenticated) >= interval;
        if self.unauth == UnauthAction::Auth && self.interval.is_some_and(old) {
            let target = place::target(ex);
            return self.begin(ex, target, true, now).await.map(Entry::Answer);
        }
        if write {
            self.write(ex, &session)?;
        }
        Ok(Entry::User(Box::new(session), !expired))
    }

    /// Whether the access token is good again.
    async fn renew(&self, session: &mut Stored, write: &mut bool, now: u64) -> bool {
        let Some(token) = session.refresh_token.clone().filter(|_| self.renews) else {
            return false;
        };
        match self.renewal.renew(&token, &session.id_token, now).await {
            Ok(granted) => {
                session.take(&granted);
                *write = true;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "an access token cannot be renewed");
                false
            }
        }
    }

    async fn turn_away(&self, ex: &mut Exchange<'_>, now: u64) -> Result<Entry, Failed> {
        match self.unauth {
            UnauthAction::Pass => Ok(Entry::Nobody),
            UnauthAction::Deny => Ok(Entry::Answer(Reply::status(401))),
            UnauthAction::Auth => {
                let target = place::target(ex);
                self.begin(ex, target, false, now).await.map(Entry::Answer)
            }
        }
    }

    /// Sends the user to the provider.
    async fn begin(
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
        let location = endpoint.with(&form(fields));
        self.keep_flow(ex, &flow)?;
        moved(&location)
    }

    fn keep_flow(&self, ex: &mut Exchange<'_>, flow: &Flow) -> Result<(), Failed> {
        let https = place::is_https(ex);
        let failed = || Failed::new("the login does not fit into a cookie");
        let sealed = self.sealed(FLOW, flow).ok_or_else(failed)?;
        let cookie = self.jar.set_flow(&flow.state, &sealed, https);
        let mut cookies = vec![cookie.ok_or_else(failed)?];
        let mut others: Vec<(u64, String)> = self
            .jar
            .flows(headers(ex))
            .into_iter()
            .map(|name| (self.flow(ex, &name).map_or(0, |flow| flow.began), name))
            .collect();
        others.sort_unstable();
        let surplus = (others.len() + 1).saturating_sub(MOST_FLOWS);
        let ended = others.iter().take(surplus);
        cookies.extend(ended.filter_map(|(_, name)| self.jar.end_flow(name, https)));
        ex.state::<Pending>().0.extend(cookies);
        Ok(())
    }

    /// The user comes back from the provider.
    async fn come_back(&self, ex: &mut Exchange<'_>, now: u64) -> Result<Reply, Failed> {
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
        let Some((name, flow)) = state.and_then(|state| self.matching(ex, &state, now)) else {
            // Replayed, too old, of another browser: the login begins anew where the user wanted to go.
            tracing::info!("a user came back from the OpenID provider without a login on its way");
            return match ex.session.req_header().method {
                Method::GET => moved(&self.redirect.start(ex)),
                _ => Ok(Reply::status(400)),
            };
        };
        let ended = self.jar.end_flow(&name, place::is_https(ex));
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
        let session = Stored::new(granted, user, now);
        self.write(ex, &session)?;
        match self.jar.is_strict() {
            true => Ok(page(&flow.target)),
            false => moved(&flow.target),
        }
    }

    /// The login on its way that has this state.
    fn matching(&self, ex: &Exchange<'_>, state: &str, now: u64) -> Option<(String, Flow)> {
        let name = self.jar.flow(state)?;
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

    fn read(&self, ex: &Exchange<'_>, now: u64) -> Option<Stored> {
        let sealed = self.jar.session(headers(ex))?;
        let text = self.seal.open(SESSION, sealed.as_bytes())?;
        let session: Stored = serde_json::from_slice(&text).ok()?;
        self.timeouts.holds(&session, now).then_some(session)
    }

    fn write(&self, ex: &mut Exchange<'_>, session: &Stored) -> Result<(), Failed> {
        let cookies = self.sealed(SESSION, session).and_then(|sealed| {
            let https = place::is_https(ex);
            self.jar.set_session(&sealed, headers(ex), https)
        });
        let cookies = cookies.ok_or_else(|| Failed::new("the session is too large for cookies"))?;
        ex.state::<Pending>().0.extend(cookies);
        Ok(())
    }

    fn flow(&self, ex: &Exchange<'_>, name: &str) -> Option<Flow> {
        let sealed = self.jar.read_flow(headers(ex), name)?;
        let text = self.seal.open(FLOW, sealed.as_bytes())?;
        serde_json::from_slice(&text).ok()
    }

    fn sealed(&self, purpose: &str, value: &impl Serialize) -> Option<String> {
        self.seal.seal(purpose, serde_json::to_vec(value).ok()?)
    }
}

impl Stored {
    fn new(granted: Granted, user: Option<Value>, now: u64) -> Self {
        Self {
            created: now,
            rolled: now,
            touched: now,
            authenticated: now,
            access_token: granted.access_token,
            access_until: granted.access_until,
            refresh_token: granted.refresh_token,
            id_token: granted.id_token.map(|(text, _)| text).unwrap_or_default(),
            user,
        }
    }

    fn take(&mut self, granted: &Granted) {
        self.access_token.clone_from(&granted.access_token);
        self.access_until = granted.access_until;
        if granted.refresh_token.is_some() {
            self.refresh_token.clone_from(&granted.refresh_token);
        }
        if let Some((text, _)) = &granted.id_token {
            self.id_token.clone_from(text);
        }
    }
}

fn headers<'e>(ex: &'e Exchange<'_>) -> &'e http::HeaderMap {
    &ex.session.req_header().headers
}

/// 256 bits that nobody guesses.
fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// 302, not to be kept by anybody.
pub(super) fn moved(location: &str) -> Result<Reply, Failed> {
    let location = place::location(location);
    let location = location.ok_or_else(|| Failed::new("an address cannot stand in a header"))?;
    Ok(unkept(Reply::status(302)).header(header::LOCATION, location))
}

/// A page of our own that goes on to a path: browsers count the request after it as one of this site.
fn page(target: &str) -> Reply {
    let target = target.replace('&', "&amp;").replace('\'', "&#39;");
    let body = format!(
        "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url='{target}'\"><a href='{target}'>Continue</a>\n"
    );
    unkept(Reply::bytes(200, body)).content_type("text/html; charset=utf-8")
}

pub(super) fn unkept(reply: Reply) -> Reply {
    let value = HeaderValue::from_static("no-cache, no-store, max-age=0");
    reply.header(header::CACHE_CONTROL, value)
}
