//! The samplers that a visitor may choose for a model, by the names of A1111 and of diffusers.

use protocol::SamplerName;

use super::SchedulerKind;
use super::samplers::{
    Algorithm, Deis, Dpm, DpmSinglestep, Flow, FlowSampler, Grid, Sampler, Shift, Solver, UniPc,
    Variance, Weight,
};
use super::sigmas::{Sigmas, Spread};

/// A sampler that is none of the model's kind, or none at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sampler {asked:?} is none of this model's; it has {}", .offered.join(", "))]
pub struct UnknownSampler {
    /// The name asked for, cut off after 80 characters.
    pub asked: String,
    /// The names that the model has.
    pub offered: Vec<String>,
}

const SPREADS: [Spread; 4] = [
    Spread::Trained,
    Spread::Karras,
    Spread::Exponential,
    Spread::Beta,
];

/// Samplers of models that were trained with noise of growing β, by A1111's order.
fn of_diffusion() -> Vec<Sampler> {
    let dpm = |solver_order, algorithm_type| Dpm {
        solver_order,
        algorithm_type,
        solver_type: Solver::Midpoint,
        lower_order_final: true,
        euler_at_final: false,
    };
    let single = |algorithm_type| DpmSinglestep {
        solver_order: 2,
        algorithm_type,
        solver_type: Solver::Midpoint,
        lower_order_final: true,
    };
    vec![
        Sampler::DpmMultistep(dpm(2, Algorithm::Plain)),
        Sampler::DpmMultistep(dpm(2, Algorithm::Noise)),
        Sampler::DpmMultistep(dpm(3, Algorithm::Plain)),
        Sampler::DpmMultistep(dpm(3, Algorithm::Noise)),
        Sampler::DpmSinglestep(single(Algorithm::Plain)),
        Sampler::DpmSinglestep(single(Algorithm::Noise)),
        Sampler::EulerAncestral,
        Sampler::Euler,
        Sampler::Lms,
        Sampler::Heun,
        Sampler::Ddim { eta: 0.0 },
        Sampler::Ddpm(Variance::FixedSmall),
        Sampler::Pndm,
        Sampler::UniPc(UniPc {
            solver_order: 2,
            solver_type: Weight::Bh2,
            lower_order_final: true,
        }),
        Sampler::Deis(Deis {
            solver_order: 2,
            lower_order_final: true,
        }),
    ]
}

/// Samplers of models that were distilled to go to the picture at once.
fn of_consistency(own: Sampler) -> Vec<Sampler> {
    let (Sampler::Lcm {
        original_inference_steps,
        ..
    }
    | Sampler::Tcd {
        original_inference_steps,
        ..
    }) = own
    else {
        return Vec::new();
    };
    vec![
        Sampler::Lcm {
            original_inference_steps,
            timestep_scaling: 10.0,
        },
        Sampler::Tcd {
            original_inference_steps,
            eta: 0.3,
        },
    ]
}

impl Sampler {
    /// Whether its class has spread noise levels.
    fn spreads(self) -> bool {
        matches!(
            self,
            Self::Euler
                | Self::Lms
                | Self::Heun
                | Self::DpmMultistep(_)
                | Self::DpmSinglestep(_)
                | Self::UniPc(_)
                | Self::Deis(_)
        )
    }

