//! One run, from the decision on its place to its picture.

use std::cell::RefCell;

use futures::future::{Either, select};
use protocol::{
    BEARABLE_SECONDS, CapabilityReport, Decision, Demand, JobRequest, Place, Policy, Problem,
    ProblemCode, Reason, Residency, ResolvedRequest, Resume, decide, picture_seconds,
    processor_seconds, steps_taken, streams_here,
};

use super::local::{self, End};
use super::steering::Steering;
use super::{Order, Stop, input, remote};
use crate::browser::{is_online, time};
use crate::format;
use crate::runs::RunHandle;
use crate::runs::recovery::{Action, Machine};
use crate::runs::run::{Finished, Phase, Run};
use crate::worker::fault::Fault;
use crate::worker::message::StateAfter;

/// Work of a picture from which on the device is measured before it is begun.
const LARGE_FLOPS: u64 = 1_000_000_000_000;

/// A run under way.
pub(super) struct Drive {
    run: RunHandle,
    pub(super) order: Order,
    /// What the server is told of the steps that were done here.
    resume: RefCell<Option<Resume>>,
    /// What is known of this browser.
    report: RefCell<CapabilityReport>,
    /// When it was asked for.
    pub(super) began_ms: f64,
}

impl Drive {
    pub(super) fn new(run: RunHandle, order: Order, began_ms: f64) -> Self {
        Self {
            run,
            order,
            resume: RefCell::default(),
            report: RefCell::default(),
            began_ms,
        }
    }

    /// Follows the job that there is already; else browser first where policy and adapter allow it, and after a fault whatever
    /// [`Machine`] says.
    pub(super) async fn run(&self, steering: &mut Steering) -> Result<Finished, Stop> {
        if let Some(job) = &self.order.job {
            self.decide(&job.decision);
            return remote::follow(self, &job.id, steering).await;
        }
        let mut streams = false;
        let (verdict, fault) = match self.probe(steering).await {
            Err(End::Cancelled | End::ToServer) => return Err(Stop::Cancelled),
            _ if self.order.model.package_url.is_none() => (self.on_server_only()?, None),
            Ok(report) => {
                let demand = self.demand();
                let Order {
                    policy,
                    accept_software,
                    ..
                } = self.order;
                streams = streams_here(policy, &report, &demand);
                let decision = decide(policy, &report, &demand, accept_software);
                self.report.replace(report);
                (decision, None)
            }
            Err(End::Fault(fault)) => (
                Decision::new(Place::BrowserGpu, Reason::GpuFits),
                Some(fault),
            ),
        };
        let steps = self.steps();
        let mut machine = Machine::new(self.order.policy, &verdict, steps).streaming(streams);
        let mut state: Option<StateAfter> = None;
        let mut action = match fault {
            None => machine.start(&verdict),
            Some(fault) => machine.after(&fault, is_online()),
        };
        let mut reason = verdict.reason;
        loop {
            action = match action {
                Action::Browser { place, residency } => {
                    self.decide(&Decision {
                        place,
                        reason: reason.clone(),
                        residency,
                    });
                    self.update(|run| run.told = machine.told());
                    if place == Place::BrowserCpu {
                        let left = steps.saturating_sub(machine.steps_done());
                        self.weigh(left, steering).await?;
                    }
                    let progress = local::Progress {
                        machine: &mut machine,
                        state: &mut state,
                    };
                    match local::render(self, place, residency, progress, steering).await {
                        Ok(done) => return Ok(done),
                        Err(End::ToServer) => Action::Server(Reason::VisitorChoice),
                        Err(End::Cancelled) => return Err(Stop::Cancelled),
                        Err(End::Fault(fault)) => {
                            tell_console(&fault);
                            machine.after(&fault, is_online())
                        }
                    }
                }
                Action::WaitForNetwork(why) => {
                    self.update(|run| run.phase = Phase::WaitingForNetwork);
                    wait_for_network(steering).await?;
                    Action::Server(why)
                }
                Action::Server(why) => {
                    reason = why;
                    let decision = Decision::new(Place::Server, reason);
                    self.decide(&decision);
                    // What was tried here in vain is no part of how the picture was made.
                    self.update(|run| run.told.clear());
                    *self.resume.borrow_mut() = state.take().and_then(|state| hand_over(&state));
                    return remote::render(self, decision, steering).await;
                }
                Action::Fail(detail) => return Err(failed(detail)),
            };
        }
    }

