//! The access log that is written now, and those of before a change of settings, which requests that were open then still write.

use super::Failure;
use crate::{observe::AccessLog, settings};
use parking_lot::Mutex;
use prometheus::IntCounter;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// All access logs of the process.
pub(super) struct AccessLogs {
    dropped: IntCounter,
    kept: Mutex<Kept>,
}

struct Kept {
    settings: settings::AccessLog,
    now: Option<Arc<AccessLog>>,
    /// Each ends with the last request that writes to it.
    former: Vec<Weak<AccessLog>>,
}

impl AccessLogs {
    /// The one that the settings want, if any.
    pub(super) fn open(
        settings: &settings::AccessLog,
        dropped: IntCounter,
    ) -> Result<Self, Failure> {
        let now = open(settings, &dropped)?;
        Ok(Self {
            dropped,
            kept: Mutex::new(Kept {
                settings: settings.clone(),
                now,
                former: Vec::new(),
            }),
        })
    }

    /// The one that is written now.
    pub(super) fn now(&self) -> Option<Arc<AccessLog>> {
        self.kept.lock().now.clone()
    }

    /// The one that the settings want: that of now when they want no other. Nothing is written to it before it is taken.
    pub(super) fn wanted(
        &self,
        settings: &settings::AccessLog,
    ) -> Result<Option<Arc<AccessLog>>, Failure> {
        let mut kept = self.kept.lock();
        if kept.settings == *settings {
            return Ok(kept.now.clone());
        }
        let log = open(settings, &self.dropped)?;
        // Its file may be moved before it is taken.
        kept.former.extend(log.iter().map(Arc::downgrade));
        Ok(log)
    }

    /// Goes over to the one that these settings want.
    pub(super) fn take(&self, settings: &settings::AccessLog, log: Option<Arc<AccessLog>>) {
        let mut kept = self.kept.lock();
        kept.former.retain(|former| former.strong_count() > 0);
        let before = std::mem::replace(&mut kept.now, log);
        kept.settings = settings.clone();
        if let Some(before) = before {
            let same = kept
                .now
                .as_ref()
                .is_some_and(|now| Arc::ptr_eq(now, &before));
            if !same {
                kept.former.push(Arc::downgrade(&before));
            }
        }
    }

    /// Has the files opened anew: they were moved away.
    pub(super) fn reopen(&self) {
        for log in self.all() {
            log.reopen();
        }
    }

    /// Has what waits written, and ends them.
    pub(super) fn close(&self, patience: Duration) {
        for log in self.all() {
            log.close(patience);
        }
    }

    fn all(&self) -> Vec<Arc<AccessLog>> {
        let kept = self.kept.lock();
        let former = kept.former.iter().filter_map(Weak::upgrade);
        kept.now.iter().cloned().chain(former).collect()
    }
}

fn open(
    settings: &settings::AccessLog,
    dropped: &IntCounter,
) -> Result<Option<Arc<AccessLog>>, Failure> {
    let log = AccessLog::open(settings, dropped.clone());
    Ok(log.map_err(Failure::new)?.map(Arc::new))
}
