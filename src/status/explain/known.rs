//! What a question settles of the variables that conditions ask for. What it does not settle is put down, so that the
//! answer can say so.

use super::Question;
use crossway_sdk::{
    consumer::Consumer,
    expr::{Lookup, Value, Variable},
    route::{Matched, RouteInfo},
    variables::{argument, cookie},
};
use http::header;
use std::{borrow::Cow, cell::RefCell, collections::BTreeSet, net::IpAddr};

/// The variables of a request that nobody sent.
pub(super) struct Known<'q> {
    question: &'q Question,
    host: &'q str,
    path: &'q str,
    query: Option<&'q str>,
    /// After matching.
    route: Option<Taken<'q>>,
    asked: RefCell<BTreeSet<String>>,
}

/// What is known once a route took the request.
pub(super) struct Taken<'q> {
    pub(super) info: &'q RouteInfo,
    pub(super) matched: Matched,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) consumer: Option<&'q Consumer>,
}

impl<'q> Known<'q> {
    pub(super) fn new(
        question: &'q Question,
        host: &'q str,
        path: &'q str,
        query: Option<&'q str>,
    ) -> Self {
        Self {
            question,
            host,
            path,
            query,
            route: None,
            asked: RefCell::default(),
        }
    }

    pub(super) fn taken(&mut self, by: Taken<'q>) {
        self.route = Some(by);
    }

    /// Variables that were asked for in vain.
    pub(super) fn unknown(self) -> Vec<String> {
        self.asked.into_inner().into_iter().collect()
    }

    fn request_uri(&self) -> Value<'_> {
        let written = self.question.uri.split('?').next().unwrap_or_default();
        match self.query.filter(|query| !query.is_empty()) {
            Some(_) if written == self.path => Value::text(&self.question.uri),
            Some(query) => owned(format!("{}?{query}", self.path)),
            None => Value::text(self.path),
        }
    }

    /// Variables of the route and the consumer: absent while routes are matched, known afterwards.
    fn of_route(&self, variable: &Variable) -> Option<Value<'_>> {
        let route = self.route.as_ref()?;
        let info = route.info;
        match variable {
            Variable::RouteId => Some(Value::text(&*info.id)),
            Variable::RouteName => info.name.as_deref().map(Value::text),
            Variable::ServiceId => info.service_id.as_deref().map(Value::text),
            Variable::ServiceName => info.service_name.as_deref().map(Value::text),
            Variable::MatchedUri => Some(Value::text(&*route.matched.path)),
            Variable::MatchedHost => route.matched.host.as_deref().map(Value::text),
            Variable::UriParam(name) => {
                let (_, value) = route.parameters.iter().find(|(n, _)| **n == **name)?;
                Some(Value::text(value))
            }
            Variable::ConsumerName | Variable::ConsumerGroupId => match route.consumer {
                Some(consumer) if *variable == Variable::ConsumerName => {
                    Some(Value::text(&*consumer.username))
                }
                Some(consumer) => consumer.group_id.as_deref().map(Value::text),
                None => self.unsettled(variable),
            },
            _ => None,
        }
    }

    fn unsettled(&self, variable: &Variable) -> Option<Value<'_>> {
        self.asked.borrow_mut().insert(variable.to_string());
        None
    }
}

impl Lookup for Known<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        let asked = self.question;
        let header = |name| asked.headers.get(name).map(|v| Value::text(v.as_bytes()));
        match variable {
            Variable::Uri => Some(Value::text(self.path)),
            Variable::RequestUri => Some(self.request_uri()),
            Variable::RealRequestUri => Some(Value::text(&asked.uri)),
            Variable::Method => Some(Value::text(asked.method.as_str())),
            Variable::Host => Some(Value::text(self.host)),
            Variable::ServerName => Some(Value::text("_")),
            Variable::HttpHost => (!asked.host.is_empty()).then(|| Value::text(&asked.host)),
            Variable::Header(name) if *name == header::HOST => {
                (!asked.host.is_empty()).then(|| Value::text(&asked.host))
            }
            Variable::Header(name) => header(name),
            Variable::ContentType => header(&header::CONTENT_TYPE),
            Variable::ContentLength => header(&header::CONTENT_LENGTH),
            Variable::Cookie(name) => cookie(&asked.headers, name),
            Variable::Scheme => Some(Value::text(if asked.tls { "https" } else { "http" })),
            Variable::Https => Some(Value::text(if asked.tls { "on" } else { "" })),
            Variable::RemoteAddr => Some(owned(asked.remote.to_string())),
            Variable::BinaryRemoteAddr => Some(Value::Bytes(Cow::Owned(match asked.remote {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            }))),
            Variable::QueryString => self.query.map(Value::text),
            Variable::IsArgs => Some(Value::text(match self.query {
                None | Some("") => "",
                Some(_) => "?",
            })),
            Variable::Arg(name) => argument(self.query?, name),
            Variable::RouteId
            | Variable::RouteName
            | Variable::ServiceId
            | Variable::ServiceName
            | Variable::MatchedUri
            | Variable::MatchedHost
            | Variable::UriParam(_)
            | Variable::ConsumerName
            | Variable::ConsumerGroupId => self.of_route(variable),
            _ => self.unsettled(variable),
        }
    }
}

fn owned<'a>(text: String) -> Value<'a> {
    Value::Bytes(Cow::Owned(text.into_bytes()))
}
