//! The one thread that writes: it takes all transactions that wait, applies them one by one, and
//! makes them durable with a single fsync before any of them is answered. It also deletes what
//! expires.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use redb::Durability;
use tokio::sync::oneshot;

use super::disk::{Disk, RELEASED, guarded};
use super::tables::{InGroup, Tables};
use crate::store::history::History;
use crate::store::transaction::{Stopped, apply};
use crate::store::{CommitError, Committed, Event, Group, Revision, StoreError, Transaction};

/// Transactions that may wait; more are refused at once.
const WAITING: usize = 4096;
/// Transactions that share an fsync.
const BATCH: usize = 256;
/// How long the clock is trusted while a document waits to expire, and the pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

struct Job {
    group: Group,
    transaction: Transaction,
    answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// What the thread is asked for.
enum Order {
    Write(Job),
    /// Let other processes have the database.
    Release(oneshot::Sender<Result<(), StoreError>>),
    /// Take it back.
    Reclaim(oneshot::Sender<Result<(), StoreError>>),
}

/// The handle to the thread.
pub(super) struct Writer {
    jobs: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        disk: Arc<Disk>,
        history: Arc<History>,
        head: Revision,
    ) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING);
        let mut desk = Desk {
            disk,
            history,
            head,
            next_expiry: None,
            broken: false,
            released: false,
        };
        // Before anybody reads: what expired while nothing ran is gone.
        desk.settle();
        let thread = thread::Builder::new()
            .name("crossway-store".to_owned())
            .spawn(move || desk.run(&waiting))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    pub(super) async fn commit(
        &self,
        group: Group,
        transaction: Transaction,
    ) -> Result<Committed, CommitError> {
        let unavailable = |why: &str| CommitError::Unavailable(why.to_owned());
        let (answer, answered) = oneshot::channel();
        let Some(jobs) = &self.jobs else {
            return Err(unavailable("it is closed"));
        };
        jobs.try_send(Order::Write(Job {
            group,
            transaction,
            answer,
        }))
        .map_err(|error| match error {
            TrySendError::Full(_) => unavailable("too many writes are waiting"),
            TrySendError::Disconnected(_) => unavailable("its writer has stopped"),
        })?;
        answered
            .await
            .unwrap_or_else(|_| Err(unavailable("its writer has stopped")))
    }

    /// Has the database let go of after all writes that were asked for before.
    pub(super) async fn release(&self) -> Result<(), StoreError> {
        self.order(Order::Release).await
    }

    /// Has it taken back.
    pub(super) async fn reclaim(&self) -> Result<(), StoreError> {
        self.order(Order::Reclaim).await
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), StoreError>>) -> Order,
    ) -> Result<(), StoreError> {
        let unavailable = |why: &str| StoreError::Unavailable(why.to_owned());
        let (done, answered) = oneshot::channel();
        let jobs = self
            .jobs
            .as_ref()
            .ok_or_else(|| unavailable("it is closed"))?;
        jobs.try_send(order(done))
            .map_err(|_| unavailable("too many writes are waiting"))?;
        answered
            .await
            .unwrap_or_else(|_| Err(unavailable("its writer has stopped")))
    }

    /// Waits for what has been asked for.
    pub(super) fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the writer of the embedded store panicked");
        }
    }
}

/// What the thread works with.
struct Desk {
    disk: Arc<Disk>,
    history: Arc<History>,
    /// As watchers know it.
    head: Revision,
    next_expiry: Option<SystemTime>,
    /// The last turn failed.
    broken: bool,
    /// Another process may have the database.
    released: bool,
}

/// What one write transaction of the database did.
struct Written {
    /// Of the database before it.
    base: Revision,
    head: Revision,
    events: Vec<(Group, Event)>,
    answers: Vec<Result<Committed, CommitError>>,
    next_expiry: Option<SystemTime>,
}

