//! The options of diffusers' scheduler classes, and what becomes of each: applied or refused, by name.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Classes, options and defaults of diffusers, see tests/models/scheduler_classes.py.
static CLASSES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("classes.json")).unwrap_or_default());

/// Keys that files of 2022 have and no class reads any more.
const FORMER: [&str; 2] = ["tensor_format", "timestep_values"];

/// The options of a class with their defaults.
pub(super) fn of_class(class: &str) -> Option<&'static Map<String, Value>> {
    CLASSES.get(class)?.as_object()
}

/// Whether diffusers passes over a key that the file's own class does not have: files keep what other classes said.
pub(super) fn is_of_another_class(key: &str) -> bool {
    let mut classes = CLASSES.values().filter_map(Value::as_object);
    key.starts_with('_')
        || FORMER.contains(&key)
        || classes.any(|options| options.contains_key(key))
}

/// The classes that are read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Ddim,
    Ddpm,
    Pndm,
    Euler,
    EulerAncestral,
    Lms,
    Heun,
    DpmMultistep,
    DpmSinglestep,
    UniPc,
    Deis,
    Lcm,
    Tcd,
    FlowEuler,
    FlowHeun,
    Scm,
    /// Sampled by Euler steps through the same noise.
    InPlace,
}

impl Class {
    pub fn of(class: &str) -> Option<Self> {
        Some(match class {
            "DDIMScheduler" | "DDIMParallelScheduler" => Self::Ddim,
            "DDPMScheduler" | "DDPMParallelScheduler" => Self::Ddpm,
            "PNDMScheduler" => Self::Pndm,
            "EulerDiscreteScheduler" => Self::Euler,
            "EulerAncestralDiscreteScheduler" => Self::EulerAncestral,
            "LMSDiscreteScheduler" => Self::Lms,
            "HeunDiscreteScheduler" => Self::Heun,
            "DPMSolverMultistepScheduler" => Self::DpmMultistep,
            "DPMSolverSinglestepScheduler" => Self::DpmSinglestep,
            "UniPCMultistepScheduler" => Self::UniPc,
            "DEISMultistepScheduler" => Self::Deis,
            "LCMScheduler" => Self::Lcm,
            "TCDScheduler" => Self::Tcd,
            "FlowMatchEulerDiscreteScheduler" => Self::FlowEuler,
            "FlowMatchHeunDiscreteScheduler" => Self::FlowHeun,
            "SCMScheduler" => Self::Scm,
            "KDPM2DiscreteScheduler"
            | "KDPM2AncestralDiscreteScheduler"
            | "DPMSolverSDEScheduler" => Self::InPlace,
            _ => return None,
        })
    }
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It shapes noise and steps of the package.
    Applied,
    /// The same, where this other option is on.
    Beside(&'static str),
    /// It must have one of these values, as JSON: it is refused otherwise.
    Only(&'static [&'static str]),
    /// The class reads it nowhere, or only beside another option that is refused.
    Idle,
    /// It is about how the class's own sampler goes, in whose place Euler steps are.
    Sampler,
}

const OFF: Fate = Fate::Only(&["false", "null"]);
/// Names of other classes' solvers that a class takes for its own.
const SOLVERS: [&str; 5] = [
    "\"midpoint\"",
    "\"heun\"",
    "\"logrho\"",
    "\"bh1\"",
    "\"bh2\"",
];

/// What becomes of an option of diffusers; nothing for one that is not known.
pub(super) fn fate(class: Class, option: &str) -> Option<Fate> {
    use Class::{
        Ddim, Ddpm, Deis, DpmMultistep, DpmSinglestep, FlowEuler, Heun, InPlace, Lcm, Pndm, Scm,
        Tcd, UniPc,
    };
    let distilled = matches!(class, Lcm | Tcd);
    Some(match option {
        "num_train_timesteps" if class == Scm => Fate::Idle,
        "prediction_type" if class == Scm => Fate::Only(&["\"trigflow\""]),
        "timestep_spacing" | "steps_offset" if distilled => Fate::Idle,
        "set_alpha_to_one" if distilled => Fate::Idle,
        "clip_sample" | "clip_sample_range" if class == Tcd => Fate::Idle,
        "timestep_scaling" if class == Tcd => Fate::Idle,
        "num_train_timesteps"
        | "beta_start"
        | "beta_end"
        | "beta_schedule"
        | "trained_betas"
        | "prediction_type"
        | "timestep_spacing"
        | "steps_offset"
        | "rescale_betas_zero_snr"
        | "use_karras_sigmas"
        | "use_exponential_sigmas"
        | "use_beta_sigmas"
        | "use_lu_lambdas"
        | "sigma_min"
        | "sigma_max"
        | "interpolation_type"
        | "timestep_type"
        | "final_sigmas_type"
        | "lambda_min_clipped"
        | "original_inference_steps"
        | "timestep_scaling"
        | "shift"
        | "stochastic_sampling"
        | "sigma_data" => Fate::Applied,
        "set_alpha_to_one" if matches!(class, Ddim | Pndm) => Fate::Applied,
        "clip_sample" if matches!(class, Ddim | Ddpm | Heun | Lcm) => Fate::Applied,
        "clip_sample_range" if matches!(class, Ddim | Ddpm | Heun | Lcm) => {
            Fate::Beside("clip_sample")
        }
        "thresholding" | "invert_sigmas" => OFF,
        "dynamic_thresholding_ratio" | "sample_max_value" => Fate::Idle,
        "use_flow_sigmas" => Fate::Applied,
        "flow_shift" => Fate::Beside("use_flow_sigmas"),
        "use_dynamic_shifting" if class == FlowEuler => Fate::Applied,
        "use_dynamic_shifting" => OFF,
        "base_shift" | "max_shift" | "base_image_seq_len" | "max_image_seq_len"
        | "time_shift_type"
            if class == FlowEuler =>
        {
            Fate::Beside("use_dynamic_shifting")
        }
        "time_shift_type" => Fate::Idle,
        "shift_terminal" if class == FlowEuler => Fate::Applied,
        "shift_terminal" => Fate::Only(&["null"]),
        "variance_type" if class == Ddpm => Fate::Applied,
        "variance_type" => Fate::Only(&[
            "null",
            "\"fixed_small\"",
            "\"fixed_small_log\"",
            "\"fixed_large\"",
            "\"fixed_large_log\"",
        ]),
        "skip_prk_steps" => Fate::Only(&["true"]),
        "algorithm_type" if class == Deis => {
            Fate::Only(&["\"deis\"", "\"dpmsolver\"", "\"dpmsolver++\""])
        }
        "solver_type" if class == Deis => Fate::Only(&SOLVERS),
        "solver_order" | "solver_type" | "lower_order_final" | "algorithm_type"
            if matches!(class, DpmMultistep | DpmSinglestep | UniPc | Deis) =>
        {
            Fate::Applied
        }
        "euler_at_final" => Fate::Applied,
        "predict_x0" => Fate::Only(&["true"]),
        "disable_corrector" => Fate::Only(&["[]", "null"]),
        "solver_p" => Fate::Only(&["null"]),
        "noise_sampler_seed" if class == InPlace => Fate::Sampler,
        _ => return None,
    })
}
