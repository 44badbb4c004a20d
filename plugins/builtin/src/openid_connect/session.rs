//! A user's session, as it stands in the sealed cookie.

use super::config::Session;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Seconds for which a session is not written again just because it was used.
const TOUCH: u64 = 60;
/// Seconds that a session lives in any case, unless configured.
const ABSOLUTE: u64 = 86_400;

/// What is kept of a user. Times are seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) created: u64,
    pub(super) rolled: u64,
    pub(super) touched: u64,
    pub(super) authenticated: u64,
    pub(super) access_token: String,
    pub(super) access_until: u64,
    pub(super) refresh_token: Option<String>,
    pub(super) id_token: String,
    pub(super) user: Option<Value>,
}

/// When sessions end. 0 stands for never.
pub(super) struct Timeouts {
    idling: u64,
    rolling: u64,
    absolute: u64,
}

impl Timeouts {
    pub(super) fn new(session: &Session) -> Self {
        let older = session.cookie.as_ref().and_then(|cookie| cookie.lifetime);
        Self {
            idling: session.idling_timeout,
            rolling: session.rolling_timeout,
            absolute: session.absolute_timeout.or(older).unwrap_or(ABSOLUTE),
        }
    }

    /// Whether the session has not ended. One from the future is none: a clock was set back, or something is wrong.
    pub(super) fn holds(&self, session: &Stored, now: u64) -> bool {
        let within = |since: u64, limit: u64| limit == 0 || now.saturating_sub(since) < limit;
        session.created <= now.saturating_add(TOUCH)
            && within(session.touched, self.idling)
            && within(session.rolled, self.rolling)
            && within(session.created, self.absolute)
    }

    /// Notes that the session was used; whether it is to be written.
    pub(super) fn touch(&self, session: &mut Stored, now: u64) -> bool {
        let since = |then: u64| now.saturating_sub(then);
        let roll = self.rolling > 0 && since(session.rolled) >= self.rolling / 4 * 3;
        let touch = self.idling > 0 && since(session.touched) >= TOUCH.min(self.idling / 4);
        if roll {
            session.rolled = now;
        }
        if roll || touch {
            session.touched = now;
        }
        roll || touch
    }
}
