//! Cookies: how the sealed texts travel. A session that is too large for one cookie is cut into several.

use super::super::config::{SameSite, Session};
use crate::auth::{Presented, cookie};
use crossway_sdk::build::BuildError;
use http::{HeaderMap, HeaderValue, header::COOKIE};
use pingora_http::RequestHeader;

/// Bytes of a text in one cookie: browsers take 4096 with name and attributes.
const PIECE: usize = 3700;
/// Cookies of one session.
const MOST: usize = 5;
/// Seconds that a user may take at the provider.
pub(crate) const FLOW_LIFETIME: u64 = 3600;

/// What all cookies of a place of use have in common.
pub(crate) struct Jar {
    name: Box<str>,
    scope: Box<str>,
    secure: Option<bool>,
    http_only: bool,
    same_site: SameSite,
}

impl Jar {
    /// # Errors
    /// Something cannot stand in a cookie, or browsers would not take it.
    pub(crate) fn new(session: &Session) -> Result<Self, BuildError> {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let value = |c: char| c.is_ascii_graphic() && c != ';';
        let refuse = |name: &str, what: &str| {
            let message = format!("expected {what}");
            Err(BuildError::new(format!("/session/{name}"), message))
        };
        let name = &session.cookie_name;
        if name.is_empty() || name.len() > 64 || !name.chars().all(token) {
            return refuse("cookie_name", "the name of a cookie, of at most 64 bytes");
        }
        let path = &session.cookie_path;
        if !path.starts_with('/') || path.len() > 128 || !path.chars().all(value) {
            return refuse("cookie_path", "a path of at most 128 bytes");
        }
        let domain = session.cookie_domain.as_deref().unwrap_or_default();
        if domain.len() > 128 || !domain.chars().all(value) {
            return refuse("cookie_domain", "a domain of at most 128 bytes");
        }
        if session.cookie_same_site == SameSite::None && session.cookie_secure == Some(false) {
            let what = "true, for browsers take no cookie with SameSite=None that is not secure";
            return refuse("cookie_secure", what);
        }
        let mut scope = format!("; Path={path}");
        if !domain.is_empty() {
            scope.push_str(&format!("; Domain={domain}"));
        }
        Ok(Self {
            name: name.as_str().into(),
            scope: scope.into(),
            secure: session.cookie_secure,
            http_only: session.cookie_http_only,
            same_site: session.cookie_same_site,
        })
    }

    /// Whether browsers keep the session from requests that began at the provider.
    pub(crate) fn is_strict(&self) -> bool {
        self.same_site == SameSite::Strict
    }

