//! One question to one manager: which one it is, over which connections it is asked, and what its answers have in common.

use super::{
    aws,
    environment::{text, variable},
    gcp,
    keeper::Wanted,
    vault,
};
use crate::model::{Secret, SecretReference};
use bytes::Bytes;
use crossway_sdk::client::{Client, ClientOptions};
use http::{Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use serde_json::Value;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// So many bytes of an answer are read at most.
const MAX_ANSWER: usize = 1 << 20;
/// A secret has so many bytes at most.
const MAX_VALUE: usize = 1 << 16;
/// So many characters of a manager's own name for an error are said at most.
const MAX_CODE: usize = 64;

/// A segment of a path: unreserved characters stay (RFC 3986 §2.3).
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The manager was asked and has none.
    Gone(String),
    /// The manager gives no answer that counts; what it said last holds on.
    Unreachable(String),
}

/// A field of a manager's document that cannot be used, and why. The text never says its value.
pub(super) type Unfit = (&'static str, String);

/// The way to all managers.
pub(super) struct Managers {
    verified: Client,
    /// For `ssl_verify: false`.
    trusting: Client,
    tokens: gcp::Tokens,
}

impl Managers {
    /// `ca`: authorities in PEM that are known beside those of the system.
    pub(super) fn new(ca: Option<Arc<str>>) -> Self {
        let mut options = ClientOptions::default();
        options.tls.ca = ca;
        Self {
            verified: Client::new(options),
            trusting: Client::new(ClientOptions::verifying(false)),
            tokens: gcp::Tokens::default(),
        }
    }

    /// Asks the manager; all that takes at most `timeout`, however many questions it needs.
    pub(super) async fn fetch(
        &self,
        wanted: &Wanted,
        timeout: Duration,
    ) -> Result<String, Trouble> {
        let manager = serde_json::from_slice::<Secret>(&wanted.manager).map_err(|_| {
            Trouble::Unreachable("the manager's document cannot be read".to_owned())
        })?;
        let line = |name, verify| Line {
            client: match verify {
                true => &self.verified,
                false => &self.trusting,
            },
            name,
            timeout,
        };
        let key = &*wanted.key;
        let asking = async {
            match &manager {
                Secret::Vault(vault) => vault::fetch(&line("Vault", true), vault, key).await,
                Secret::Aws(aws) => aws::fetch(&line("AWS", true), aws, key).await,
                Secret::Gcp(gcp) => {
                    let line = line("Google Cloud", gcp.ssl_verify);
                    gcp::fetch(&line, &self.tokens, gcp, key).await
                }
            }
        };
        let late = |_| Trouble::Unreachable(format!("no answer within {} ms", timeout.as_millis()));
        let value = tokio::time::timeout(timeout, asking)
            .await
            .map_err(late)??;
        match value.len() {
            0..=MAX_VALUE => Ok(value),
            _ => Err(Trouble::Gone(format!("it has more than {MAX_VALUE} bytes"))),
        }
    }
}

/// A manager while it is asked.
pub(super) struct Line<'a> {
    client: &'a Client,
    name: &'static str,
    timeout: Duration,
}

impl Line<'_> {
    pub(super) async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Trouble> {
        self.client
            .send(request, self.timeout, MAX_ANSWER)
            .await
            .map_err(|e| Trouble::Unreachable(format!("{}: {e}", self.name)))
    }

    /// There is no such secret.
    pub(super) fn gone(&self) -> Trouble {
        Trouble::Gone(format!("{} has no such secret", self.name))
    }

    /// An answer that is no secret, with the manager's own name for what is wrong.
    pub(super) fn refused(&self, status: StatusCode, code: Option<&str>) -> Trouble {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let code = code.filter(|code| code.len() <= MAX_CODE && code.chars().all(plain));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        Trouble::Unreachable(format!("{} answered {status}{code}", self.name))
    }

    /// An answer that nothing can be made of.
    pub(super) fn nonsense(&self) -> Trouble {
        Trouble::Unreachable(format!(
            "{} answered something that is no secret",
            self.name
        ))
    }
}

#[cfg(test)]
impl<'a> Line<'a> {
    pub(super) fn to(client: &'a Client, name: &'static str) -> Self {
        let timeout = Duration::from_secs(5);
        Self {
            client,
            name,
            timeout,
        }
    }
}

/// The field of a secret that is JSON; without one the secret itself.
pub(super) fn part_of(secret: String, field: Option<&str>) -> Result<String, Trouble> {
    let Some(field) = field else {
        return Ok(secret);
    };
    let gone = |why: &str| Trouble::Gone(why.to_owned());
    let fields: Value = serde_json::from_str(&secret)
        .map_err(|_| gone("the secret is not JSON, which its field asks for"))?;
    field_of(fields.get(field))
}

/// A field of a secret as a text.
pub(super) fn field_of(value: Option<&Value>) -> Result<String, Trouble> {
    let gone = |why: &str| Trouble::Gone(why.to_owned());
    let value = value.ok_or_else(|| gone("the secret has no such field"))?;
    text(value).ok_or_else(|| gone("the field is no text"))
}

/// A text of a manager's own document, which may refer to the environment.
pub(super) fn own<'a>(field: &'static str, text: &'a str) -> Result<Cow<'a, str>, Unfit> {
    match SecretReference::parse(text) {
        None => Ok(Cow::Borrowed(text)),
        Some(Ok(SecretReference::Environment { name, within })) => variable(&name, &within)
            .map(Cow::Owned)
            .map_err(|why| (field, why)),
        Some(Ok(SecretReference::Managed { .. })) => Err((
            field,
            "references to secret managers are not resolved here, only $env:// is".to_owned(),
        )),
        Some(Err(bad)) => Err((field, bad.to_string())),
    }
}

/// The address of a manager, without a slash at its end.
pub(super) fn address(field: &'static str, text: &str) -> Result<String, Unfit> {
    let text = own(field, text)?;
    match crossway_sdk::client::target(field, &text) {
        Ok(_) => Ok(text.trim_end_matches('/').to_owned()),
        Err(error) => Err((field, error.message)),
    }
}

impl From<Unfit> for Trouble {
    fn from((field, why): Unfit) -> Self {
        Self::Unreachable(format!("the manager's document: {why} (at {field})"))
    }
}

/// Whether a manager could be asked with what its document says, as far as that can be told without asking it.
///
/// # Errors
/// The JSON pointer of a field that cannot be used, and why.
pub fn judge(manager: &Secret) -> Result<(), (&'static str, String)> {
    match manager {
        Secret::Vault(vault) => vault::judge(vault),
        Secret::Aws(aws) => aws::judge(aws),
        Secret::Gcp(gcp) => gcp::judge(gcp),
    }
}
