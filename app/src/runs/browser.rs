//! Making a picture from the browser's main thread; the model itself runs in a worker, or on the server.

mod drive;
mod input;
mod kept;
mod local;
mod remote;
mod steering;
mod worker;
mod workers;

use std::cell::Cell;

use protocol::{ModelSummary, Policy, Problem, ProblemCode, ResolvedRequest};

use self::drive::Drive;
use super::RunHandle;
use super::run::{Finished, Phase};
use super::start::Chosen;
use crate::browser::time;

pub(crate) use self::kept::{KeptJob, found as kept_job};
pub(crate) use self::local::{End, probe, processor};
pub(crate) use self::steering::{Steering, Wish, Wishes};
pub(crate) use self::worker::address;
pub(crate) use self::workers::{put_back_unless_replaced, take_any};

/// What is to be made, and where it may be.
pub(crate) struct Order {
    /// The model.
    pub(crate) model: ModelSummary,
    /// The checked request.
    pub(crate) request: ResolvedRequest,
    /// Where it may be made.
    pub(crate) policy: Policy,
    /// Whether a software adapter counts as a GPU.
    pub(crate) accept_software: bool,
    /// What it begins with, and the strength.
    pub(crate) begun: Option<(Chosen, f32)>,
    /// The job on the server that makes it already.
    pub(crate) job: Option<KeptJob>,
}

/// How a run ends without a picture.
enum Stop {
    Cancelled,
    Failed(Problem),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

thread_local! {
    /// Whether a picture is being made in this tab: there is one worker, and two runs would slow each other down.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Whether a picture is being made in this tab.
pub(crate) fn is_busy() -> bool {
    BUSY.get()
}

/// The right to make a picture now.
pub(crate) struct Turn {
    run: RunHandle,
    steering: Steering,
}

impl Drop for Turn {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}

impl RunHandle {
    /// Takes the turn and begins to show the run; where another run has it, that is shown as the end of this one.
    pub(crate) fn take_turn(self) -> Option<Turn> {
        if BUSY.replace(true) {
            let busy = Problem::new(
                ProblemCode::Conflict,
                "another picture is being made in this tab",
            );
            self.end(Phase::Failed(
                busy.with_hint("Wait for it, or cancel it under “Create”."),
            ));
            return None;
        }
        let (wishes, steering) = steering::steering();
        self.begin(wishes);
        Some(Turn {
            run: self,
            steering,
        })
    }
}

impl Turn {
    /// Makes what `order` says and shows how that goes. The finished picture passes through `finish` before it is shown.
    pub(crate) async fn make(
        mut self,
        order: impl Future<Output = Result<Order, Problem>>,
        finish: impl AsyncFnOnce(Finished) -> Finished,
    ) {
        let run = self.run;
        let began_ms = time::now_ms();
        let steering = &mut self.steering;
        let made = async {
            let order = order.await?;
            run.update(|state| state.request = Some(order.request.clone()));
            Drive::new(run, order, began_ms).run(steering).await
        };
        let phase = match made.await {
            Ok(done) => Phase::Done(Box::new(finish(done).await)),
            Err(Stop::Cancelled) => Phase::Cancelled,
            Err(Stop::Failed(problem)) => Phase::Failed(problem),
        };
        // Whoever hears of the end may take the next turn at once.
        drop(self);
        run.end(phase);
    }
}
