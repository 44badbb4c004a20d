//! `csrf`: the double submit of a signed token. Each response sets it as a cookie, and what changes something has to send it
//! back in a header, which a foreign page cannot.

mod config;
#[cfg(test)]
mod tests;
mod token;

pub use config::Config;

use crossway_sdk::{expr::Value as Answer, prelude::*, variables::cookie};
use http::{HeaderName, HeaderValue, Method, header::SET_COOKIE};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    io::Write,
    time::{SystemTime, UNIX_EPOCH},
};
use subtle::ConstantTimeEq;
use token::Signer;

/// The plugin.
pub struct Csrf {
    signer: Signer,
    expires: i64,
    header: HeaderName,
    cookie: Box<str>,
}

#[phases]
impl Plugin for Csrf {
    const NAME: &'static str = "csrf";
    const PRIORITY: i32 = 2980;
    const ENCRYPTED: &'static [&'static str] = &["key"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let header = config
            .name
            .parse()
            .map_err(|_| cx.error("/name", "expected a name for a header and a cookie"))?;
        Ok(Self {
            signer: Signer::new(&config.key),
            expires: config.expires,
            header,
            cookie: config.name.into(),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match self.judge(ex) {
            Ok(()) => Step::next(),
            Err(message) => Step::respond(Reply::error_msg(401, message)),
        }
    }

    fn header_filter(&self, _: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        let cookie = self.set_cookie(now())?;
        head.append_header(SET_COOKIE, cookie)?;
        Ok(())
    }
}

impl Csrf {
    fn judge(&self, ex: &Exchange<'_>) -> Result<(), &'static str> {
        let head = ex.session.req_header();
        if matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let mut sent = head.headers.get_all(&self.header).iter();
        let token = sent.next().filter(|token| !token.is_empty());
        let token = token.ok_or("no csrf token in headers")?.as_bytes();
        let Some(Answer::Bytes(kept)) = cookie(&head.headers, &self.cookie) else {
            return Err("no csrf cookie");
        };
        if sent.next().is_some() || !bool::from(token.ct_eq(&kept)) {
            return Err("csrf token mismatch");
        }
        match self.signer.verifies(token, self.expires, now()) {
            true => Ok(()),
            false => Err("Failed to verify the csrf token signature"),
        }
    }

    /// A fresh token, as the cookie that carries it.
    fn set_cookie(&self, now: i64) -> Result<HeaderValue, Error> {
        let mut text = Vec::with_capacity(256);
        let token = self.signer.token(now);
        // Writing to a vector cannot fail.
        drop(write!(
            text,
            "{}={token};path=/;SameSite=Lax;Expires={}",
            self.cookie,
            cookie_time(now.saturating_add(self.expires))
        ));
        HeaderValue::from_maybe_shared(Bytes::from(text)).map_err(|e| Error::new(e.to_string()))
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

/// The time as nginx writes it into cookies: two digits of the year as long as they are not ambiguous.
fn cookie_time(seconds: i64) -> String {
    let last = Timestamp::MAX.as_second().saturating_sub(86_400);
    let moment = Timestamp::from_second(seconds.clamp(0, last)).unwrap_or(Timestamp::UNIX_EPOCH);
    let moment = moment.to_zoned(TimeZone::UTC);
    let form = match moment.year() {
        ..=2037 => "%a, %d-%b-%y %H:%M:%S GMT",
        _ => "%a, %d-%b-%Y %H:%M:%S GMT",
    };
    moment.strftime(form).to_string()
}
