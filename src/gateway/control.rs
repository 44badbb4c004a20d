//! The endpoints beside the traffic: the Admin API, the control API and the metrics page, each on its own listener.

use super::{
    Failure, open, options,
    sockets::{self, Sockets},
};
use crate::{
    acme, admin,
    listener::{Stop, endpoint},
    observe::Metrics,
    settings::{KeyOrigin, Settings, admin_keys},
    status::{self, Life, Readings},
    sync::Authority,
};
use futures::future::BoxFuture;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Handle, task::JoinHandle};

/// The endpoints, bound and not served yet.
pub(super) struct Endpoints {
    serving: Vec<BoxFuture<'static, ()>>,
    /// The Admin API, when there is one.
    pub(super) admin: Option<Arc<admin::Admin>>,
}

/// What the endpoints look at.
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) authority: &'a Arc<Authority>,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) life: &'a Arc<Life>,
    pub(super) readings: &'a Arc<Readings>,
    pub(super) acme: Option<Arc<acme::Report>>,
}

impl Endpoints {
    /// Binds them. They answer until the process ends, since readiness has to be seen to turn false, or until `stop` when
    /// another process goes on with their sockets. To be called inside the runtime that is to serve.
    pub(super) fn bind(view: &View<'_>, sockets: &Sockets, stop: &Stop) -> Result<Self, Failure> {
        let stopped = || {
            let mut stop = stop.clone();
            async move { stop.given().await }
        };
        let View {
            settings,
            authority,
            metrics,
            life,
            readings,
            ref acme,
        } = *view;
        let mut all: Vec<BoxFuture<'static, ()>> = Vec::new();
        let mut admin_api = None;
        if settings.admin.enabled {
            let listener = listen("admin.listen", settings.admin.listen.0, sockets)?;
            let keys = admin_keys_of(settings)?;
            let options = options::of_admin(settings);
            let api = Arc::new(admin::Admin::new(authority.clone(), keys, options));
            let router = admin::router(api.clone());
            admin_api = Some(api);
            all.push(Box::pin(endpoint::serve(listener, router, stopped())));
        }
        let api = status::Control::new(authority.clone(), readings.clone(), life.clone())
            .with_acme(acme.clone());
        let router = status::control_router(Arc::new(api));
        let listener = listen("control.listen", settings.control.listen.0, sockets)?;
        all.push(Box::pin(endpoint::serve(listener, router, stopped())));
        let page = metrics.clone();
        let page = move || page.page(Instant::now()).map_err(|e| e.to_string());
        let router = status::metrics_router(page, &settings.metrics.path);
        let listener = listen("metrics.listen", settings.metrics.listen.0, sockets)?;
        all.push(Box::pin(endpoint::serve(listener, router, stopped())));
        Ok(Self {
            serving: all,
            admin: admin_api,
        })
    }

    /// Serves them.
    pub(super) fn serve(self, runtime: &Handle) -> Serving {
        let serving = self.serving.into_iter();
        Serving(serving.map(|endpoint| runtime.spawn(endpoint)).collect())
    }
}

/// Endpoints that are served.
pub(super) struct Serving(Vec<JoinHandle<()>>);

impl Serving {
    /// Waits until they have answered what was under way when they were told to stop, at most for `limit`.
    pub(super) async fn ended(self, limit: Duration) {
        let all = futures::future::join_all(self.0);
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!("requests to the Admin API or the control API were not finished");
        }
    }
}

/// The keys of the Admin API; without one in the settings, the first start makes it.
pub(super) fn admin_keys_of(settings: &Settings) -> Result<admin::AdminKeys, Failure> {
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
    options::admin_keys(&keys).map_err(Failure::new)
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
