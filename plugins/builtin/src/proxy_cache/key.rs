//! What tells one response from another.

use crossway_sdk::{exchange::Exchange, expr::Template};
use http::{HeaderName, Method};
use sha2::{Digest, Sha256};

/// A digest of all that counts.
pub(crate) type Key = [u8; 32];

/// Texts of the configuration, ready to be filled in.
pub(crate) struct Texts(Box<[Template]>);

impl Texts {
    /// # Errors
    /// The position of a text that cannot be read, and why.
    pub(crate) fn compile(texts: &[String]) -> Result<Self, (usize, String)> {
        let compiled = texts
            .iter()
            .enumerate()
            .map(|(index, text)| Template::parse(text).map_err(|e| (index, e.to_string())));
        compiled.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn needs_body(&self) -> bool {
        self.0.iter().any(Template::needs_body)
    }

    /// Whether all of them together say something else than nothing or `0`, as APISIX joins them.
    pub(crate) fn say_yes(&self, ex: &Exchange<'_>) -> bool {
        let mut text = Vec::new();
        for template in &self.0 {
            template.render(ex, &mut text);
        }
        !matches!(text.as_slice(), b"" | b"0")
    }
}

/// The key of a request. Its parts cannot run into each other.
pub(crate) fn key(texts: &Texts, ex: &Exchange<'_>, isolation: bool, method: &Method) -> Key {
    let mut digest = Sha256::new();
    let mut part = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    let request = &ex.request;
    part(if request.tls { b"https" } else { b"http" });
    part(request.host.as_bytes());
    part(
        request
            .route
            .as_ref()
            .map_or("", |route| &route.id)
            .as_bytes(),
    );
    part(if *method == Method::POST {
        b"POST"
    } else {
        b""
    });
    match request.consumer_name().filter(|_| isolation) {
        Some(name) => part(name.as_bytes()),
        // Nobody's responses are not those of a consumer without a name.
        None => part(b"\0"),
    }
    let mut text = Vec::new();
    for template in &texts.0 {
        text.clear();
        template.render(ex, &mut text);
        part(&text);
    }
    digest.finalize().into()
}

/// The key of the variant that fits a request, by the headers that the response varies by.
pub(crate) fn variant(base: &Key, names: &[HeaderName], ex: &Exchange<'_>) -> Key {
    let mut digest = Sha256::new();
    digest.update(base);
    for name in names {
        let values = ex.session.req_header().headers.get_all(name);
        digest.update((name.as_str().len() as u64).to_le_bytes());
        digest.update(name.as_str());
        for value in values {
            digest.update((value.len() as u64).to_le_bytes());
            digest.update(value.as_bytes());
        }
        digest.update([0xff; 8]);
    }
    digest.finalize().into()
}
