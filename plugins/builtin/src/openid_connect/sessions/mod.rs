//! The sessions of users: sealed in cookies, or sealed in Redis with their sealed names in a cookie.

mod cookies;
mod kept;
mod seal;
mod stored;
#[cfg(test)]
mod tests;

pub(super) use cookies::{FLOW_LIFETIME, Jar};
pub(super) use seal::Seal;
pub(super) use stored::{Held, Stored, Timeouts};

use super::{
    config::{Session, Storage},
    place,
    single_flight::Failed,
    tokens::Tokens,
};
use crate::redis::Link;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crossway_sdk::{
    build::{BuildCx, BuildError},
    exchange::Exchange,
};
use http::{HeaderMap, HeaderValue};
use kept::{Kept, Read};
use std::{sync::Arc, time::Duration};

/// What a sealed text is for.
const SESSION: &str = "session";
const NAME: &str = "name of a session";

/// Sessions of a place of use.
pub(super) struct Sessions {
    pub(super) jar: Jar,
    pub(super) seal: Arc<Seal>,
    timeouts: Timeouts,
    /// `None` when they are in cookies.
    kept: Option<Arc<Kept>>,
}

/// The session of a request.
pub(super) struct Found {
    pub(super) session: Stored,
    kept: Option<(String, Read)>,
}

/// The cookies that the answer to a request sets.
#[derive(Default)]
pub(super) struct Pending(pub(super) Vec<HeaderValue>);

/// Where the tokens of a session are renewed.
#[derive(Clone)]
pub(super) enum Renewable {
    /// They are given to the browsers that ask.
    Cookies,
    /// In Redis, once for all gateways.
    Kept(Arc<Kept>, String),
}

impl Sessions {
    /// # Errors
    /// Something of the configuration cannot be used.
    pub(super) fn new(
        session: &Session,
        seal: Seal,
        timeout: Duration,
        cx: &BuildCx<'_>,
    ) -> Result<Self, BuildError> {
        let timeouts = Timeouts::new(session);
        let seal = Arc::new(seal);
        let kept = match session.storage {
            Storage::Cookie => None,
            Storage::Redis => {
                let redis = session.redis.as_ref().cloned().unwrap_or_default();
                let endpoint = redis.endpoint(cx)?;
                Some(Arc::new(Kept {
                    link: Link::shared(endpoint, cx),
                    prefix: format!("{}:{}:", redis.prefix, session.cookie_name).into(),
                    seal: seal.clone(),
                    timeouts,
                    // Discovery, keys twice, the token endpoint; and Redis.
                    patience: timeout * 4 + Duration::from_secs(2),
                }))
            }
        };
        Ok(Self {
            jar: Jar::new(session)?,
            seal,
            timeouts,
            kept,
        })
    }

    /// The session that a request comes with, unless it ended.
    ///
    /// # Errors
    /// Redis gave no answer.
    pub(super) async fn find(
        &self,
        ex: &mut Exchange<'_>,
        now: u64,
    ) -> Result<Option<Found>, Failed> {
        let sealed = self.jar.session(headers(ex));
        let found = match &self.kept {
            None => sealed.and_then(|sealed| {
                let text = self.seal.open(SESSION, sealed.as_bytes())?;
                let session = serde_json::from_slice(&text).ok()?;
                Some(Found {
                    session,
                    kept: None,
                })
            }),
            Some(kept) => match sealed.and_then(|sealed| self.name(&sealed)) {
                None => None,
                Some(id) => kept.read(&id).await?.map(|read| Found {
                    session: read.session.clone(),
                    kept: Some((id, read)),
                }),
            },
        };
        Ok(found.filter(|found| self.timeouts.holds(&found.session, now)))
    }

