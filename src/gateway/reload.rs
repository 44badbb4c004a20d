//! SIGHUP: the settings are read again. What can change while the gateway serves takes effect, what cannot is told, and what is
//! wrong changes nothing.

use super::{
    Failure, access_logs::AccessLogs, control::admin_keys_of, notify::Notify, open, options,
};
use crate::{
    admin::Admin,
    observe,
    settings::{Difference, Renewal, Settings, Written, environment},
    status::{Awaiting, Readings},
    sync::Authority,
};
use arc_swap::ArcSwap;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal. What comes before somebody follows it is kept.
pub(super) struct Hangups(Signal);

impl Hangups {
    /// Listens from now on. To be called inside a runtime.
    pub(super) fn new() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }
}

/// The settings that are in force, for what looks them up when it needs them.
#[derive(Clone)]
pub(super) struct InForce(Arc<ArcSwap<Settings>>);

impl InForce {
    pub(super) fn new(settings: &Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings.clone())))
    }

    pub(super) fn get(&self) -> Arc<Settings> {
        self.0.load_full()
    }
}

/// How settings are taken by a gateway that serves.
pub(super) struct Reload {
    /// The file.
    pub(super) path: Option<PathBuf>,
    /// What the gateway runs with.
    pub(super) written: Written,
    pub(super) in_force: InForce,
    pub(super) authority: Arc<Authority>,
    pub(super) admin: Option<Arc<Admin>>,
    pub(super) logs: Arc<AccessLogs>,
    pub(super) readings: Arc<Readings>,
    pub(super) notify: Arc<Notify>,
    /// Another process serves, or none will: whatever is written is for that one.
    pub(super) leaving: Arc<AtomicBool>,
}

impl Reload {
    /// Reads the settings again at each signal. Log files are opened anew in any case.
    pub(super) async fn follow(mut self, mut hangups: Hangups) {
        while hangups.0.recv().await.is_some() {
            self.logs.reopen();
            if self.leaving.load(Ordering::Acquire) {
                continue;
            }
            self.notify.reloading();
            match self.again().await {
                Ok(()) => self.notify.reloaded("settings: read again"),
                Err(failure) => {
                    tracing::error!(error = %failure, "the settings were read again and are refused; nothing has changed");
                    // A line of its own, as systemd reads it.
                    let line = failure.to_string().replace('\n', " ");
                    self.readings.refused(failure.to_string());
                    self.notify.reloaded(&format!("refused: {line}"));
                }
            }
        }
    }

    async fn again(&mut self) -> Result<(), Failure> {
        let (path, running) = (self.path.clone(), self.written.clone());
        // Files are read, and one may lie on a disk that is slow.
        let renewed = tokio::task::spawn_blocking(move || {
            let now = Written::read(path.as_deref(), environment())?;
            running.renewed(&now)
        });
        let renewed = renewed.await.map_err(Failure::new)?;
        let Renewal {
            written,
            changed,
            awaiting,
        } = renewed.map_err(Failure::new)?;
        self.take(written.settings()).await?;
        self.written = written;
        for Difference {
            key,
            running,
            written,
        } in &changed
        {
            tracing::info!(
                key,
                before = running,
                now = written,
                "a setting has changed"
            );
        }
        for Difference {
            key,
            running,
            written,
        } in &awaiting
        {
            tracing::warn!(
                key,
                running,
                written,
                "a setting needs a restart, or another process that takes over (SIGUSR2), to take effect"
            );
        }
        tracing::info!(
            changed = changed.len(),
            awaiting_restart = awaiting.len(),
            "the settings were read again"
        );
        let shown = |one: Difference| Awaiting {
            key: one.key,
            running: one.running,
            written: one.written,
        };
        self.readings
            .taken(awaiting.into_iter().map(shown).collect());
        Ok(())
    }

    /// Has these settings take effect. First comes all that may fail, then what cannot.
    async fn take(&self, settings: &Settings) -> Result<(), Failure> {
        let before = self.in_force.get();
        // A key may lie in a file of its own, and that may be another one by now.
        let keys = match &self.admin {
            Some(admin) => Some((admin, admin_keys_of(settings)?)),
            None => None,
        };
        let log = self.logs.wanted(&settings.access_log)?;
        let resolver = match before.upstream.dns == settings.upstream.dns {
            true => None,
            false => Some(open::resolver(settings)?),
        };
        let state = self.authority.state();
        let workshop = state.workshop();
        let tls = &settings.tls;
        if (&before.tls.ocsp_dir, before.tls.ocsp_reload) != (&tls.ocsp_dir, tls.ocsp_reload) {
            let moved = workshop
                .tls
                .staples
                .move_to(tls.ocsp_dir.as_deref(), tls.ocsp_reload.0);
            moved.map_err(|e| open::no_staples(tls, &e))?;
        }

        observe::log::set_level(&settings.log).map_err(Failure::new)?;
        if let Some(resolver) = resolver {
            workshop.environment.names.ask(resolver);
        }
        workshop.secrets.set_options(options::of_secrets(settings));
        if let Some((admin, keys)) = keys {
            admin.renew(keys, options::of_admin(settings));
        }
        let conduct = options::conduct(settings, log.clone());
        self.authority.conduct(Arc::new(conduct)).await;
        self.logs.take(&settings.access_log, log);
        self.in_force.0.store(Arc::new(settings.clone()));
        Ok(())
    }
}
