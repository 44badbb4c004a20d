//! `error-page`: replaces the pages of errors that the gateway answers itself. What an upstream answers stays.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::answer_text::AnswerText;
use config::{Metadata, Page};
use crossway_sdk::{prelude::*, request::ResponseSource};
use http::{HeaderValue, StatusCode, header};

/// The plugin.
pub struct ErrorPage {
    pages: Box<[(StatusCode, HeaderValue, AnswerText)]>,
}

/// The page that takes the place of the body.
#[derive(Default)]
struct Chosen(Option<Bytes>);

#[phases]
impl Plugin for ErrorPage {
    const NAME: &'static str = "error-page";
    const PRIORITY: i32 = 450;
    type Config = Config;

    fn metadata_schema() -> Option<Value> {
        let settings = schemars::generate::SchemaSettings::draft07();
        let schema = settings.into_generator().into_root_schema_for::<Metadata>();
        Some(schema.to_value())
    }

    fn build(_: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let metadata = cx.metadata().map(Metadata::deserialize).transpose();
        let metadata = metadata.map_err(|e| cx.error("", format!("the metadata: {e}")))?;
        let pages = match metadata.filter(|metadata| metadata.enable) {
            Some(metadata) => pages(metadata, cx)?,
            None => Vec::new(),
        };
        Ok(Self {
            pages: pages.into(),
        })
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        // An earlier head of this request counts no more.
        if ex.existing_state::<Chosen>().is_some() {
            ex.state::<Chosen>().0 = None;
        }
        if ex.request.response.source == ResponseSource::Upstream {
            return Ok(());
        }
        let page = self
            .pages
            .iter()
            .find(|(status, ..)| *status == head.status);
        let Some((_, content_type, text)) = page else {
            return Ok(());
        };
        let body = text.render(ex);
        head.remove_header(&header::CONTENT_ENCODING);
        head.insert_header(header::CONTENT_TYPE, content_type.clone())?;
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
        ex.state::<Chosen>().0 = Some(body);
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), Error> {
        if ex.existing_state::<Chosen>().is_some_and(|c| c.0.is_some()) {
            // The gateway's own answers come in one piece.
            *chunk = ex.state::<Chosen>().0.take();
        }
        Ok(())
    }
}

fn pages(
    metadata: Metadata,
    cx: &BuildCx<'_>,
) -> Result<Vec<(StatusCode, HeaderValue, AnswerText)>, BuildError> {
    let named = [
        ("error_404", metadata.error_404),
        ("error_500", metadata.error_500),
        ("error_502", metadata.error_502),
        ("error_503", metadata.error_503),
    ];
    let named = named
        .into_iter()
        .map(|(name, page)| (name.to_owned(), page));
    let others = metadata
        .others
        .into_iter()
        .map(|(name, page)| (name, Some(page)));
    let mut pages = Vec::new();
    for (name, page) in named.chain(others) {
        let Some(page) = page.filter(|page| page.body.as_deref() != Some("")) else {
            continue;
        };
        let refused = |field: &str, why: String| {
            cx.error("", format!("the metadata: /{name}/{field}: {why}"))
        };
        let digits = name.strip_prefix("error_").unwrap_or_default();
        let status = StatusCode::from_bytes(digits.as_bytes())
            .map_err(|_| cx.error("", format!("the metadata: unknown field {name}")))?;
        let content_type = HeaderValue::try_from(&page.content_type)
            .map_err(|_| refused("content_type", "it cannot stand in a header".to_owned()))?;
        let body = AnswerText::compile(&text(status, &page), &page.content_type)
            .map_err(|e| refused("body", e.to_string()))?;
        pages.push((status, content_type, body));
    }
    Ok(pages)
}

fn text(status: StatusCode, page: &Page) -> String {
    page.body.clone().unwrap_or_else(|| {
        let code = status.as_u16();
        let reason = status.canonical_reason().unwrap_or("Error");
        format!(
            "<html>\n<head><title>{code} {reason}</title></head>\n<body>\n<center><h1>{code} {reason}</h1></center>\n\
             <hr><center>crossway</center>\n</body>\n</html>"
        )
    })
}
