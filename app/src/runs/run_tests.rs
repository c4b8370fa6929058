#![allow(clippy::unwrap_used)]
use super::*;
use protocol::Reason;

fn run() -> Run {
    Run::begin()
}

fn finished(backend: &str, adapter: &str) -> Phase {
    Phase::Done(Box::new(Finished {
        picture: Picture::Stored("/x.png".into()),
        width: 64,
        height: 64,
        backend: backend.into(),
        adapter: adapter.into(),
        duration_ms: Some(3_210.0),
        made_here: None,
        kept: None,
    }))
}

#[test]
fn eta_comes_from_the_steps_of_this_run() {
    let mut run = run();
    run.decide(Decision::new(Place::BrowserGpu, Reason::GpuFits));
    run.step(0, 8, 1_000.0);
    assert_eq!(run.status(), "Step 0 of 8");
    run.step(1, 8, 9_000.0);
    assert_eq!(run.status(), "Step 1 of 8");
    run.step(2, 8, 11_000.0);
    // 2 s per step, 6 steps left.
    assert_eq!(run.status(), "Step 2 of 8, about 12 s left");
    assert_eq!(run.progress(), (Some(2), 8));
}

#[test]
fn a_hand_over_starts_the_clock_anew() {
    let mut run = run();
    run.decide(Decision::new(Place::BrowserGpu, Reason::GpuFits));
    run.step(1, 8, 0.0);
    run.step(4, 8, 400_000.0);
    run.decide(Decision::new(
        Place::Server,
        Reason::BrowserFailed {
            detail: "the device was lost".into(),
        },
    ));
    assert_eq!(
        run.phase,
        Phase::Queued {
            ahead: None,
            eta_ms: None
        }
    );
    assert_eq!(
        run.where_and_why(),
        "Runs on the server, because it failed in this browser: the device was lost."
    );
    run.step(1, 8, 401_000.0);
    run.step(2, 8, 402_000.0);
    assert_eq!(run.status(), "Step 2 of 8, about 6.0 s left");
}

#[test]
fn the_sentence_says_where_and_why() {
    let mut run = run();
    assert_eq!(run.where_and_why(), "");
    run.decide(Decision::new(Place::Server, Reason::NoWebGpu));
    assert_eq!(
        run.where_and_why(),
        "Runs on the server, because this browser has no WebGPU."
    );
    run.phase = Phase::Cancelled;
    assert_eq!(
        run.where_and_why(),
        "Tried on the server, because this browser has no WebGPU."
    );
    run.phase = finished("rten (CPU)", "");
    assert_eq!(
        run.where_and_why(),
        "Made on the server by rten (CPU), because this browser has no WebGPU."
    );
    assert_eq!(run.status(), "Done in 3.2 s");
    run.decide(Decision::new(Place::BrowserGpu, Reason::GpuFits));
    run.phase = finished("onnx-gpu (WebGPU)", "Apple M2");
    assert_eq!(
        run.where_and_why(),
        "Made in this browser on WebGPU by onnx-gpu (WebGPU), Apple M2, because this model fits your GPU."
    );
}

#[test]
fn only_running_phases_are_active() {
    let mut run = run();
    assert!(run.is_active());
    for (phase, active) in [
        (Phase::Idle, false),
        (Phase::Preparing, true),
        (
            Phase::Queued {
                ahead: Some(2),
                eta_ms: None,
            },
            true,
        ),
        (Phase::Cancelling, true),
        (Phase::Cancelled, false),
        (finished("", ""), false),
    ] {
        run.phase = phase;
        assert_eq!(run.is_active(), active, "{:?}", run.phase);
    }
}

#[test]
fn a_queued_job_tells_place_and_time() {
    let mut run = run();
    for (ahead, eta_ms, status) in [
        (None, None, "Handing it to the server…"),
        (Some(0), None, "Next in line on the server"),
        (Some(1), None, "Waiting on the server: 1 picture ahead"),
        (
            Some(3),
            Some(12_000.0),
            "Waiting on the server: 3 pictures ahead, done in about 12 s",
        ),
    ] {
        run.queue(ahead, eta_ms);
        assert_eq!(run.status(), status);
    }
}

#[test]
fn a_postponed_job_tells_why_and_when() {
    let mut run = run();
    run.step(3, 8, 0.0);
    run.postpone("the endpoint of this model is busy".into(), None);
    assert!(run.is_active());
    assert_eq!(
        run.status(),
        "Waiting on the server, which tries again soon: the endpoint of this model is busy"
    );
    run.postpone("it is busy".into(), Some(12_000.0));
    assert!(run.status().ends_with("it is busy, done in about 12 s"));
    run.queue(Some(0), None);
    assert_eq!(run.status(), "Next in line on the server");
}

#[test]
fn a_second_attempt_starts_the_clock_anew() {
    let mut run = run();
    run.step(1, 8, 0.0);
    run.step(3, 8, 400_000.0);
    run.preview = Some("data:".into());
    run.queue(Some(0), None);
    assert_eq!(run.preview, None);
    run.step(1, 8, 500_000.0);
    assert_eq!(run.status(), "Step 1 of 8");
}

#[test]
fn a_download_tells_speed_and_time_left_or_why_nothing_comes() {
    let mut run = run();
    for (transfer, bytes_per_second, status) in [
        (
            Transfer::Running,
            None,
            "Downloading the model: 30.0 MB of 80.0 MB",
        ),
        (
            Transfer::Running,
            Some(5e6),
            "Downloading the model: 30.0 MB of 80.0 MB at 5.0 MB/s, about 10 s left",
        ),
        (
            Transfer::Paused,
            None,
            "Download paused at 30.0 MB of 80.0 MB",
        ),
        (
            Transfer::Offline,
            None,
            "No network: the download goes on from 30.0 MB of 80.0 MB once it is back",
        ),
        (
            Transfer::OtherTab,
            None,
            "Another tab downloads this model: 30.0 MB of 80.0 MB",
        ),
    ] {
        run.phase = Phase::Downloading {
            loaded: 30_000_000,
            total: 80_000_000,
            bytes_per_second,
            transfer,
        };
        assert_eq!(run.status(), status);
    }
}

#[test]
fn faults_that_were_got_over_follow_the_reason() {
    let mut run = run();
    run.decide(Decision::new(Place::BrowserGpu, Reason::GpuFits));
    run.told = "The graphics device was lost; the rest was made here.".into();
    assert_eq!(
        run.where_and_why(),
        "Runs in this browser on WebGPU, because this model fits your GPU. \
         The graphics device was lost; the rest was made here."
    );
}