    /// Its names, where levels are those of the timesteps.
    fn names(self) -> (&'static str, &'static str) {
        let noisy = |algorithm| algorithm == Algorithm::Noise;
        match self {
            Self::Euler => ("Euler", "EulerDiscreteScheduler"),
            Self::EulerAncestral => ("Euler a", "EulerAncestralDiscreteScheduler"),
            Self::Ddpm(_) => ("DDPM", "DDPMScheduler"),
            Self::Pndm => ("PLMS", "PNDMScheduler"),
            Self::Lms => ("LMS", "LMSDiscreteScheduler"),
            Self::Heun => ("Heun", "HeunDiscreteScheduler"),
            Self::DpmMultistep(dpm) => {
                let name = match (dpm.solver_order, noisy(dpm.algorithm_type)) {
                    (1, false) => "DPM++ 1M",
                    (1, true) => "DPM++ 1M SDE",
                    (2, false) => "DPM++ 2M",
                    (2, true) => "DPM++ 2M SDE",
                    (_, false) => "DPM++ 3M",
                    (_, true) => "DPM++ 3M SDE",
                };
                (name, "DPMSolverMultistepScheduler")
            }
            Self::DpmSinglestep(dpm) => {
                let name = match (dpm.solver_order, noisy(dpm.algorithm_type)) {
                    (1, false) => "DPM++ 1S",
                    (1, true) => "DPM++ 1S SDE",
                    (2, false) => "DPM++ 2S",
                    (2, true) => "DPM++ SDE",
                    (_, false) => "DPM++ 3S",
                    (_, true) => "DPM++ 3S SDE",
                };
                (name, "DPMSolverSinglestepScheduler")
            }
            Self::UniPc(_) => ("UniPC", "UniPCMultistepScheduler"),
            Self::Deis(_) => ("DEIS", "DEISMultistepScheduler"),
            Self::Ddim { .. } => ("DDIM", "DDIMScheduler"),
            Self::Lcm { .. } => ("LCM", "LCMScheduler"),
            Self::Tcd { .. } => ("TCD", "TCDScheduler"),
        }
    }
}

/// A name with that of the spread, as A1111 writes them.
fn named((name, class): (&str, &str), spread: Spread) -> SamplerName {
    let suffix = match spread {
        Spread::Trained => "",
        Spread::Karras => " Karras",
        Spread::Exponential => " Exponential",
        Spread::Lu => " Lu",
        Spread::Beta => " Beta",
    };
    SamplerName {
        a1111: format!("{name}{suffix}"),
        diffusers: class.to_owned(),
    }
}

impl FlowSampler {
    fn flow(&self) -> Option<&Flow> {
        match self {
            Self::Euler(flow) | Self::Stochastic(flow) | Self::Heun(flow) => Some(flow),
            Self::Scm { .. } => None,
        }
    }

    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Euler(_) => ("Euler", "FlowMatchEulerDiscreteScheduler"),
            Self::Stochastic(_) => ("LCM", "FlowMatchEulerDiscreteScheduler"),
            Self::Heun(_) => ("Heun", "FlowMatchHeunDiscreteScheduler"),
            Self::Scm { .. } => ("SCM", "SCMScheduler"),
        }
    }
}

impl SchedulerKind {
    /// What the sampler is called.
    pub fn sampler_name(&self) -> SamplerName {
        match self {
            Self::FlowMatchEuler => named(
                ("Euler", "FlowMatchEulerDiscreteScheduler"),
                Spread::Trained,
            ),
            Self::Flow(sampler) => {
                let spread = sampler.flow().map(|flow| flow.sigmas.spread);
                named(sampler.names(), spread.unwrap_or_default())
            }
            Self::Ddim(_) => named(Sampler::Ddim { eta: 0.0 }.names(), Spread::Trained),
            Self::EulerDiscrete(training) => named(Sampler::Euler.names(), training.sigmas.spread),
            Self::Diffusion { sampler, training } => named(sampler.names(), training.sigmas.spread),
        }
    }

    /// The samplers that a model may be sampled with, its own first; no two have one name.
    pub fn alternatives(&self) -> Vec<(SamplerName, Self)> {
        let mut found = vec![(self.sampler_name(), self.clone())];
        let others = match self {
            Self::FlowMatchEuler => of_flow(&Flow {
                num_train_timesteps: 1,
                shift: Shift::Static(1.0),
                grid: Grid::Steps,
                shift_terminal: None,
                sigmas: Sigmas::default(),
            }),
            Self::Flow(sampler) => sampler.flow().map(of_flow).unwrap_or_default(),
            _ => self.of_training(),
        };
        for kind in others {
            let name = kind.sampler_name();
            let known = found.iter().any(|(other, _)| other.a1111 == name.a1111);
            if !known && kind.fault().is_none() {
                found.push((name, kind));
            }
        }
        found
    }

    /// The names of [`Self::alternatives`]; none where there is nothing to choose.
    pub fn choices(&self) -> Vec<SamplerName> {
        let names = self.alternatives().into_iter().map(|(name, _)| name);
        let names: Vec<SamplerName> = names.collect();
        if names.len() > 1 { names } else { Vec::new() }
    }

