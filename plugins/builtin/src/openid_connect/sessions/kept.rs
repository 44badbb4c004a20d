//! Sessions in Redis. Each has a name that nobody guesses, and is sealed for that name: who can write to Redis can end sessions, but
//! neither read them, nor make one, nor give one user's to another.

use super::{
    super::{now, single_flight::Failed, tokens::Tokens},
    seal::{MARK, Seal},
    stored::{Held, Stored, Timeouts},
};
use crate::redis::{Argument, Call, Link, LinkError, Script};
use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

static REPLACE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("replace.lua")));
static LOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lock.lua")));
static UNLOCK: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("unlock.lua")));

/// How often it is looked whether another gateway has renewed a session.
const LOOK: Duration = Duration::from_millis(50);
/// How often a renewed session is written again that others wrote meanwhile.
const ATTEMPTS: usize = 5;

/// Where sessions are kept.
pub(crate) struct Kept {
    pub(super) link: Arc<Link>,
    /// What keys begin with.
    pub(super) prefix: Box<str>,
    pub(super) seal: Arc<Seal>,
    pub(super) timeouts: Timeouts,
    /// How long a renewal may take with all that belongs to it.
    pub(super) patience: Duration,
}

/// A session as it was read.
pub(super) struct Read {
    pub(super) session: Stored,
    /// How its sealed text begins.
    mark: String,
}

impl From<LinkError> for Failed {
    fn from(error: LinkError) -> Self {
        Self::new(format!("sessions: {error}"))
    }
}

impl Kept {
    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    fn purpose(id: &str) -> String {
        format!("session of {id}")
    }

    fn sealed(&self, id: &str, session: &Stored) -> Result<String, Failed> {
        let text = serde_json::to_vec(session).ok();
        let sealed = text.and_then(|text| self.seal.seal(&Self::purpose(id), text));
        sealed.ok_or_else(|| Failed::new("a session cannot be sealed"))
    }

    /// The session of this name; `None` when there is none, or something that is none.
    pub(super) async fn read(&self, id: &str) -> Result<Option<Read>, Failed> {
        let mut get = redis::cmd("GET");
        get.arg(self.key(id));
        let Some(sealed) = self.link.command::<Option<Vec<u8>>>(&get).await? else {
            return Ok(None);
        };
        let opened = self.seal.open(&Self::purpose(id), &sealed);
        let session = opened.and_then(|text| serde_json::from_slice(&text).ok());
        let mark = sealed.get(..MARK).and_then(|m| std::str::from_utf8(m).ok());
        Ok(session.zip(mark).map(|(session, mark)| Read {
            session,
            mark: mark.to_owned(),
        }))
    }

    /// Writes a new session.
    pub(super) async fn write(&self, id: &str, session: &Stored) -> Result<(), Failed> {
        let mut set = redis::cmd("SET");
        set.arg(self.key(id)).arg(self.sealed(id, session)?);
        if let Some(seconds) = self.timeouts.left(session, now()) {
            set.arg("EX").arg(seconds.max(1));
        }
        Ok(self.link.command(&set).await?)
    }

    /// Writes a session that was read before; whether nobody else did meanwhile.
    pub(super) async fn replace(
        &self,
        id: &str,
        read: &Read,
        session: &Stored,
    ) -> Result<bool, Failed> {
        let sealed = self.sealed(id, session)?;
        let left = self.timeouts.left(session, now());
        let key = self.key(id);
        let call = Call::Script {
            script: &REPLACE,
            key: key.as_bytes(),
            arguments: &[
                Argument::Text(&read.mark),
                Argument::Text(&sealed),
                Argument::Integer(left.map_or(0, |seconds| seconds.max(1))),
            ],
        };
        Ok(self.link.ask(call).await? == [1])
    }

    /// Ends a session.
    pub(super) async fn delete(&self, id: &str) -> Result<(), Failed> {
        let mut del = redis::cmd("DEL");
        del.arg(self.key(id));
        let _: u64 = self.link.command(&del).await?;
        Ok(())
    }

    /// Renews the tokens of a session, once for all gateways: a refresh token may be good for one use only.
    ///
    /// # Errors
    /// The session ended, the provider refused, or Redis gave no answer.
    pub(super) async fn renew(
        &self,
        id: &str,
        before: &Held,
        tokens: &Tokens,
    ) -> Result<Held, Failed> {
        let own = super::random();
        let began = Instant::now();
        while !self.lock(id, &own).await? {
            if began.elapsed() > self.patience {
                return Err(Failed::new(
                    "another gateway does not finish to renew a session",
                ));
            }
            tokio::time::sleep(LOOK).await;
            if let Some(held) = self.current(id, before).await?.1 {
                return Ok(held);
            }
        }
        let outcome = self.renew_locked(id, before, tokens).await;
        if let Err(error) = self.unlock(id, &own).await {
            tracing::warn!(%error, "a lock ends by its time");
        }
        outcome
    }

    async fn renew_locked(&self, id: &str, before: &Held, tokens: &Tokens) -> Result<Held, Failed> {
        let (mut read, renewed) = self.current(id, before).await?;
        if let Some(held) = renewed {
            return Ok(held);
        }
        let held = tokens.refresh(before, now()).await?;
        for _ in 0..ATTEMPTS {
            let mut session = read.session.clone();
            session.tokens = held.clone();
            session.touched = now();
            if self.replace(id, &read, &session).await? {
                return Ok(held);
            }
            // Others note that the session was used, or it was ended.
            let (current, renewed) = self.current(id, before).await?;
            if let Some(held) = renewed {
                return Ok(held);
            }
            read = current;
        }
        Err(Failed::new("a renewed session cannot be written"))
    }

    /// The session as it is now, and its tokens if they are other ones than before.
    async fn current(&self, id: &str, before: &Held) -> Result<(Read, Option<Held>), Failed> {
        let read = self.read(id).await?;
        let read = read.ok_or_else(|| Failed::new("the session ended meanwhile"))?;
        let held = &read.session.tokens;
        let renewed = (held.access_token != before.access_token).then(|| held.clone());
        Ok((read, renewed))
    }

    async fn lock(&self, id: &str, own: &str) -> Result<bool, Failed> {
        let lifetime = u64::try_from(self.patience.as_millis()).unwrap_or(u64::MAX);
        let arguments = [Argument::Text(own), Argument::Integer(lifetime)];
        self.locking(&LOCK, id, &arguments).await
    }

    async fn unlock(&self, id: &str, own: &str) -> Result<bool, Failed> {
        self.locking(&UNLOCK, id, &[Argument::Text(own)]).await
    }

    async fn locking(
        &self,
        script: &Script,
        id: &str,
        arguments: &[Argument<'_>],
    ) -> Result<bool, Failed> {
        let key = format!("{}:renewal", self.key(id));
        let key = key.as_bytes();
        let call = Call::Script {
            script,
            key,
            arguments,
        };
        Ok(self.link.ask(call).await? == [1])
    }
}
