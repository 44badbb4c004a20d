//! `jwe-decrypt`: decrypts a token with the key of a consumer and sends what is in it to the upstream. It names no consumer, as in
//! APISIX.

mod config;
#[cfg(test)]
mod tests;
mod token;

pub use config::{Config, Credential};

use crate::auth::{Presented, basic::BASE64, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crossway_sdk::prelude::*;
use http::{HeaderName, HeaderValue};
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use token::Token;

/// The plugin.
pub struct JweDecrypt {
    credentials: Credentials<Credential>,
    header: HeaderName,
    forward: HeaderName,
    strict: bool,
}

#[phases]
impl Plugin for JweDecrypt {
    const NAME: &'static str = "jwe-decrypt";
    const PRIORITY: i32 = 2509;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let name = |path: &str, name: String| {
            name.parse()
                .map_err(|_| cx.error(path, "expected the name of a header"))
        };
        Ok(Self {
            credentials: cx.credentials(),
            header: name("/header", config.header)?,
            forward: name("/forward_header", config.forward_header)?,
            strict: config.strict,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match self.decrypt(ex) {
            Ok(text) => {
                let head = ex.session.req_header_mut();
                // What a client wrote there itself must not pass for something that was decrypted.
                head.remove_header(&self.forward);
                if let Some(text) = text
                    && let Err(error) = head.insert_header(self.forward.clone(), text)
                {
                    return Step::fail(error.into());
                }
                Step::next()
            }
            Err((status, message)) => Step::respond(Reply::message(status, message)),
        }
    }
}

impl JweDecrypt {
    /// What the upstream gets; `None` when there is no token and none is needed.
    fn decrypt(&self, ex: &Exchange<'_>) -> Result<Option<HeaderValue>, (u16, &'static str)> {
        let invalid = (400, "JWE token invalid");
        let written = match header(&ex.session.req_header().headers, &self.header) {
            Presented::Nothing if self.strict => return Err((403, "missing JWE token in request")),
            Presented::Nothing => return Ok(None),
            Presented::Unusable => return Err(invalid),
            Presented::Text(written) => written,
        };
        let token = Token::read(without_scheme(&written)).ok_or(invalid)?;
        let kid = token.kid().ok_or((400, "missing kid in JWE token"))?;
        let unknown = (400, "invalid kid in JWE token");
        let found = kid.as_str().and_then(|kid| self.credentials.find(ex, kid));
        let found = found.ok_or(unknown)?;
        let failed = (400, "failed to decrypt JWE token");
        let cipher = found.credential.cipher.get().ok_or(failed)?;
        let text = token.decrypt(cipher).ok_or(failed)?;
        // Line breaks and other controls cannot stand in a header.
        let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).map_err(|_| failed)?;
        Ok(Some(value))
    }
}

/// Without `Bearer` in front, which a token cannot begin with because it has no space in it.
fn without_scheme(text: &str) -> &str {
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => text,
    }
}

impl Authenticator for JweDecrypt {
    type Credential = Credential;
    const ENCRYPTED_CREDENTIAL: &'static [&'static str] = &["secret"];

    fn index(credential: &Credential) -> Option<String> {
        Some(credential.key.clone())
    }

    fn check(credential: &Credential) -> Result<(), BuildError> {
        let refuse = |message| BuildError::new("/secret", message);
        let length = match credential.is_base64_encoded {
            true => "the secret length after base64 decode should be 32 chars",
            false => "the secret length should be 32 chars",
        };
        let secret = match credential.is_base64_encoded {
            true => BASE64
                .decode(&credential.secret)
                .or_else(|_| URL_SAFE_NO_PAD.decode(credential.secret.trim_end_matches('=')))
                .map_err(|_| refuse("expected a secret in Base64"))?,
            false => credential.secret.clone().into_bytes(),
        };
        let key = UnboundKey::new(&AES_256_GCM, &secret).map_err(|_| refuse(length))?;
        credential.cipher.get_or_init(|| LessSafeKey::new(key));
        Ok(())
    }
}
