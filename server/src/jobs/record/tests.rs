#![allow(clippy::unwrap_used, clippy::panic)]

use protocol::ImageRef;

use super::*;

fn record() -> JobRecord {
    JobRecord::new(
        "j".into(),
        GenerationRequest {
            model: "demo-hub/glyph".into(),
            prompt: "red apple".into(),
            seed: Some(1),
            num_inference_steps: Some(8),
            guidance_scale: Some(3.0),
            ..GenerationRequest::default()
        },
        8,
        Keeping::default(),
        None,
    )
}

/// Some moment, in milliseconds since the Unix epoch.
const NOW: u64 = 1_700_000_000_000;
const DAY: u64 = 86_400_000;

/// Given back where no other worker is, without jitter.
fn alone(now: u64) -> Occasion {
    Occasion {
        now,
        spread: 0.0,
        others: false,
    }
}

/// Given back where another worker could take the job.
fn among_others(now: u64) -> Occasion {
    Occasion {
        others: true,
        ..alone(now)
    }
}

fn lost() -> Problem {
    Problem::new(ProblemCode::GenerationFailed, "the GPU went away")
}

fn busy(retry_after: Option<u32>) -> HandBack {
    let mut problem = Problem::new(ProblemCode::EndpointUnavailable, "the endpoint is busy");
    problem.retry_after = retry_after;
    HandBack::Refused(problem)
}

fn fault_of(worker: &str) -> HandBack {
    HandBack::WorkerFault {
        worker: worker.to_owned(),
        problem: lost(),
    }
}

fn completed() -> Outcome {
    Outcome::Completed(ImageRef {
        url: "/images/a.png".into(),
        permalink: "/i/a".into(),
        expires_at: None,
    })
}

#[test]
fn only_the_latest_claim_changes_a_job() {
    let mut job = record();
    assert_eq!(job.claim(NOW), Claimed::Run);
    let first = job.claim;
    assert_eq!(job.claim(NOW), Claimed::Run);
    let second = job.claim;
    let before = job.clone();
    let progress = Progress {
        step: 3,
        total_steps: 8,
    };
    assert!(!job.step(first, progress));
    assert!(!job.backend(first, "cpu"));
    assert!(!job.hand_back(first, HandBack::Draining, alone(NOW)));
    assert!(!job.finish(first, Outcome::Cancelled, NOW));
    assert_eq!(job, before);
    assert!(job.step(second, progress));
    assert!(job.finish(second, completed(), NOW));
    assert!(!job.finish(second, Outcome::Cancelled, NOW));
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
    job.claim(NOW);
    changed(&job);
    job.backend(1, "cpu");
    changed(&job);
    job.step(1, Progress::default());
    changed(&job);
    job.hand_back(1, HandBack::Draining, alone(NOW));
    changed(&job);
    job.claim(NOW);
    changed(&job);
    job.cancel(NOW);
    changed(&job);
    job.finish(2, Outcome::Cancelled, NOW);
    changed(&job);
    assert!(!job.cancel(NOW));
    assert_eq!(job.claim(NOW), Claimed::Ended);
    assert_eq!(job.number, last);
}

#[test]
fn a_job_that_kills_its_workers_fails_with_a_reason() {
    let mut job = record();
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(job.claim(NOW), Claimed::Run);
        assert_eq!(job.view.attempt, attempt);
    }
    assert_eq!(job.claim(NOW), Claimed::Ended);
    assert_eq!(job.view.status, JobStatus::Failed);
    let problem = job.view.error.unwrap();
    assert_eq!(problem.code, ProblemCode::GenerationFailed);
    assert!(problem.detail.contains("worker died"), "{}", problem.detail);
}

#[test]
fn the_last_failure_is_the_reason() {
    let mut job = record();
    let mut now = NOW;
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(job.claim(now), Claimed::Run, "{attempt}");
        assert!(job.hand_back(job.claim, HandBack::Retry(lost()), alone(now)));
        now += DAY;
    }
    assert_eq!(job.view.status, JobStatus::Failed);
    let detail = job.view.error.unwrap().detail;
    assert!(detail.contains("3 times; the GPU went away"), "{detail}");
}

