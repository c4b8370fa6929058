//! Schedulers of the families, as their folders of diffusers have them and `from_single_file` gives them.

use architectures::original::{Facts, Family, Prediction};
use serde_json::{Value, json};

/// `scheduler_config.json` of a checkpoint.
pub(super) fn of(facts: &Facts, prediction: Prediction) -> Value {
    let mut config = json!({
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "prediction_type": super::named(prediction),
        "steps_offset": 1
    });
    let more = match (facts.family, prediction) {
        (Family::Xl, _) => {
            json!({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"})
        }
        (Family::First | Family::Second, Prediction::Epsilon) if !facts.zero_snr => json!({
            "_class_name": "PNDMScheduler",
            "skip_prk_steps": true,
            "set_alpha_to_one": false,
            "timestep_spacing": "leading"
        }),
        (Family::First | Family::Second, _) => json!({
            "_class_name": "DDIMScheduler",
            "clip_sample": false,
            "set_alpha_to_one": false,
            "timestep_spacing": "leading"
        }),
    };
    let mut add = |more: Value| {
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
    };
    add(more);
    if facts.zero_snr {
        // What was trained to the last time has to begin there (Lin et al., arXiv:2305.08891).
        add(json!({"rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}));
    }
    config
}
