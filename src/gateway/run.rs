//! `crossway run`: from settings to a gateway that serves, and back.

use super::{
    Failure, Parts,
    drain::{self, End, Signals},
    edge, error_log,
    handshakes::Handshakes,
    memory, open, options,
    reports::Reports,
    rotate::Rotations,
    sealed::Sealed,
    streams,
};
use crate::{
    admin, cli,
    compile::State,
    listener::{Counters, Stop, http::Http},
    observe::{self, AccessLog, Metrics, metrics::Family},
    proxy::Proxy,
    settings::{KeyOrigin, Role, Settings, admin_keys, environment},
    status::{self, Life},
    sync::Authority,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, runtime::Runtime};

/// A store that gives no configuration for so long at start ends the process: something is wrong that waiting does not mend.
const FIRST_CONFIGURATION: Duration = Duration::from_secs(120);
/// What requests left in queues has so long to be sent when the process ends.
const FINISH: Duration = Duration::from_secs(5);
/// Threads for the Admin API, health checks, names and everything else that is not traffic.
const CONTROL_THREADS: usize = 2;

/// Serves until told to stop.
pub(super) fn run(parts: Parts, file: cli::SettingsFile) -> Result<(), Failure> {
    let settings = Settings::load(file.config.as_deref(), environment()).map_err(Failure::new)?;
    observe::log::install(&settings.log).map_err(Failure::new)?;
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("crossway-control")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let metrics = Arc::new(Metrics::new(&settings.metrics.prefix).map_err(Failure::new)?);
    let workshop = open::workshop(
        parts,
        &settings,
        metrics.registry().clone(),
        control.handle().clone(),
        true,
    )?;
    let staples = workshop.tls.staples.clone();
    control.spawn(staples.follow(settings.tls.ocsp_reload.0));
    let authority = control.block_on(async {
        let store = open::store(&settings).await?;
        let store = Sealed::over(store, &workshop.sealer);
        let authority = Authority::new(store, State::new(workshop));
        tokio::spawn(authority.clone().follow());
        tokio::spawn(authority.clone().follow_secrets());
        first_configuration(&authority).await?;
        Ok::<_, Failure>(authority)
    })?;
    let life = Arc::new(Life::default());
    control.spawn(count_changes(authority.clone(), metrics.clone()));
    control.spawn(error_log::ship(authority.clone()));
    control.spawn(memory::follow(authority.status()));
    let access_log = access_log(&settings, &metrics)?;
    export(&metrics, &authority).map_err(Failure::new)?;
    serve_control(&control, &settings, &authority, &metrics, &life)?;
    serve_traffic(control, &settings, &authority, &metrics, access_log, life)
}

/// Waits until a configuration serves. A file that is refused at the very start ends the process: there is no last good one.
async fn first_configuration(authority: &Authority) -> Result<(), Failure> {
    let mut status = authority.status();
    let settled = status.wait_for(|s| s.ready || s.refused.is_some());
    let settled = tokio::time::timeout(FIRST_CONFIGURATION, settled).await;
    let Ok(Ok(status)) = settled else {
        return Err(Failure("the store gives no configuration".to_owned()));
    };
    match (&status.refused, status.ready) {
        (Some(refused), false) => {
            let problems = refused
                .problems
                .iter()
                .map(|p| format!("\n  {}: {}", p.key, p.error));
            Err(Failure(format!(
                "the configuration was refused:{}",
                problems.collect::<String>()
            )))
        }
        _ => Ok(()),
    }
}

