//! A request that nobody sent: what `explain` is asked about, as query parameters of `/v1/explain` or as arguments of
//! the command line.

use crate::matcher::target;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::{IpAddr, Ipv4Addr};

/// The request that is asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// The method. Default `GET`.
    pub method: Method,
    /// The `Host` as a client would write it, with or without a port; empty when there is none.
    pub host: String,
    /// The request target in origin form, as a client would write it: `/path?query`.
    pub uri: String,
    /// The client's address. Default 127.0.0.1.
    pub remote: IpAddr,
    /// The request's other headers.
    pub headers: HeaderMap,
    /// Whether the client speaks TLS. Default no.
    pub tls: bool,
    /// The consumer that authentication would name.
    pub consumer: Option<String>,
    /// How the gateway normalises paths.
    pub paths: target::Options,
}

/// The question cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    /// A parameter is not there.
    #[error("missing parameter {name}: expected {expected}")]
    Missing {
        /// Which.
        name: &'static str,
        /// What should be there.
        expected: &'static str,
    },
    /// A parameter has a value that it cannot have.
    #[error("bad parameter {name}={value:?}: expected {expected}")]
    Bad {
        /// Which.
        name: &'static str,
        /// What is there.
        value: String,
        /// What should be there.
        expected: &'static str,
    },
    /// A parameter that is not `header` was given more than once.
    #[error("parameter {0} is given more than once")]
    Twice(String),
    /// A parameter that means nothing.
    #[error(
        "unknown parameter {0:?}; known are method, host, uri, remote_addr, header (any number), scheme, consumer"
    )]
    Unknown(String),
}

const METHOD: &str = "a method, such as GET";
const HOST: &str = "the Host of the request, such as a.example; empty for a request without one";
const URI: &str = "path and query of the request, percent-encoded, such as %2Fx%3Fa%3D1 for /x?a=1";
const REMOTE: &str = "the client's IP address";
const HEADER: &str = "a header as name:value, other than Host, which is the parameter host";
const SCHEME: &str = "http or https";

impl Question {
    /// A `GET` from 127.0.0.1.
    pub fn new(host: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            host: host.into(),
            uri: uri.into(),
            remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
            headers: HeaderMap::new(),
            tls: false,
            consumer: None,
            paths: target::Options::default(),
        }
    }

    /// Reads decoded query parameters.
    ///
    /// # Errors
    /// What is missing, unknown or wrong, and what was expected.
    pub fn parse(
        parameters: impl IntoIterator<Item = (String, String)>,
        paths: target::Options,
    ) -> Result<Self, BadQuestion> {
        let mut question = Self::new("", "");
        question.paths = paths;
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in parameters {
            if name != "header" && seen.contains(&name) {
                return Err(BadQuestion::Twice(name));
            }
            question.take(&name, value)?;
            seen.push(name);
        }
        for (name, expected) in [("host", HOST), ("uri", URI)] {
            if !seen.iter().any(|s| s == name) {
                return Err(BadQuestion::Missing { name, expected });
            }
        }
        Ok(question)
    }

    fn take(&mut self, name: &str, value: String) -> Result<(), BadQuestion> {
        let bad = |name, expected| BadQuestion::Bad {
            name,
            value: value.clone(),
            expected,
        };
        match name {
            "method" => {
                self.method =
                    Method::from_bytes(value.as_bytes()).map_err(|_| bad("method", METHOD))?;
            }
            "host" => self.host = value,
            "uri" => self.uri = value,
            "remote_addr" => {
                self.remote = value.parse().map_err(|_| bad("remote_addr", REMOTE))?;
            }
            "header" => {
                let (name, value) = header_of(&value).ok_or_else(|| bad("header", HEADER))?;
                self.headers.append(name, value);
            }
            "scheme" => {
                self.tls = match value.as_str() {
                    "http" => false,
                    "https" => true,
                    _ => return Err(bad("scheme", SCHEME)),
                };
            }
            "consumer" => self.consumer = Some(value).filter(|name| !name.is_empty()),
            _ => return Err(BadQuestion::Unknown(name.to_owned())),
        }
        Ok(())
    }

    /// The question as a query string, without `?`. How paths are normalised is for the gateway that is asked.
    pub fn to_query(&self) -> String {
        let headers = self.headers.iter().map(|(name, value)| {
            let mut line = format!("{name}:").into_bytes();
            line.extend_from_slice(value.as_bytes());
            ("header", String::from_utf8_lossy(&line).into_owned())
        });
        let scheme = if self.tls { "https" } else { "http" };
        [
            ("method", self.method.to_string()),
            ("host", self.host.clone()),
            ("uri", self.uri.clone()),
            ("remote_addr", self.remote.to_string()),
            ("scheme", scheme.to_owned()),
        ]
        .into_iter()
        .chain(self.consumer.clone().map(|name| ("consumer", name)))
        .chain(headers)
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)))
        .collect::<Vec<_>>()
        .join("&")
    }
}

fn header_of(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    let value = HeaderValue::from_str(value.trim()).ok()?;
    (name != header::HOST).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Question, BadQuestion> {
        let pairs = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Question::parse(pairs, target::Options::default())
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_what_was_expected() {
        for (pairs, word) in [
            (&[("host", "a")][..], "missing parameter uri"),
            (&[("uri", "/")], "missing parameter host"),
            (&[("host", "a"), ("uri", "/"), ("method", "")], "method"),
            (
                &[("host", "a"), ("uri", "/"), ("remote_addr", "x")],
                "IP address",
            ),
            (
                &[("host", "a"), ("uri", "/"), ("header", "x")],
                "name:value",
            ),
            (
                &[("host", "a"), ("uri", "/"), ("header", "Host: b")],
                "parameter host",
            ),
            (
                &[("host", "a"), ("uri", "/"), ("scheme", "ftp")],
                "http or https",
            ),
            (
                &[("host", "a"), ("uri", "/"), ("uri", "/b")],
                "uri is given",
            ),
            (&[("host", "a"), ("uri", "/"), ("path", "/b")], "\"path\""),
        ] {
            let error = parse(pairs).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_question_survives_its_query_string() {
        let asked = parse(&[
            ("method", "POST"),
            ("host", "A.example:80"),
            ("uri", "/x y?a=1&b=%20"),
            ("remote_addr", "::1"),
            ("header", "X-A: b:c&d"),
            ("header", "X-A: é"),
            ("scheme", "https"),
            ("consumer", "jack"),
        ])
        .unwrap();
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .unwrap()
                .into_owned()
        };
        let pairs = asked.to_query();
        let pairs = pairs.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (decode(name), decode(value))
        });
        let again = Question::parse(pairs, target::Options::default()).unwrap();
        assert_eq!(format!("{asked:?}"), format!("{again:?}"));
    }
}
