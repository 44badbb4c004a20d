#![allow(clippy::unwrap_used)]

use super::{BatchConfig, Origin, Queue, Sink, SinkError};
use crate::{build::BuildCx, testing::Bench};
use parking_lot::Mutex;
use prometheus::{Encoder as _, TextEncoder};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// What becomes of a batch.
#[derive(Clone)]
enum Answer {
    Take,
    Refuse { taken: usize },
    Hang,
    Panic,
}

/// When a batch came, and what was in it.
type Came = (Duration, Vec<u32>);

/// Keeps what it was given, and when.
#[derive(Clone, Default)]
struct Recorder {
    batches: Arc<Mutex<Vec<Came>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
    began: Arc<Mutex<Option<Instant>>>,
}

impl Sink for Recorder {
    type Entry = u32;

    fn weight(entry: &u32) -> usize {
        // An entry above a million stands for one of so many bytes.
        usize::try_from(*entry).unwrap().saturating_sub(1_000_000)
    }

    async fn send(&self, batch: &[u32]) -> Result<(), SinkError> {
        let at = self.began.lock().get_or_insert_with(Instant::now).elapsed();
        self.batches.lock().push((at, batch.to_vec()));
        let answer = self.answers.lock().pop().unwrap_or(Answer::Take);
        match answer {
            Answer::Take => Ok(()),
            Answer::Refuse { taken } => Err(SinkError {
                taken,
                reason: "no".into(),
            }),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("as told"),
        }
    }
}

impl Recorder {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        let recorder = Self::default();
        *recorder.answers.lock() = answers;
        *recorder.began.lock() = Some(Instant::now());
        recorder
    }

    fn batches(&self) -> Vec<Vec<u32>> {
        self.batches.lock().iter().map(|(_, b)| b.clone()).collect()
    }

    fn times(&self) -> Vec<u64> {
        self.batches
            .lock()
            .iter()
            .map(|(t, _)| t.as_secs())
            .collect()
    }
}

fn config(batch_max_size: usize) -> BatchConfig {
    BatchConfig {
        batch_max_size,
        ..BatchConfig::default()
    }
}

fn queue(bench: &Bench, config: &BatchConfig, sink: &Recorder) -> Queue<Recorder> {
    let metadata = bench.metadata.as_ref();
    let cx = BuildCx::new("routes/1", "test-logger", metadata, None, bench);
    Queue::new(&cx, "test", config, sink.clone())
}

fn push(queue: &Queue<Recorder>, entries: impl IntoIterator<Item = u32>) {
    for entry in entries {
        let origin = Origin {
            route: "1",
            server: Some([127, 0, 0, 1].into()),
        };
        queue.push(entry, origin);
    }
}

