# /// script
# requires-python = ">=3.10"
# dependencies = ["diffusers==0.42.1", "torch==2.15.0", "numpy==2.4.6"]
# ///
"""Steps of diffusers' schedulers with a toy denoiser, for tests/schedulers.rs.

usage: schedulers.py > schedulers.json
The denoiser answers `0.5 x / (1 + t / 1000) - 0.1` to its scaled input `x` at timestep `t`.
"""
import itertools
import json

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler

START = [0.7, -1.3, 0.05, 2.1]
SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012}
KINDS = {"ddim": DDIMScheduler, "euler-discrete": EulerDiscreteScheduler}


# Options of EulerDiscreteScheduler, and how a manifest says them.
SIGMAS = [
    ({"use_karras_sigmas": True}, {"spread": "karras"}),
    ({"use_exponential_sigmas": True}, {"spread": "exponential"}),
    ({"use_beta_sigmas": True}, {"spread": "beta"}),
    ({"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 9.5}, {"spread": "karras", "min": 0.05, "max": 9.5}),
    ({"interpolation_type": "log_linear"}, {"interpolation": "log_linear"}),
    ({"interpolation_type": "log_linear", "use_exponential_sigmas": True}, {"interpolation": "log_linear", "spread": "exponential"}),
    ({"final_sigmas_type": "sigma_min"}, {"last": "sigma_min"}),
    ({"timestep_type": "continuous", "prediction_type": "v_prediction"}, {"time": "continuous"}),
    ({"timestep_type": "continuous", "use_karras_sigmas": True, "prediction_type": "v_prediction"}, {"time": "continuous", "spread": "karras"}),
]


def run(name, config, steps, theirs=None, ours=None):
    extra = {"clip_sample": False} if name == "ddim" else {}
    known = {key: value for key, value in config.items() if name == "ddim" or key != "set_alpha_to_one"}
    scheduler = KINDS[name].from_config({**known, **extra, **(theirs or {})})
    scheduler.set_timesteps(steps)
    sample = torch.tensor(START, dtype=torch.float32) * scheduler.init_noise_sigma
    samples, denoised = [], []
    for t in scheduler.timesteps:
        x = scheduler.scale_model_input(sample, t)
        answer = 0.5 * x / (1 + t / 1000) - 0.1
        step = scheduler.step(answer.float(), t, sample)
        sample = step.prev_sample
        samples.append(sample.tolist())
        denoised.append(step.pred_original_sample.tolist())
    return {
        "scheduler": {name: {**config, **({"sigmas": ours} if ours else {})}},
        "steps": steps,
        "initial_scale": float(scheduler.init_noise_sigma),
        "timesteps": [float(t) for t in scheduler.timesteps],
        "samples": samples,
        "denoised": denoised,
    }


def main():
    cases = []
    for name, prediction, spacing, steps in itertools.product(
        KINDS, ("epsilon", "v_prediction", "sample"), ("leading", "trailing", "linspace"), (1, 7, 25)
    ):
        config = {**SD, "beta_schedule": "scaled_linear", "prediction_type": prediction, "timestep_spacing": spacing}
        cases.append(run(name, {**config, "steps_offset": 1, "set_alpha_to_one": False}, steps))
    for name, schedule in itertools.product(KINDS, ("linear", "squaredcos_cap_v2")):
        config = {**SD, "beta_schedule": schedule, "prediction_type": "epsilon", "timestep_spacing": "leading"}
        cases.append(run(name, {**config, "steps_offset": 0, "set_alpha_to_one": True}, 10))
    plain = {**SD, "beta_schedule": "scaled_linear", "prediction_type": "epsilon", "timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False}
    for (theirs, ours), steps, spacing in itertools.product(SIGMAS, (1, 2, 7), ("leading", "linspace")):
        prediction = theirs.get("prediction_type", "epsilon")
        cases.append(run("euler-discrete", {**plain, "timestep_spacing": spacing, "prediction_type": prediction}, steps, theirs, ours))
    for name, steps, spacing in itertools.product(KINDS, (1, 5), ("trailing", "linspace")):
        config = {**plain, "timestep_spacing": spacing, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
        cases.append(run(name, config, steps))
    betas = [round(0.01 + 0.03 * i, 2) for i in range(20)]
    for name in KINDS:
        cases.append(run(name, {**plain, "num_train_timesteps": 20, "trained_betas": betas}, 6))
    print(json.dumps(cases, separators=(",", ":")))


main()
