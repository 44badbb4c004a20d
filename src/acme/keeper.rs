//! Keeps certificates: looks at what there is, orders what is missing or near its end, and waits. One order at a time, and of all
//! gateways that share the store only one orders a certificate.

use super::{
    Ledger, Outcome, Report, Standing, Time, Trouble, Wanted,
    lease::Lease,
    now,
    order::Issue,
    report::State,
    schedule::{Attempts, renewal},
    shelf::{Found, Kept, SSLS, Shelf, find},
};
use crate::{store::Store, tls::Pair};
use futures::{FutureExt, StreamExt};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// It is looked at least so often: the clock may have been set.
const LOOK: Time = 600;
/// When another gateway orders, it is looked again then.
const ELSEWHERE: Time = 15;
/// When the store does not answer, it is looked again then.
const RETRY: Time = 10;
/// Changes that come together are looked at together.
const TOGETHER: Duration = Duration::from_secs(1);

/// Keeps certificates.
pub struct Keeper {
    directory: String,
    wanted: Vec<Wanted>,
    renew_before: Option<Time>,
    issue: Arc<dyn Issue>,
    ledger: Arc<Ledger>,
    shelf: Shelf,
    report: Arc<Report>,
    changed: Arc<Notify>,
    /// Certificates that are held by documents of an operator, as far as the log knows.
    told: Mutex<BTreeSet<String>>,
}

impl Keeper {
    /// Keeps these certificates from the authority with this directory among `documents`; `issue` orders them. They are renewed
    /// `renew_before` seconds before their end, or when a third of their life is left.
    pub fn new(
        directory: &str,
        wanted: Vec<Wanted>,
        renew_before: Option<i64>,
        issue: super::Orders,
        ledger: Arc<Ledger>,
        documents: Arc<dyn Store>,
    ) -> Self {
        Self::with(
            directory,
            wanted,
            renew_before,
            Arc::new(issue),
            ledger,
            documents,
        )
    }

    pub(super) fn with(
        directory: &str,
        wanted: Vec<Wanted>,
        renew_before: Option<Time>,
        issue: Arc<dyn Issue>,
        ledger: Arc<Ledger>,
        documents: Arc<dyn Store>,
    ) -> Self {
        Self {
            directory: directory.to_owned(),
            report: Arc::new(Report::new(directory, &wanted)),
            wanted,
            renew_before,
            issue,
            ledger,
            shelf: Shelf { documents },
            changed: Arc::default(),
            told: Mutex::default(),
        }
    }

    /// How the certificates stand.
    pub fn report(&self) -> Arc<Report> {
        self.report.clone()
    }

    /// Whom to tell that another gateway may have stopped ordering.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Keeps them for as long as the process lives.
    pub async fn run(self) {
        tokio::join!(self.keep(), self.follow());
    }

