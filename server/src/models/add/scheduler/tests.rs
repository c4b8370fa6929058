#![allow(clippy::unwrap_used)]
use diffusion::scheduler::Spacing;

use super::*;

/// The configuration of Stable Diffusion 1.5.
fn sd15() -> Value {
    json!({
        "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "beta_start": 0.00085, "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true,
        "steps_offset": 1, "trained_betas": null, "clip_sample": false
    })
}

fn of(class: &str, more: Value) -> Value {
    let mut config = sd15();
    config["_class_name"] = json!(class);
    for (option, value) in more.as_object().unwrap() {
        config[option] = value.clone();
    }
    config
}

fn read_as(config: &Value, pipeline: Pipeline) -> anyhow::Result<(SchedulerKind, Vec<String>)> {
    read(config, pipeline)
}

fn training(kind: &SchedulerKind) -> &TrainingSchedule {
    kind.diffusion().unwrap().1
}

#[test]
fn stable_diffusion_is_sampled_by_euler_steps() {
    let (kind, notes) = read_as(&sd15(), Pipeline::DIFFUSERS).unwrap();
    assert_eq!(
        kind,
        SchedulerKind::EulerDiscrete(TrainingSchedule::stable_diffusion())
    );
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("PNDMScheduler") && notes[0].contains("skip_prk_steps"));
}

#[test]
fn ddim_and_euler_are_taken_as_they_are() {
    let config = of("DDIMScheduler", json!({}));
    let (kind, notes) = read_as(&config, Pipeline::DIFFUSERS).unwrap();
    assert_eq!(
        kind,
        SchedulerKind::Ddim(TrainingSchedule::stable_diffusion())
    );
    assert_eq!(notes, [""; 0]);
    let config = of(
        "EulerDiscreteScheduler",
        json!({"timestep_spacing": "trailing"}),
    );
    let (kind, notes) = read_as(&config, Pipeline::DIFFUSERS).unwrap();
    assert_eq!(training(&kind).timestep_spacing, Spacing::Trailing);
    assert_eq!(notes, [""; 0]);
}

/// `StableDiffusionPipeline.__init__` of diffusers 0.42.1 and its ONNX twin set both; optimum's pipelines set neither.
#[test]
fn what_the_pipeline_overrules_is_overruled() {
    for pipeline in [Pipeline::DIFFUSERS, Pipeline::DIFFUSERS_ONNX] {
        for class in [
            "DDIMScheduler",
            "PNDMScheduler",
            "EulerDiscreteScheduler",
            "DPMSolverMultistepScheduler",
        ] {
            let mut without = of(class, json!({}));
            without.as_object_mut().unwrap().remove("steps_offset");
            for config in [
                of(class, json!({"steps_offset": 0})),
                of(class, json!({"steps_offset": 2})),
                without,
            ] {
                let (kind, notes) = read_as(&config, pipeline).unwrap();
                assert_eq!(training(&kind).steps_offset, 1);
                assert!(notes[0].contains("steps_offset") && notes[0].contains(pipeline.name()));
            }
        }
        for config in [
            of("DDIMScheduler", json!({"clip_sample": true})),
            of("DDPMScheduler", json!({"clip_sample": true})),
        ] {
            let (_, notes) = read_as(&config, pipeline).unwrap();
            assert!(notes[0].contains("clip_sample"), "{notes:?}");
        }
    }
    let (kind, notes) = read_as(
        &of("DDIMScheduler", json!({"steps_offset": 0})),
        Pipeline::OPTIMUM,
    )
    .unwrap();
    assert_eq!(training(&kind).steps_offset, 0);
    assert_eq!(notes, [""; 0]);
    let error = read_as(
        &of("DDIMScheduler", json!({"clip_sample": true})),
        Pipeline::OPTIMUM,
    )
    .unwrap_err();
    assert!(error.to_string().contains("clip_sample"), "{error}");
}

