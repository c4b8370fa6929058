//! UniPC (Zhao et al., arXiv:2302.04867): a predictor, corrected once the answer to what it predicted is known. Registers 0
//! to 2 are earlier pictures, the newest first; 3 is the sample that the last prediction started from.

use serde::{Deserialize, Serialize};

use super::super::Wanted;
use super::super::program::{Evaluation, Program, Register, Sum};
use super::super::training::TrainingSchedule;
use super::LATENTS;
use super::lambda::{Class, Level, schedule};

const STARTED: usize = 3;
/// Highest order.
const MAX_ORDER: usize = 3;

/// Settings of the solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UniPc {
    /// Pictures that a step goes by, 1 to 3.
    pub solver_order: u8,
    /// What differences of pictures are weighed with.
    pub solver_type: Weight,
    /// Whether the steps end in lower orders.
    pub lower_order_final: bool,
}

/// What differences of pictures are weighed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// `h`.
    Bh1,
    /// `exp(h) - 1`.
    Bh2,
}

pub(super) fn program(training: &TrainingSchedule, solver: UniPc, wanted: Wanted) -> Program {
    let (timesteps, levels) = schedule(training, Class::UniPc, wanted);
    let count = timesteps.len();
    let most = usize::from(solver.solver_order).clamp(1, MAX_ORDER);
    let order = |index: usize| {
        let most = if solver.lower_order_final {
            most.min(count - index)
        } else {
            most
        };
        most.min(index + 1)
    };
    let earlier = |i| Sum::of(Register::Kept(i));
    let evaluation = |(index, &timestep): (usize, &f64)| {
        let picture = levels[index].picture(training.prediction_type);
        // Pictures of this evaluation and those before it.
        let pictures = [picture, earlier(0), earlier(1), earlier(2)];
        let start = if index == 0 {
            Sum::of(LATENTS)
        } else {
            let step = Step::new(&levels, index - 1, order(index - 1), solver.solver_type);
            step.corrected(earlier(STARTED), &pictures)
        };
        let step = Step::new(&levels, index, order(index), solver.solver_type);
        Evaluation::new(timestep, step.predicted(start, &pictures), picture)
            .at_level(levels[index].alpha, levels[index].sigma)
            .keeping(vec![
                (STARTED, start),
                (2, earlier(1)),
                (1, earlier(0)),
                (0, picture),
            ])
    };
    Program::of_single(1.0, timesteps.iter().enumerate().map(evaluation))
}

/// A step between two levels by pictures at the levels before it.
struct Step {
    keep: f64,
    /// Share of the picture at its beginning.
    gain: f64,
    /// What differences of pictures are weighed with.
    weight: f64,
    /// Places of the earlier pictures, and 1 for its end, as shares of the step.
    places: Vec<f64>,
    /// What the differences are to give, by powers of the places.
    moments: Vec<f64>,
}

impl Step {
    fn new(levels: &[Level], index: usize, order: usize, weight: Weight) -> Self {
        let (from, to) = (levels[index], levels[index + 1]);
        let h = to.lambda - from.lambda;
        let fallen = libm::expm1(-h);
        let mut places: Vec<f64> = (1..order)
            .map(|i| (levels[index - i].lambda - from.lambda) / h)
            .collect();
        places.push(1.0);
        let b = match weight {
            Weight::Bh1 => -h,
            Weight::Bh2 => fallen,
        };
        let (mut phi, mut factorial) = (fallen / -h - 1.0, 1.0);
        let mut moments = Vec::new();
        for i in 1..=order {
            moments.push(phi * factorial / b);
            factorial *= i as f64 + 1.0;
            phi = phi / -h - 1.0 / factorial;
        }
        Self {
            keep: to.sigma / from.sigma,
            gain: -to.alpha * fallen,
            weight: -to.alpha * b,
            places,
            moments,
        }
    }

    fn order(&self) -> usize {
        self.places.len()
    }

    /// The sample at the end, of `start` and the pictures from its beginning on, the newest first.
    fn predicted(&self, start: Sum, pictures: &[Sum]) -> Sum {
        let base = start * self.keep + pictures[0] * self.gain;
        let shares = match self.order() {
            1 => return base,
            2 => vec![0.5],
            order => solved(&self.places[..order - 1], &self.moments[..order - 1]),
        };
        base + self.differences(&shares, pictures[0], &pictures[1..])
    }

    /// The same once the picture at the end is known: `pictures` begins with it.
    fn corrected(&self, start: Sum, pictures: &[Sum]) -> Sum {
        let base = start * self.keep + pictures[1] * self.gain;
        let shares = match self.order() {
            1 => vec![0.5],
            _ => solved(&self.places, &self.moments),
        };
        let last = shares.last().copied().unwrap_or_default();
        let known = (pictures[0] - pictures[1]) * (self.weight * last);
        base + known + self.differences(&shares[..shares.len() - 1], pictures[1], &pictures[2..])
    }

    fn differences(&self, shares: &[f64], newest: Sum, earlier: &[Sum]) -> Sum {
        let parts = shares.iter().zip(&self.places).zip(earlier);
        parts.fold(Sum::default(), |sum, ((share, place), picture)| {
            sum + (*picture - newest) * (self.weight * share / place)
        })
    }
}

/// The shares whose sums over the powers 0, 1, … of `places` are `moments`.
fn solved(places: &[f64], moments: &[f64]) -> Vec<f64> {
    let n = places.len();
    let mut rows: Vec<Vec<f64>> = (0..n)
        .map(|power| {
            let row = places.iter().map(|place| place.powi(power as i32));
            row.chain([moments[power]]).collect()
        })
        .collect();
    for pivot in 0..n {
        let top = rows[pivot].clone();
        for row in rows.iter_mut().skip(pivot + 1) {
            let factor = row[pivot] / top[pivot];
            for (value, above) in row.iter_mut().zip(&top) {
                *value -= factor * above;
            }
        }
    }
    let mut shares = vec![0.0; n];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| rows[i][j] * shares[j]).sum();
        shares[i] = (rows[i][n] - known) / rows[i][i];
    }
    shares
}