    async fn keep(&self) {
        let mut failing = false;
        loop {
            let next = match self.step(now()).await {
                Ok(next) => {
                    failing = false;
                    next
                }
                Err(trouble) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%trouble, "ACME certificates cannot be looked after for the moment; what is there serves on");
                    }
                    now().saturating_add(RETRY)
                }
            };
            let wait = next.saturating_sub(now()).clamp(1, LOOK);
            let wait = Duration::from_secs(wait.unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => tokio::time::sleep(TOGETHER).await,
            }
        }
    }

    /// Notices when somebody changes certificates.
    async fn follow(&self) {
        let documents = &self.shelf.documents;
        loop {
            if let Ok(from) = documents.revision().await {
                self.changed.notify_one();
                let mut events = documents.watch(from);
                while let Some(Ok(event)) = events.next().await {
                    let mut keys = event.changes.iter().map(crate::store::Change::key);
                    if keys.any(|key| key.as_str().starts_with(SSLS)) {
                        self.changed.notify_one();
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(RETRY.unsigned_abs())).await;
        }
    }

    /// Looks at all certificates and does what is due; when to look again.
    pub(super) async fn step(&self, now: Time) -> Result<Time, Trouble> {
        let begun = Instant::now();
        let mut next = now.saturating_add(LOOK);
        let all = self.shelf.look().await?;
        self.shelf.clear(&all, &self.wanted).await?;
        for wanted in &self.wanted {
            // Orders take their time.
            let passed = i64::try_from(begun.elapsed().as_secs()).unwrap_or(0);
            let again = self
                .attend(wanted, &all, now.saturating_add(passed))
                .await?;
            next = next.min(again);
        }
        Ok(next)
    }

    /// Does what is due for one certificate; when to look again.
    async fn attend(&self, wanted: &Wanted, all: &[Kept], now: Time) -> Result<Time, Trouble> {
        let mut standing = Standing::new(wanted);
        let next = match self.judge(wanted, all, now, &mut standing).await? {
            Due::Not(next) => next,
            Due::Now => self.try_order(wanted, now, &mut standing).await?,
        };
        self.report.set(standing);
        Ok(next)
    }

    async fn judge(
        &self,
        wanted: &Wanted,
        all: &[Kept],
        now: Time,
        standing: &mut Standing,
    ) -> Result<Due, Trouble> {
        let found = find(all, wanted, &self.directory);
        if !matches!(found, Found::Held(_)) {
            self.told.lock().remove(&wanted.id);
        }
        match found {
            Found::Held(by) => {
                if self.told.lock().insert(wanted.id.clone()) {
                    tracing::warn!(
                        names = ?wanted.names, key = by,
                        "a certificate is not ordered, as this ssl was written by hand: delete it, or take its names out of acme.certificates"
                    );
                }
                standing.state = State::Held;
                standing.held_by = Some(by);
                return Ok(Due::Not(Time::MAX));
            }
            Found::Certificate(from, to) => {
                let renews = renewal(from, to, self.renew_before);
                standing.expires = Some(to);
                standing.renews = Some(renews);
                if renews > now {
                    standing.state = State::Valid;
                    return Ok(Due::Not(renews));
                }
            }
            Found::Nothing => {}
        }
        let attempts = self.ledger.attempts(&wanted.id).await?;
        let next = attempts.next(now);
        show(&attempts, standing);
        if next <= now {
            return Ok(Due::Now);
        }
        standing.state = State::Waiting;
        standing.next_attempt = Some(next);
        Ok(Due::Not(next))
    }

    /// Orders a certificate, if nobody else does.
    async fn try_order(
        &self,
        wanted: &Wanted,
        now: Time,
        standing: &mut Standing,
    ) -> Result<Time, Trouble> {
        let Some(mut lease) = Lease::take(&self.ledger.store, &wanted.id).await? else {
            standing.state = State::OrderedElsewhere;
            return Ok(now.saturating_add(ELSEWHERE));
        };
        let done = lease.hold(self.order_now(wanted, now, standing)).await;
        lease.release().await;
        done
    }

    /// Orders a certificate, with the lease in hand.
    async fn order_now(
        &self,
        wanted: &Wanted,
        now: Time,
        standing: &mut Standing,
    ) -> Result<Time, Trouble> {
        // Somebody may have been faster, up to the lease.
        let all = self.shelf.look().await?;
        if let Due::Not(next) = self.judge(wanted, &all, now, standing).await? {
            return Ok(next);
        }
        standing.state = State::Ordering;
        self.report.set(standing.clone());
        let begun = Instant::now();
        let mut attempts = self.ledger.attempts(&wanted.id).await?;
        let done = self.order(wanted, &mut attempts, now).await;
        let passed = i64::try_from(begun.elapsed().as_secs()).unwrap_or(0);
        let now = now.saturating_add(passed);
        self.report.count(
            done.as_ref()
                .map_or_else(Trouble::outcome, |_| Outcome::Issued),
        );
        let next = match done {
            Ok((from, to)) => {
                attempts.succeeded();
                standing.state = State::Valid;
                standing.expires = Some(to);
                let renews = renewal(from, to, self.renew_before);
                standing.renews = Some(renews);
                tracing::info!(names = ?wanted.names, ssl = wanted.id, "a certificate was issued");
                renews
            }
            Err(trouble) => {
                attempts.failed(now, &trouble, rand::random());
                let next = attempts.next(now);
                standing.state = State::Waiting;
                standing.next_attempt = Some(next);
                tracing::error!(
                    names = ?wanted.names, %trouble, again_in_seconds = next.saturating_sub(now),
                    serves = if standing.expires.is_some() { "the certificate before" } else { "none" },
                    "a certificate could not be had; {}", trouble.advice(wanted.challenge)
                );
                next
            }
        };
        show(&attempts, standing);
        self.ledger.keep_attempts(&wanted.id, &attempts).await?;
        Ok(next)
    }

    async fn order(
        &self,
        wanted: &Wanted,
        attempts: &mut Attempts,
        now: Time,
    ) -> Result<(Time, Time), Trouble> {
        unbroken(self.issue.ready()).await?;
        // Before it is placed: a gateway that ends in the middle has placed it all the same.
        attempts.began(now);
        self.ledger.keep_attempts(&wanted.id, attempts).await?;
        tracing::info!(names = ?wanted.names, challenge = wanted.challenge.as_str(), "a certificate is ordered");
        let issued = unbroken(self.issue.order(wanted)).await?;
        let pair = Pair::from_pem(&issued.chain, &issued.key).map_err(Trouble::own)?;
        let validity = pair.validity();
        let validity = validity.ok_or_else(|| Trouble::own("what was issued cannot be read"))?;
        let directory = &self.directory;
        self.shelf.place(wanted, directory, &issued, now).await?;
        Ok(validity)
    }
}

/// The library panics at some answers that no authority should give. The next order must still come.
async fn unbroken<T>(asking: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let asked = AssertUnwindSafe(asking).catch_unwind().await;
    asked.unwrap_or_else(|_| Err(Trouble::own("the dialogue with the authority broke down")))
}

/// Whether to order.
enum Due {
    Now,
    /// Not before.
    Not(Time),
}

fn show(attempts: &Attempts, standing: &mut Standing) {
    standing.failures = attempts.failures;
    standing.error.clone_from(&attempts.error);
}