    /// The sealed session of a request. One that stands there twice counts as none.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<String> {
        let Presented::Text(first) = cookie(headers, &self.name) else {
            return None;
        };
        let (pieces, text) = first.split_once('.')?;
        let pieces: usize = pieces.parse().ok().filter(|n| (1..=MOST).contains(n))?;
        let mut text = text.to_owned();
        for number in 2..=pieces {
            match cookie(headers, &self.piece(number)) {
                Presented::Text(more) => text.push_str(&more),
                _ => return None,
            }
        }
        Some(text)
    }

    /// The cookies for a sealed session, and those that end what is left of the one before; `None` when it is too large.
    pub(crate) fn set_session(
        &self,
        sealed: &str,
        headers: &HeaderMap,
        https: bool,
    ) -> Option<Vec<HeaderValue>> {
        let pieces: Vec<&str> = sealed
            .as_bytes()
            .chunks(PIECE)
            .map(std::str::from_utf8)
            .collect::<Result<_, _>>()
            .ok()?;
        if pieces.len() > MOST {
            return None;
        }
        let count = pieces.len();
        let mut cookies = Vec::new();
        for (i, piece) in pieces.into_iter().enumerate() {
            let cookie = match i {
                0 => format!("{}={count}.{piece}", self.name),
                _ => format!("{}={piece}", self.piece(i + 1)),
            };
            cookies.push(self.finish(cookie, https, self.same_site)?);
        }
        cookies.extend(self.ended(count + 1, headers, https));
        Some(cookies)
    }

    /// The cookies that end a session.
    pub(crate) fn end_session(&self, headers: &HeaderMap, https: bool) -> Vec<HeaderValue> {
        self.ended(1, headers, https)
    }

    fn ended(&self, from: usize, headers: &HeaderMap, https: bool) -> Vec<HeaderValue> {
        (from..=MOST)
            .map(|number| self.piece(number))
            .filter(|name| !matches!(cookie(headers, name), Presented::Nothing))
            .filter_map(|name| self.finish(format!("{name}=; Max-Age=0"), https, self.same_site))
            .collect()
    }

    fn piece(&self, number: usize) -> String {
        match number {
            1 => self.name.to_string(),
            _ => format!("{}{number}", self.name),
        }
    }

    /// The cookie of a login on its way; it is named after its state, so that several can be on their way.
    pub(crate) fn set_flow(&self, state: &str, sealed: &str, https: bool) -> Option<HeaderValue> {
        let cookie = format!("{}={sealed}; Max-Age={FLOW_LIFETIME}", self.flow(state)?);
        self.finish(cookie, https, self.of_flows())
    }

    pub(crate) fn end_flow(&self, name: &str, https: bool) -> Option<HeaderValue> {
        self.finish(format!("{name}=; Max-Age=0"), https, self.of_flows())
    }

    /// The name of the cookie of the login with this state; `None` when it is no state of ours.
    pub(crate) fn flow(&self, state: &str) -> Option<String> {
        let ours = state.len() == 43
            && state
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        ours.then(|| format!("{}_flow_{}", self.name, state.get(..16).unwrap_or_default()))
    }

    /// The sealed login of that name.
    pub(crate) fn read_flow(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        match cookie(headers, name) {
            Presented::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }

    /// The names of all logins on their way.
    pub(crate) fn flows(&self, headers: &HeaderMap) -> Vec<String> {
        let prefix = format!("{}_flow_", self.name);
        let mut names: Vec<String> = names(headers)
            .filter(|name| name.starts_with(&prefix))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The provider sends users back from its own site, so a login cannot be strict.
    fn of_flows(&self) -> SameSite {
        match self.same_site {
            SameSite::Strict => SameSite::Lax,
            other => other,
        }
    }

    fn finish(&self, cookie: String, https: bool, same_site: SameSite) -> Option<HeaderValue> {
        let mut cookie = cookie;
        cookie.push_str(&self.scope);
        if self.secure.unwrap_or(https) || same_site == SameSite::None {
            cookie.push_str("; Secure");
        }
        if self.http_only {
            cookie.push_str("; HttpOnly");
        }
        cookie.push_str(match same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
            SameSite::Default => "",
        });
        HeaderValue::try_from(cookie).ok()
    }

    /// Keeps the cookies from the upstream, which could otherwise be the user elsewhere.
    pub(crate) fn hide(&self, head: &mut RequestHeader) {
        let prefix = format!("{}_flow_", self.name);
        let pieces: Vec<String> = (1..=MOST).map(|number| self.piece(number)).collect();
        let is_ours = |name: &str| name.starts_with(&prefix) || pieces.iter().any(|p| p == name);
        if !names(&head.headers).any(is_ours) {
            return;
        }
        let kept: Vec<&[u8]> = pairs(&head.headers)
            .filter(|pair| !pair.is_empty() && !name_of(pair).is_some_and(is_ours))
            .collect();
        let rest = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
        head.remove_header(&COOKIE);
        if let Ok(rest) = rest
            && !rest.is_empty()
            && let Err(error) = head.insert_header(COOKIE, rest)
        {
            tracing::warn!(%error, "the cookies of a request were lost");
        }
    }
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
}

fn name_of(pair: &[u8]) -> Option<&str> {
    let name = pair.split(|b| *b == b'=').next()?;
    std::str::from_utf8(name).ok()
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    pairs(headers).filter_map(name_of)
}
