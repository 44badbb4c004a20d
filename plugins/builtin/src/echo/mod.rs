//! `echo`: puts text around the body of a response, or in its place.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::{
    response_rewrite::{clear, is_bodiless},
    rewrite::headers::{self, Name, Written},
};
use bytes::BytesMut;
use crossway_sdk::{prelude::*, schema::member};
use http::{HeaderValue, Method, StatusCode, header};

/// The plugin.
pub struct Echo {
    before: Bytes,
    /// The new body, with what comes before and after it.
    whole: Option<Bytes>,
    after: Bytes,
    headers: Box<[(Name, HeaderValue)]>,
}

/// What happens to the body of a response.
#[derive(Default, PartialEq, Eq)]
enum Work {
    #[default]
    Nothing,
    /// The new body takes its place.
    Replace,
    /// The rest of it is left out.
    Drop,
    /// Something comes before the next piece.
    Begin,
    /// Something comes after the last piece.
    Go,
}

#[phases]
impl Plugin for Echo {
    const NAME: &'static str = "echo";
    const PRIORITY: i32 = 412;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.before_body.is_none() && config.body.is_none() && config.after_body.is_none() {
            let message = "expected at least one of before_body, body and after_body";
            return Err(cx.error("", message));
        }
        let before = config.before_body.unwrap_or_default();
        let after = config.after_body.unwrap_or_default();
        let headers = config.headers.iter().flatten().map(|(name, value)| {
            let path = member("/headers", name);
            let value = match value {
                Written::Text(text) => text.clone(),
                Written::Number(number) => number.to_string(),
            };
            let value = HeaderValue::try_from(value)
                .map_err(|_| cx.error(&*path, "invalid value character in header"))?;
            Ok((headers::name(name, &path)?, value))
        });
        Ok(Self {
            whole: config
                .body
                .map(|body| format!("{before}{body}{after}").into()),
            before: before.into(),
            after: after.into(),
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        let work = self.prepare(ex, head);
        // An earlier head of this request, e.g. that of an answer which an error page takes the place of, counts no more.
        if work != Work::Nothing || ex.existing_state::<Work>().is_some() {
            *ex.state::<Work>() = work;
        }
        for (name, value) in &self.headers {
            head.insert_header(name.spelling.clone(), value.clone())?;
        }
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        if ex.existing_state::<Work>().is_none() {
            return Ok(());
        }
        let work = ex.state::<Work>();
        match work {
            Work::Nothing => {}
            Work::Drop => *chunk = None,
            Work::Replace => {
                chunk.clone_from(&self.whole);
                *work = Work::Drop;
            }
            Work::Begin | Work::Go => {
                let first = *work == Work::Begin;
                *work = Work::Go;
                let before = if first { &self.before } else { &Bytes::new() };
                let after = if end { &self.after } else { &Bytes::new() };
                if before.is_empty() && after.is_empty() {
                    return Ok(());
                }
                let piece = chunk.take().unwrap_or_default();
                let mut whole = BytesMut::with_capacity(before.len() + piece.len() + after.len());
                whole.extend_from_slice(before);
                whole.extend_from_slice(&piece);
                whole.extend_from_slice(after);
                *chunk = Some(whole.freeze());
            }
        }
        Ok(())
    }
}

impl Echo {
    /// Makes the head fit for another body, and says what is to be done with the one that comes.
    fn prepare(&self, ex: &Exchange<'_>, head: &mut ResponseHeader) -> Work {
        // An upstream's answer may have ended with its head although another plugin changed its status since.
        let came = StatusCode::from_u16(ex.request.response.status).unwrap_or(head.status);
        if is_bodiless(head.status) || is_bodiless(came) {
            return Work::Nothing;
        }
        // Text beside compressed bytes would spoil them.
        if self.whole.is_none() && head.headers.contains_key(header::CONTENT_ENCODING) {
            tracing::debug!("echo leaves an encoded body as it is");
            return Work::Nothing;
        }
        clear(head);
        match (&self.whole, ex.session.req_header().method == Method::HEAD) {
            (_, true) => Work::Drop,
            (Some(_), _) => Work::Replace,
            (None, _) => Work::Begin,
        }
    }
}
