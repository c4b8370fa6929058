#![allow(clippy::unwrap_used, clippy::panic)]

use protocol::ImageRef;

use super::*;

fn record() -> JobRecord {
    JobRecord::new(
        "j".into(),
        GenerationRequest {
            model: "demo-hub/glyph".into(),
            prompt: "red apple".into(),
            negative_prompt: String::new(),
            seed: Some(1),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.0),
        },
        Keeping::default(),
        None,
    )
}

fn completed() -> Outcome {
    Outcome::Completed(ImageRef {
        url: "/images/a.png".into(),
        permalink: "/i/a".into(),
    })
}

#[test]
fn only_the_latest_claim_changes_a_job() {
    let mut job = record();
    assert_eq!(job.claim(), Claimed::Run);
    let first = job.claim;
    assert_eq!(job.claim(), Claimed::Run);
    let second = job.claim;
    let before = job.clone();
    let progress = Progress {
        step: 3,
        total_steps: 8,
    };
    assert!(!job.step(first, progress));
    assert!(!job.backend(first, "cpu"));
    assert!(!job.hand_back(first, HandBack::Draining));
    assert!(!job.finish(first, Outcome::Cancelled));
    assert_eq!(job, before);
    assert!(job.step(second, progress));
    assert!(job.finish(second, completed()));
    assert!(!job.finish(second, Outcome::Cancelled));
    assert_eq!(job.view.status, JobStatus::Completed);
}

#[test]
fn every_change_has_a_number_of_its_own() {
    let mut job = record();
    let mut last = job.number;
    let mut changed = |job: &JobRecord| {
        assert_eq!(job.number, last + 1);
        last = job.number;
    };
    job.claim();
    changed(&job);
    job.backend(1, "cpu");
    changed(&job);
    job.step(1, Progress::default());
    changed(&job);
    job.hand_back(1, HandBack::Draining);
    changed(&job);
    job.claim();
    changed(&job);
    job.cancel();
    changed(&job);
    job.finish(2, Outcome::Cancelled);
    changed(&job);
    assert!(!job.cancel());
    assert_eq!(job.claim(), Claimed::Ended);
    assert_eq!(job.number, last);
}

#[test]
fn a_job_that_kills_its_workers_fails_with_a_reason() {
    let mut job = record();
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(job.claim(), Claimed::Run);
        assert_eq!(job.view.attempt, attempt);
    }
    assert_eq!(job.claim(), Claimed::Ended);
    assert_eq!(job.view.status, JobStatus::Failed);
    let problem = job.view.error.unwrap();
    assert_eq!(problem.code, ProblemCode::GenerationFailed);
    assert!(problem.detail.contains("worker died"), "{}", problem.detail);
}

#[test]
fn the_last_failure_is_the_reason() {
    let mut job = record();
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(job.claim(), Claimed::Run, "{attempt}");
        let lost = Problem::new(ProblemCode::GenerationFailed, "the GPU went away");
        assert!(job.hand_back(job.claim, HandBack::Retry(lost)));
    }
    assert_eq!(job.view.status, JobStatus::Failed);
    let detail = job.view.error.unwrap().detail;
    assert!(detail.contains("3 times; the GPU went away"), "{detail}");
}

#[test]
fn a_draining_worker_costs_no_attempt() {
    let mut job = record();
    for _ in 0..10 {
        assert_eq!(job.claim(), Claimed::Run);
        job.step(
            job.claim,
            Progress {
                step: 5,
                total_steps: 8,
            },
        );
        assert!(job.hand_back(job.claim, HandBack::Draining));
        assert_eq!(job.view.status, JobStatus::Queued);
        assert_eq!((job.view.attempt, job.view.progress.step), (0, 0));
    }
}

#[test]
fn a_cancelled_job_does_not_run_again() {
    let mut queued = record();
    assert!(queued.cancel());
    assert_eq!(queued.view.status, JobStatus::Cancelled);
    assert_eq!(queued.claim(), Claimed::Ended);

    // The worker dies before it sees the wish: the next one ends the job.
    let mut running = record();
    running.claim();
    assert!(running.cancel());
    assert_eq!(running.view.status, JobStatus::Generating);
    assert!(!running.cancel());
    assert_eq!(running.claim(), Claimed::Ended);
    assert_eq!(running.view.status, JobStatus::Cancelled);

    let mut handed_back = record();
    handed_back.claim();
    handed_back.cancel();
    assert!(handed_back.hand_back(1, HandBack::Draining));
    assert_eq!(handed_back.view.status, JobStatus::Cancelled);
}
