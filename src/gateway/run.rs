//! `crossway run`: from settings to a gateway that serves, and back.

use super::{
    Failure, Parts,
    access_logs::AccessLogs,
    acme::Acme,
    control::{Endpoints, View},
    drain::{self, End, Load, Signals},
    edge, error_log, figures,
    handover::Predecessor,
    handshakes::Handshakes,
    memory,
    notify::Notify,
    open, options,
    reload::{Hangups, InForce, Reload},
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
    observe::{self, Metrics},
    proxy::{Challenges, Proxy},
    settings::{Written, environment},
    status::{Life, Readings},
    sync::Authority,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
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
    let path = arguments.settings.config.clone();
    let written = Written::read(path.as_deref(), environment()).map_err(Failure::new)?;
    let readings = Arc::new(Readings::of(path.clone()));
    let settings = written.settings().clone();
    observe::log::install(&settings.log).map_err(Failure::new)?;
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("crossway-control")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    // Heard from now on, so that none ends a gateway that is about to serve.
    let (hangups, rotations) = {
        let _inside = control.enter();
        (
            Hangups::new().map_err(Failure::new)?,
            Rotations::new().map_err(Failure::new)?,
        )
    };
    let metrics = Arc::new(Metrics::new(&settings.metrics.prefix).map_err(Failure::new)?);
    let workshop = open::workshop(
        parts,
        &settings,
        metrics.registry().clone(),
        control.handle().clone(),
        true,
    )?;
    control.spawn(workshop.tls.staples.clone().follow());
    let dropped = metrics.access_log_dropped.clone();
    let logs = Arc::new(AccessLogs::open(&settings.access_log, dropped)?);
    control.spawn(rotations.follow(logs.clone()));
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
        let mut state = State::new(workshop);
        state.set_conduct(Arc::new(options::conduct(&settings, logs.now())));
        let authority = Authority::new(store, state);
        tokio::spawn(authority.clone().follow());
        tokio::spawn(authority.clone().follow_secrets());
        first_configuration(&authority).await?;
        Ok::<_, Failure>((authority, acme))
    })?;
    let life = Arc::new(Life::default());
    control.spawn(figures::count_changes(authority.clone(), metrics.clone()));
    control.spawn(error_log::ship(authority.clone()));
    control.spawn(memory::follow(authority.status()));
    figures::export(&metrics, &authority, &readings).map_err(Failure::new)?;
    if let Some(acme) = &acme {
        acme.export(&metrics).map_err(Failure::new)?;
    }
    let house = House {
        path,
        written,
        authority: &authority,
        metrics: &metrics,
        life,
        readings,
        logs,
        acme,
        hangups,
        sockets,
        predecessor,
        program,
    };
    serve(control, house)
}

/// What serving takes.
struct House<'a> {
    path: Option<PathBuf>,
    written: Written,
    authority: &'a Arc<Authority>,
    metrics: &'a Arc<Metrics>,
    life: Arc<Life>,
    readings: Arc<Readings>,
    logs: Arc<AccessLogs>,
    acme: Option<Acme>,
    hangups: Hangups,
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

/// Serves until a signal ends it.
fn serve(control: Runtime, house: House<'_>) -> Result<(), Failure> {
    let House {
        path,
        written,
        authority,
        metrics,
        life,
        readings,
        logs,
        acme,
        hangups,
        sockets,
        predecessor,
        program,
    } = house;
    let settings = written.settings().clone();
    let settings = &settings;
    // The word for the endpoints beside the traffic. They answer to the end, unless another process answers in their place.
    let (leaving, left) = Stop::new();
    let endpoints = {
        let _inside = control.enter();
        let view = View {
            settings,
            authority,
            metrics,
            life: &life,
            readings: &readings,
            acme: acme.as_ref().map(|acme| acme.report.clone()),
        };
        Endpoints::bind(&view, &sockets, &left)?
    };
    let in_force = InForce::new(settings);
    let notify = Arc::new(Notify::from_environment());
    let ends = Arc::new(AtomicBool::new(false));
    let reload = Reload {
        path,
        written,
        in_force: in_force.clone(),
        authority: authority.clone(),
        admin: endpoints.admin.clone(),
        logs: logs.clone(),
        readings,
        notify: notify.clone(),
        leaving: ends.clone(),
    };
    // With a predecessor, that one answers until this one serves.
    let (early, late) = match predecessor {
        None => (Some(endpoints.serve(control.handle())), None),
        Some(_) => (None, Some(endpoints)),
    };
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.worker_threads().get())
        .thread_name("crossway")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let counters = Arc::new(Counters::default());
    let reports = Arc::new(Reports {
        traffic: metrics.traffic().clone(),
        metrics: metrics.clone(),
        stopped: counters.clone(),
    });
    let proofs = acme.as_ref().map(|acme| acme.pending.clone());
    let proxy = Proxy::new(authority.current(), reports)
        .with_challenges(proofs.clone().map(|proofs| proofs as Arc<dyn Challenges>));
    let mut proxy = pingora_proxy::http_proxy(&Arc::new(options::of_pingora(settings)), proxy);
    proxy.server_options = Some(options::of_pingora_http());
    let edge = edge::edge(authority.current(), metrics, counters.clone())?;
    let http = Arc::new(Http::new(Arc::new(proxy), authority.current(), counters));
    let tls = Arc::new(Handshakes {
        current: authority.current(),
        proofs,
    });
    let (mut signals, mut upgrade) = {
        let _inside = control.enter();
        let store = authority.store().clone();
        (
            Signals::new().map_err(Failure::new)?,
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
    let finishers = authority.state().workshop().shared.finishers().clone();
    life.begin();
    let late = late.map(|endpoints| endpoints.serve(control.handle()));
    if let Some(predecessor) = predecessor {
        predecessor.serving();
    }
    notify.ready();
    control.spawn(reload.follow(hangups));
    if let Some(acme) = acme {
        acme.order(control.handle());
    }
    control.block_on(async {
        let mut end = tokio::select! {
            end = signals.wait() => end,
            () = upgrade.done() => End::HandOver,
        };
        ends.store(true, Ordering::Release);
        if end == End::HandOver {
            // The service stays ready: that of the other process.
            leaving.hand_over();
            stopping.hand_over();
        } else {
            life.end();
            notify.stopping();
            let delay = in_force.get().shutdown.readiness_delay.0;
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
            drain(metrics, in_force.get().shutdown.drain_timeout.0).await;
            if end == End::HandOver
                && let Some(endpoints) = early.or(late)
            {
                endpoints.ended(FINISH).await;
            }
            if !finishers.finish(FINISH).await {
                tracing::warn!("not everything that waited in queues could be sent");
            }
        }
    });
    logs.close(Duration::from_secs(1));
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
