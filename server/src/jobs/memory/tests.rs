#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

fn submission(prompt: &str, key: Option<&str>) -> Submission {
    Submission {
        request: GenerationRequest {
            model: "demo-hub/glyph".into(),
            prompt: prompt.into(),
            negative_prompt: String::new(),
            seed: Some(1),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.0),
        },
        fingerprint: [prompt.len() as u8; 32],
        idempotency_key: key.map(str::to_owned),
    }
}

fn queue(capacity: usize) -> MemoryQueue {
    MemoryQueue::new(capacity, Duration::from_secs(60))
}

#[tokio::test]
async fn jobs_leave_in_order_and_positions_follow() {
    let queue = queue(3);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(queue.submit(submission("a", None)).await.unwrap().id);
    }
    let position = async |i: usize| queue.get(&ids[i]).await.unwrap().queue_position;
    assert_eq!(
        [position(0).await, position(1).await, position(2).await],
        [Some(0), Some(1), Some(2)]
    );
    let claim = queue.claim().unwrap();
    assert_eq!(claim.id(), ids[0]);
    assert_eq!(
        [position(0).await, position(1).await, position(2).await],
        [None, Some(0), Some(1)]
    );
    queue.cancel(&ids[1]).await.unwrap();
    assert_eq!(position(2).await, Some(0));
    assert_eq!(queue.claim().unwrap().id(), ids[2]);
}

#[tokio::test]
async fn a_full_queue_refuses_with_a_time() {
    let queue = queue(1);
    queue.submit(submission("a", None)).await.unwrap();
    let problem = queue.submit(submission("b", None)).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::QueueFull);
    assert!(problem.retry_after.is_some_and(|s| s >= 1));
    let _claim = queue.claim().unwrap();
    assert!(queue.submit(submission("c", None)).await.is_ok());
}

#[tokio::test]
async fn one_key_is_one_job() {
    let queue = queue(1);
    let first = queue.submit(submission("a", Some("k"))).await.unwrap();
    assert_eq!(
        queue.submit(submission("a", Some("k"))).await.unwrap(),
        first
    );
    let problem = queue
        .submit(submission("other", Some("k")))
        .await
        .unwrap_err();
    assert_eq!(problem.code, ProblemCode::Conflict);
}

#[tokio::test]
async fn events_begin_with_the_state_and_end_with_the_last_one() {
    let queue = queue(2);
    let id = queue.submit(submission("a", None)).await.unwrap().id;
    let mut events = queue.events(&id).await.unwrap();
    assert_eq!(events.next().await.unwrap().1.status, JobStatus::Queued);
    let claim = queue.claim().unwrap();
    assert_eq!(events.next().await.unwrap().1.status, JobStatus::Generating);
    claim.progress(Progress {
        step: 1,
        total_steps: 8,
    });
    claim.finish(Outcome::Cancelled);
    let (number, view) = events.next().await.unwrap();
    assert_eq!((view.status, view.progress.step), (JobStatus::Cancelled, 1));
    assert_eq!(number, 4);
    // The sender still exists, so only the final state can have ended the stream.
    assert!(events.next().await.is_none());
    let late: Vec<_> = queue.events(&id).await.unwrap().collect().await;
    assert_eq!(late.len(), 1);
}

#[tokio::test]
async fn a_dropped_claim_fails_its_job() {
    let queue = queue(1);
    let id = queue.submit(submission("a", None)).await.unwrap().id;
    drop(queue.claim().unwrap());
    let view = queue.get(&id).await.unwrap();
    assert_eq!(view.status, JobStatus::Failed);
    assert_eq!(view.error.unwrap().code, ProblemCode::GenerationFailed);
}

#[tokio::test]
async fn closing_ends_every_job() {
    let queue = queue(2);
    let running = queue.submit(submission("a", None)).await.unwrap().id;
    let waiting = queue.submit(submission("b", None)).await.unwrap().id;
    let claim = queue.claim().unwrap();
    queue.close();
    assert!(claim.cancel.is_cancelled());
    claim.finish(Outcome::Cancelled);
    for id in [running, waiting] {
        assert_eq!(queue.get(&id).await.unwrap().status, JobStatus::Failed);
    }
    assert!(queue.claim().is_none());
    assert!(queue.submit(submission("c", None)).await.is_err());
}

#[tokio::test]
async fn finished_jobs_and_their_keys_are_forgotten() {
    let queue = MemoryQueue::new(1, Duration::ZERO);
    let old = queue.submit(submission("a", Some("k"))).await.unwrap().id;
    queue.claim().unwrap().finish(Outcome::Cancelled);
    let new = queue
        .submit(submission("other", Some("k")))
        .await
        .unwrap()
        .id;
    assert_ne!(old, new);
    assert_eq!(
        queue.get(&old).await.unwrap_err().code,
        ProblemCode::NotFound
    );
}