    /// The model sampled by the sampler of a request, or by its own.
    ///
    /// # Errors
    /// As [`Self::with_sampler`].
    pub fn chosen(&self, sampler: Option<&str>) -> Result<Self, UnknownSampler> {
        sampler.map_or_else(|| Ok(self.clone()), |name| self.with_sampler(name))
    }

    /// The model sampled by the sampler of this name: A1111's, in any case, or the class of diffusers, which is the first of
    /// its class.
    ///
    /// # Errors
    /// [`UnknownSampler`] with the names of [`Self::alternatives`].
    pub fn with_sampler(&self, name: &str) -> Result<Self, UnknownSampler> {
        let alternatives = self.alternatives();
        let by_name = |(known, _): &&(SamplerName, Self)| known.a1111.eq_ignore_ascii_case(name);
        let by_class =
            |(known, _): &&(SamplerName, Self)| known.diffusers.eq_ignore_ascii_case(name);
        let found = alternatives.iter().find(by_name);
        match found.or_else(|| alternatives.iter().find(by_class)) {
            Some((_, kind)) => Ok(kind.clone()),
            None => Err(UnknownSampler {
                asked: name.chars().take(80).collect(),
                offered: alternatives
                    .into_iter()
                    .map(|(name, _)| name.a1111)
                    .collect(),
            }),
        }
    }

    fn of_training(&self) -> Vec<Self> {
        let Some((own, training)) = self.diffusion() else {
            return Vec::new();
        };
        let samplers = match own {
            Sampler::Lcm { .. } | Sampler::Tcd { .. } => of_consistency(own),
            _ => of_diffusion(),
        };
        let of = |sampler: Sampler, spread| {
            let mut training = training.clone();
            training.sigmas = Sigmas {
                spread,
                last: training.sigmas.last,
                lambda_min: training.sigmas.lambda_min,
                flow_shift: training.sigmas.flow_shift,
                ..Sigmas::default()
            };
            Self::Diffusion { sampler, training }
        };
        let flow = training.sigmas.flow_shift.is_some();
        let spread = |sampler: &Sampler, spread: &Spread| {
            *spread == Spread::Trained || (sampler.spreads() && !flow)
        };
        samplers
            .into_iter()
            .flat_map(|sampler| {
                let spreads = SPREADS.into_iter().filter(move |one| spread(&sampler, one));
                spreads.map(move |one| of(sampler, one))
            })
            .collect()
    }
}

