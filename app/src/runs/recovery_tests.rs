#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::worker::fault::Stage;
use protocol::{AdapterReport, CapabilityReport, Demand, ModelNeeds, decide};

const NEEDS: ModelNeeds = ModelNeeds {
    max_buffer_size: 64 << 20,
    max_storage_buffer_binding_size: 64 << 20,
    memory_bytes: 256 << 20,
    one_at_a_time: None,
    streamed: None,
};

fn on_gpu() -> Decision {
    Decision::new(Place::BrowserGpu, Reason::GpuFits)
}

fn machine(policy: Policy) -> Machine {
    Machine::new(policy, &on_gpu(), 8)
}

fn gpu(residency: Residency) -> Action {
    Action::Browser {
        place: Place::BrowserGpu,
        residency,
    }
}

fn demand() -> Demand {
    Demand {
        needs: NEEDS,
        work: None,
        steps: 8,
    }
}

fn cpu() -> Action {
    Action::Browser {
        place: Place::BrowserCpu,
        residency: Residency::Kept,
    }
}

fn lost() -> Fault {
    Fault::DeviceLost("destroyed".into())
}

/// The sentence that a hand-over shows.
fn handed_over(action: Action) -> String {
    match action {
        Action::Server(reason) | Action::WaitForNetwork(reason) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Adapter missing or blocklisted (a browser that blocks one gives none), software, limits too small.
#[test]
fn verdicts_before_the_run_name_the_first_action() {
    let adapter = |software, mib: u64| CapabilityReport {
        webgpu: true,
        adapter: Some(AdapterReport {
            software,
            max_buffer_size: mib << 20,
            max_storage_buffer_binding_size: mib << 20,
            ..AdapterReport::default()
        }),
        ..CapabilityReport::default()
    };
    let blocked = CapabilityReport {
        webgpu: true,
        ..CapabilityReport::default()
    };
    for (report, reason) in [
        (CapabilityReport::default(), Reason::NoWebGpu),
        (blocked, Reason::NoAdapter),
        (adapter(true, 128), Reason::SoftwareAdapter),
        (
            adapter(false, 32),
            Reason::LimitTooSmall {
                limit: "maxBufferSize".into(),
                offered: 32 << 20,
                needed: 64 << 20,
            },
        ),
    ] {
        let start = |policy| {
            let decision = decide(policy, &report, &demand(), false);
            Machine::new(policy, &decision, 8).start(&decision)
        };
        assert_eq!(start(Policy::Auto), Action::Server(reason));
        assert_eq!(start(Policy::BrowserOnly), cpu());
    }
    let decision = decide(Policy::Auto, &adapter(false, 128), &demand(), false);
    assert_eq!(machine(Policy::Auto).start(&decision), gpu(Residency::Kept));
}

#[test]
fn what_may_pass_is_tried_once_more_and_then_handed_over() {
    for fault in [
        lost(),
        Fault::WorkerCrashed("the render worker is gone".into()),
        Fault::Hung(60),
    ] {
        let mut machine = machine(Policy::Auto);
        machine.step_done(3);
        assert_eq!(
            machine.after(&fault, true),
            gpu(Residency::Kept),
            "{fault:?}"
        );
        assert_eq!(machine.steps_done(), 3);
        machine.step_done(5);
        assert_eq!(
            handed_over(machine.after(&fault, true)),
            format!(
                "it failed in this browser: {fault} after step 5 of 8, so the server made the other 3"
            )
        );
    }
}

#[test]
fn memory_is_spared_once_at_load_at_a_step_and_at_decoding() {
    for (stage, steps) in [(Stage::Load, 0), (Stage::Step, 4), (Stage::Decode, 8)] {
        let fault = Fault::OutOfMemory(stage);
        let mut machine = machine(Policy::Auto);
        machine.step_done(steps);
        assert_eq!(
            machine.after(&fault, true),
            gpu(Residency::OnDemand),
            "{stage:?}"
        );
        let reason = handed_over(machine.after(&fault, true));
        assert!(reason.contains(&fault.to_string()), "{reason}");
        assert_eq!(reason.contains("the server decoded"), steps == 8);
    }
}

/// One part at a time, then layers; who begins with less goes on from there.
#[test]
fn layers_are_streamed_where_one_part_is_too_much() {
    let fault = || Fault::OutOfMemory(Stage::Step);
    let mut all = machine(Policy::BrowserOnly).streaming(true);
    assert_eq!(all.after(&fault(), true), gpu(Residency::OnDemand));
    assert_eq!(all.after(&fault(), true), gpu(Residency::Streamed));
    assert!(
        all.told()
            .contains("brought to the GPU as they were needed")
    );
    assert_eq!(all.after(&fault(), true), cpu());
    let begun = Decision {
        residency: Residency::OnDemand,
        ..on_gpu()
    };
    let mut one = Machine::new(Policy::Auto, &begun, 8).streaming(true);
    assert_eq!(one.start(&begun), gpu(Residency::OnDemand));
    assert_eq!(one.after(&lost(), true), gpu(Residency::OnDemand));
    assert_eq!(one.after(&fault(), true), gpu(Residency::Streamed));
    let mut not = Machine::new(Policy::Auto, &begun, 8);
    assert!(matches!(not.after(&fault(), true), Action::Server(_)));
}

#[test]
fn a_lost_device_after_low_memory_stays_with_it() {
    let mut machine = machine(Policy::Auto);
    assert_eq!(
        machine.after(&Fault::OutOfMemory(Stage::Load), true),
        gpu(Residency::OnDemand)
    );
    assert_eq!(machine.after(&lost(), true), gpu(Residency::OnDemand));
    assert!(matches!(machine.after(&lost(), true), Action::Server(_)));
}

#[test]
fn what_would_fail_again_is_handed_over_at_once() {
    for fault in [
        Fault::NoAdapter("none".into()),
        Fault::Download("404".into()),
        Fault::Storage("closed".into()),
        Fault::Package("damaged".into()),
        Fault::Engine("NaN".into()),
    ] {
        let action = machine(Policy::Auto).after(&fault, true);
        let sentence = format!("it failed in this browser: {fault}");
        assert_eq!(handed_over(action), sentence);
    }
}

#[test]
fn without_a_network_the_hand_over_waits_and_a_missing_model_ends_it() {
    let mut after_engine = machine(Policy::Auto);
    let action = after_engine.after(&Fault::Engine("NaN".into()), false);
    assert!(matches!(action, Action::WaitForNetwork(_)), "{action:?}");
    for policy in [Policy::Auto, Policy::BrowserOnly] {
        let action = machine(policy).after(&Fault::Download("offline".into()), false);
        assert_eq!(
            action,
            Action::Fail("there is no network, and the model is not stored in this browser".into())
        );
    }
    // Recovery needs no network.
    assert_eq!(
        machine(Policy::Auto).after(&lost(), false),
        gpu(Residency::Kept)
    );
}

#[test]
fn browser_only_goes_on_to_the_processor_and_never_to_the_server() {
    let mut machine = machine(Policy::BrowserOnly);
    machine.step_done(2);
    assert_eq!(machine.after(&lost(), true), gpu(Residency::Kept));
    assert_eq!(machine.after(&lost(), true), cpu());
    assert_eq!(machine.steps_done(), 2);
    let crash = Fault::WorkerCrashed("out of memory".into());
    assert_eq!(machine.after(&crash, true), cpu());
    assert_eq!(
        machine.after(&crash, true),
        Action::Fail("out of memory".into())
    );
    let mut machine = self::machine(Policy::BrowserOnly);
    assert_eq!(
        machine.after(&Fault::Package("damaged".into()), true),
        Action::Fail("damaged".into())
    );
}

#[test]
fn the_visitor_reads_one_sentence_per_fault() {
    let mut machine = machine(Policy::Auto);
    assert_eq!(machine.told(), "");
    machine.step_done(3);
    machine.after(&lost(), true);
    assert_eq!(
        machine.told(),
        "The graphics device was lost after step 3 of 8; the rest was made here on a fresh start."
    );
}
