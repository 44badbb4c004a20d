//! What the upstream learns of the user. Nothing of it is ever taken from the client.

use super::{config::Config, sessions::Stored, token::verified_before};
use crate::auth::{Presented, header};
use base64::{Engine, engine::general_purpose::STANDARD};
use crossway_sdk::flow::Error;
use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use pingora_http::RequestHeader;
use serde_json::Value;

const X_ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
const X_ID_TOKEN: HeaderName = HeaderName::from_static("x-id-token");
const X_RAW_ID_TOKEN: HeaderName = HeaderName::from_static("x-raw-id-token");
const X_USERINFO: HeaderName = HeaderName::from_static("x-userinfo");
const X_REFRESH_TOKEN: HeaderName = HeaderName::from_static("x-refresh-token");
const ALL: [HeaderName; 5] = [
    X_ACCESS_TOKEN,
    X_ID_TOKEN,
    X_RAW_ID_TOKEN,
    X_USERINFO,
    X_REFRESH_TOKEN,
];

/// Which headers the upstream gets.
pub(super) struct Headers {
    access_token: bool,
    in_authorization: bool,
    id_token: bool,
    raw_id_token: bool,
    userinfo: bool,
    refresh_token: bool,
}

/// Removes what a client could pretend with, `_` in the place of `-` included, and gives back its `X-Access-Token`, which may be
/// a bearer token.
pub(super) fn strip(head: &mut RequestHeader) -> Option<String> {
    let token = match header(&head.headers, &X_ACCESS_TOKEN) {
        Presented::Text(text) => Some(text.trim().to_owned()),
        _ => None,
    };
    let pretended: Vec<HeaderName> = head
        .headers
        .keys()
        .filter(|name| {
            let same = |a: u8, b: u8| a == b || (a == b'_' && b == b'-');
            ALL.iter().any(|own| {
                let (own, name) = (own.as_str().as_bytes(), name.as_str().as_bytes());
                own.len() == name.len() && name.iter().zip(own).all(|(a, b)| same(*a, *b))
            })
        })
        .cloned()
        .collect();
    for name in &pretended {
        head.remove_header(name);
    }
    token
}

impl Headers {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            access_token: config.set_access_token_header,
            in_authorization: config.access_token_in_authorization_header,
            id_token: config.set_id_token_header,
            raw_id_token: config.set_raw_id_token_header,
            userinfo: config.set_userinfo_header,
            refresh_token: config.set_refresh_token_header,
        }
    }

    /// Of a bearer token.
    pub(super) fn tell(
        &self,
        head: &mut RequestHeader,
        token: Option<&str>,
        userinfo: Option<&Value>,
    ) -> Result<(), Error> {
        if let Some(token) = token.filter(|_| self.access_token) {
            match self.in_authorization {
                true => put(head, AUTHORIZATION, &format!("Bearer {token}"))?,
                false => put(head, X_ACCESS_TOKEN, token)?,
            }
        }
        if let Some(user) = userinfo.filter(|_| self.userinfo) {
            put(head, X_USERINFO, &STANDARD.encode(user.to_string()))?;
        }
        Ok(())
    }

    /// Of a session.
    pub(super) fn tell_session(
        &self,
        head: &mut RequestHeader,
        session: &Stored,
        with_access_token: bool,
    ) -> Result<(), Error> {
        let token = with_access_token.then_some(&*session.tokens.access_token);
        self.tell(head, token, session.user.as_ref())?;
        if self.id_token
            && let Some(claims) = verified_before(&session.tokens.id_token)
        {
            let text = Value::Object(claims).to_string();
            put(head, X_ID_TOKEN, &STANDARD.encode(text))?;
        }
        if self.raw_id_token {
            put(head, X_RAW_ID_TOKEN, &session.tokens.id_token)?;
        }
        if let Some(token) = session
            .tokens
            .refresh_token
            .as_deref()
            .filter(|_| self.refresh_token)
        {
            put(head, X_REFRESH_TOKEN, token)?;
        }
        Ok(())
    }
}

fn put(head: &mut RequestHeader, name: HeaderName, text: &str) -> Result<(), Error> {
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::new(format!("what {name} should have cannot stand in a header")))?;
    value.set_sensitive(true);
    head.insert_header(name, value)?;
    Ok(())
}