fn metric(bench: &Bench, line: &str) -> Option<f64> {
    let mut text = Vec::new();
    let families = bench.metrics.gather();
    TextEncoder::new().encode(&families, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let found = text.lines().find(|l| l.starts_with(line))?;
    found.rsplit_once(' ')?.1.parse().ok()
}

const PENDING: &str =
    "apisix_batch_process_entries{name=\"test\",route_id=\"1\",server_addr=\"127.0.0.1\"}";

fn dropped(bench: &Bench, reason: &str) -> Option<f64> {
    let labels =
        format!("name=\"test\",reason=\"{reason}\",route_id=\"1\",server_addr=\"127.0.0.1\"");
    metric(
        bench,
        &format!("apisix_batch_dropped_entries_total{{{labels}}}"),
    )
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_goes_at_once_and_the_rest_when_no_more_comes() {
    let (bench, sink) = (Bench::default(), Recorder::new([]));
    let queue = queue(&bench, &config(3), &sink);
    push(&queue, 1..=4);
    assert_eq!(metric(&bench, PENDING), Some(4.0));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(sink.batches(), [vec![1, 2, 3]]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(sink.batches(), [vec![1, 2, 3], vec![4]]);
    assert_eq!(sink.times(), [0, 5]);
    assert_eq!(metric(&bench, PENDING), Some(0.0));
    // The worker has ended; the next entry starts another.
    push(&queue, [5]);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(sink.batches().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_entry_never_waits_longer_than_the_buffer_lasts() {
    let (bench, sink) = (Bench::default(), Recorder::new([]));
    let queue = queue(&bench, &config(1000), &sink);
    for n in 0..14 {
        push(&queue, [n]);
        sleep(Duration::from_millis(4500)).await;
    }
    assert_eq!(sink.times(), [60]);
    assert_eq!(sink.batches()[0].len(), 14);
}

#[tokio::test(start_paused = true)]
async fn one_failure_drops_unless_retries_were_asked_for() {
    let (bench, sink) = (
        Bench::default(),
        Recorder::new([Answer::Refuse { taken: 0 }]),
    );
    let never = queue(&bench, &config(2), &sink);
    push(&never, [1, 2]);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(sink.batches(), [[1, 2]]);
    assert_eq!(dropped(&bench, "failed"), Some(2.0));
    assert_eq!(metric(&bench, PENDING), Some(0.0));

    let sink = Recorder::new([Answer::Refuse { taken: 1 }, Answer::Panic, Answer::Take]);
    let mut patient = config(2);
    patient.max_retry_count = 2;
    patient.retry_delay = 3;
    let twice = queue(&bench, &patient, &sink);
    push(&twice, [1, 2]);
    sleep(Duration::from_secs(30)).await;
    // What was taken is not sent again.
    assert_eq!(sink.batches(), [vec![1, 2], vec![2], vec![2]]);
    assert_eq!(sink.times(), [0, 3, 6]);
    assert_eq!(dropped(&bench, "failed"), Some(2.0));
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_is_bounded_in_entries_and_bytes_over_all_queues_of_a_plugin() {
    let bench = Bench {
        metadata: Some(json!({"max_pending_entries": 10})),
        ..Bench::default()
    };
    let sink = Recorder::new(vec![Answer::Hang; 100]);
    let one = queue(&bench, &config(1), &sink);
    push(&one, 0..8);
    sleep(Duration::from_secs(1)).await;
    // Those on their way are pending too.
    assert_eq!(sink.batches().len(), 4);
    let two = queue(&bench, &config(1000), &sink);
    push(&two, 0..8);
    assert_eq!(metric(&bench, PENDING), Some(10.0));
    assert_eq!(dropped(&bench, "full"), Some(6.0));

    let bench = Bench::default();
    let three = queue(&bench, &config(1000), &sink);
    push(&three, [41_000_000; 4]);
    assert_eq!(metric(&bench, PENDING), Some(1.0));
    push(&three, [1]);
    assert_eq!(metric(&bench, PENDING), Some(2.0));
    assert_eq!(dropped(&bench, "full"), Some(3.0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_dropped_sends_what_it_holds_and_takes_its_metrics_along() {
    let (bench, sink) = (Bench::default(), Recorder::new([]));
    let old = queue(&bench, &config(1000), &sink);
    let new = queue(&bench, &config(1000), &sink);
    push(&old, [1, 2]);
    push(&new, [3]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(metric(&bench, PENDING), Some(3.0));
    drop(old);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(sink.batches(), [[1, 2]]);
    assert_eq!(metric(&bench, PENDING), Some(1.0));
    drop(new);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(sink.batches().len(), 2);
    assert_eq!(metric(&bench, PENDING), None);
    assert_eq!(dropped(&bench, "full"), None);
    // A later one finds its place again.
    let later = queue(&bench, &config(1000), &sink);
    push(&later, [4]);
    assert_eq!(metric(&bench, PENDING), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_process_sends_everything_within_its_limit() {
    let (bench, sink) = (Bench::default(), Recorder::new([]));
    let queues = [(); 3].map(|()| queue(&bench, &config(1000), &sink));
    for queue in &queues {
        push(queue, [1, 2, 3]);
    }
    let began = Instant::now();
    assert!(
        bench
            .shared
            .finishers()
            .finish(Duration::from_secs(1))
            .await
    );
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(sink.batches().len(), 3);

    let sink = Recorder::new([Answer::Hang]);
    let stuck = queue(&bench, &config(1000), &sink);
    push(&stuck, [1]);
    assert!(
        !bench
            .shared
            .finishers()
            .finish(Duration::from_secs(1))
            .await
    );
    assert_eq!(began.elapsed(), Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pushing_from_many_threads_loses_nothing() {
    let (bench, sink) = (Bench::default(), Recorder::new([]));
    let queue = Arc::new(queue(&bench, &config(7), &sink));
    let mut pushing = Vec::new();
    for from in 0..4 {
        let queue = queue.clone();
        pushing.push(tokio::spawn(async move {
            for n in 0..500 {
                push(&queue, [from * 1000 + n]);
                if n % 50 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }));
    }
    for task in pushing {
        task.await.unwrap();
    }
    let done = bench.shared.finishers().finish(Duration::from_secs(20));
    assert!(timeout(Duration::from_secs(30), done).await.unwrap());
    let mut all: Vec<_> = sink.batches().concat();
    all.sort_unstable();
    let expected: Vec<_> = (0..4)
        .flat_map(|from| from * 1000..from * 1000 + 500)
        .collect();
    assert_eq!(all, expected);
    assert_eq!(metric(&bench, PENDING), Some(0.0));
}

#[test]
fn building_a_queue_starts_nothing() {
    let (bench, sink) = (Bench::default(), Recorder::default());
    drop(queue(&bench, &config(1), &sink));
    assert!(bench.metrics.gather().is_empty());
}
