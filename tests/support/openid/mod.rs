//! An OpenID provider with a script: it signs with a key of its own, checks what a provider checks, and can be told to misbehave.

mod client;
mod key;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest;
use serde_json::{Value, json};

use super::{Answer, Leaf, Received, Reply, Upstream};
use client::Client;
pub use client::Proof;
use key::SigningKey;

type Form = HashMap<String, String>;

/// What it does otherwise than a good provider would, and what it says of tokens.
#[derive(Clone)]
pub struct Manners {
    /// Claims put into ID tokens over the right ones; null takes one away.
    pub claims: Value,
    /// Claims of access tokens, which are opaque without.
    pub access: Option<Value>,
    /// Seconds that access tokens live.
    pub expires_in: u64,
    /// Whether a refresh token is good for one use only.
    pub rotates: bool,
    /// Answers that take the place of an endpoint's, by path.
    pub instead: HashMap<String, Answer>,
    /// Whether authorization requests must have been pushed.
    pub pushed_only: bool,
    /// Where the client may have users sent back to.
    pub redirect_uri: String,
    /// Endpoints that the discovery document does not name.
    pub without: Vec<&'static str>,
}

struct State {
    key: SigningKey,
    issuer: String,
    client: Client,
    manners: Manners,
    /// What was asked for each code that is still good.
    codes: HashMap<String, Form>,
    /// What was pushed.
    pushed: HashMap<String, Form>,
    refresh: Option<String>,
    counter: u64,
    /// What was wrong with requests.
    faults: Vec<String>,
}

/// The provider. Its client is `gateway` with the secret `hush`, its user `ann`.
pub struct OpenidProvider {
    pub server: Upstream,
    state: Arc<Mutex<State>>,
}

impl OpenidProvider {
    pub async fn start() -> Self {
        let server = Upstream::start().await;
        let issuer = format!("http://{}", server.node());
        Self::with(server, issuer)
    }

    /// Known under a name that only a proxy finds.
    pub async fn named(host: &str) -> Self {
        let server = Upstream::start().await;
        let issuer = format!("http://{host}:{}", server.addr().port());
        Self::with(server, issuer)
    }

    /// Over TLS, under this name.
    pub async fn secure(host: &str, leaf: &Leaf) -> Self {
        let server = Upstream::start_with(leaf.server(None)).await;
        let issuer = format!("https://{host}:{}", server.addr().port());
        Self::with(server, issuer)
    }

    fn with(server: Upstream, issuer: String) -> Self {
        let state = Arc::new(Mutex::new(State {
            key: SigningKey::new("one"),
            issuer,
            client: Client::new(Proof::Basic),
            manners: Manners {
                claims: json!({}),
                access: None,
                expires_in: 3600,
                rotates: true,
                instead: HashMap::new(),
                pushed_only: false,
                redirect_uri: "http://app.test/callback".to_owned(),
                without: Vec::new(),
            },
            codes: HashMap::new(),
            pushed: HashMap::new(),
            refresh: None,
            counter: 0,
            faults: Vec::new(),
        }));
        let answering = state.clone();
        server.script(move |asked| answering.lock().unwrap().answer(asked));
        Self { server, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer())
    }

    pub fn issuer(&self) -> String {
        self.state().issuer.clone()
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.state().manners);
    }

    /// Expects the client to show itself in this way.
    pub fn register(&self, proof: Proof, audience: Option<&str>) {
        let mut client = Client::new(proof);
        client.audience = audience.map(str::to_owned);
        self.state().client = client;
    }

    /// Signs with a new key from now on, and forgets the old one.
    pub fn rotate(&self, kid: &str) {
        self.state().key = SigningKey::new(kid);
    }

    /// A token that it signed.
    pub fn token(&self, claims: &Value) -> String {
        self.state().key.sign(claims)
    }

    /// A token with its signature and another header.
    pub fn token_as(&self, header: &Value, claims: &Value) -> String {
        self.state().key.sign_as(header, claims)
    }

    /// Its public key, as bytes.
    pub fn public_key(&self) -> Vec<u8> {
        self.state().key.public()
    }

    /// What was wrong with the requests so far.
    pub fn faults(&self) -> Vec<String> {
        self.state().faults.clone()
    }

    /// The user logs in at this authorization address; where the browser is sent.
    #[track_caller]
    pub fn log_in(&self, location: &str) -> String {
        let mut state = self.state();
        let (endpoint, query) = location.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", state.issuer));
        let mut asked = fields(query);
        assert_eq!(asked["client_id"], "gateway");
        assert_eq!(asked.contains_key("request_uri"), state.manners.pushed_only);
        if let Some(reference) = asked.get("request_uri") {
            assert_eq!(asked.len(), 2, "{location}");
            // Each is good once.
            let pushed = state.pushed.remove(reference);
            asked = pushed.expect("what was pushed");
        }
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], "gateway");
        assert_eq!(asked["redirect_uri"], state.manners.redirect_uri);
        assert!(asked["scope"].split(' ').any(|one| one == "openid"));
        assert!(asked["state"].len() >= 43);
        if let Some(challenge) = asked.get("code_challenge") {
            assert_eq!(challenge.len(), 43);
            assert_eq!(asked["code_challenge_method"], "S256");
        }
        state.counter += 1;
        let code = format!("code-{}", state.counter);
        let back = format!(
            "{}?code={code}&state={}&iss={}",
            asked["redirect_uri"], asked["state"], state.issuer
        );
        state.codes.insert(code, asked);
        back
    }

    /// Forms that an endpoint got.
    pub fn asked(&self, path: &str) -> Vec<Form> {
        let requests = self.server.requests();
        let of_path = requests.iter().filter(|request| request.target == path);
        of_path
            .map(|request| fields(&String::from_utf8_lossy(&request.body)))
            .collect()
    }
}

