#![allow(clippy::unwrap_used)]
use diffusion::scheduler::samplers::{Algorithm, FlowSampler, Sampler, Shift};
use diffusion::scheduler::sigmas::Spread;
use diffusion::scheduler::{Spacing, TrainingSchedule};

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

fn training_of(kind: &SchedulerKind) -> &TrainingSchedule {
    kind.diffusion().unwrap().1
}

#[test]
fn stable_diffusion_is_sampled_as_its_file_says() {
    let (kind, notes) = read_as(&sd15(), Pipeline::DIFFUSERS).unwrap();
    let (sampler, training) = kind.diffusion().unwrap();
    assert_eq!(sampler, Sampler::Pndm);
    assert_eq!(training, &TrainingSchedule::stable_diffusion());
    assert_eq!(notes, [""; 0]);
    assert_eq!(kind.sampler_name().a1111, "PLMS");
}

#[test]
fn a_class_that_is_not_there_has_a_stand_in_with_a_note() {
    let config = of("DPMSolverSDEScheduler", json!({"noise_sampler_seed": 3}));
    let (kind, notes) = read_as(&config, Pipeline::DIFFUSERS).unwrap();
    assert_eq!(kind.diffusion().unwrap().0, Sampler::Euler);
    assert_eq!(notes.len(), 1);
    assert!(notes[0].contains("DPMSolverSDEScheduler") && notes[0].contains("noise_sampler_seed"));
}

/// The settings of published models, each as its repository has them.
#[test]
fn files_of_published_models_are_read() {
    let name = |config: Value| {
        let (kind, notes) = read_as(&config, Pipeline::OPTIMUM).unwrap();
        assert_eq!(notes, [""; 0]);
        (kind.sampler_name().a1111, kind)
    };
    let karras = json!({"use_karras_sigmas": true, "algorithm_type": "sde-dpmsolver++"});
    let (sampler, kind) = name(of("DPMSolverMultistepScheduler", karras));
    assert_eq!(sampler, "DPM++ 2M SDE Karras");
    let Some((Sampler::DpmMultistep(dpm), training)) = kind.diffusion() else {
        unreachable!("{kind:?}")
    };
    assert_eq!(
        (dpm.solver_order, dpm.algorithm_type),
        (2, Algorithm::Noise)
    );
    assert_eq!(training.sigmas.spread, Spread::Karras);
    // Whole range, whatever the spacing: the solver knows.
    assert_eq!((training.sigmas.min, training.sigmas.max), (None, None));
    let lcm = json!({"original_inference_steps": 50, "timestep_scaling": 10.0, "timestep_spacing": "leading"});
    assert_eq!(name(of("LCMScheduler", lcm)).0, "LCM");
    let sd3 = json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0});
    let (_, kind) = name(sd3);
    let SchedulerKind::Flow(FlowSampler::Euler(flow)) = kind else {
        unreachable!("{kind:?}")
    };
    assert_eq!(flow.shift, Shift::Static(3.0));
    let flux = json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "base_image_seq_len": 256, "base_shift": 0.5,
        "max_image_seq_len": 4096, "max_shift": 1.15, "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": true});
    let (_, kind) = name(flux);
    let SchedulerKind::Flow(FlowSampler::Euler(flow)) = kind else {
        unreachable!("{kind:?}")
    };
    assert!(matches!(flow.shift, Shift::Tokens(_)), "{flow:?}");
    let sprint = json!({"_class_name": "SCMScheduler", "num_train_timesteps": 1000, "prediction_type": "trigflow", "sigma_data": 0.5});
    assert_eq!(name(sprint).0, "SCM");
    let sana = json!({"use_flow_sigmas": true, "prediction_type": "flow_prediction", "flow_shift": 3.0, "solver_order": 2});
    let (_, kind) = name(of("DPMSolverMultistepScheduler", sana));
    assert_eq!(training_of(&kind).sigmas.flow_shift, Some(3.0));
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
    assert_eq!(training_of(&kind).timestep_spacing, Spacing::Trailing);
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
                assert_eq!(training_of(&kind).steps_offset, 1);
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
    assert_eq!(training_of(&kind).steps_offset, 0);
    assert_eq!(notes, [""; 0]);
    let clipped = json!({"clip_sample": true, "clip_sample_range": 1.5});
    let (kind, _) = read_as(&of("DDIMScheduler", clipped.clone()), Pipeline::OPTIMUM).unwrap();
    assert_eq!(training_of(&kind).clip_sample, Some(1.5));
    let (kind, _) = read_as(&of("DDIMScheduler", clipped), Pipeline::DIFFUSERS).unwrap();
    assert_eq!(training_of(&kind).clip_sample, None);
}

/// The class, and nothing else, gives what a file leaves open.
#[test]
fn defaults_are_those_of_the_class() {
    let bare = |class: &str| {
        let config = json!({"_class_name": class, "skip_prk_steps": true});
        let (kind, _) = read_as(&config, Pipeline::DIFFUSERS).unwrap();
        let training = training_of(&kind).clone();
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
        training_of(&read_as(&config, Pipeline::DIFFUSERS).unwrap().0).timestep_spacing,
        Linspace
    );
}