#[test]
fn a_draining_worker_costs_no_attempt() {
    let mut job = record();
    for _ in 0..10 {
        assert_eq!(job.claim(NOW), Claimed::Run);
        job.step(
            job.claim,
            Progress {
                step: 5,
                total_steps: 8,
            },
        );
        assert!(job.hand_back(job.claim, HandBack::Draining, alone(NOW)));
        assert_eq!(job.view.status, JobStatus::Queued);
        assert_eq!((job.view.attempt, job.view.progress.step), (0, 0));
    }
}

#[test]
fn a_cancelled_job_does_not_run_again() {
    let mut queued = record();
    assert!(queued.cancel(NOW));
    assert_eq!(queued.view.status, JobStatus::Cancelled);
    assert_eq!(queued.claim(NOW), Claimed::Ended);

    // The worker dies before it sees the wish: the next one ends the job.
    let mut running = record();
    running.claim(NOW);
    assert!(running.cancel(NOW));
    assert_eq!(running.view.status, JobStatus::Generating);
    assert!(!running.cancel(NOW));
    assert_eq!(running.claim(NOW), Claimed::Ended);
    assert_eq!(running.view.status, JobStatus::Cancelled);

    let mut handed_back = record();
    handed_back.claim(NOW);
    handed_back.cancel(NOW);
    assert!(handed_back.hand_back(1, HandBack::Draining, alone(NOW)));
    assert_eq!(handed_back.view.status, JobStatus::Cancelled);
}

#[test]
fn a_job_that_failed_waits_longer_each_time_and_shows_why() {
    let mut job = record();
    let mut now = NOW;
    let mut waits = Vec::new();
    for _ in 0..2 {
        assert_eq!(job.claim(now), Claimed::Run);
        assert!(job.view.postponed.is_none());
        assert!(job.hand_back(job.claim, HandBack::Retry(lost()), alone(now)));
        assert_eq!(job.view.status, JobStatus::Queued);
        let postponed = job.view.postponed.clone().unwrap();
        assert_eq!(postponed.reason, lost());
        waits.push(postponed.until - now);
        let claimed = job.claim(now);
        assert_eq!(
            claimed,
            Claimed::NotYet(Duration::from_millis(waits[waits.len() - 1]))
        );
        now = postponed.until;
    }
    assert_eq!(waits, [1_000, 2_000]);
    assert_eq!(job.claim(now), Claimed::Run);
}

#[test]
fn what_was_refused_comes_back_when_asked_for_and_costs_no_attempt() {
    let mut job = record();
    let mut now = NOW;
    for n in 1..MAX_RETURNS {
        assert_eq!(job.claim(now), Claimed::Run, "{n}");
        assert!(job.hand_back(job.claim, busy(Some(30)), alone(now)));
        assert_eq!((job.view.status, job.view.attempt), (JobStatus::Queued, 0));
        assert!(job.wait(now) >= Duration::from_secs(30));
        now += 31_000;
    }
    assert_eq!(job.claim(now), Claimed::Run);
    assert!(job.hand_back(job.claim, busy(None), alone(now)));
    assert_eq!(job.view.status, JobStatus::Failed);
    let problem = job.view.error.unwrap();
    assert_eq!(problem.code, ProblemCode::EndpointUnavailable);
    assert!(
        problem.detail.contains("10 times; the endpoint is busy"),
        "{problem}"
    );
}

#[test]
fn a_job_is_not_kept_waiting_until_tomorrow() {
    let mut job = record();
    job.claim(NOW);
    assert!(job.hand_back(1, busy(Some(86_400)), alone(NOW)));
    assert_eq!(job.view.status, JobStatus::Failed);
    assert_eq!(job.view.error.unwrap().retry_after, Some(86_400));
}

