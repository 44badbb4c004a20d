//! Who may call the Admin API: keys with roles, and where in a request the key stands.

use axum::http::{HeaderMap, Method, StatusCode, header::COOKIE};
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{error::Failure, query::Query};

/// What the holder of a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// `GET` only.
    Viewer,
}

/// The keys that are accepted. Only their hashes are kept.
#[derive(Clone, Default)]
pub struct AdminKeys(Vec<([u8; 32], Role)>);

/// A key without a character would let everybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an admin key is empty; leave it out, or give it a value")]
pub struct EmptyKey;

impl AdminKeys {
    /// Takes keys and their roles.
    ///
    /// # Errors
    /// One of them is empty.
    pub fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = (K, Role)>) -> Result<Self, EmptyKey> {
        let hashed = keys.into_iter().map(|(key, role)| match key.as_ref() {
            "" => Err(EmptyKey),
            key => Ok((hash(key.as_bytes()), role)),
        });
        hashed.collect::<Result<_, _>>().map(Self)
    }

    /// The role of a key. The time that this takes depends neither on which key it is nor on how much of it is right:
    /// hashes are compared, all of them, in constant time.
    fn role(&self, key: &[u8]) -> Option<Role> {
        let given = hash(key);
        // 0: none, 1: viewer, 2: admin.
        let mut found = 0_u8;
        for (known, role) in &self.0 {
            let equal: Choice = known.ct_eq(&given);
            let rank = match role {
                Role::Viewer => 1,
                Role::Admin => 2,
            };
            found.conditional_assign(&rank, equal);
        }
        match found {
            0 => None,
            1 => Some(Role::Viewer),
            _ => Some(Role::Admin),
        }
    }

    /// Whether a request may go on, and as whom.
    ///
    /// # Errors
    /// 401 with APISIX's reasons.
    pub(super) fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        query: &Query,
    ) -> Result<Role, Failure> {
        let key = key_of(headers, query).ok_or_else(|| denied("missing apikey"))?;
        let role = self.role(&key).ok_or_else(|| denied("wrong apikey"))?;
        if role == Role::Viewer && !matches!(*method, Method::GET | Method::HEAD) {
            return Err(denied("invalid method for role viewer"));
        }
        Ok(role)
    }
}

fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn denied(why: &str) -> Failure {
    let body = json!({"error_msg": "failed to check token", "description": why});
    Failure::json(StatusCode::UNAUTHORIZED, body)
}

/// The key of a request: of the query, else of the header, else of the cookie. The first that is there counts, even
/// if it is empty.
fn key_of(headers: &HeaderMap, query: &Query) -> Option<Vec<u8>> {
    if let Some(key) = query.get("api_key") {
        return Some(key.as_bytes().to_vec());
    }
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.as_bytes().to_vec());
    }
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .find_map(|pair| pair.trim_ascii().strip_prefix(b"x_api_key="))
        .map(<[u8]>::to_vec)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn keys() -> AdminKeys {
        AdminKeys::new([("boss", Role::Admin), ("guest", Role::Viewer)]).unwrap()
    }

    #[test]
    fn a_key_has_its_role_and_no_part_of_it_has_any() {
        assert_eq!(keys().role(b"boss"), Some(Role::Admin));
        assert_eq!(keys().role(b"guest"), Some(Role::Viewer));
        for wrong in ["", "bos", "bosss", "BOSS", "bossguest"] {
            assert_eq!(keys().role(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(AdminKeys::new([("", Role::Admin)]).is_err());
    }

    #[test]
    fn the_query_comes_before_the_header_and_the_header_before_the_cookie() {
        let mut headers = HeaderMap::new();
        assert_eq!(key_of(&headers, &Query::parse("")), None);
        headers.append(COOKIE, HeaderValue::from_static("a=b; x_api_key=cookie"));
        assert_eq!(key_of(&headers, &Query::parse("")).unwrap(), b"cookie");
        headers.insert("x-api-key", HeaderValue::from_static("header"));
        assert_eq!(key_of(&headers, &Query::parse("a=1")).unwrap(), b"header");
        let query = Query::parse("api_key=que%72y");
        assert_eq!(key_of(&headers, &query).unwrap(), b"query");
    }

    #[test]
    fn a_viewer_reads() {
        let query = Query::parse("api_key=guest");
        let none = HeaderMap::new();
        assert!(keys().admit(&Method::GET, &none, &query).is_ok());
        for method in [Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            let refused = keys().admit(&method, &none, &query).unwrap_err();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        }
    }
}