fn access_log(
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<AccessLog>>, Failure> {
    let log = AccessLog::open(&settings.access_log, metrics.access_log_dropped.clone());
    Ok(log.map_err(Failure::new)?.map(Arc::new))
}

/// Figures that are asked for when somebody scrapes.
fn export(metrics: &Metrics, authority: &Arc<Authority>) -> Result<(), prometheus::Error> {
    let of_nodes = authority.clone();
    metrics.export(Family::UPSTREAM_STATUS, move |samples| {
        for report in status::health_reports(&of_nodes.state()) {
            for node in &report.nodes {
                let healthy = if matches!(node.status, "healthy" | "mostly_healthy") {
                    1.0
                } else {
                    0.0
                };
                samples.push(&[&report.name, &node.ip, &node.port.to_string()], healthy);
            }
        }
    })?;
    let of_store = authority.status();
    metrics.export(Family::MODIFY_INDEXES, move |samples| {
        let status = of_store.borrow();
        samples.push(&["x_etcd_index"], status.seen as f64);
        samples.push(&["max_modify_index"], status.serving as f64);
    })
}

/// Keeps the gauges of the configuration in step with it.
async fn count_changes(authority: Arc<Authority>, metrics: Arc<Metrics>) {
    let mut status = authority.status();
    let (mut serving, mut refused) = (None, 0);
    loop {
        {
            let now = status.borrow_and_update();
            let gauges = &metrics.configuration;
            gauges.set_store_reachable(now.store_error.is_none());
            gauges
                .revision
                .set(i64::try_from(now.serving).unwrap_or(i64::MAX));
            if now.ready && serving.replace(now.serving) != Some(now.serving) {
                gauges.applied.inc();
            }
            gauges
                .refused
                .inc_by(now.refused_total.saturating_sub(refused));
            refused = now.refused_total;
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// The Admin API, the control API and the metrics page, each on its own listener.
fn serve_control(
    control: &Runtime,
    settings: &Settings,
    authority: &Arc<Authority>,
    metrics: &Arc<Metrics>,
    life: &Arc<Life>,
) -> Result<(), Failure> {
    if settings.admin.enabled {
        let listener = listen(control, "admin.listen", settings.admin.listen.0)?;
        let router = admin::router(Arc::new(admin(settings, authority)?));
        control.spawn(admin::serve(listener, router, std::future::pending()));
    }
    // These answer until the process ends: readiness has to be seen to turn false.
    let paths = options::of_proxy(settings).target;
    let api = Arc::new(status::Control::new(authority.clone(), paths, life.clone()));
    let listener = listen(control, "control.listen", settings.control.listen.0)?;
    control.spawn(status::serve(
        listener,
        status::control_router(api),
        std::future::pending(),
    ));
    let page = metrics.clone();
    let page = move || page.page(Instant::now()).map_err(|e| e.to_string());
    let listener = listen(control, "metrics.listen", settings.metrics.listen.0)?;
    let router = status::metrics_router(page, &settings.metrics.path);
    control.spawn(status::serve(listener, router, std::future::pending()));
    Ok(())
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

fn listen(control: &Runtime, setting: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    control.block_on(TcpListener::bind(address)).map_err(|e| {
        Failure(format!(
            "settings: {setting}: cannot listen on {address}: {e}"
        ))
    })
}

/// Serves traffic until a signal ends it.
fn serve_traffic(
    control: Runtime,
    settings: &Settings,
    authority: &Arc<Authority>,
    metrics: &Arc<Metrics>,
    access_log: Option<Arc<AccessLog>>,
    life: Arc<Life>,
) -> Result<(), Failure> {
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.worker_threads().get())
        .thread_name("crossway")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let traffic = metrics.traffic().clone();
    let reports = Arc::new(Reports {
        traffic: traffic.clone(),
        metrics: metrics.clone(),
        access_log: access_log.clone(),
    });
    let proxy = Proxy::new(authority.current(), options::of_proxy(settings), reports);
    let mut proxy = pingora_proxy::http_proxy(&Arc::new(options::of_pingora(settings)), proxy);
    proxy.server_options = Some(options::of_pingora_http());
    let counters = Arc::new(Counters::default());
    let edge = edge::edge(settings, metrics, counters.clone())?;
    let http = Arc::new(Http::new(
        Arc::new(proxy),
        options::of_http(settings),
        counters,
    ));
    let tls = Arc::new(Handshakes(authority.current()));
    let (stopping, stop) = Stop::new();
    {
        let _inside = workers.enter();
        edge::open(settings, http, Some(tls), &edge, &stop)?;
        streams::open(settings, authority.current(), metrics, &edge, &stop)?;
    }
    let (mut signals, rotations) = {
        let _inside = control.enter();
        let signals = Signals::new().map_err(Failure::new)?;
        (signals, Rotations::new().map_err(Failure::new)?)
    };
    control.spawn(rotations.follow(access_log.clone()));
    let finishers = authority.state().workshop().shared.finishers().clone();
    life.begin();
    control.block_on(async {
        let end = signals.wait().await;
        life.end();
        stopping.give();
        if end == End::Drain {
            let streams = metrics.streams();
            let in_flight = || traffic.totals().in_flight + streams.open_connections();
            let left = drain::drained(in_flight, settings.shutdown.drain_timeout.0).await;
            if left > 0 {
                tracing::warn!(
                    left,
                    "the drain timeout ended requests and TCP sessions that were in flight"
                );
            }
            if !finishers.finish(FINISH).await {
                tracing::warn!("not everything that waited in queues could be sent");
            }
        }
    });
    if let Some(log) = access_log {
        log.close(Duration::from_secs(1));
    }
    tracing::info!("stopped");
    // What is left is idle, or out of time.
    workers.shutdown_background();
    control.shutdown_background();
    Ok(())
}