impl State {
    fn answer(&mut self, asked: &Received) -> Answer {
        let path = asked.target.split('?').next().unwrap();
        if let Some(answer) = self.manners.instead.get(path) {
            return answer.clone();
        }
        let form = fields(&String::from_utf8_lossy(&asked.body));
        let (status, body) = match path {
            "/.well-known/openid-configuration" => (200, self.discovery()),
            "/jwks" => (200, self.key.set()),
            "/userinfo" => match asked.header("authorization") {
                Some("Bearer at-none") | None => (401, json!({"error": "invalid_token"})),
                Some(_) => (200, json!({"sub": "ann", "email": "ann@example.com"})),
            },
            "/token" | "/introspect" | "/revoke" | "/par" => self.with_client(path, asked, &form),
            _ => (404, json!({})),
        };
        let reply = Reply::new(status, body.to_string());
        Answer::Reply(reply.header("Content-Type", "application/json"))
    }

    /// The endpoints for clients that show themselves.
    fn with_client(&mut self, path: &str, asked: &Received, form: &Form) -> (u16, Value) {
        let endpoint = format!("{}{path}", self.issuer);
        let is_form = asked.header("content-type") == Some("application/x-www-form-urlencoded");
        let judged = match is_form && asked.method == "POST" {
            true => self.client.judge(asked, &endpoint),
            false => Err("a form is expected".to_owned()),
        };
        if let Err(fault) = judged {
            self.faults.push(format!("{path}: {fault}"));
            return (401, json!({"error": "invalid_client"}));
        }
        match path {
            "/token" => self.grant(form),
            "/par" => {
                self.counter += 1;
                let reference = format!("urn:ietf:params:oauth:request_uri:{}", self.counter);
                self.pushed.insert(reference.clone(), form.clone());
                (201, json!({"request_uri": reference, "expires_in": 60}))
            }
            "/introspect" if form.get("token").is_some_and(|t| t == "opaque-good") => (
                200,
                json!({"active": true, "sub": "ann", "scope": "read write", "exp": now() + 600, "aud": "gateway"}),
            ),
            "/introspect" => (200, json!({"active": false})),
            _ => (200, json!({})),
        }
    }

    fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}/{path}", self.issuer);
        let mut document = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("authorize"),
            "token_endpoint": at("token"),
            "userinfo_endpoint": at("userinfo"),
            "jwks_uri": at("jwks"),
            "end_session_endpoint": at("end"),
            "revocation_endpoint": at("revoke"),
            "introspection_endpoint": at("introspect"),
            "pushed_authorization_request_endpoint": at("par"),
        });
        let named = document.as_object_mut().unwrap();
        named.retain(|name, _| !self.manners.without.contains(&name.as_str()));
        document
    }

    fn grant(&mut self, form: &Form) -> (u16, Value) {
        let empty = String::new();
        let said = |name: &str| form.get(name).unwrap_or(&empty).clone();
        let nonce = match said("grant_type").as_str() {
            "authorization_code" => match self.redeem(form) {
                Ok(login) => login.get("nonce").cloned(),
                Err(fault) => {
                    self.faults.push(fault.to_owned());
                    return (400, json!({"error": "invalid_grant"}));
                }
            },
            "refresh_token" if self.refresh == Some(said("refresh_token")) => None,
            _ => {
                self.faults.push("refresh_token".to_owned());
                return (400, json!({"error": "invalid_grant"}));
            }
        };
        self.counter += 1;
        let mut claims = json!({
            "iss": self.issuer, "sub": "ann", "aud": "gateway", "iat": now(), "exp": now() + 300,
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        for (name, value) in self.manners.claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, v| !v.is_null());
        if self.manners.rotates || self.refresh.is_none() {
            self.refresh = Some(format!("rt-{}", self.counter));
        }
        let access = match &self.manners.access {
            Some(claims) => self.key.sign(claims),
            None => format!("at-{}", self.counter),
        };
        let answer = json!({
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.manners.expires_in,
            "refresh_token": self.refresh,
            "id_token": self.key.sign(&claims),
        });
        (200, answer)
    }

    /// A code is good once, for the address and the verifier that it was asked with.
    fn redeem(&mut self, form: &Form) -> Result<Form, &'static str> {
        let code = form.get("code").ok_or("code")?;
        let login = self.codes.remove(code).ok_or("code")?;
        if form.get("redirect_uri") != login.get("redirect_uri") {
            return Err("redirect_uri");
        }
        let verifier = form.get("code_verifier");
        if verifier.is_some_and(|text| !(43..=128).contains(&text.len())) {
            return Err("code_verifier");
        }
        let hash = verifier.map(|text| digest::digest(&digest::SHA256, text.as_bytes()));
        let challenge = hash.map(|hash| URL_SAFE_NO_PAD.encode(hash));
        match challenge.as_ref() == login.get("code_challenge") {
            true => Ok(login),
            false => Err("code_verifier"),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The fields of a form or a query; none may stand there twice.
pub fn fields(text: &str) -> Form {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text);
        text.decode_utf8().unwrap().into_owned()
    };
    let mut all = Form::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let before = all.insert(decoded(name), decoded(value));
        assert!(before.is_none(), "{name} stands twice in {text}");
    }
    all
}
