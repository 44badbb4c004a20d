//! How the gateway proves to the provider which client it is (OpenID Connect Core §9).

use super::{
    config::{ClientAuth, Config},
    endpoint::{encoded, form},
    single_flight::Failed,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use crossway_sdk::build::BuildError;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::rust_crypto::DEFAULT_PROVIDER};
use serde_json::json;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client, as it shows itself at one endpoint.
pub(super) struct Credentials {
    client_id: Box<str>,
    way: Way,
}

enum Way {
    /// A public client has nothing to prove.
    Public,
    Basic(HeaderValue),
    Post(Box<str>),
    Assertion(Signer),
}

struct Signer {
    name: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    kid: Option<Box<str>>,
    lifetime: u64,
    audience: Option<Box<str>>,
}

impl Credentials {
    /// # Errors
    /// The method needs a key or an algorithm that is not there.
    pub(super) fn new(config: &Config, method: ClientAuth) -> Result<Self, BuildError> {
        let secret = config.client_secret.as_deref();
        let way = match (method, secret) {
            (ClientAuth::PrivateKeyJwt | ClientAuth::ClientSecretJwt, _) => {
                Way::Assertion(Signer::new(config, method)?)
            }
            (_, None) => Way::Public,
            (ClientAuth::ClientSecretPost, Some(secret)) => Way::Post(secret.into()),
            (ClientAuth::ClientSecretBasic, Some(secret)) => {
                // RFC 6749 §2.3.1: each half is encoded as in a form.
                let pair = format!("{}:{}", encoded(&config.client_id), encoded(secret));
                let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
                let mut value =
                    value.map_err(|_| BuildError::new("/client_secret", "it cannot be sent"))?;
                value.set_sensitive(true);
                Way::Basic(value)
            }
        };
        Ok(Self {
            client_id: config.client_id.as_str().into(),
            way,
        })
    }

    /// Headers and body of a call with these fields.
    ///
    /// # Errors
    /// The assertion cannot be signed.
    pub(super) fn sign(
        &self,
        endpoint: &str,
        fields: &[(&str, &str)],
        now: u64,
    ) -> Result<(HeaderMap, String), Failed> {
        let mut headers = HeaderMap::new();
        // A pushed request has it already.
        let named = fields.iter().any(|(name, _)| *name == "client_id");
        let client = (!named).then_some(("client_id", &*self.client_id));
        let fields = fields.iter().copied();
        let body = match &self.way {
            Way::Public => form(fields.chain(client)),
            Way::Basic(value) => {
                headers.insert(AUTHORIZATION, value.clone());
                form(fields)
            }
            Way::Post(secret) => form(fields.chain(client).chain([("client_secret", &**secret)])),
            Way::Assertion(signer) => {
                let assertion = signer.sign(&self.client_id, endpoint, now)?;
                form(fields.chain(client).chain([
                    ("client_assertion_type", ASSERTION),
                    ("client_assertion", &assertion),
                ]))
            }
        };
        Ok((headers, body))
    }
}

impl Signer {
    fn new(config: &Config, method: ClientAuth) -> Result<Self, BuildError> {
        let symmetric = method == ClientAuth::ClientSecretJwt;
        let written = config.client_jwt_assertion_alg.as_deref();
        let (name, algorithm) = match (symmetric, written) {
            (false, None | Some("RS256")) => ("RS256", Algorithm::RS256),
            (false, Some("RS512")) => ("RS512", Algorithm::RS512),
            (false, Some("ES256")) => ("ES256", Algorithm::ES256),
            (true, None | Some("HS256")) => ("HS256", Algorithm::HS256),
            (true, Some("HS512")) => ("HS512", Algorithm::HS512),
            (false, Some(_)) => {
                let message = "private_key_jwt signs with RS256, RS512 or ES256";
                return Err(BuildError::new("/client_jwt_assertion_alg", message));
            }
            (true, Some(_)) => {
                let message = "client_secret_jwt signs with HS256 or HS512";
                return Err(BuildError::new("/client_jwt_assertion_alg", message));
            }
        };
        let key = if symmetric {
            let secret = config.client_secret.as_deref();
            let missing = || BuildError::new("/client_secret", "client_secret_jwt needs it");
            EncodingKey::from_secret(secret.ok_or_else(missing)?.as_bytes())
        } else {
            private_key(config, algorithm)?
        };
        Ok(Self {
            name,
            algorithm,
            key,
            kid: config.client_rsa_private_key_id.as_deref().map(Into::into),
            lifetime: config.client_jwt_assertion_expires_in,
            audience: config
                .client_jwt_assertion_audience
                .as_deref()
                .map(Into::into),
        })
    }

    fn sign(&self, client_id: &str, endpoint: &str, now: u64) -> Result<String, Failed> {
        let mut header = json!({"typ": "JWT", "alg": self.name});
        if let (Some(kid), Some(header)) = (&self.kid, header.as_object_mut()) {
            header.insert("kid".to_owned(), (&**kid).into());
        }
        let claims = json!({
            "iss": client_id,
            "sub": client_id,
            "aud": self.audience.as_deref().unwrap_or(endpoint),
            "jti": uuid::Uuid::new_v4().to_string(),
            "iat": now,
            "exp": now.saturating_add(self.lifetime),
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let failed = || Failed::new("the assertion of the client cannot be signed");
        let signer = (DEFAULT_PROVIDER.signer_factory)(&self.algorithm, &self.key);
        let signer = signer.map_err(|_| failed())?;
        let signature = signer.try_sign(message.as_bytes()).map_err(|_| failed())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn private_key(config: &Config, algorithm: Algorithm) -> Result<EncodingKey, BuildError> {
    let refuse = |message| BuildError::new("/client_rsa_private_key", message);
    let pem = config.client_rsa_private_key.as_deref();
    let pem = pem
        .ok_or_else(|| refuse("private_key_jwt needs it"))?
        .trim();
    let key = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    };
    // The text of the error could hold a part of the key.
    let unfit = "expected a private key in PEM that fits client_jwt_assertion_alg";
    let key = key.map_err(|_| refuse(unfit))?;
    (DEFAULT_PROVIDER.signer_factory)(&algorithm, &key).map_err(|_| refuse(unfit))?;
    Ok(key)
}
