//! `data-mask`: hides parts of requests from loggers and the access log. It runs in the log phase, before the loggers of the
//! same chain; the upstream has got the request by then.

mod config;
mod fields;
mod mask;
#[cfg(test)]
mod tests;

pub use config::{Action, Config, Format, Place, Rule};

use crate::json_path::JsonPath;
use bytes::BytesMut;
use crossway_sdk::prelude::*;
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use mask::Mask;

/// The plugin.
pub struct DataMask {
    query: Vec<(Box<[u8]>, Mask)>,
    headers: Vec<(HeaderName, Mask)>,
    json: Vec<(JsonPath, Mask)>,
    form: Vec<(Box<[u8]>, Mask)>,
    most: usize,
    most_fields: usize,
}

/// The body on its way to the upstream.
#[derive(Default)]
struct Seen {
    body: BytesMut,
    too_large: bool,
}

#[phases]
impl Plugin for DataMask {
    const NAME: &'static str = "data-mask";
    const PRIORITY: i32 = 1500;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let mut plugin = Self {
            query: Vec::new(),
            headers: Vec::new(),
            json: Vec::new(),
            form: Vec::new(),
            most: config.max_body_size,
            most_fields: match config.max_req_post_args {
                0 => usize::MAX,
                most => most,
            },
        };
        for (index, rule) in config.request.iter().enumerate() {
            let path = format!("/request/{index}");
            let mask = Mask::build(rule, &path)?;
            let at = |field: &str| format!("{path}/{field}");
            let bytes = || rule.name.as_bytes().into();
            match (rule.place, rule.body_format) {
                (Place::Query, _) => plugin.query.push((bytes(), mask)),
                (Place::Header, _) => {
                    let name = rule.name.parse();
                    let name = name.map_err(|_| cx.error(at("name"), "not a header name"))?;
                    plugin.headers.push((name, mask));
                }
                (Place::Body, Some(Format::Urlencoded)) => plugin.form.push((bytes(), mask)),
                (Place::Body, Some(Format::Json)) => {
                    let place = JsonPath::parse(&rule.name);
                    let place = place.map_err(|e| cx.error(at("name"), e.to_string()))?;
                    plugin.json.push((place, mask));
                }
                (Place::Body, None) => {
                    return Err(cx.error(path, "property \"body_format\" is required"));
                }
            }
        }
        Ok(plugin)
    }

    fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), Error> {
        if let (true, None, Some(chunk)) = (self.masks_bodies(), &ex.request.body, chunk) {
            let seen = ex.state::<Seen>();
            seen.too_large |= seen.body.len() + chunk.len() > self.most;
            if !seen.too_large {
                seen.body.extend_from_slice(chunk);
            }
        }
        Ok(())
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        if self.masks_bodies() {
            self.mask_body(ex);
        }
        self.mask_query(ex);
        self.mask_headers(ex);
    }
}

impl DataMask {
    fn masks_bodies(&self) -> bool {
        !self.json.is_empty() || !self.form.is_empty()
    }

    fn mask_headers(&self, ex: &mut Exchange<'_>) {
        let head = ex.session.req_header_mut();
        for (name, mask) in &self.headers {
            let held = head.headers.get_all(name).iter();
            let masked: Vec<_> = held
                .filter_map(|value| HeaderValue::from_bytes(&mask.apply(value.as_bytes())?).ok())
                .collect();
            head.remove_header(name);
            for value in masked {
                if let Err(error) = head.append_header(name.clone(), value) {
                    tracing::debug!(%error, "a masked header could not be kept");
                }
            }
        }
    }

    fn mask_query(&self, ex: &mut Exchange<'_>) {
        let mask = |query: &[u8]| fields::masked(query, &self.query, usize::MAX);
        let masked = ex.request.query(ex.session.req_header()).and_then(mask);
        if let Some(masked) = masked {
            ex.request.query = Some(masked.into());
        }
        // What the upstream got in the place of the client's target.
        if let Some(target) = &ex.request.rewritten.target
            && let Some(at) = memchr::memchr(b'?', target)
            && let Some((path, query)) = target.split_at_checked(at + 1)
            && let Some(masked) = mask(query)
        {
            ex.request.rewritten.target = Some([path, &masked].concat().into());
        }
    }

    /// What no rule can read is not logged: it may hold what should be hidden.
    fn mask_body(&self, ex: &mut Exchange<'_>) {
        let (body, too_large) = match (&ex.request.body, ex.existing_state::<Seen>()) {
            (Some(body), _) => (body.clone(), body.len() > self.most),
            (None, Some(seen)) => (seen.body.clone().freeze(), seen.too_large),
            (None, None) => return,
        };
        if body.is_empty() && !too_large {
            return;
        }
        let masked = match too_large {
            true => Some(Bytes::new()),
            false if is_form(ex.session.req_header()) => self.masked_form(&body),
            false => self.masked_json(&body),
        };
        if let Some(masked) = masked {
            ex.request.mask_body(masked);
        }
    }

    /// `None` when there is nothing to hide.
    fn masked_form(&self, body: &Bytes) -> Option<Bytes> {
        match self.form.is_empty() {
            true => Some(Bytes::new()),
            false => fields::masked(body, &self.form, self.most_fields).map(Bytes::from),
        }
    }

    /// `None` when there is nothing to hide.
    fn masked_json(&self, body: &Bytes) -> Option<Bytes> {
        let document: Option<Value> = match self.json.is_empty() {
            true => None,
            false => serde_json::from_slice(body).ok(),
        };
        let Some(mut document) = document else {
            return Some(Bytes::new());
        };
        let found = self.json.iter().fold(0, |found, (place, mask)| {
            found + place.change(&mut document, &mut |value| mask.apply_to(value))
        });
        (found > 0).then(|| document.to_string().into())
    }
}

fn is_form(head: &RequestHeader) -> bool {
    let content_type = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = content_type.and_then(|value| value.split(|b| *b == b';').next());
    essence.is_some_and(|essence| {
        essence
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    })
}
