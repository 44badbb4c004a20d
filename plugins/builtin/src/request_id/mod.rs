//! `request-id`: gives each request an id in a header, for the upstream, the client and the logs.

mod config;
mod generate;
#[cfg(test)]
mod tests;

pub use config::{Algorithm, Config, RangeId};

use crate::rewrite::headers::Name;
use crossway_sdk::{flow::Error, prelude::*};
use generate::Generator;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest id of a client that is kept, in bytes. A longer one would be copied into every log line.
const LONGEST: usize = 256;

/// The plugin.
pub struct RequestId {
    header: Name,
    in_response: bool,
    generator: Generator,
}

#[phases]
impl Plugin for RequestId {
    const NAME: &'static str = "request-id";
    const PRIORITY: i32 = 12015;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let header = Name::parse(&config.header_name)
            .ok_or_else(|| cx.error("/header_name", "expected the name of a header"))?;
        let RangeId { length, char_set } = config.range_id;
        if !char_set.bytes().all(|b| b.is_ascii_graphic()) {
            let message = "expected visible ASCII characters, which can stand in a header";
            return Err(cx.error("/range_id/char_set", message));
        }
        Ok(Self {
            header,
            in_response: config.include_in_response,
            generator: match config.algorithm {
                Algorithm::Uuid => Generator::Uuid,
                Algorithm::Uuidv7 => Generator::UuidV7,
                Algorithm::Ksuid => Generator::Ksuid,
                Algorithm::Nanoid => Generator::nanoid(),
                Algorithm::RangeId => Generator::Characters(char_set.into_bytes().into(), length),
            },
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let head = ex.session.req_header_mut();
        let id = match brought(&head.headers, &self.header.name) {
            Some(id) => id.clone(),
            None => match self.generator.make(HeaderValue::from_bytes) {
                Ok(id) => {
                    if let Err(error) = head.insert_header(self.header.spelling.clone(), id.clone())
                    {
                        return Step::fail(error.into());
                    }
                    id
                }
                Err(error) => return Step::fail(Error::new(error.to_string())),
            },
        };
        ex.request.id = Some(id);
        Step::next()
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        let sent = head.headers.get(&self.header.name);
        if !self.in_response || sent.is_some_and(|id| !id.is_empty()) {
            return Ok(());
        }
        // Each place of use has its own header; the request's own id may be that of another one.
        if let (Some(_), Some(id)) = (
            &ex.request.id,
            brought(&ex.session.req_header().headers, &self.header.name),
        ) {
            head.insert_header(self.header.spelling.clone(), id.clone())?;
        }
        Ok(())
    }
}

/// The id in a request's header, when it stands there once and is fit to be copied into headers and logs.
fn brought<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    let id = values.next().filter(|_| values.next().is_none())?;
    let fit = (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    fit.then_some(id)
}
