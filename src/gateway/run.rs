//! `crossway run`: from settings to a gateway that serves, and back.

use super::{
    Failure, Parts,
    acme::Acme,
    control::Endpoints,
    drain::{self, End, Load, Signals},
    edge, error_log,
    handover::Predecessor,
    handshakes::Handshakes,
    memory,
    notify::Notify,
    open, options,
    reports::Reports,
    rotate::Rotations,
    sealed::Sealed,
    sockets::Sockets,
    streams,
    upgrade::Upgrade,
};
use crate::{
    cli,
    compile::State,
    listener::{Counters, Stop, http::Http},
    observe::{self, AccessLog, Metrics, metrics::Family},
    proxy::{Challenges, Proxy},
    settings::{Settings, environment},
    status::{self, Life},
    sync::Authority,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::runtime::Runtime;

/// A store that gives no configuration for so long at start ends the process: something is wrong that waiting does not mend.
const FIRST_CONFIGURATION: Duration = Duration::from_secs(120);
/// What requests left in queues has so long to be sent when the process ends.
const FINISH: Duration = Duration::from_secs(5);
/// Threads for the Admin API, health checks, names and everything else that is not traffic.
const CONTROL_THREADS: usize = 2;

/// Serves until told to stop.
pub(super) fn run(parts: Parts, arguments: cli::Run) -> Result<(), Failure> {
    let met = arguments.take_over.then(Predecessor::meet).transpose()?;
    let (predecessor, inherited) = met.unzip();
    let sockets = Sockets::new(inherited.unwrap_or_default());
    let served = start(parts, &arguments, predecessor.as_ref(), Arc::new(sockets));
    if let (Some(predecessor), Err(failure)) = (&predecessor, &served) {
        predecessor.failed(failure);
    }
    served
}

fn start(
    parts: Parts,
    arguments: &cli::Run,
    predecessor: Option<&Predecessor>,
    sockets: Arc<Sockets>,
) -> Result<(), Failure> {
    // Before somebody puts another file in its place.
    let program = std::env::current_exe().map_err(Failure::new)?;
    let settings = Settings::load(arguments.settings.config.as_deref(), environment())
        .map_err(Failure::new)?;
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
    if let Some(predecessor) = predecessor {
        predecessor.ask_for_store()?;
    }
    let (authority, acme) = control.block_on(async {
        let stores = open::stores(&settings).await?;
        let store = Sealed::over(stores.documents, &workshop.sealer);
        let acme = match stores.acme {
            Some(own) => Acme::new(&settings, &store, own, &workshop.sealer)?,
            None => None,
        };
        let authority = Authority::new(store, State::new(workshop));
        tokio::spawn(authority.clone().follow());
        tokio::spawn(authority.clone().follow_secrets());
        first_configuration(&authority).await?;
        Ok::<_, Failure>((authority, acme))
    })?;
    let life = Arc::new(Life::default());
    control.spawn(count_changes(authority.clone(), metrics.clone()));
    control.spawn(error_log::ship(authority.clone()));
    control.spawn(memory::follow(authority.status()));
    let access_log = access_log(&settings, &metrics)?;
    export(&metrics, &authority).map_err(Failure::new)?;
    if let Some(acme) = &acme {
        acme.export(&metrics).map_err(Failure::new)?;
    }
    let house = House {
        settings: &settings,
        authority: &authority,
        metrics: &metrics,
        life,
        access_log,
        acme,
        sockets,
        predecessor,
        program,
    };
    serve(control, house)
}

/// What serving takes.
struct House<'a> {
    settings: &'a Settings,
    authority: &'a Arc<Authority>,
    metrics: &'a Arc<Metrics>,
    life: Arc<Life>,
    access_log: Option<Arc<AccessLog>>,
    acme: Option<Acme>,
    sockets: Arc<Sockets>,
    predecessor: Option<&'a Predecessor>,
    program: PathBuf,
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

/// Serves until a signal ends it.
fn serve(control: Runtime, house: House<'_>) -> Result<(), Failure> {
    let House {
        settings,
        authority,
        metrics,
        life,
        access_log,
        acme,
        sockets,
        predecessor,
        program,
    } = house;
    // The word for the endpoints beside the traffic. They answer to the end, unless another process answers in their place.
    let (leaving, left) = Stop::new();
    let mut endpoints = {
        let _inside = control.enter();
        let report = acme.as_ref().map(|acme| acme.report.clone());
        let bound = Endpoints::bind(settings, authority, metrics, &life, report, &sockets, &left)?;
        Some(bound)
    };
    if predecessor.is_none()
        && let Some(endpoints) = endpoints.take()
    {
        endpoints.serve(control.handle());
    }
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.worker_threads().get())
        .thread_name("crossway")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let reports = Arc::new(Reports {
        traffic: metrics.traffic().clone(),
        metrics: metrics.clone(),
        access_log: access_log.clone(),
    });
    let proofs = acme.as_ref().map(|acme| acme.pending.clone());
    let proxy = Proxy::new(authority.current(), options::of_proxy(settings), reports)
        .with_challenges(proofs.clone().map(|proofs| proofs as Arc<dyn Challenges>));
    let mut proxy = pingora_proxy::http_proxy(&Arc::new(options::of_pingora(settings)), proxy);
    proxy.server_options = Some(options::of_pingora_http());
    let counters = Arc::new(Counters::default());
    let edge = edge::edge(settings, metrics, counters.clone())?;
    let http = Arc::new(Http::new(
        Arc::new(proxy),
        options::of_http(settings),
        counters,
    ));
    let tls = Arc::new(Handshakes {
        current: authority.current(),
        proofs,
    });
    let (mut signals, rotations, mut upgrade) = {
        let _inside = control.enter();
        let store = authority.store().clone();
        (
            Signals::new().map_err(Failure::new)?,
            Rotations::new().map_err(Failure::new)?,
            Upgrade::new(program, sockets.clone(), store).map_err(Failure::new)?,
        )
    };
    let (stopping, stop) = Stop::new();
    if let Some(acme) = &acme {
        acme.answer(control.handle());
    }
    {
        let _inside = workers.enter();
        // All are bound before one accepts: a connection that is accepted is served.
        let bound = edge::bind_all(settings, http, Some(tls), &sockets)?;
        let streams = streams::bind(settings, authority.current(), metrics, &sockets)?;
        sockets.close_unused();
        edge::accept_all(bound, &edge, &stop);
        streams.serve(&edge, &stop)?;
    }
    control.spawn(rotations.follow(access_log.clone()));
    let finishers = authority.state().workshop().shared.finishers().clone();
    let notify = Notify::from_environment();
    life.begin();
    if let Some(endpoints) = endpoints.take() {
        endpoints.serve(control.handle());
    }
    if let Some(predecessor) = predecessor {
        predecessor.serving();
    }
    notify.ready();
    if let Some(acme) = acme {
        acme.order(control.handle());
    }
    control.block_on(async {
        let mut end = tokio::select! {
            end = signals.wait() => end,
            () = upgrade.done() => End::HandOver,
        };
        if end == End::HandOver {
            // The service stays ready: that of the other process.
            leaving.hand_over();
            stopping.hand_over();
        } else {
            life.end();
            notify.stopping();
            let delay = settings.shutdown.readiness_delay.0;
            if end == End::Drain && !delay.is_zero() {
                // Whoever signals again has waited enough.
                if let Ok(next) = tokio::time::timeout(delay, signals.wait()).await {
                    end = next;
                }
            }
            stopping.give();
        }
        sockets.close();
        if end != End::Now {
            drain(metrics, settings.shutdown.drain_timeout.0).await;
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

async fn drain(metrics: &Metrics, limit: Duration) {
    let (traffic, streams) = (metrics.traffic(), metrics.streams());
    let under_way = || {
        let totals = traffic.totals();
        Load {
            in_flight: totals.in_flight + streams.open_connections(),
            connections: totals.active,
        }
    };
    let left = drain::drained(under_way, limit).await;
    if left > 0 {
        tracing::warn!(
            left,
            "the drain timeout ended requests and TCP sessions that were in flight"
        );
    }
}
