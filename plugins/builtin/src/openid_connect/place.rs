//! Where a request came in, and where browsers are sent: never to an address that a client chose.

use super::config::Config;
use crossway_sdk::{build::BuildError, client, exchange::Exchange};
use http::{HeaderValue, header};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// What comes after the path of a request when no `redirect_uri` is configured.
const SUFFIX: &str = "/.apisix/redirect";
/// The longest target that a user returns to after the login; of a longer one the path, or else `/`.
const LONGEST: usize = 1500;

/// What cannot stand in `Location`, or what browsers read as something else: they take `\` for `/`.
const IN_LOCATION: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const IN_PATH: &AsciiSet = &IN_LOCATION.add(b'?');

/// Where the provider sends users back to.
pub(super) enum Redirect {
    /// A whole address, and its path.
    Address(Box<str>, Box<str>),
    /// A path of the gateway.
    Path(Box<str>),
    /// Beside the path of the request.
    Beside,
}

impl Redirect {
    pub(super) fn new(config: &Config) -> Result<Self, BuildError> {
        let Some(text) = config.redirect_uri.as_deref() else {
            return Ok(Self::Beside);
        };
        if text.starts_with('/') && !text.starts_with("//") {
            return Ok(Self::Path(text.into()));
        }
        let uri = client::target("/redirect_uri", text)?;
        Ok(Self::Address(text.into(), uri.path().into()))
    }

    /// Whether users come back to this path.
    pub(super) fn is_at(&self, path: &str) -> bool {
        match self {
            Self::Address(_, own) | Self::Path(own) => **own == *path,
            Self::Beside => path.ends_with(SUFFIX),
        }
    }

    /// The address that the provider is told.
    pub(super) fn uri(&self, ex: &Exchange<'_>) -> String {
        match self {
            Self::Address(uri, _) => uri.to_string(),
            Self::Path(path) => format!("{}{path}", origin(ex)),
            Self::Beside => {
                let path = path(ex);
                format!("{}{}{SUFFIX}", origin(ex), path.trim_end_matches('/'))
            }
        }
    }

    /// Where a login begins anew that came back here without a trace.
    pub(super) fn start(&self, ex: &Exchange<'_>) -> String {
        let path = path(ex);
        let before = match self {
            Self::Beside => path.strip_suffix(SUFFIX).unwrap_or_default(),
            _ => "",
        };
        local(before)
    }
}

fn path(ex: &Exchange<'_>) -> String {
    let path = ex.request.path(ex.session.req_header());
    percent_encode(path.as_bytes(), IN_PATH).to_string()
}

/// Whether the client speaks HTTPS, with the gateway or with a proxy before it.
pub(super) fn is_https(ex: &Exchange<'_>) -> bool {
    let headers = &ex.session.req_header().headers;
    let mut said = headers.get_all("x-forwarded-proto").iter();
    match (said.next(), said.next()) {
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"https") => true,
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"http") => false,
        _ => ex.request.tls,
    }
}

fn origin(ex: &Exchange<'_>) -> String {
    let head = ex.session.req_header();
    let host = head.headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let host = host.or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
    let host = host.unwrap_or(&ex.request.host);
    let scheme = if is_https(ex) { "https" } else { "http" };
    format!("{scheme}://{host}")
}

/// The target of this request, to return to.
pub(super) fn target(ex: &Exchange<'_>) -> String {
    let target = ex.request.target(ex.session.req_header());
    let text = local(percent_encode(&target, IN_LOCATION).to_string().as_str());
    if text.len() <= LONGEST {
        return text;
    }
    let path = text.split('?').next().unwrap_or_default();
    match path.len() <= LONGEST {
        true => path.to_owned(),
        false => "/".to_owned(),
    }
}

/// A path of this host: `//…` would be another one.
fn local(text: &str) -> String {
    format!("/{}", text.trim_start_matches('/'))
}

/// An address that browsers are sent to.
pub(super) fn location(text: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(percent_encode(text.as_bytes(), IN_LOCATION_KEEPING).to_string()).ok()
}

/// As [`IN_LOCATION`], for addresses that may have a fragment.
const IN_LOCATION_KEEPING: &AsciiSet = &IN_LOCATION.remove(b'#');
