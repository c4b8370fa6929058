//! `scheduler_config.json` of diffusers.

use anyhow::{Context, bail, ensure};
use diffusion::scheduler::{SchedulerKind, TrainingSchedule};
use serde_json::{Map, Value, json};

/// Options that change the steps and are not supported; they must be absent, null or this.
const UNSUPPORTED: [(&str, bool); 6] = [
    ("clip_sample", false),
    ("thresholding", false),
    ("rescale_betas_zero_snr", false),
    ("use_karras_sigmas", false),
    ("use_exponential_sigmas", false),
    ("use_beta_sigmas", false),
];
/// Schedulers of the same noise: a model trained with it can be sampled by any of them.
const OTHERS: [&str; 9] = [
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "HeunDiscreteScheduler",
    "DEISMultistepScheduler",
    "DDPMScheduler",
    "EulerAncestralDiscreteScheduler",
];

/// The scheduler, and a note where another one takes the place of the configured one.
pub(super) fn read(config: &Value) -> anyhow::Result<(SchedulerKind, Option<String>)> {
    let class = config
        .get("_class_name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_ddim = class == "DDIMScheduler";
    let stands_in = OTHERS.contains(&class);
    ensure!(
        is_ddim || stands_in || class == "EulerDiscreteScheduler",
        "scheduler_config.json names {class:?}, which is not supported"
    );
    // A stand-in takes the noise of the configuration, not the sampling options of another scheduler.
    for (option, neutral) in UNSUPPORTED {
        let wanted = config
            .get(option)
            .and_then(Value::as_bool)
            .unwrap_or(neutral);
        let of_ddim_alone = option == "clip_sample" || option == "thresholding";
        let counts = match option {
            "rescale_betas_zero_snr" => true,
            _ if of_ddim_alone => is_ddim,
            _ => class == "EulerDiscreteScheduler",
        };
        ensure!(
            !counts || wanted == neutral,
            "{option} of {class} is not supported"
        );
    }
    let trained = config
        .get("trained_betas")
        .is_some_and(|betas| !betas.is_null());
    ensure!(!trained, "trained_betas of {class} is not supported");
    let mut training = Map::new();
    // Defaults are those of diffusers' schedulers.
    for (name, default) in [
        ("num_train_timesteps", json!(1000)),
        ("beta_start", json!(0.0001)),
        ("beta_end", json!(0.02)),
        ("beta_schedule", json!("linear")),
        ("prediction_type", json!("epsilon")),
        (
            "timestep_spacing",
            json!(if class == "EulerDiscreteScheduler" {
                "linspace"
            } else {
                "leading"
            }),
        ),
        ("steps_offset", json!(0)),
    ] {
        let value = config.get(name).filter(|value| !value.is_null());
        training.insert(name.to_owned(), value.cloned().unwrap_or(default));
    }
    if is_ddim {
        let value = config
            .get("set_alpha_to_one")
            .and_then(Value::as_bool)
            .unwrap_or(true);
        training.insert("set_alpha_to_one".to_owned(), json!(value));
    }
    let training: TrainingSchedule = serde_json::from_value(Value::Object(training))
        .with_context(|| format!("a setting of {class} is not supported"))?;
    let kind = if is_ddim {
        SchedulerKind::Ddim(training)
    } else {
        SchedulerKind::EulerDiscrete(training)
    };
    if kind.schedule(1).is_err() {
        bail!("the settings of {class} make no schedule");
    }
    let note = stands_in.then(|| {
        format!("{class} is not there; Euler steps through the same noise take its place")
    });
    Ok((kind, note))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The configuration of Stable Diffusion 1.5.
    fn sd15() -> Value {
        json!({
            "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true,
            "steps_offset": 1, "trained_betas": null, "clip_sample": false
        })
    }

    #[test]
    fn stable_diffusion_is_sampled_by_euler_steps() {
        let (kind, note) = read(&sd15()).unwrap();
        assert_eq!(
            kind,
            SchedulerKind::EulerDiscrete(TrainingSchedule::stable_diffusion())
        );
        assert!(note.unwrap().contains("PNDMScheduler"));
    }

    #[test]
    fn ddim_and_euler_are_taken_as_they_are() {
        let mut config = sd15();
        config["_class_name"] = json!("DDIMScheduler");
        let (kind, note) = read(&config).unwrap();
        assert_eq!(
            kind,
            SchedulerKind::Ddim(TrainingSchedule::stable_diffusion())
        );
        assert_eq!(note, None);
        config["_class_name"] = json!("EulerDiscreteScheduler");
        config["timestep_spacing"] = json!("trailing");
        assert!(
            matches!(read(&config).unwrap().0, SchedulerKind::EulerDiscrete(t) if t.timestep_spacing == diffusion::scheduler::Spacing::Trailing)
        );
    }

    #[test]
    fn what_would_be_sampled_wrongly_is_refused() {
        for (class, option, value) in [
            ("DDIMScheduler", "clip_sample", json!(true)),
            ("DDIMScheduler", "prediction_type", json!("sample")),
            ("DDIMScheduler", "rescale_betas_zero_snr", json!(true)),
            ("EulerDiscreteScheduler", "use_karras_sigmas", json!(true)),
            ("EulerDiscreteScheduler", "trained_betas", json!([0.1, 0.2])),
            ("EulerDiscreteScheduler", "num_train_timesteps", json!(-1)),
            ("FlowMatchEulerDiscreteScheduler", "shift", json!(3.0)),
            ("LCMScheduler", "steps_offset", json!(1)),
        ] {
            let mut config = sd15();
            config["_class_name"] = json!(class);
            config[option] = value;
            assert!(read(&config).is_err(), "{class} {option}");
        }
    }
}