fn of_flow(own: &Flow) -> Vec<SchedulerKind> {
    let of = |spread| Flow {
        sigmas: Sigmas {
            spread,
            ..Sigmas::default()
        },
        ..*own
    };
    let plain = of(Spread::Trained);
    let euler = SPREADS.map(|spread| FlowSampler::Euler(of(spread)));
    let others = [FlowSampler::Heun(plain), FlowSampler::Stochastic(plain)];
    let all = euler.into_iter().chain(others);
    all.map(SchedulerKind::Flow).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Prediction, TrainingSchedule, Wanted};
    use super::*;

    fn names(kind: &SchedulerKind) -> Vec<String> {
        let names = kind.alternatives().into_iter();
        names.map(|(name, _)| name.a1111).collect()
    }

    #[test]
    fn every_alternative_has_its_own_name_and_makes_a_program() {
        let lcm = Sampler::Lcm {
            original_inference_steps: 50,
            timestep_scaling: 10.0,
        };
        let of = |sampler, prediction_type| SchedulerKind::Diffusion {
            sampler,
            training: TrainingSchedule {
                prediction_type,
                ..TrainingSchedule::stable_diffusion()
            },
        };
        for (kind, count) in [
            (of(Sampler::Pndm, Prediction::Epsilon), 30),
            (of(Sampler::Euler, Prediction::VPrediction), 30),
            (of(Sampler::Euler, Prediction::Sample), 25),
            (of(lcm, Prediction::Epsilon), 2),
            (SchedulerKind::FlowMatchEuler, 6),
            (
                SchedulerKind::Flow(FlowSampler::Scm {
                    sigma_data: 0.5,
                    flow: false,
                }),
                1,
            ),
        ] {
            let alternatives = kind.alternatives();
            assert!(alternatives.len() >= count, "{:?}", names(&kind));
            assert_eq!(alternatives[0].1, kind);
            for (name, alternative) in &alternatives {
                assert_eq!(kind.with_sampler(&name.a1111).as_ref(), Ok(alternative));
                assert_eq!(&alternative.sampler_name(), name);
                let wanted = Wanted {
                    steps: 7,
                    skip: 0,
                    image_tokens: 64,
                };
                let program = alternative.program(wanted).unwrap();
                assert_eq!(program.steps.len(), 7, "{name:?}");
                let sums = program.evaluations().flat_map(|e| e.latents.terms());
                let finite = sums.into_iter().all(|(_, share)| share.is_finite());
                assert!(finite, "{name:?}");
            }
        }
    }

    #[test]
    fn names_are_those_of_a1111_and_diffusers() {
        let kind = SchedulerKind::EulerDiscrete(TrainingSchedule::stable_diffusion());
        for (name, class) in [
            ("Euler", "EulerDiscreteScheduler"),
            ("Euler a", "EulerAncestralDiscreteScheduler"),
            ("DPM++ 2M Karras", "DPMSolverMultistepScheduler"),
            ("DPM++ 2M SDE Karras", "DPMSolverMultistepScheduler"),
            ("DPM++ 3M SDE", "DPMSolverMultistepScheduler"),
            ("DPM++ SDE", "DPMSolverSinglestepScheduler"),
            ("LMS Karras", "LMSDiscreteScheduler"),
            ("Heun", "HeunDiscreteScheduler"),
            ("DDIM", "DDIMScheduler"),
            ("PLMS", "PNDMScheduler"),
            ("UniPC", "UniPCMultistepScheduler"),
        ] {
            let chosen = kind.with_sampler(&name.to_lowercase()).unwrap();
            let found = chosen.sampler_name();
            assert_eq!((&*found.a1111, &*found.diffusers), (name, class));
        }
        let karras = kind.with_sampler("DPM++ 2M Karras").unwrap().name();
        assert_eq!(karras, "DPM++ 2M Karras (DPMSolverMultistepScheduler)");
        let by_class = kind.with_sampler("PNDMScheduler").unwrap();
        assert_eq!(by_class.sampler_name().a1111, "PLMS");
        let error = kind.with_sampler("LCM").unwrap_err();
        assert!(error.to_string().contains("Euler a"), "{error}");
    }

    /// The noise of the training stays; what belongs to the sampler goes.
    #[test]
    fn a_choice_keeps_what_the_model_was_trained_with() {
        let training = TrainingSchedule {
            prediction_type: Prediction::VPrediction,
            rescale_betas_zero_snr: true,
            sigmas: Sigmas {
                min: Some(0.1),
                spread: Spread::Karras,
                ..Sigmas::default()
            },
            ..TrainingSchedule::stable_diffusion()
        };
        let kind = SchedulerKind::EulerDiscrete(training.clone());
        let chosen = kind.with_sampler("Euler a").unwrap();
        let (sampler, kept) = chosen.diffusion().unwrap();
        assert_eq!(sampler, Sampler::EulerAncestral);
        assert_eq!(kept.sigmas, Sigmas::default());
        let kept = TrainingSchedule {
            sigmas: training.sigmas,
            ..kept.clone()
        };
        assert_eq!(kept, training);
    }

    /// Nothing goes through a flow's levels that does not know them.
    #[test]
    fn models_of_flow_levels_have_solvers_alone() {
        let mut training = TrainingSchedule::stable_diffusion();
        training.prediction_type = Prediction::FlowPrediction;
        training.sigmas.flow_shift = Some(3.0);
        let sampler = of_diffusion()[0];
        let kind = SchedulerKind::Diffusion { sampler, training };
        let names = names(&kind);
        assert!(names.contains(&"UniPC".to_owned()), "{names:?}");
        assert!(
            !names
                .iter()
                .any(|name| name.contains("Euler") || name.contains("Karras"))
        );
    }
}