impl Desk {
    fn run(mut self, jobs: &Receiver<Order>) {
        loop {
            let first = match self.pause() {
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(pause) => jobs.recv_timeout(pause),
            };
            match first {
                Ok(first) => self.follow(first, jobs),
                Err(RecvTimeoutError::Timeout) => {
                    let due = self.next_expiry.is_some_and(|at| at <= SystemTime::now());
                    if due || self.broken {
                        self.turn(Vec::new());
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Does what was asked for, with what else waits, in order.
    fn follow(&mut self, first: Order, waiting: &Receiver<Order>) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Write(job) => {
                    batch.push(job);
                    if batch.len() < BATCH {
                        next = waiting.try_recv().ok();
                    }
                }
                Order::Release(done) => {
                    self.write_all(&mut batch);
                    let released = self.disk.release();
                    self.released |= released.is_ok();
                    // Who asked may have gone away.
                    drop(done.send(released));
                }
                Order::Reclaim(done) => {
                    self.write_all(&mut batch);
                    let reclaimed = self.disk.reclaim();
                    if reclaimed.is_ok() {
                        self.released = false;
                        // Finds out what happened meanwhile.
                        self.turn(Vec::new());
                    }
                    drop(done.send(reclaimed));
                }
            }
        }
        self.write_all(&mut batch);
    }

    fn write_all(&mut self, batch: &mut Vec<Job>) {
        if !batch.is_empty() {
            self.turn(std::mem::take(batch));
        }
    }

    fn pause(&self) -> Option<Duration> {
        if self.released {
            return None;
        }
        if self.broken {
            return Some(PAUSE);
        }
        let at = self.next_expiry?;
        Some(
            at.duration_since(SystemTime::now())
                .unwrap_or_default()
                .min(PAUSE),
        )
    }

    /// Deletes all that is over.
    fn settle(&mut self) {
        loop {
            self.turn(Vec::new());
            let more = self.next_expiry.is_some_and(|at| at <= SystemTime::now());
            if self.broken || !more {
                return;
            }
        }
    }

    fn turn(&mut self, batch: Vec<Job>) {
        if self.released {
            for job in batch {
                let refused = CommitError::Unavailable(RELEASED.to_owned());
                drop(job.answer.send(Err(refused)));
            }
            return;
        }
        match self.write(&batch) {
            Ok(written) => {
                self.broken = false;
                self.disk.recovered();
                self.next_expiry = written.next_expiry;
                if written.base != self.head {
                    // A commit that was reported as failed had reached the disk after all.
                    self.history.restart(written.base);
                }
                self.head = written.head;
                self.history.push(written.events);
                for (job, answer) in batch.into_iter().zip(written.answers) {
                    // Who asked may have gone away.
                    drop(job.answer.send(answer));
                }
            }
            Err(error) => {
                self.broken = true;
                self.disk.failed(&error);
                for job in batch {
                    drop(
                        job.answer
                            .send(Err(CommitError::Unavailable(error.to_string()))),
                    );
                }
            }
        }
    }

    fn write(&self, batch: &[Job]) -> Result<Written, redb::Error> {
        let database = self.disk.database_again()?;
        guarded(|| {
            let now = SystemTime::now();
            let mut write = database.begin_write()?;
            write.set_durability(Durability::Immediate)?;
            let mut tables = Tables::open(&write)?;
            let base = tables.head()?;
            let mut events = tables.expire(now, base)?;
            let mut head = events.last().map_or(base, |(_, event)| event.revision);
            let mut answers = Vec::with_capacity(batch.len());
            for job in batch {
                let mut group = InGroup {
                    tables: &mut tables,
                    group: &job.group,
                };
                match apply(&mut group, &job.transaction, head, now) {
                    Ok((committed, event)) => {
                        if let Some(event) = event {
                            head = event.revision;
                            events.push((Group::clone(&job.group), event));
                        }
                        answers.push(Ok(committed));
                    }
                    Err(Stopped::Refused(error)) => answers.push(Err(error)),
                    Err(Stopped::Failed(error)) => return Err(error),
                }
            }
            let next_expiry = tables.next_expiry()?;
            if events.is_empty() {
                drop(tables);
                write.abort()?;
            } else {
                tables.set_head(head)?;
                drop(tables);
                write.commit()?;
            }
            Ok(Written {
                base,
                head,
                events,
                answers,
                next_expiry,
            })
        })
    }
}
