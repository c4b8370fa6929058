//! What a visitor may expect of a model, before anything of it is downloaded.
//!
//! The formula and what it leaves out: `docs/verdict.md`.

use serde::{Deserialize, Serialize};

use crate::capability::{CapabilityReport, KernelSpeed, Place, Policy, Reason, decide};
use crate::model::{ModelSummary, ModelWork};
use crate::residency::{Demand, Residency};
use crate::words::counted;

/// Verdicts on a model that a browser can run, by the longest picture in seconds that each allows.
const BANDS: [(f64, VerdictKind); 2] = [
    (20.0, VerdictKind::RunsHere),
    (f64::INFINITY, VerdictKind::RunsHereSlowly),
];

/// Longest picture in seconds that is offered on the processor.
pub const BEARABLE_SECONDS: f64 = 600.0;

/// What no single thread with 128-bit SIMD exceeds: four lanes, a multiplication and an addition, two units, 5 GHz.
const FASTEST_THREAD_FLOPS: f64 = 80e9;

/// Submissions per picture besides the steps: text encoder and decoder.
const OTHER_SUBMISSIONS: u32 = 2;

/// What happens to a model on "Generate" under [`Policy::Auto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// In this browser.
    RunsHere,
    /// In this browser, but not while one watches.
    RunsHereSlowly,
    /// On the server.
    OnServer,
    /// Nowhere: the hub knows of the model and cannot run it.
    NotAvailable,
}

impl VerdictKind {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::RunsHere => "Runs here",
            Self::RunsHereSlowly => "Runs here, slowly",
            Self::OnServer => "On the server",
            Self::NotAvailable => "Not available here",
        }
    }

    /// The name in JSON and in addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::RunsHere => "runs_here",
            Self::RunsHereSlowly => "runs_here_slowly",
            Self::OnServer => "on_server",
            Self::NotAvailable => "not_available",
        }
    }
}

/// The answer to "will it run here?".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer.
    pub kind: VerdictKind,
    /// Least seconds per picture at the model's usual number of steps, weights already there; only for a model that runs here
    /// and an adapter that was measured.
    pub seconds: Option<f64>,
    /// Why, in one sentence.
    pub reason: String,
}

/// The verdict on a model that this hub runs, for the browser that gave `report`.
///
/// `accept_software` as in [`decide`].
pub fn verdict(model: &ModelSummary, report: &CapabilityReport, accept_software: bool) -> Verdict {
    let on_server = |reason: &Reason| Verdict {
        kind: VerdictKind::OnServer,
        seconds: None,
        reason: sentence(&reason.to_string()),
    };
    if model.package_url.is_none() {
        return on_server(&Reason::NoPackage);
    }
    let demand = model.demand();
    let decision = decide(Policy::Auto, report, &demand, accept_software);
    if decision.place == Place::Server {
        return on_server(&decision.reason);
    }
    let steps = demand.steps;
    let speed = report.adapter.as_ref().and_then(|adapter| adapter.speed);
    let known = demand.work.zip(speed).and_then(|(work, speed)| {
        let seconds = picture_seconds(report, &demand, decision.residency)?;
        Some((work, speed, seconds))
    });
    let Some((work, speed, seconds)) = known else {
        return Verdict {
            kind: VerdictKind::RunsHere,
            seconds: None,
            reason: sentence(&format!(
                "{}; how long a picture takes is not known",
                decision.reason
            )),
        };
    };
    Verdict {
        kind: band(seconds),
        seconds: Some(seconds),
        reason: sentence(&format!(
            "{}: a picture of {} is {} of work, and this adapter has just been measured at {}",
            decision.reason,
            counted(steps, "step"),
            operations(work.picture(steps).flops as f64, ""),
            operations(speed.flops_per_second, "/s"),
        )),
    }
}

/// The verdict on a model that the hub knows of and cannot run.
pub fn not_available(id: &str) -> Verdict {
    Verdict {
        kind: VerdictKind::NotAvailable,
        seconds: None,
        reason: format!(
            "This hub has neither a package nor an endpoint for it: its operator can add one with `demo-hub models add {id}`."
        ),
    }
}