/// The class, and nothing else, gives what a file leaves open.
#[test]
fn defaults_are_those_of_the_class() {
    let bare = |class: &str| {
        let (kind, _) = read_as(&json!({"_class_name": class}), Pipeline::DIFFUSERS).unwrap();
        let training = training(&kind).clone();
        (
            training.timestep_spacing,
            training.beta_start,
            training.beta_end,
            training.set_alpha_to_one,
        )
    };
    use Spacing::{Leading, Linspace};
    assert_eq!(bare("DDIMScheduler"), (Leading, 0.0001, 0.02, true));
    assert_eq!(bare("PNDMScheduler"), (Leading, 0.0001, 0.02, false));
    assert_eq!(bare("DDPMScheduler"), (Leading, 0.0001, 0.02, false));
    for class in [
        "EulerDiscreteScheduler",
        "LMSDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
        "DEISMultistepScheduler",
        "EulerAncestralDiscreteScheduler",
        "DPMSolverSinglestepScheduler",
    ] {
        assert_eq!(bare(class), (Linspace, 0.0001, 0.02, false), "{class}");
    }
    for class in [
        "HeunDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "DPMSolverSDEScheduler",
    ] {
        assert_eq!(bare(class), (Linspace, 0.00085, 0.012, false), "{class}");
    }
    // What the writer left at its defaults is the class's, whatever it was then.
    let config = of(
        "EulerDiscreteScheduler",
        json!({"timestep_spacing": "leading", "_use_default_values": ["timestep_spacing"]}),
    );
    assert_eq!(
        training(&read_as(&config, Pipeline::DIFFUSERS).unwrap().0).timestep_spacing,
        Linspace
    );
}

/// Another value than the default of an option, one that a file may have.
fn another(option: &str, default: &Value) -> Value {
    match (option, default) {
        ("beta_schedule", _) => json!("squaredcos_cap_v2"),
        ("trained_betas", _) => json!(vec![0.01; 1000]),
        ("prediction_type", _) => json!("v_prediction"),
        ("timestep_spacing", _) => json!("trailing"),
        ("interpolation_type", _) => json!("log_linear"),
        ("timestep_type", _) => json!("continuous"),
        ("final_sigmas_type", _) => json!("sigma_min"),
        ("sigma_min", _) => json!(0.05),
        ("sigma_max", _) => json!(9.5),
        ("variance_type", _) => json!("learned_range"),
        ("algorithm_type", _) => json!("sde-dpmsolver++"),
        ("solver_type", _) => json!("heun"),
        ("time_shift_type", _) => json!("linear"),
        ("disable_corrector", _) => json!([0]),
        ("clip_sample", _) => json!(true),
        (_, Value::Bool(on)) => json!(!on),
        (_, Value::Number(n)) if n.is_u64() => json!(n.as_u64().unwrap() + 1),
        (_, Value::Number(n)) => json!(n.as_f64().unwrap() * 1.5),
        _ => json!(3),
    }
}

/// Every option of every class of diffusers: it changes the package, is refused by name, or is known to change nothing
/// here. A class or an option of a newer diffusers is none of these until somebody decides.
#[test]
fn every_option_of_every_class_is_applied_or_refused_by_name() {
    let classes: Map<String, Value> = serde_json::from_str(include_str!("classes.json")).unwrap();
    assert!(classes.len() > 40);
    let mut supported = 0;
    for (class, options) in &classes {
        let Some(sampling) = Sampling::of(class) else {
            let error = read_as(&json!({"_class_name": class}), Pipeline::DIFFUSERS).unwrap_err();
            assert!(error.to_string().contains(class), "{error}");
            continue;
        };
        supported += 1;
        // Optimum's pipelines leave every option to the file.
        let plain = json!({"_class_name": class, "clip_sample": false});
        for (option, default) in options.as_object().unwrap() {
            let mut config = plain.clone();
            if option == "rescale_betas_zero_snr" {
                // Nothing can be told from noise alone.
                config["prediction_type"] = json!("v_prediction");
            }
            let (kind, _) = read_as(&config, Pipeline::OPTIMUM).unwrap();
            config[option] = another(option, default);
            let result = read_as(&config, Pipeline::OPTIMUM);
            match fate(sampling, option) {
                Some(Fate::Applied) => {
                    assert_ne!(result.unwrap().0, kind, "{option} of {class} is lost");
                }
                Some(Fate::Off | Fate::NotLearned) => {
                    let error = result.unwrap_err().to_string();
                    assert!(
                        error.contains(option) && error.contains(&**class),
                        "{error}"
                    );
                }
                Some(Fate::Idle) => assert_eq!(result.unwrap().0, kind, "{option} of {class}"),
                Some(Fate::Sampler) => {
                    let (changed, notes) = result.unwrap();
                    assert_eq!(changed, kind);
                    assert!(notes.iter().any(|note| note.contains(option)), "{notes:?}");
                }
                None => unreachable!("{option} of {class}: nobody decided what becomes of it"),
            }
            // Nothing is applied in a form that is not understood.
            if fate(sampling, option) == Some(Fate::Applied) {
                config[option] = json!({"surprise": 1});
                let error = format!("{:#}", read_as(&config, Pipeline::OPTIMUM).unwrap_err());
                assert!(error.contains(option), "{error}");
            }
        }
    }
    assert_eq!(supported, 14);
}

