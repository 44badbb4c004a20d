//! `exit-transformer`: changes answers that the gateway gives itself, by rules. In Apache APISIX the plugin is a list of Lua
//! functions, which cannot be run here.

mod body;
mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::rewrite::headers::{self, Name, Text};
use body::Body;
use crossway_sdk::{
    expr::{Expression, Lookup, Value as Answer, Variable},
    prelude::*,
    request::ResponseSource,
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

/// The plugin.
pub struct ExitTransformer {
    rules: Box<[Rule]>,
}

struct Rule {
    statuses: Box<[(u16, u16)]>,
    vars: Option<Expression>,
    status: Option<StatusCode>,
    set: Vec<(Name, Text)>,
    remove: Vec<Name>,
    body: Option<(HeaderValue, Body)>,
}

/// The rule that changes this answer, and the status that the answer came with.
#[derive(Default)]
struct Chosen(Option<(usize, StatusCode)>);

/// A request whose answer has a status that no response was sent with yet.
struct Answered<'a, 's> {
    ex: &'a Exchange<'s>,
    status: StatusCode,
}

impl Lookup for Answered<'_, '_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Answer<'a>> {
        match variable {
            Variable::Status => Some(Answer::Integer(self.status.as_u16().into())),
            _ => self.ex.lookup(variable),
        }
    }
}

#[phases]
impl Plugin for ExitTransformer {
    const NAME: &'static str = "exit-transformer";
    const PRIORITY: i32 = 22950;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.functions.is_some() {
            let message = "it is Lua source, which Crossway does not run; write declarative `rules` in its place";
            return Err(cx.error("/functions", message));
        }
        let Some(rules) = config.rules else {
            return Err(cx.error("", "property \"rules\" is required"));
        };
        let rules = rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::build(rule, &format!("/rules/{index}"), cx));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
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
        let status = head.status;
        let answered = Answered { ex, status };
        let mut rules = self.rules.iter().enumerate();
        let Some((index, rule)) = rules.find(|(_, rule)| rule.is_for(&answered)) else {
            return Ok(());
        };
        rule.edit(&answered, head)?;
        if rule.body.is_some() {
            ex.state::<Chosen>().0 = Some((index, status));
        }
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), Error> {
        let Some(Chosen(Some((index, status)))) = ex.existing_state::<Chosen>() else {
            return Ok(());
        };
        let (rule, status) = (self.rules.get(*index), *status);
        if let Some((_, body)) = rule.and_then(|rule| rule.body.as_ref()) {
            // The gateway's own answers come in one piece.
            let own = chunk.take().unwrap_or_default();
            *chunk = Some(body.render(&Answered { ex, status }, status, &own));
        }
        ex.state::<Chosen>().0 = None;
        Ok(())
    }
}

impl Rule {
    fn build(config: &config::Rule, path: &str, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let changes = config.status.is_some()
            || config.headers.is_some()
            || config.remove_headers.is_some()
            || config.body.is_some();
        if !changes {
            let message = "expected at least one of status, headers, remove_headers and body";
            return Err(cx.error(path, message));
        }
        let statuses = match &config.status_in {
            None => [(400, 599)].into(),
            Some(written) => {
                let each = written.iter().enumerate().map(|(index, one)| {
                    let path = format!("{path}/status_in/{index}");
                    one.bounds()
                        .ok_or_else(|| cx.error(path, "expected a range from low to high"))
                });
                each.collect::<Result<_, _>>()?
            }
        };
        let vars = config.vars.as_ref().map(|vars| {
            Expression::parse(vars).map_err(|e| {
                let message = format!("failed to validate the 'vars' expression: {e}");
                cx.error(format!("{path}/vars"), message)
            })
        });
        let status = config.status.map(|status| {
            StatusCode::from_u16(status)
                .map_err(|_| cx.error(format!("{path}/status"), "not a status"))
        });
        let remove = config.remove_headers.iter().flatten().enumerate();
        let remove =
            remove.map(|(i, name)| headers::name(name, &format!("{path}/remove_headers/{i}")));
        Ok(Self {
            statuses,
            vars: vars.transpose()?,
            status: status.transpose()?,
            set: match &config.headers {
                Some(map) => headers::compile(map, false, &format!("{path}/headers"))?,
                None => Vec::new(),
            },
            remove: remove.collect::<Result<_, _>>()?,
            body: new_body(config, path, cx)?,
        })
    }

    fn is_for(&self, answered: &Answered<'_, '_>) -> bool {
        let status = answered.status.as_u16();
        let mut statuses = self.statuses.iter();
        statuses.any(|(first, last)| (*first..=*last).contains(&status))
            && self.vars.as_ref().is_none_or(|vars| vars.matches(answered))
    }

    fn edit(&self, answered: &Answered<'_, '_>, head: &mut ResponseHeader) -> Result<(), Error> {
        if let Some(status) = self.status {
            head.set_status(status)?;
        }
        if let Some((content_type, _)) = &self.body {
            head.remove_header(&CONTENT_ENCODING);
            head.insert_header(CONTENT_TYPE, content_type.clone())?;
        }
        for (name, text) in &self.set {
            match text.render(answered, &[]) {
                Some(value) => head.insert_header(name.spelling.clone(), value)?,
                None => drop(head.remove_header(&name.name)),
            }
        }
        for name in &self.remove {
            head.remove_header(&name.name);
        }
        Ok(())
    }
}

fn new_body(
    config: &config::Rule,
    path: &str,
    cx: &BuildCx<'_>,
) -> Result<Option<(HeaderValue, Body)>, BuildError> {
    let Some(written) = &config.body else {
        return match &config.content_type {
            Some(_) => Err(cx.error(format!("{path}/content_type"), "there is no body to it")),
            None => Ok(None),
        };
    };
    let content_type = config.content_type.as_deref().unwrap_or(match written {
        Value::String(_) => "text/plain; charset=utf-8",
        _ => "application/json",
    });
    let value = HeaderValue::try_from(content_type).map_err(|_| {
        cx.error(
            format!("{path}/content_type"),
            "expected text that can stand in a header",
        )
    })?;
    let body = Body::compile(written, content_type)
        .map_err(|e| cx.error(format!("{path}/body"), e.to_string()))?;
    Ok(Some((value, body)))
}
