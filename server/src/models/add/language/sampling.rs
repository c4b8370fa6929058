//! How a pipeline drives its scheduler.

use anyhow::{Context, bail, ensure};
use diffusion::scheduler::samplers::{Flow, FlowSampler, Grid, Shift, TimeShift};
use diffusion::scheduler::{Prediction, SchedulerKind};

use super::Language;

impl Language {
    /// The scheduler as the pipeline drives it.
    ///
    /// # Errors
    /// For schedulers that it cannot drive.
    ///
    /// `channels` are those of the denoiser.
    pub fn scheduler(
        self,
        stated: SchedulerKind,
        channels: Option<u64>,
    ) -> anyhow::Result<SchedulerKind> {
        match (self, stated) {
            (Self::Klein { .. }, SchedulerKind::Flow(FlowSampler::Euler(flow))) => klein(flow),
            (Self::ZImage, SchedulerKind::Flow(FlowSampler::Euler(flow))) => Ok(in_steps(flow)),
            (Self::Lumina2, SchedulerKind::Flow(FlowSampler::Euler(flow))) => {
                let channels =
                    channels.context("config.json of the denoiser has no in_channels")?;
                Ok(lumina2(flow, channels))
            }
            (Self::Klein { .. } | Self::ZImage | Self::Lumina2, _) => {
                bail!("the pipeline steps with FlowMatchEulerDiscreteScheduler alone")
            }
            (Self::Sana, stated) => sana(stated),
            (Self::SanaSprint, SchedulerKind::Flow(FlowSampler::Scm { sigma_data, .. })) => {
                Ok(SchedulerKind::Flow(FlowSampler::Scm {
                    sigma_data,
                    flow: true,
                }))
            }
            (Self::SanaSprint, _) => bail!("the pipeline steps with SCMScheduler alone"),
        }
    }
}

/// Euler steps through levels that the pipeline passes.
fn in_steps(mut flow: Flow) -> SchedulerKind {
    flow.grid = Grid::Steps;
    SchedulerKind::Flow(FlowSampler::Euler(flow))
}

/// The pipeline has a shift of its own where the file has one by tokens.
fn klein(mut flow: Flow) -> anyhow::Result<SchedulerKind> {
    if let Shift::Tokens(by) = flow.shift {
        ensure!(
            by.time_shift_type == TimeShift::Exponential,
            "time_shift_type of the scheduler is not exponential"
        );
        flow.shift = Shift::Flux2;
    }
    Ok(in_steps(flow))
}

/// The pipeline takes the latents' channels for their tokens, so a shift by tokens is the same for pictures of all sizes.
fn lumina2(mut flow: Flow, channels: u64) -> SchedulerKind {
    if let Shift::Tokens(by) = flow.shift {
        let (base, most) = (
            f64::from(by.base_image_seq_len),
            f64::from(by.max_image_seq_len),
        );
        let slope = (by.max_shift - by.base_shift) / (most - base);
        let mu = by.base_shift + slope * (channels as f64 - base);
        flow.shift = match by.time_shift_type {
            TimeShift::Exponential => Shift::Exponential(mu),
            TimeShift::Linear => Shift::Linear(mu),
        };
    }
    in_steps(flow)
}

/// The pipeline passes no levels: any scheduler that goes through those of a flow will do.
fn sana(stated: SchedulerKind) -> anyhow::Result<SchedulerKind> {
    match &stated {
        SchedulerKind::Flow(
            FlowSampler::Euler(flow) | FlowSampler::Stochastic(flow) | FlowSampler::Heun(flow),
        ) => {
            let by_tokens = matches!(flow.shift, Shift::Tokens(_));
            ensure!(
                !by_tokens,
                "use_dynamic_shifting of the scheduler: the pipeline tells it no tokens to shift by"
            );
        }
        other => {
            let flow = other.diffusion().is_some_and(|(_, training)| {
                training.sigmas.flow_shift.is_some()
                    && training.prediction_type == Prediction::FlowPrediction
            });
            ensure!(
                flow,
                "the pipeline goes through a flow: its scheduler needs use_flow_sigmas and the prediction_type flow_prediction, or has to \
                 be FlowMatchEulerDiscreteScheduler"
            );
        }
    }
    Ok(stated)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use diffusion::scheduler::TrainingSchedule;
    use diffusion::scheduler::samplers::{Sampler, TokenShift};
    use diffusion::scheduler::sigmas::Sigmas;

    use super::*;

    fn euler(shift: Shift) -> SchedulerKind {
        SchedulerKind::Flow(FlowSampler::Euler(Flow {
            num_train_timesteps: 1000,
            shift,
            grid: Grid::Trained,
            shift_terminal: None,
            sigmas: Sigmas::default(),
        }))
    }

    fn shift_of(kind: &SchedulerKind) -> Option<Shift> {
        match kind {
            SchedulerKind::Flow(FlowSampler::Euler(flow)) => Some(flow.shift),
            _ => None,
        }
    }

    /// `calculate_shift(16, 256, 4096, 0.5, 1.15)` of diffusers' Lumina-2: 0.65 / 3840 · (16 - 256) + 0.5 = 0.459375.
    #[test]
    fn lumina_is_shifted_by_its_channels() {
        let by = TokenShift {
            time_shift_type: TimeShift::Exponential,
            base_shift: 0.5,
            max_shift: 1.15,
            base_image_seq_len: 256,
            max_image_seq_len: 4096,
        };
        let lumina = |shift, channels| Language::Lumina2.scheduler(euler(shift), channels);
        let dynamic = shift_of(&lumina(Shift::Tokens(by), Some(16)).unwrap());
        let near = |mu: f64| (mu - 0.459_375).abs() < 1e-12;
        assert!(
            matches!(dynamic, Some(Shift::Exponential(mu)) if near(mu)),
            "{dynamic:?}"
        );
        let fixed = lumina(Shift::Static(6.0), Some(16)).unwrap();
        assert_eq!(shift_of(&fixed), Some(Shift::Static(6.0)));
        assert!(lumina(Shift::Static(6.0), None).is_err());
    }

    #[test]
    fn schedulers_that_a_pipeline_cannot_drive_are_refused() {
        let by = TokenShift {
            time_shift_type: TimeShift::Exponential,
            base_shift: 0.5,
            max_shift: 1.15,
            base_image_seq_len: 256,
            max_image_seq_len: 4096,
        };
        let error = |language: Language, kind| {
            let driven = language.scheduler(kind, Some(16));
            driven.unwrap_err().to_string()
        };
        let ddim = || SchedulerKind::Diffusion {
            sampler: Sampler::Ddim { eta: 0.0 },
            training: TrainingSchedule::stable_diffusion(),
        };
        let dynamic = euler(Shift::Tokens(by));
        assert!(error(Language::Sana, dynamic).contains("use_dynamic_shifting"));
        assert!(error(Language::Sana, ddim()).contains("use_flow_sigmas"));
        let plain = || euler(Shift::Static(3.0));
        assert!(error(Language::SanaSprint, plain()).contains("SCMScheduler"));
        assert!(error(Language::Lumina2, ddim()).contains("FlowMatchEuler"));
        assert!(Language::Sana.scheduler(plain(), None).is_ok());
    }
}
