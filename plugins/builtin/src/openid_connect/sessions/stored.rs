//! A user's session, and when it ends.

use super::super::config::Session;
use super::super::tokens::Granted;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Seconds for which a session is not written again just because it was used.
const TOUCH: u64 = 60;
/// Seconds that a session lives in any case, unless configured.
const ABSOLUTE: u64 = 86_400;

/// What is kept of a user. Times are seconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) created: u64,
    pub(crate) rolled: u64,
    pub(crate) touched: u64,
    pub(crate) authenticated: u64,
    pub(crate) tokens: Held,
    pub(crate) user: Option<Value>,
}

/// The tokens of a session.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) access_token: String,
    pub(crate) access_until: u64,
    pub(crate) refresh_token: Option<String>,
    pub(crate) id_token: String,
}

impl Held {
    pub(crate) fn new(granted: Granted) -> Self {
        Self {
            access_token: granted.access_token,
            access_until: granted.access_until,
            refresh_token: granted.refresh_token,
            id_token: granted.id_token.map(|(text, _)| text).unwrap_or_default(),
        }
    }

    /// These after a renewal, which need not give all of them anew.
    pub(crate) fn renewed(&self, granted: Granted) -> Self {
        let before = self.clone();
        let after = Self::new(granted);
        Self {
            refresh_token: after.refresh_token.or(before.refresh_token),
            id_token: match after.id_token.is_empty() {
                true => before.id_token,
                false => after.id_token,
            },
            ..after
        }
    }
}

impl Stored {
    pub(crate) fn new(tokens: Held, user: Option<Value>, now: u64) -> Self {
        Self {
            created: now,
            rolled: now,
            touched: now,
            authenticated: now,
            tokens,
            user,
        }
    }
}

/// When sessions end. 0 stands for never.
#[derive(Clone, Copy)]
pub(crate) struct Timeouts {
    idling: u64,
    rolling: u64,
    absolute: u64,
}

impl Timeouts {
    pub(crate) fn new(session: &Session) -> Self {
        let older = session.cookie.as_ref().and_then(|cookie| cookie.lifetime);
        Self {
            idling: session.idling_timeout,
            rolling: session.rolling_timeout,
            absolute: session.absolute_timeout.or(older).unwrap_or(ABSOLUTE),
        }
    }

    /// Whether the session has not ended. One from the future is none: a clock was set back, or something is wrong.
    pub(crate) fn holds(&self, session: &Stored, now: u64) -> bool {
        session.created <= now.saturating_add(TOUCH) && self.left(session, now) != Some(0)
    }

    /// Seconds until the session ends unless it is used; `None` when it does not end by itself.
    pub(crate) fn left(&self, session: &Stored, now: u64) -> Option<u64> {
        let ends = [
            (session.touched, self.idling),
            (session.rolled, self.rolling),
            (session.created, self.absolute),
        ];
        let limited = ends.into_iter().filter(|(_, limit)| *limit > 0);
        limited
            .map(|(since, limit)| since.saturating_add(limit).saturating_sub(now))
            .min()
    }

    /// Notes that the session was used; whether it is to be written.
    pub(crate) fn touch(&self, session: &mut Stored, now: u64) -> bool {
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