/// Seconds for a picture of `steps` steps if all of its operations went at the speed of the matrix product:
/// `flops / speed + dispatches × dispatch + (steps + 2) × round trip`. No model is faster; most are slower.
pub fn estimate_seconds(work: &ModelWork, speed: &KernelSpeed, steps: u32) -> f64 {
    let picture = work.picture(steps);
    let submissions = f64::from(steps + OTHER_SUBMISSIONS);
    picture.flops as f64 / speed.flops_per_second
        + (picture.dispatches as f64 * speed.dispatch_ms + submissions * speed.round_trip_ms) / 1e3
}

/// Least seconds for a picture on the adapter of `report`, with what is brought to the GPU for it; absent where the model's work or
/// the adapter's speed is not known.
pub fn picture_seconds(
    report: &CapabilityReport,
    demand: &Demand,
    residency: Residency,
) -> Option<f64> {
    let speed = report.adapter.as_ref()?.speed?;
    let brought = upload_seconds(demand, &speed, residency)?;
    Some(brought + estimate_seconds(&demand.work?, &speed, demand.steps))
}

/// Seconds in which what a picture needs on the GPU anew is brought there; absent where that is something and its speed was not
/// measured. Reading it from the browser's store comes on top.
fn upload_seconds(demand: &Demand, speed: &KernelSpeed, residency: Residency) -> Option<f64> {
    let bytes = demand.brought(residency);
    if bytes == 0 {
        return Some(0.0);
    }
    Some(bytes as f64 / speed.upload_bytes_per_second?)
}

/// Whether a picture with layers streamed is known to take no longer than one that simply runs here.
pub(crate) fn streams_quickly(report: &CapabilityReport, demand: &Demand) -> bool {
    let speed = report.adapter.as_ref().and_then(|adapter| adapter.speed);
    let seconds = speed.and_then(|speed| {
        let brought = upload_seconds(demand, &speed, Residency::Streamed)?;
        let work = demand.work.unwrap_or_default();
        Some(brought + estimate_seconds(&work, &speed, demand.steps))
    });
    seconds.is_some_and(|seconds| band(seconds) == VerdictKind::RunsHere)
}

/// Seconds for a picture of `steps` steps on a processor of that speed if all of its operations went at the speed of the
/// matrix product; absent for a model whose operations were not counted.
pub fn processor_seconds(model: &ModelSummary, flops_per_second: f64, steps: u32) -> Option<f64> {
    let work = model.work?.picture(steps);
    Some(work.flops as f64 / flops_per_second)
}

/// Whether a browser without a GPU that the model fits may be offered its processor; that is measured when it is chosen.
pub fn may_suit_processor(model: &ModelSummary) -> bool {
    let steps = model.defaults.num_inference_steps;
    let least = processor_seconds(model, FASTEST_THREAD_FLOPS, steps);
    model.package_url.is_some() && least.is_none_or(|seconds| seconds <= BEARABLE_SECONDS)
}

fn band(seconds: f64) -> VerdictKind {
    BANDS
        .into_iter()
        .find(|(most, _)| seconds <= *most)
        .map_or(VerdictKind::RunsHereSlowly, |(_, kind)| kind)
}

/// Floating-point operations, or those of a second, in the unit that fits: `38 GFLOP`, `1.4 TFLOP/s`.
fn operations(flops: f64, per: &str) -> String {
    let (scaled, unit) = match flops {
        x if x >= 1e12 => (x / 1e12, "T"),
        x if x >= 1e9 => (x / 1e9, "G"),
        x => (x / 1e6, "M"),
    };
    let digits = usize::from(scaled < 9.95);
    format!("{scaled:.digits$} {unit}FLOP{per}")
}