/// Another value than the default of an option, one that a file may have.
fn another(class: Class, option: &str, default: &Value) -> Value {
    match (option, default) {
        ("beta_schedule", _) => json!("squaredcos_cap_v2"),
        ("trained_betas", _) => json!(vec![0.01; 1000]),
        ("prediction_type", _) => json!("v_prediction"),
        ("timestep_spacing", _) => json!("trailing"),
        ("interpolation_type", _) => json!("log_linear"),
        ("timestep_type", _) => json!("continuous"),
        ("final_sigmas_type", _) => json!("sigma_min"),
        ("lambda_min_clipped", _) => json!(-5.1),
        ("sigma_min", _) => json!(0.05),
        ("sigma_max", _) => json!(9.5),
        ("shift_terminal", _) => json!(0.1),
        ("variance_type", _) if class == Class::Ddpm => json!("fixed_large"),
        ("variance_type", _) => json!("learned_range"),
        ("algorithm_type", _) if class == Class::Deis => json!("sde-dpmsolver++"),
        ("algorithm_type", _) => json!("sde-dpmsolver++"),
        ("solver_type", _) if class == Class::UniPc => json!("bh1"),
        ("solver_type", _) if class == Class::Deis => json!("rk4"),
        ("solver_type", _) => json!("heun"),
        ("time_shift_type", _) => json!("linear"),
        ("disable_corrector", _) => json!([0]),
        ("clip_sample", _) => json!(true),
        ("skip_prk_steps", _) => json!(false),
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
    let mut counts = [0; 4];
    for (class, options) in &classes {
        let Some(known) = Class::of(class) else {
            let error = read_as(&json!({"_class_name": class}), Pipeline::DIFFUSERS).unwrap_err();
            assert!(error.to_string().contains(class), "{error}");
            continue;
        };
        counts[0] += 1;
        for (option, default) in options.as_object().unwrap() {
            // Optimum's pipelines leave every option to the file.
            let mut config =
                json!({"_class_name": class, "clip_sample": false, "skip_prk_steps": true});
            let fate = fate(known, option);
            let with_flow =
                option == "use_flow_sigmas" || fate == Some(Fate::Beside("use_flow_sigmas"));
            if option == "rescale_betas_zero_snr" {
                // Nothing can be told from noise alone.
                config["prediction_type"] = json!("v_prediction");
            }
            if let Some(Fate::Beside(other)) = fate {
                config[other] = json!(true);
            }
            if with_flow && option != "use_flow_sigmas" {
                config["prediction_type"] = json!("flow_prediction");
            }
            let (kind, _) = read_as(&config, Pipeline::OPTIMUM).unwrap();
            config[option] = another(known, option, default);
            if with_flow {
                config["prediction_type"] = json!("flow_prediction");
            }
            let result = read_as(&config, Pipeline::OPTIMUM);
            match fate {
                Some(Fate::Applied | Fate::Beside(_)) => {
                    let changed = result.unwrap().0;
                    assert_ne!(changed, kind, "{option} of {class} is lost");
                    counts[1] += 1;
                    if let Some(Fate::Beside(other)) = fate {
                        config[other] = json!(false);
                        config["prediction_type"] = json!("epsilon");
                        let without = read_as(&config, Pipeline::OPTIMUM).unwrap().0;
                        config.as_object_mut().unwrap().remove(option);
                        let (plain, _) = read_as(&config, Pipeline::OPTIMUM).unwrap();
                        assert_eq!(without, plain, "{option} of {class} without {other}");
                        config[other] = json!(true);
                        if with_flow {
                            config["prediction_type"] = json!("flow_prediction");
                        }
                    }
                    // Nothing is applied in a form that is not understood.
                    config[option] = json!({"surprise": 1});
                    let error = format!("{:#}", read_as(&config, Pipeline::OPTIMUM).unwrap_err());
                    assert!(error.contains(option), "{error}");
                }
                Some(Fate::Only(_)) => {
                    let error = result.unwrap_err().to_string();
                    assert!(
                        error.contains(option) && error.contains(&**class),
                        "{error}"
                    );
                    counts[2] += 1;
                }
                Some(Fate::Idle) => {
                    assert_eq!(result.unwrap().0, kind, "{option} of {class}");
                    counts[3] += 1;
                }
                Some(Fate::Sampler) => {
                    let (changed, notes) = result.unwrap();
                    assert_eq!(changed, kind);
                    assert!(notes.iter().any(|note| note.contains(option)), "{notes:?}");
                }
                None => unreachable!("{option} of {class}: nobody decided what becomes of it"),
            }
        }
    }
    println!(
        "{counts:?}: classes; options applied, refused by name, without effect in the class itself"
    );
    assert_eq!(counts[0], 21);
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
        ("DDPMScheduler", "variance_type", json!("fixed_large_log")),
        ("PNDMScheduler", "skip_prk_steps", json!(false)),
        ("PNDMScheduler", "prediction_type", json!("sample")),
        (
            "DPMSolverMultistepScheduler",
            "algorithm_type",
            json!("dpmsolver"),
        ),
        ("DPMSolverMultistepScheduler", "solver_order", json!(4)),
        ("UniPCMultistepScheduler", "predict_x0", json!(false)),
        ("LCMScheduler", "thresholding", json!(true)),
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
    for class in ["SASolverScheduler", "MyScheduler", ""] {
        let error = read_as(&of(class, json!({})), Pipeline::DIFFUSERS).unwrap_err();
        assert!(error.to_string().contains(class), "{error}");
    }
}
