//! An OpenID provider with a script: it signs with a key of its own, checks what a provider checks, and can be told to misbehave.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{Answer, Received, Reply, Upstream};

/// What it does otherwise than a good provider would, and what it says of tokens.
#[derive(Clone)]
pub struct Manners {
    /// Claims put into ID tokens over the right ones; null takes one away.
    pub claims: Value,
    /// Seconds that access tokens live.
    pub expires_in: u64,
    /// Answers that take the place of an endpoint's, by path.
    pub instead: HashMap<String, Answer>,
}

struct State {
    key: EcdsaKeyPair,
    issuer: String,
    manners: Manners,
    /// What was asked for each code that is still good.
    codes: HashMap<String, HashMap<String, String>>,
    refresh: Option<String>,
    counter: u64,
}

/// The provider. Its client is `gateway` with the secret `hush`, its user `ann`.
pub struct OpenidProvider {
    pub server: Upstream,
    state: Arc<Mutex<State>>,
}

impl OpenidProvider {
    pub async fn start() -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let server = Upstream::start().await;
        let state = Arc::new(Mutex::new(State {
            key,
            issuer: format!("http://{}", server.node()),
            manners: Manners {
                claims: json!({}),
                expires_in: 3600,
                instead: HashMap::new(),
            },
            codes: HashMap::new(),
            refresh: None,
            counter: 0,
        }));
        let answering = state.clone();
        server.script(move |asked| answering.lock().unwrap().answer(asked));
        Self { server, state }
    }

    pub fn discovery(&self) -> String {
        format!(
            "http://{}/.well-known/openid-configuration",
            self.server.node()
        )
    }

    pub fn issuer(&self) -> String {
        self.state.lock().unwrap().issuer.clone()
    }

    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut self.state.lock().unwrap().manners);
    }

    /// A token that it signed.
    pub fn token(&self, claims: &Value) -> String {
        self.state.lock().unwrap().sign(claims)
    }

    /// The user logs in at this authorization address; where the browser is sent.
    pub fn log_in(&self, location: &str) -> String {
        let mut state = self.state.lock().unwrap();
        let (endpoint, query) = location.split_once('?').unwrap();
        assert_eq!(endpoint, format!("{}/authorize", state.issuer));
        let asked = fields(query);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], "gateway");
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
    pub fn asked(&self, path: &str) -> Vec<HashMap<String, String>> {
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
            "/jwks" => (200, self.keys()),
            "/token" => self.grant(asked, &form),
            "/userinfo" => match asked.header("authorization") {
                Some(text) if text.starts_with("Bearer at-") => {
                    (200, json!({"sub": "ann", "email": "ann@example.com"}))
                }
                _ => (401, json!({"error": "invalid_token"})),
            },
            "/introspect" if form.get("token").is_some_and(|t| t == "opaque-good") => (
                200,
                json!({"active": true, "sub": "ann", "scope": "read write", "exp": now() + 600, "aud": "gateway"}),
            ),
            "/introspect" => (200, json!({"active": false})),
            "/revoke" => (200, json!({})),
            _ => (404, json!({})),
        };
        let reply = Reply::new(status, body.to_string());
        Answer::Reply(reply.header("Content-Type", "application/json"))
    }

    fn discovery(&self) -> Value {
        let at = |path: &str| format!("{}/{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("authorize"),
            "token_endpoint": at("token"),
            "userinfo_endpoint": at("userinfo"),
            "jwks_uri": at("jwks"),
            "end_session_endpoint": at("end"),
            "revocation_endpoint": at("revoke"),
            "introspection_endpoint": at("introspect"),
        })
    }

    fn keys(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let part = |from: usize| URL_SAFE_NO_PAD.encode(&point[from..from + 32]);
        json!({"keys": [
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            {"kty": "future", "kid": "unknown"},
            {"kty": "EC", "crv": "P-256", "kid": "one", "use": "sig", "alg": "ES256", "x": part(1), "y": part(33)},
        ]})
    }

    fn grant(&mut self, asked: &Received, form: &HashMap<String, String>) -> (u16, Value) {
        // base64("gateway:hush")
        if asked.header("authorization") != Some("Basic Z2F0ZXdheTpodXNo") {
            return (401, json!({"error": "invalid_client"}));
        }
        let refused = (400, json!({"error": "invalid_grant"}));
        let empty = String::new();
        let said = |name: &str| form.get(name).unwrap_or(&empty).clone();
        let nonce = match said("grant_type").as_str() {
            "authorization_code" => {
                let Some(login) = self.codes.remove(&said("code")) else {
                    return refused;
                };
                if login["redirect_uri"] != said("redirect_uri") {
                    return refused;
                }
                if let Some(challenge) = login.get("code_challenge") {
                    let hash = digest::digest(&digest::SHA256, said("code_verifier").as_bytes());
                    if *challenge != URL_SAFE_NO_PAD.encode(hash) {
                        return refused;
                    }
                }
                login.get("nonce").cloned()
            }
            "refresh_token" => {
                if self.refresh.take() != Some(said("refresh_token")) {
                    return refused;
                }
                None
            }
            _ => return refused,
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
        let refresh = format!("rt-{}", self.counter);
        self.refresh = Some(refresh.clone());
        let answer = json!({
            "access_token": format!("at-{}", self.counter),
            "token_type": "Bearer",
            "expires_in": self.manners.expires_in,
            "refresh_token": refresh,
            "id_token": self.sign(&claims),
        });
        (200, answer)
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "one"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.unwrap()))
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

/// The fields of a form or a query.
pub fn fields(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text);
        text.decode_utf8().unwrap().into_owned()
    };
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}
