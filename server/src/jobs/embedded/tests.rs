#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::{JobStatus, PromptSyntax, ResolvedRequest};

use super::file::{Entry, Kept};
use super::journal::Disk;
use super::*;
use crate::images::Keeping;
use crate::jobs::{HandBack, JobKey, Outcome};
use crate::limits::ClientKey;

const MODEL: &str = "demo-hub/glyph";

/// What a disk holds, shared with the test.
type Held = Arc<Mutex<BTreeMap<Entry, Vec<u8>>>>;

/// A disk that takes its time, or is full.
struct SlowDisk {
    delay: Duration,
    full: Arc<AtomicBool>,
    held: Held,
}

impl Disk for SlowDisk {
    fn write(&mut self, entries: &BTreeMap<Entry, Option<Vec<u8>>>) -> Result<(), redb::Error> {
        std::thread::sleep(self.delay);
        if self.full.load(Ordering::SeqCst) {
            return Err(redb::Error::Io(std::io::ErrorKind::StorageFull.into()));
        }
        let mut held = self.held.lock().unwrap();
        for (entry, value) in entries {
            match value {
                Some(value) => held.insert(entry.clone(), value.clone()),
                None => held.remove(entry),
            };
        }
        Ok(())
    }
}

struct Bed {
    queue: EmbeddedQueue,
    full: Arc<AtomicBool>,
    held: Held,
}

impl Bed {
    fn new(delay: Duration) -> Self {
        let (full, held) = (Arc::new(AtomicBool::new(false)), Held::default());
        let disk = SlowDisk {
            delay,
            full: Arc::clone(&full),
            held: Arc::clone(&held),
        };
        let journal = Journal::start(Box::new(disk)).unwrap();
        let hour = Duration::from_secs(3600);
        let queue = EmbeddedQueue::over(journal, Contents::default(), 100, hour);
        Self { queue, full, held }
    }

    /// The state that the disk has of a job.
    fn on_disk(&self, id: &str) -> Option<JobRecord> {
        let held = self.held.lock().unwrap();
        let json = held.get(&Entry::Job(id.to_owned()))?;
        Some(serde_json::from_slice::<Kept>(json).unwrap().record)
    }

    async fn pull(&self, wait: Duration) -> Option<Box<dyn Claim>> {
        self.queue.pull(&[MODEL.to_owned()], wait).await.unwrap()
    }
}

fn submission(key: Option<&str>) -> Submission {
    Submission {
        request: ResolvedRequest {
            model: MODEL.into(),
            prompt: "red apple".into(),
            text: "red apple".into(),
            loras: Vec::new(),
            negative_prompt: None,
            seed: 1,
            num_inference_steps: 8,
            guidance_scale: 1.0,
            width: 64,
            height: 64,
            variation: None,
            prompt_syntax: PromptSyntax::Plain,
            sampler: None,
            clip_skip: 1,
            upscale: None,
        },
        resume: None,
        start: None,
        fingerprint: [1; 32],
        idempotency_key: key.map(|key| JobKey::new(&ClientKey::Unknown, key, None)),
        keeping: Keeping::default(),
        client: ClientKey::Unknown,
        network: None,
        allowance: None,
    }
}

