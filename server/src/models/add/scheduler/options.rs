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

/// How a class is sampled here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampling {
    Ddim,
    Euler,
    /// By Euler steps through the same noise; whether its spread noise levels cover the whole training, whatever the
    /// timesteps.
    InPlace {
        whole_range: bool,
    },
}

impl Sampling {
    /// Classes of the same noise: a model that was trained with it can be sampled by any of them.
    pub fn of(class: &str) -> Option<Self> {
        Some(match class {
            "DDIMScheduler" => Self::Ddim,
            "EulerDiscreteScheduler" => Self::Euler,
            "DPMSolverMultistepScheduler"
            | "DPMSolverSinglestepScheduler"
            | "UniPCMultistepScheduler"
            | "DEISMultistepScheduler" => Self::InPlace { whole_range: true },
            "PNDMScheduler"
            | "LMSDiscreteScheduler"
            | "HeunDiscreteScheduler"
            | "DDPMScheduler"
            | "EulerAncestralDiscreteScheduler"
            | "KDPM2DiscreteScheduler"
            | "KDPM2AncestralDiscreteScheduler"
            | "DPMSolverSDEScheduler" => Self::InPlace { whole_range: false },
            _ => return None,
        })
    }
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It shapes noise and steps of the package.
    Applied,
    /// It must be off: it is refused otherwise.
    Off,
    /// It must not say that the denoiser answers with a variance.
    NotLearned,
    /// It has an effect only beside another option that is refused.
    Idle,
    /// It is about how the class's own sampler goes, in whose place Euler steps are.
    Sampler,
}

/// What becomes of an option of diffusers; nothing for one that is not known.
pub(super) fn fate(sampling: Sampling, option: &str) -> Option<Fate> {
    Some(match option {
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
        | "sigma_min"
        | "sigma_max"
        | "interpolation_type"
        | "timestep_type"
        | "final_sigmas_type" => Fate::Applied,
        "set_alpha_to_one" if sampling == Sampling::Ddim => Fate::Applied,
        "set_alpha_to_one" => Fate::Sampler,
        "clip_sample"
        | "thresholding"
        | "use_flow_sigmas"
        | "use_dynamic_shifting"
        | "use_lu_lambdas" => Fate::Off,
        "variance_type" => Fate::NotLearned,
        "clip_sample_range"
        | "dynamic_thresholding_ratio"
        | "sample_max_value"
        | "flow_shift"
        | "time_shift_type"
        | "shift_terminal" => Fate::Idle,
        "skip_prk_steps" | "solver_order" | "solver_type" | "solver_p" | "algorithm_type"
        | "lower_order_final" | "euler_at_final" | "lambda_min_clipped" | "predict_x0"
        | "disable_corrector" | "noise_sampler_seed" => Fate::Sampler,
        _ => return None,
    })
}