    /// Begins a session in place of the one that the browser had.
    ///
    /// # Errors
    /// It does not fit into cookies, or Redis gave no answer.
    pub(super) async fn begin(
        &self,
        ex: &mut Exchange<'_>,
        session: &Stored,
    ) -> Result<(), Failed> {
        let Some(kept) = &self.kept else {
            return self.give(ex, session);
        };
        if let Some(before) = self.named(ex) {
            kept.delete(&before).await?;
        }
        let id = random();
        kept.write(&id, session).await?;
        let sealed = self.seal.seal(NAME, id.into_bytes());
        self.put(ex, sealed)
    }

    /// Notes that a session was used, and gives cookies anew when its tokens were renewed.
    ///
    /// # Errors
    /// It does not fit into cookies any more.
    pub(super) async fn used(
        &self,
        ex: &mut Exchange<'_>,
        found: &mut Found,
        renewed: bool,
        now: u64,
    ) -> Result<(), Failed> {
        let touched = self.timeouts.touch(&mut found.session, now);
        match (&self.kept, &found.kept) {
            (Some(kept), Some((id, read))) => {
                // A renewal has noted it already. When somebody else wrote, they noted it; when Redis fails just now, the session
                // ends a little earlier.
                if touched
                    && !renewed
                    && let Err(error) = kept.replace(id, read, &found.session).await
                {
                    tracing::warn!(%error, "the use of a session is not noted");
                }
                Ok(())
            }
            _ if touched || renewed => self.give(ex, &found.session),
            _ => Ok(()),
        }
    }

    /// Ends the session of a request. When that fails, nothing has ended, so that the user can try again.
    ///
    /// # Errors
    /// Redis gave no answer.
    pub(super) async fn end(&self, ex: &mut Exchange<'_>) -> Result<(), Failed> {
        if let (Some(kept), Some(id)) = (&self.kept, self.named(ex)) {
            kept.delete(&id).await?;
        }
        let ended = self.jar.end_session(headers(ex), place::is_https(ex));
        ex.state::<Pending>().0.extend(ended);
        Ok(())
    }

    /// Where the tokens of a session are renewed.
    pub(super) fn renewable(&self, found: &Found) -> Renewable {
        match (&self.kept, &found.kept) {
            (Some(kept), Some((id, _))) => Renewable::Kept(kept.clone(), id.clone()),
            _ => Renewable::Cookies,
        }
    }

    /// The name of the session of a request, whether or not there still is one.
    fn named(&self, ex: &Exchange<'_>) -> Option<String> {
        self.name(&self.jar.session(headers(ex))?)
    }

    fn name(&self, sealed: &str) -> Option<String> {
        String::from_utf8(self.seal.open(NAME, sealed.as_bytes())?).ok()
    }

    fn give(&self, ex: &mut Exchange<'_>, session: &Stored) -> Result<(), Failed> {
        let text = serde_json::to_vec(session).ok();
        let sealed = text.and_then(|text| self.seal.seal(SESSION, text));
        self.put(ex, sealed)
    }

    fn put(&self, ex: &mut Exchange<'_>, sealed: Option<String>) -> Result<(), Failed> {
        let https = place::is_https(ex);
        let cookies = sealed.and_then(|text| self.jar.set_session(&text, headers(ex), https));
        let cookies = cookies.ok_or_else(|| Failed::new("the session is too large for cookies"))?;
        ex.state::<Pending>().0.extend(cookies);
        Ok(())
    }
}

impl Renewable {
    /// Renews tokens.
    ///
    /// # Errors
    /// The provider refused, or the session ended meanwhile.
    pub(super) async fn renew(&self, before: &Held, tokens: &Tokens) -> Result<Held, Failed> {
        match self {
            Self::Cookies => tokens.refresh(before, super::now()).await,
            Self::Kept(kept, id) => kept.renew(id, before, tokens).await,
        }
    }
}

fn headers<'e>(ex: &'e Exchange<'_>) -> &'e HeaderMap {
    &ex.session.req_header().headers
}

/// 256 bits that nobody guesses.
pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}
