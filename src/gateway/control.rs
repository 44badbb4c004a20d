//! The endpoints beside the traffic: the Admin API, the control API and the metrics page, each on its own listener.

use super::{
    Failure, open, options,
    sockets::{self, Sockets},
};
use crate::{
    acme, admin,
    listener::Stop,
    observe::Metrics,
    settings::{KeyOrigin, Role, Settings, admin_keys},
    status::{self, Life},
    sync::Authority,
};
use futures::future::BoxFuture;
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tokio::{net::TcpListener, runtime::Handle};

/// The endpoints, bound and not served yet.
pub(super) struct Endpoints(Vec<BoxFuture<'static, ()>>);

impl Endpoints {
    /// Binds them. They answer until the process ends, since readiness has to be seen to turn false, or until `stop` when
    /// another process goes on with their sockets. To be called inside the runtime that is to serve.
    pub(super) fn bind(
        settings: &Settings,
        authority: &Arc<Authority>,
        metrics: &Arc<Metrics>,
        life: &Arc<Life>,
        acme: Option<Arc<acme::Report>>,
        sockets: &Sockets,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let stopped = || {
            let mut stop = stop.clone();
            async move { stop.given().await }
        };
        let mut all: Vec<BoxFuture<'static, ()>> = Vec::new();
        if settings.admin.enabled {
            let listener = listen("admin.listen", settings.admin.listen.0, sockets)?;
            let router = admin::router(Arc::new(admin(settings, authority)?));
            all.push(Box::pin(admin::serve(listener, router, stopped())));
        }
        let paths = options::of_proxy(settings).target;
        let api = status::Control::new(authority.clone(), paths, life.clone()).with_acme(acme);
        let router = status::control_router(Arc::new(api));
        let listener = listen("control.listen", settings.control.listen.0, sockets)?;
        all.push(Box::pin(serve(listener, router, stopped())));
        let page = metrics.clone();
        let page = move || page.page(Instant::now()).map_err(|e| e.to_string());
        let router = status::metrics_router(page, &settings.metrics.path);
        let listener = listen("metrics.listen", settings.metrics.listen.0, sockets)?;
        all.push(Box::pin(serve(listener, router, stopped())));
        Ok(Self(all))
    }

    /// Serves them.
    pub(super) fn serve(self, runtime: &Handle) {
        for endpoint in self.0 {
            runtime.spawn(endpoint);
        }
    }
}

async fn serve(
    listener: TcpListener,
    router: axum::Router,
    stopped: impl Future<Output = ()> + Send + 'static,
) {
    if let Err(error) = status::serve(listener, router, stopped).await {
        tracing::error!(%error, "an endpoint is served no more");
    }
}

/// The Admin API with its keys; without one in the settings, the first start makes it.
fn admin(settings: &Settings, authority: &Arc<Authority>) -> Result<admin::Admin, Failure> {
    if settings.admin.key.is_none() && settings.admin.keys.is_empty() {
        open::data_dir(&settings.data_dir)?;
    }
    let (keys, origin) = admin_keys(&settings.admin, &settings.data_dir).map_err(Failure::new)?;
    match &origin {
        KeyOrigin::Created(path) => {
            tracing::info!(file = %path.display(), "no Admin key was configured: a new one was written to this file");
        }
        KeyOrigin::File(path) => {
            tracing::info!(file = %path.display(), "the Admin key is that of this file")
        }
        KeyOrigin::Settings => {}
    }
    let role = |role| match role {
        Role::Admin => admin::Role::Admin,
        Role::Viewer => admin::Role::Viewer,
    };
    let keys = keys.iter().map(|k| (k.key.expose(), role(k.role)));
    let keys = admin::AdminKeys::new(keys).map_err(Failure::new)?;
    let mut options = admin::Options::new(settings.admin.server_header.value().clone());
    options.max_body = settings.admin.max_body_size;
    options.cors = settings.admin.cors;
    options.allow = settings.admin.allow.set().clone();
    options.stream = settings.stream.enabled();
    Ok(admin::Admin::new(authority.clone(), keys, options))
}

fn listen(setting: &str, address: SocketAddr, sockets: &Sockets) -> Result<TcpListener, Failure> {
    let name = sockets::tcp(address);
    let opened = match sockets.take(&name) {
        Some(inherited) => Ok(inherited.into()),
        None => bind(address),
    };
    let bound = opened.and_then(|listener: std::net::TcpListener| {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    });
    let bound = bound.map_err(|e| {
        Failure(format!(
            "settings: {setting}: cannot listen on {address}: {e}"
        ))
    })?;
    sockets.keep(name, &bound)?;
    Ok(bound)
}

/// As Tokio does it.
fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}