/// First letter upper case, full stop at the end.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::AdapterReport;
    use crate::model::{LowMemoryNeeds, Work, tests::glyph};

    /// 10 GFLOP per step, 20 once.
    const WORK: ModelWork = ModelWork {
        once: Work {
            flops: 20_000_000_000,
            dispatches: 100,
        },
        per_step: Work {
            flops: 10_000_000_000,
            dispatches: 200,
        },
    };

    fn model() -> ModelSummary {
        ModelSummary {
            work: Some(WORK),
            ..glyph()
        }
    }

    fn report(gflops: f64) -> CapabilityReport {
        CapabilityReport {
            webgpu: true,
            adapter: Some(AdapterReport {
                max_buffer_size: 1 << 30,
                max_storage_buffer_binding_size: 1 << 30,
                speed: Some(KernelSpeed {
                    flops_per_second: gflops * 1e9,
                    dispatch_ms: 0.0,
                    round_trip_ms: 0.0,
                    upload_bytes_per_second: Some(1e9),
                }),
                ..AdapterReport::default()
            }),
            ..CapabilityReport::default()
        }
    }

    /// By hand: 8 steps are 100 GFLOP and 1,700 dispatches in 10 submissions; at 200 GFLOP/s that is
    /// 0.5 s + 1,700 × 0.1 ms + 10 × 3 ms.
    #[test]
    fn the_estimate_is_the_documented_formula() {
        let speed = KernelSpeed {
            flops_per_second: 200e9,
            dispatch_ms: 0.1,
            round_trip_ms: 3.0,
            upload_bytes_per_second: None,
        };
        assert!((estimate_seconds(&WORK, &speed, 8) - 0.7).abs() < 1e-9);
    }

    /// 100 GFLOP at 2 GFLOP/s.
    #[test]
    fn a_picture_is_expected_by_the_measured_speed() {
        let demand = model().demand();
        let seconds = picture_seconds(&report(2.0), &demand, Residency::Kept);
        assert!(seconds.is_some_and(|s| (s - 50.0).abs() < 1e-9));
        let unmeasured = CapabilityReport::default();
        assert_eq!(picture_seconds(&unmeasured, &demand, Residency::Kept), None);
    }

    /// 8 steps are 100 GFLOP.
    #[test]
    fn a_processor_takes_operations_over_speed() {
        let seconds = processor_seconds(&model(), 5e9, 8);
        assert!(seconds.is_some_and(|s| (s - 20.0).abs() < 1e-9));
        assert_eq!(processor_seconds(&glyph(), 5e9, 8), None);
    }

    #[test]
    fn what_no_processor_could_do_is_not_offered() {
        let heavy = |flops| ModelSummary {
            work: Some(ModelWork {
                once: Work::default(),
                per_step: Work {
                    flops,
                    dispatches: 1,
                },
            }),
            ..glyph()
        };
        let hosted = ModelSummary {
            package_url: None,
            ..model()
        };
        assert!(may_suit_processor(&model()));
        assert!(may_suit_processor(&glyph()));
        // 8 steps of 6 TFLOP take 600 s at 80 GFLOP/s.
        assert!(may_suit_processor(&heavy(6_000_000_000_000)));
        assert!(!may_suit_processor(&heavy(6_100_000_000_000)));
        assert!(!may_suit_processor(&hosted));
    }

    #[test]
    fn every_speed_has_its_verdict() {
        for (gflops, kind) in [
            (10_000.0, VerdictKind::RunsHere),
            // 100 GFLOP in just under and just over 20 s.
            (100.0 / 19.9, VerdictKind::RunsHere),
            (100.0 / 20.1, VerdictKind::RunsHereSlowly),
            (0.001, VerdictKind::RunsHereSlowly),
        ] {
            let verdict = verdict(&model(), &report(gflops), false);
            assert_eq!(verdict.kind, kind, "{gflops} GFLOP/s");
            assert!(verdict.seconds.is_some());
        }
    }

    /// 8 steps are 100 GFLOP, 0.1 s at 1,000 GFLOP/s; 3 GB and eight times 1.5 GB at 1 GB/s are 15 s.
    #[test]
    fn what_is_brought_to_the_gpu_takes_its_time() {
        let mut model = model();
        model.needs.memory_bytes = 6 << 30;
        model.needs.one_at_a_time = Some(LowMemoryNeeds {
            memory_bytes: 5 << 30,
            picture_bytes: 6_000_000_000,
            step_bytes: 0,
        });
        model.needs.streamed = Some(LowMemoryNeeds {
            memory_bytes: 1 << 30,
            picture_bytes: 3_000_000_000,
            step_bytes: 1_500_000_000,
        });
        let with = |gib: u64, upload: f64| {
            let mut report = report(1e3);
            report.device_memory_bytes = Some(gib << 30);
            if let Some(speed) = report.adapter.as_mut().and_then(|a| a.speed.as_mut()) {
                speed.upload_bytes_per_second = Some(upload);
            }
            verdict(&model, &report, false)
        };
        for (gib, upload, kind, seconds, reason) in [
            (8, 1e9, VerdictKind::RunsHere, Some(0.1), "fits your GPU:"),
            (
                5,
                1e9,
                VerdictKind::RunsHere,
                Some(6.1),
                "one part at a time",
            ),
            (
                5,
                1e8,
                VerdictKind::RunsHereSlowly,
                Some(60.1),
                "one part at a time",
            ),
            (
                4,
                1e9,
                VerdictKind::RunsHere,
                Some(15.1),
                "which brings 1.5 GB to it each step",
            ),
            (
                4,
                5e8,
                VerdictKind::OnServer,
                None,
                "1.5 GB would have to be brought",
            ),
        ] {
            let verdict = with(gib, upload);
            assert_eq!(verdict.kind, kind, "{gib} {upload}");
            let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-6;
            assert_eq!(verdict.seconds.is_some(), seconds.is_some());
            assert!(verdict.seconds.zip(seconds).is_none_or(near), "{verdict:?}");
            assert!(verdict.reason.contains(reason), "{}", verdict.reason);
        }
    }

    #[test]
    fn what_cannot_run_here_says_why() {
        let none = CapabilityReport::default();
        let software = |speed| {
            let mut report: CapabilityReport = report(speed);
            if let Some(adapter) = &mut report.adapter {
                adapter.software = true;
            }
            report
        };
        let hosted = ModelSummary {
            package_url: None,
            ..model()
        };
        let small = {
            let mut report = report(1e3);
            if let Some(adapter) = &mut report.adapter {
                adapter.max_buffer_size = 32 << 20;
            }
            report
        };
        for (model, report, accept, kind, reason) in [
            (&model(), &none, false, VerdictKind::OnServer, "no WebGPU"),
            (
                &model(),
                &software(2.0),
                false,
                VerdictKind::OnServer,
                "slow software one",
            ),
            (
                &model(),
                &software(2.0),
                true,
                VerdictKind::RunsHereSlowly,
                "2.0 GFLOP/s",
            ),
            (
                &model(),
                &small,
                false,
                VerdictKind::OnServer,
                "maxBufferSize is 32 MiB",
            ),
            (
                &hosted,
                &report(1e3),
                false,
                VerdictKind::OnServer,
                "no package",
            ),
        ] {
            let verdict = verdict(model, report, accept);
            assert_eq!(verdict.kind, kind, "{reason}");
            assert!(verdict.reason.contains(reason), "{}", verdict.reason);
            assert!(verdict.reason.ends_with('.'));
        }
    }

    #[test]
    fn nothing_is_estimated_without_a_measurement() {
        let unmeasured = CapabilityReport {
            adapter: report(1e3).adapter.map(|adapter| AdapterReport {
                speed: None,
                ..adapter
            }),
            ..report(1e3)
        };
        let uncounted = ModelSummary {
            work: None,
            ..model()
        };
        for verdict in [
            verdict(&model(), &unmeasured, false),
            verdict(&uncounted, &report(1e3), false),
        ] {
            assert_eq!(verdict.kind, VerdictKind::RunsHere);
            assert_eq!(verdict.seconds, None);
            assert!(verdict.reason.contains("not known"));
        }
    }

    #[test]
    fn operations_have_the_unit_that_fits() {
        assert_eq!(operations(38e9, ""), "38 GFLOP");
        assert_eq!(operations(1.44e12, "/s"), "1.4 TFLOP/s");
        assert_eq!(operations(9.2e6, ""), "9.2 MFLOP");
    }
}