    /// The job for the server: the request, what is done of it, and what it begins with, which is sent ahead.
    pub(super) async fn job(&self) -> Result<JobRequest, Problem> {
        let start = match &self.order.begun {
            Some((chosen, strength)) => Some(input::send(chosen, *strength).await?),
            None => None,
        };
        Ok(JobRequest {
            request: self.order.request.clone().into(),
            resume: self.resume.borrow().clone(),
            start,
        })
    }

    /// Steps that are taken.
    fn steps(&self) -> u32 {
        let steps = self.order.request.num_inference_steps;
        let begun = self.order.begun.as_ref();
        begun.map_or(steps, |(_, strength)| steps_taken(steps, *strength))
    }

    /// Least milliseconds for the picture on this browser's GPU, where that was measured.
    pub(super) fn expected_ms(&self, residency: Residency) -> Option<f64> {
        let seconds = picture_seconds(&self.report.borrow(), &self.demand(), residency)?;
        Some(seconds * 1e3)
    }

    async fn probe(&self, steering: &mut Steering) -> Result<CapabilityReport, End> {
        if self.order.policy == Policy::PreferServer {
            return Ok(CapabilityReport::default());
        }
        let report = local::probe(false, steering).await?;
        // Whether layers may be streamed here is a matter of speed, and so is how long a large model's step may take.
        let unmeasured = report.adapter.as_ref().is_some_and(|a| a.speed.is_none());
        let demand = self.demand();
        let held = demand.needs.residency(report.device_memory_bytes);
        let streamed = self.order.policy == Policy::Auto && held == Ok(Residency::Streamed);
        let work = demand.work.map(|work| work.picture(demand.steps).flops);
        let large = work.is_some_and(|flops| flops >= LARGE_FLOPS);
        if unmeasured && (streamed || large) {
            return local::probe(true, steering).await;
        }
        Ok(report)
    }

    fn demand(&self) -> Demand {
        let ResolvedRequest { width, height, .. } = self.order.request;
        self.order.model.demand_for(width, height, self.steps())
    }

    /// Measures the processor, and refuses what it could not finish while anybody waits.
    async fn weigh(&self, steps: u32, steering: &mut Steering) -> Result<(), Stop> {
        let flops_per_second = match local::processor(steering).await {
            Ok(measured) => measured,
            Err(End::Cancelled | End::ToServer) => return Err(Stop::Cancelled),
            Err(End::Fault(fault)) => return Err(failed(fault.to_string())),
        };
        let least = processor_seconds(&self.order.model, flops_per_second, steps);
        if let Some(seconds) = least.filter(|seconds| *seconds > BEARABLE_SECONDS) {
            return Err(failed(format!(
                "this model would take at least {} on this device's processor",
                format::duration(seconds * 1e3)
            )));
        }
        self.update(|run| run.least_ms = least.map(|seconds| seconds * 1e3));
        Ok(())
    }

    fn decide(&self, decision: &Decision) {
        self.update(|run| run.decide(decision.clone()));
    }

    fn on_server_only(&self) -> Result<Decision, Stop> {
        if self.order.policy == Policy::BrowserOnly {
            return Err(Stop::Failed(
                Problem::new(
                    ProblemCode::GenerationFailed,
                    "this model has no package for browsers",
                )
                .with_hint("Choose another model, or “Automatic” under “Where to run”."),
            ));
        }
        Ok(Decision::new(Place::Server, Reason::NoPackage))
    }

    /// Changes what is shown of the run.
    pub(super) fn update(&self, change: impl FnOnce(&mut Run)) {
        self.run.update(change);
    }
}

fn failed(detail: String) -> Stop {
    Stop::Failed(
        Problem {
            title: "The picture could not be made in this browser".into(),
            ..Problem::new(ProblemCode::GenerationFailed, detail)
        }
        .with_hint("Choose “Automatic” or “On the server” under “Where to run” and try again."),
    )
}

async fn wait_for_network(steering: &mut Steering) -> Result<(), Stop> {
    while !is_online() {
        let pause = std::pin::pin!(time::sleep(500));
        let cancelled = std::pin::pin!(steering.cancelled());
        if let Either::Right(_) = select(pause, cancelled).await {
            return Err(Stop::Cancelled);
        }
    }
    Ok(())
}

/// The latents as the server takes them; a picture too large for that begins anew there.
fn hand_over(state: &StateAfter) -> Option<Resume> {
    let registers = state.registers()?;
    let resume = Resume::new(state.step, state.shape, &state.latents()?, &registers);
    resume.read(u32::MAX).is_ok().then_some(resume)
}

/// The fault in full, for whoever looks into it; the page shows one sentence.
fn tell_console(fault: &Fault) {
    leptos::logging::warn!("the run in this browser ended: {fault:?}");
}