#[test]
fn what_would_be_sampled_wrongly_is_refused() {
    for (class, option, value) in [
        ("DDIMScheduler", "thresholding", json!(true)),
        ("DDIMScheduler", "clip_sample", json!("yes")),
        ("DDIMScheduler", "prediction_type", json!("velocity")),
        ("DDIMScheduler", "rescale_betas_zero_snr", json!(true)),
        ("DDIMScheduler", "predict_epsilon", json!(false)),
        ("DDPMScheduler", "beta_schedule", json!("sigmoid")),
        ("DDPMScheduler", "variance_type", json!("learned_range")),
        (
            "DPMSolverMultistepScheduler",
            "use_flow_sigmas",
            json!(true),
        ),
        ("EulerDiscreteScheduler", "trained_betas", json!([0.1, 0.2])),
        ("EulerDiscreteScheduler", "num_train_timesteps", json!(-1)),
        ("EulerDiscreteScheduler", "sigma_min", json!(-1.0)),
        (
            "EulerDiscreteScheduler",
            "use_tomorrows_sigmas",
            json!(true),
        ),
    ] {
        let config = of(class, json!({option: value}));
        let error = format!("{:#}", read_as(&config, Pipeline::DIFFUSERS).unwrap_err());
        assert!(error.contains(option), "{class} {option}: {error}");
    }
    let both = json!({"use_karras_sigmas": true, "use_beta_sigmas": true});
    assert!(read_as(&of("EulerDiscreteScheduler", both), Pipeline::DIFFUSERS).is_err());
    for class in [
        "FlowMatchEulerDiscreteScheduler",
        "LCMScheduler",
        "TCDScheduler",
        "MyScheduler",
        "",
    ] {
        let error = read_as(&of(class, json!({})), Pipeline::DIFFUSERS).unwrap_err();
        assert!(error.to_string().contains(class), "{error}");
    }
}

/// The solvers spread noise levels over the whole training, Euler over that of its timesteps.
#[test]
fn solvers_spread_noise_over_the_whole_training() {
    let karras = json!({"use_karras_sigmas": true, "timestep_spacing": "leading"});
    let (kind, _) = read_as(
        &of("DPMSolverMultistepScheduler", karras.clone()),
        Pipeline::DIFFUSERS,
    )
    .unwrap();
    let sigmas = training(&kind).sigmas;
    // diffusers: the ends of ((1 - alphas_cumprod) / alphas_cumprod) ** 0.5 of Stable Diffusion.
    assert!((sigmas.min.unwrap() - 0.029_167).abs() < 1e-5, "{sigmas:?}");
    assert!((sigmas.max.unwrap() - 14.614_6).abs() < 1e-3, "{sigmas:?}");
    let (kind, _) = read_as(&of("EulerDiscreteScheduler", karras), Pipeline::DIFFUSERS).unwrap();
    assert_eq!(
        (training(&kind).sigmas.min, training(&kind).sigmas.max),
        (None, None)
    );
}