#[test]
fn faults_of_one_worker_do_not_fail_a_job_that_others_could_take() {
    let mut job = record();
    let mut now = NOW;
    for n in 1..MAX_RETURNS {
        assert_eq!(job.claim(now), Claimed::Run, "{n}");
        assert!(job.hand_back(job.claim, fault_of("ill"), among_others(now)));
        assert_eq!((job.view.status, job.view.attempt), (JobStatus::Queued, 0));
        now += DAY;
    }
    assert_eq!(job.claim(now), Claimed::Run);
    assert!(job.finish(job.claim, completed(), now));
}

#[test]
fn a_job_that_every_worker_fails_at_is_the_reason_itself() {
    let mut job = record();
    let mut now = NOW;
    for worker in ["a", "a", "b", "c"] {
        assert_eq!(job.claim(now), Claimed::Run, "{worker}");
        assert!(job.hand_back(job.claim, fault_of(worker), among_others(now)));
        now += DAY;
    }
    assert_eq!(job.view.status, JobStatus::Failed);
    // Without others each fault is an attempt.
    let mut job = record();
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(job.claim(now), Claimed::Run);
        assert!(job.hand_back(job.claim, fault_of("only"), alone(now)));
        now += DAY;
    }
    assert_eq!(job.view.status, JobStatus::Failed);
}

#[test]
fn a_job_whose_process_died_goes_back_and_the_attempt_counts() {
    let mut job = record();
    assert!(!job.orphaned(NOW));
    for attempt in 1..=MAX_ATTEMPTS {
        assert_eq!(job.view.status, JobStatus::Queued);
        assert_eq!(job.claim(NOW), Claimed::Run);
        assert_eq!(job.view.attempt, attempt);
        assert!(job.orphaned(NOW));
    }
    assert_eq!(job.view.status, JobStatus::Failed);
    assert!(!job.orphaned(NOW));
    let mut cancelled = record();
    cancelled.claim(NOW);
    cancelled.cancel(NOW);
    assert!(cancelled.orphaned(NOW));
    assert_eq!(cancelled.view.status, JobStatus::Cancelled);
}

#[test]
fn a_waiting_job_can_be_cancelled_while_it_waits_for_its_time() {
    let mut job = record();
    job.claim(NOW);
    job.hand_back(1, busy(Some(600)), alone(NOW));
    assert!(job.cancel(NOW + 5));
    assert_eq!(job.view.status, JobStatus::Cancelled);
    assert_eq!((job.ended_at, job.view.postponed), (Some(NOW + 5), None));
}

#[test]
fn states_of_other_versions_are_read_as_what_they_are() {
    let json = serde_json::json!({
        "number": 4,
        "view": {
            "id": "j",
            "request": {
                "model": "demo-hub/glyph", "prompt": "red apple", "negative_prompt": "",
                "seed": 1, "num_inference_steps": 8, "guidance_scale": 3.0,
            },
            "status": "generating", "queue_position": null, "eta_ms": null,
            "progress": { "step": 3, "total_steps": 8 },
            "attempt": 1, "image": null, "error": null, "backend": "rten (CPU)",
        },
        "keeping": { "unlisted": false },
        "cancel_requested": false,
        "claim": 1,
        "last_failure": null,
    });
    let first: JobRecord = format::read(json.to_string().as_bytes()).unwrap();
    assert_eq!((first.format, first.claim, first.returns), (1, 1, 0));
    let mut newer = json;
    newer["format"] = 2.into();
    newer["added_later"] = true.into();
    newer["view"]["added_later"] = true.into();
    newer["view"]["request"]["added_later"] = true.into();
    let newer: JobRecord = format::read(newer.to_string().as_bytes()).unwrap();
    assert_eq!(newer.view, first.view);
    let written = serde_json::to_vec(&record()).unwrap();
    assert_eq!(format::read::<JobRecord>(&written).unwrap(), record());
}
