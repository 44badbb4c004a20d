//! What becomes of a request: the way in with a session, the way to the provider without one, the way back, the way out.

use super::{
    config::UnauthAction,
    place::{self, Redirect},
    pushed::Pushed,
    renewal::Renewal,
    sessions::{Found, Sessions, Stored},
    single_flight::Failed,
    tokens::Tokens,
};
use crossway_sdk::{exchange::Exchange, flow::Reply};
use std::sync::Arc;

/// How users log in.
pub(super) struct Login {
    pub(super) tokens: Arc<Tokens>,
    pub(super) renewal: Renewal,
    pub(super) redirect: Redirect,
    pub(super) sessions: Sessions,
    pub(super) unauth: UnauthAction,
    pub(super) pkce: bool,
    pub(super) nonce: bool,
    /// Arguments of the authorization endpoint that are configured.
    pub(super) extra: Vec<(String, String)>,
    /// Where they are sent before the user is.
    pub(super) pushed: Option<Pushed>,
    pub(super) renews: bool,
    pub(super) reauthorize: bool,
    pub(super) interval: Option<u64>,
    pub(super) logout: super::logout::Logout,
}

/// What came of a request.
pub(super) enum Entry {
    /// A user with a session. The access token is there unless it expired.
    User(Box<Stored>, bool),
    /// Nobody, and that is allowed.
    Nobody,
    Answer(Reply),
}

impl Login {
    /// # Errors
    /// The provider or the store of sessions did not help.
    pub(super) async fn enter(&self, ex: &mut Exchange<'_>, now: u64) -> Result<Entry, Failed> {
        let path = ex.request.path(ex.session.req_header()).to_owned();
        if self.redirect.is_at(&path) {
            return self.come_back(ex, now).await.map(Entry::Answer);
        }
        if path == *self.logout.path {
            return Ok(Entry::Answer(self.leave(ex, now).await));
        }
        let Some(mut found) = self.sessions.find(ex, now).await? else {
            return self.turn_away(ex, now).await;
        };
        let expired = now >= found.session.tokens.access_until;
        let renewed = expired && self.renew(&mut found).await;
        let expired = expired && !renewed;
        if self.reauthorize || (self.renews && expired) {
            return self.turn_away(ex, now).await;
        }
        let authenticated = found.session.authenticated;
        let old = |interval| now.saturating_sub(authenticated) >= interval;
        if self.unauth == UnauthAction::Auth && self.interval.is_some_and(old) {
            let target = place::target(ex);
            return self.begin(ex, target, true, now).await.map(Entry::Answer);
        }
        self.sessions.used(ex, &mut found, renewed, now).await?;
        Ok(Entry::User(Box::new(found.session), !expired))
    }

    /// Whether the access token is good again.
    async fn renew(&self, found: &mut Found) -> bool {
        let before = &found.session.tokens;
        if !self.renews || before.refresh_token.is_none() {
            return false;
        }
        let renewable = self.sessions.renewable(found);
        match self.renewal.renew(before, renewable).await {
            Ok(held) => {
                found.session.tokens = (*held).clone();
                true
            }
            Err(error) => {
                tracing::warn!(%error, "an access token cannot be renewed");
                false
            }
        }
    }

    async fn turn_away(&self, ex: &mut Exchange<'_>, now: u64) -> Result<Entry, Failed> {
        match self.unauth {
            UnauthAction::Pass => Ok(Entry::Nobody),
            UnauthAction::Deny => Ok(Entry::Answer(Reply::status(401))),
            UnauthAction::Auth => {
                let target = place::target(ex);
                self.begin(ex, target, false, now).await.map(Entry::Answer)
            }
        }
    }

    async fn leave(&self, ex: &mut Exchange<'_>, now: u64) -> Reply {
        let found = match self.sessions.find(ex, now).await {
            Ok(found) => self.sessions.end(ex).await.map(|()| found),
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => {
                let session = found.map(|found| found.session);
                self.logout.end(&self.tokens, session.as_ref(), now).await
            }
            Err(error) => {
                tracing::warn!(%error, "a session cannot be ended");
                super::answers::unkept(Reply::status(503))
            }
        }
    }
}