/// With a disk that takes its time, and with one that takes none.
const DELAYS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(40)];

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_before_it_is_on_the_disk() {
    for delay in DELAYS {
        let bed = Bed::new(delay);
        let id = bed.queue.submit(submission(None)).await.unwrap().id;
        assert_eq!(bed.on_disk(&id).unwrap().view.status, JobStatus::Queued);
        let claim = bed.pull(Duration::from_secs(5)).await.unwrap();
        let record = bed.on_disk(&id).unwrap();
        assert_eq!(
            (record.view.status, record.view.attempt),
            (JobStatus::Generating, 1)
        );
        let view = bed.queue.cancel(&id).await.unwrap();
        assert_eq!(view.status, JobStatus::Generating);
        assert!(bed.on_disk(&id).unwrap().cancel_requested);
        claim.hand_back(HandBack::Draining).await.unwrap();
        assert_eq!(bed.on_disk(&id).unwrap().view.status, JobStatus::Cancelled);
        assert_eq!(
            bed.queue.get(&id).await.unwrap().status,
            JobStatus::Cancelled
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_handed_out_before_it_is_on_the_disk_and_one_key_is_one_job() {
    let bed = Arc::new(Bed::new(Duration::from_millis(150)));
    let submit = |key| {
        let bed = Arc::clone(&bed);
        tokio::spawn(async move { bed.queue.submit(submission(key)).await.unwrap() })
    };
    let submitted = [submit(Some("k")), submit(Some("k")), submit(Some("k"))];
    let claim = bed.pull(Duration::from_secs(20)).await.unwrap();
    for submitted in submitted {
        assert_eq!(submitted.await.unwrap().id, claim.id());
    }
    assert!(bed.pull(Duration::from_millis(300)).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_takes_no_job_and_loses_no_end() {
    let bed = Bed::new(Duration::ZERO);
    let id = bed.queue.submit(submission(None)).await.unwrap().id;
    let claim = bed.pull(Duration::from_secs(5)).await.unwrap();
    bed.full.store(true, Ordering::SeqCst);
    for key in [None, Some("k")] {
        let problem = bed.queue.submit(submission(key)).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::QueueUnavailable);
        assert!(problem.retry_after.is_some());
    }
    assert!(!bed.queue.status().await.reachable);
    assert!(bed.pull(Duration::from_millis(100)).await.is_none());
    let image = protocol::ImageRef {
        url: "/images/x.png".into(),
        permalink: "/i/x".into(),
        expires_at: None,
    };
    assert!(claim.finish(Outcome::Completed(image)).await.unwrap());
    // It has ended for those who ask, and will have on the disk.
    assert_eq!(
        bed.queue.get(&id).await.unwrap().status,
        JobStatus::Completed
    );
    assert_eq!(bed.on_disk(&id).unwrap().view.status, JobStatus::Generating);
    bed.full.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(30);
    while bed.on_disk(&id).unwrap().view.status != JobStatus::Completed {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(bed.queue.status().await.reachable);
    // The refused ones are nowhere, and their key is free.
    let jobs = bed
        .held
        .lock()
        .unwrap()
        .keys()
        .filter(|entry| matches!(entry, Entry::Job(_)))
        .count();
    assert_eq!(jobs, 1);
    let id = bed.queue.submit(submission(Some("k"))).await.unwrap().id;
    assert_eq!(bed.queue.get(&id).await.unwrap().queue_position, Some(0));
}

/// Workers, and clients that cancel whatever they see, on one queue.
#[tokio::test(flavor = "multi_thread")]
async fn every_job_ends_once_whoever_wins() {
    for delay in [Duration::ZERO, Duration::from_millis(3)] {
        let bed = Arc::new(Bed::new(delay));
        let mut ids = Vec::new();
        for submitted in
            futures::future::join_all((0..40).map(|_| bed.queue.submit(submission(None)))).await
        {
            ids.push(submitted.unwrap().id);
        }
        let workers = (0..4).map(|n| {
            let bed = Arc::clone(&bed);
            tokio::spawn(async move {
                let mut ends = Vec::new();
                while let Some(claim) = bed.pull(Duration::from_millis(300)).await {
                    let id = claim.id().to_owned();
                    tokio::time::sleep(Duration::from_micros(n * 700)).await;
                    let outcome = if claim.cancel().is_cancelled() {
                        Outcome::Cancelled
                    } else {
                        Outcome::Failed(stopping())
                    };
                    if claim.finish(outcome).await.unwrap() {
                        ends.push(id);
                    }
                }
                ends
            })
        });
        let workers: Vec<_> = workers.collect();
        let cancelling = ids.iter().rev().step_by(3).map(|id| bed.queue.cancel(id));
        for cancelled in futures::future::join_all(cancelling).await {
            cancelled.unwrap();
        }
        let mut ends: BTreeMap<String, u32> = BTreeMap::new();
        for worker in workers {
            for id in worker.await.unwrap() {
                *ends.entry(id).or_default() += 1;
            }
        }
        for id in &ids {
            let view = bed.queue.get(id).await.unwrap();
            assert!(view.status.is_final(), "{view:?}");
            // One that was cancelled in the line was never a worker's.
            let by_worker = ends.get(id).copied().unwrap_or(0);
            assert!(by_worker <= 1);
            assert_eq!(by_worker == 0, view.attempt == 0, "{view:?}");
            assert_eq!(bed.on_disk(id).unwrap().view.status, view.status);
        }
        assert_eq!(bed.queue.0.lock().unfinished().count(), 0);
    }
}
