//! From a class's options to the sampler that takes its steps.

use anyhow::ensure;
use diffusion::scheduler::samplers::{
    Algorithm, Deis, Dpm, DpmSinglestep, Flow, FlowSampler, Grid, Sampler, Shift, Solver,
    TokenShift, UniPc, Weight,
};
use diffusion::scheduler::sigmas::{Sigmas, Spread};
use diffusion::scheduler::{Prediction, SchedulerKind, Spacing, TrainingSchedule};
use serde_json::{Value, json};

use super::Options;
use super::options::{Class, Fate, fate};

/// Spreads of noise levels by the option that asks for each.
const SPREADS: [(&str, Spread); 4] = [
    ("use_lu_lambdas", Spread::Lu),
    ("use_karras_sigmas", Spread::Karras),
    ("use_exponential_sigmas", Spread::Exponential),
    ("use_beta_sigmas", Spread::Beta),
];

impl Options<'_> {
    pub(super) fn kind(&self) -> anyhow::Result<SchedulerKind> {
        let sampler = match self.known {
            Class::FlowEuler | Class::FlowHeun => return self.flow(),
            Class::Scm => {
                let sigma_data = self.get("sigma_data")?;
                return Ok(SchedulerKind::Flow(FlowSampler::Scm {
                    sigma_data,
                    flow: false,
                }));
            }
            Class::Ddim => return Ok(SchedulerKind::Ddim(self.training()?)),
            Class::Euler | Class::InPlace => {
                return Ok(SchedulerKind::EulerDiscrete(self.training()?));
            }
            Class::EulerAncestral => Sampler::EulerAncestral,
            Class::Ddpm => Sampler::Ddpm(self.get("variance_type")?),
            Class::Pndm => Sampler::Pndm,
            Class::Lms => Sampler::Lms,
            Class::Heun => Sampler::Heun,
            Class::DpmMultistep => Sampler::DpmMultistep(Dpm {
                solver_order: self.get("solver_order")?,
                algorithm_type: self.algorithm()?,
                solver_type: self.solver()?,
                lower_order_final: self.get("lower_order_final")?,
                euler_at_final: self.get("euler_at_final")?,
            }),
            Class::DpmSinglestep => Sampler::DpmSinglestep(DpmSinglestep {
                solver_order: self.get("solver_order")?,
                algorithm_type: self.algorithm()?,
                solver_type: self.solver()?,
                lower_order_final: self.get("lower_order_final")?,
            }),
            Class::UniPc => Sampler::UniPc(UniPc {
                solver_order: self.get("solver_order")?,
                solver_type: self.weight()?,
                lower_order_final: self.get("lower_order_final")?,
            }),
            Class::Deis => Sampler::Deis(Deis {
                solver_order: self.get("solver_order")?,
                lower_order_final: self.get("lower_order_final")?,
            }),
            Class::Lcm => Sampler::Lcm {
                original_inference_steps: self.get("original_inference_steps")?,
                timestep_scaling: self.get("timestep_scaling")?,
            },
            // The pipelines give no η of their own.
            Class::Tcd => Sampler::Tcd {
                original_inference_steps: self.get("original_inference_steps")?,
                eta: 0.0,
            },
        };
        let training = self.training()?;
        Ok(SchedulerKind::Diffusion { sampler, training })
    }

    /// `algorithm_type` of DPM-Solver, which takes DEIS's for its own.
    fn algorithm(&self) -> anyhow::Result<Algorithm> {
        match self.values.get("algorithm_type").and_then(Value::as_str) {
            Some("deis") => Ok(Algorithm::Plain),
            _ => self.get("algorithm_type"),
        }
    }

    /// `solver_type` of DPM-Solver, which takes other classes' for its own.
    fn solver(&self) -> anyhow::Result<Solver> {
        match self.values.get("solver_type").and_then(Value::as_str) {
            Some("logrho" | "bh1" | "bh2") => Ok(Solver::Midpoint),
            _ => self.get("solver_type"),
        }
    }

    /// `solver_type` of UniPC, which takes other classes' for its own.
    fn weight(&self) -> anyhow::Result<Weight> {
        match self.values.get("solver_type").and_then(Value::as_str) {
            Some("midpoint" | "heun" | "logrho") => Ok(Weight::Bh2),
            _ => self.get("solver_type"),
        }
    }

    fn flow(&self) -> anyhow::Result<SchedulerKind> {
        let shift = if self.or("use_dynamic_shifting", json!(false))? {
            Shift::Tokens(TokenShift {
                time_shift_type: self.get("time_shift_type")?,
                base_shift: self.get("base_shift")?,
                max_shift: self.get("max_shift")?,
                base_image_seq_len: self.get("base_image_seq_len")?,
                max_image_seq_len: self.get("max_image_seq_len")?,
            })
        } else {
            Shift::Static(self.get("shift")?)
        };
        let flow = Flow {
            num_train_timesteps: self.get("num_train_timesteps")?,
            shift,
            grid: Grid::Trained,
            shift_terminal: self.or("shift_terminal", Value::Null)?,
            sigmas: Sigmas {
                spread: self.spread()?,
                ..Sigmas::default()
            },
        };
        Ok(SchedulerKind::Flow(if self.known == Class::FlowHeun {
            FlowSampler::Heun(flow)
        } else if self.or("stochastic_sampling", json!(false))? {
            FlowSampler::Stochastic(flow)
        } else {
            FlowSampler::Euler(flow)
        }))
    }

    fn training(&self) -> anyhow::Result<TrainingSchedule> {
        let flow: bool = self.or("use_flow_sigmas", json!(false))?;
        let spread = self.spread()?;
        ensure!(
            !flow || spread == Spread::Trained,
            "use_flow_sigmas of {} is true beside a spread of noise levels",
            self.class
        );
        let prediction_type: Prediction = self.get("prediction_type")?;
        ensure!(
            flow == (prediction_type == Prediction::FlowPrediction),
            "use_flow_sigmas of {} is {flow}, its prediction_type is {}: neither goes without the other",
            self.class,
            json!(prediction_type)
        );
        let clips = fate(self.known, "clip_sample") == Some(Fate::Applied)
            && self.or("clip_sample", json!(false))?;
        let lambda_min: Option<f64> = match self.values.get("lambda_min_clipped") {
            Some(Value::String(text)) if text == "-Infinity" => None,
            _ => self.or("lambda_min_clipped", Value::Null)?,
        };
        let timestep_spacing = if matches!(self.known, Class::Lcm | Class::Tcd) {
            Spacing::Leading
        } else {
            self.or("timestep_spacing", json!("linspace"))?
        };
        ensure!(
            lambda_min.is_none() || timestep_spacing != Spacing::Trailing,
            "lambda_min_clipped of {} beside the timestep_spacing trailing is not supported",
            self.class
        );
        Ok(TrainingSchedule {
            num_train_timesteps: self.get("num_train_timesteps")?,
            beta_start: self.get("beta_start")?,
            beta_end: self.get("beta_end")?,
            beta_schedule: self.get("beta_schedule")?,
            trained_betas: self.get("trained_betas")?,
            prediction_type,
            timestep_spacing,
            steps_offset: if matches!(self.known, Class::Lcm | Class::Tcd) {
                0
            } else {
                self.or("steps_offset", json!(0))?
            },
            set_alpha_to_one: matches!(self.known, Class::Ddim | Class::Pndm)
                && self.get("set_alpha_to_one")?,
            rescale_betas_zero_snr: self.or("rescale_betas_zero_snr", json!(false))?,
            clip_sample: if clips {
                Some(self.get("clip_sample_range")?)
            } else {
                None
            },
            sigmas: Sigmas {
                spread,
                interpolation: self.or("interpolation_type", json!("linear"))?,
                last: self.or("final_sigmas_type", json!("zero"))?,
                min: self.or("sigma_min", Value::Null)?,
                max: self.or("sigma_max", Value::Null)?,
                time: self.or("timestep_type", json!("discrete"))?,
                lambda_min,
                flow_shift: if flow {
                    Some(self.get("flow_shift")?)
                } else {
                    None
                },
            },
        })
    }

    fn spread(&self) -> anyhow::Result<Spread> {
        let mut found = Spread::Trained;
        for (option, spread) in SPREADS {
            if self.or::<bool>(option, json!(false))? {
                ensure!(
                    found == Spread::Trained,
                    "{option} of {} is true beside another spread of noise levels",
                    self.class
                );
                found = spread;
            }
        }
        Ok(found)
    }
}
