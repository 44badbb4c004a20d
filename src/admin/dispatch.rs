//! From a request to the part that answers it: who may connect, who may call, what the path and the method mean.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode, request::Parts},
    response::Response,
    routing::any,
};

use super::{
    Admin, Rules,
    answer::Answer,
    auth::Role,
    body,
    error::Failure,
    path::{Address, Target, segments, target},
    query::Query,
};
use crate::model::{Kind, Verbs};
use crossway_sdk::expr::IpSet;

/// Where all of it is.
const BASE: &str = "/apisix/admin";
const FORBIDDEN: &str = "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n\
                         <center><h1>403 Forbidden</h1></center>\r\n</body>\r\n</html>\r\n";

/// The routes of the Admin API, below `/apisix/admin`. Other routers can be merged with it.
pub fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/apisix/admin", any(handle))
        .route("/apisix/admin/", any(handle))
        .route("/apisix/admin/{*rest}", any(handle))
        .with_state(admin)
}

async fn handle(State(admin): State<Arc<Admin>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let rules = admin.rules.load_full();
    let options = &rules.options;
    if !lets_in(&options.allow, &parts) {
        let html = HeaderValue::from_static("text/html");
        let refused = Answer::of(StatusCode::FORBIDDEN, html, FORBIDDEN.to_owned());
        return admin.respond(refused, options);
    }
    if parts.method == Method::OPTIONS && options.cors {
        return admin.preflight(options);
    }
    let answer = admin.answer(parts, body, &rules).await;
    admin.respond(answer.unwrap_or_else(Answer::from), options)
}

/// A request that may be answered.
pub(super) struct Call {
    pub(super) parts: Parts,
    pub(super) query: Query,
    pub(super) role: Role,
    /// What it is judged by.
    rules: Arc<Rules>,
}

/// Whether the client's address is one of those that may connect. Without an address only an open door lets in.
fn lets_in(allow: &IpSet, parts: &Parts) -> bool {
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    allow.is_empty() || from.is_some_and(|ConnectInfo(from)| allow.contains(from.ip()))
}

impl Admin {
    async fn answer(
        self: &Arc<Self>,
        parts: Parts,
        body: axum::body::Body,
        rules: &Arc<Rules>,
    ) -> Result<Answer, Failure> {
        let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default();
        let segments = segments(path);
        if segments.is_empty() && parts.method == Method::HEAD {
            return Ok(Answer::empty(StatusCode::OK));
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let role = if rules.options.key_required {
            rules.keys.admit(&parts.method, &parts.headers, &query)?
        } else {
            Role::Admin
        };
        let target = target(&segments)?;
        let call = Call {
            parts,
            query,
            role,
            rules: rules.clone(),
        };
        self.answer_to(target, call, body).await
    }

    async fn answer_to(
        self: &Arc<Self>,
        target: Target,
        call: Call,
        body: axum::body::Body,
    ) -> Result<Answer, Failure> {
        let query = &call.query;
        let method = call.parts.method.clone();
        let reads = matches!(method, Method::GET | Method::HEAD);
        match target {
            Target::Resource(address) => self.resource(&address, &call, body).await,
            Target::Configs if reads => self.configs(&call).await,
            Target::Configs if method == Method::PUT => self.put_configs(&call, body).await,
            Target::ConfigsValidate if method == Method::POST => {
                self.validate_configs(&call, body).await
            }
            Target::PluginReload => self.plugin_reload(&method),
            Target::PluginList if reads => self.plugin_list(query),
            Target::Plugins(name) if reads => self.plugin(name.as_deref(), query),
            Target::PluginSchema(name) if reads => self.plugin_schema(&name, query),
            Target::Schema(name) if reads => self.schema(&name),
            Target::SchemaValidate(resource) if method == Method::POST => {
                let body = self.body(&call, body).await?;
                self.schema_validate(&resource, &body)
            }
            Target::OpenApi if reads => Ok(self.openapi()),
            _ => Err(Failure::not_found()),
        }
    }

    async fn resource(
        self: &Arc<Self>,
        address: &Address,
        call: &Call,
        body: axum::body::Body,
    ) -> Result<Answer, Failure> {
        let query = &call.query;
        let kind = address.kind;
        let verb = verb(&call.parts.method, address).ok_or_else(Failure::not_found)?;
        if !kind.verbs().contains(verb) {
            return Err(not_supported(&call.parts.method, kind));
        }
        if !address.rest.is_empty() && verb != Verbs::PATCH {
            return Err(Failure::not_found());
        }
        if verb == Verbs::LIST {
            return self.list(address, query).await;
        }
        if verb == Verbs::GET {
            let id = address.id.as_deref().ok_or_else(Failure::not_found)?;
            return self.read(address, id, call.role).await;
        }
        if kind == Kind::StreamRoute && !call.rules.options.stream {
            return Err(Failure::bad(
                "stream mode is disabled, can not add stream routes",
            ));
        }
        self.writable().await?;
        if verb == Verbs::DELETE {
            return self.delete(address, query).await;
        }
        let body = self.body(call, body).await?;
        if verb == Verbs::PUT {
            self.put(address, query, &body).await
        } else if verb == Verbs::POST {
            self.post(address, query, &body).await
        } else {
            self.patch(address, query, &body).await
        }
    }

    async fn body(&self, call: &Call, body: axum::body::Body) -> Result<bytes::Bytes, Failure> {
        body::read(&call.parts.headers, body, call.rules.options.max_body).await
    }
}

fn verb(method: &Method, address: &Address) -> Option<Verbs> {
    Some(match *method {
        Method::GET | Method::HEAD if address.id.is_none() => Verbs::LIST,
        Method::GET | Method::HEAD => Verbs::GET,
        Method::PUT => Verbs::PUT,
        Method::POST => Verbs::POST,
        Method::PATCH => Verbs::PATCH,
        Method::DELETE => Verbs::DELETE,
        _ => return None,
    })
}

fn not_supported(method: &Method, kind: Kind) -> Failure {
    let message = format!("not supported `{method}` method for {}", kind.singular());
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, message)
}
