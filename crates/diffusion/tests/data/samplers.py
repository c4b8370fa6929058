# /// script
# requires-python = ">=3.10"
# dependencies = ["diffusers==0.42.1", "torch==2.15.0", "numpy==2.4.6", "scipy==1.17.1"]
# ///
"""Steps of diffusers' schedulers with a toy denoiser, for tests/samplers.rs.

usage: samplers.py > samplers.json
The denoiser answers `cos(2 x + t / 150 + j) + 0.3 sin(5 x)` to its scaled input `x` at timestep `t` and place `j`; the noise of
evaluation `i` is `1.3 sin(1.7 (i + 1) + j)`. `single` is how far diffusers' steps in single precision end from the same steps
in double precision, as a share of the largest value: what no other program can be expected to meet.
"""
import itertools
import json
import logging
import math
import sys
import warnings

import diffusers
import numpy
import torch
from diffusers.schedulers import *  # noqa: F403

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

START = [0.7, -1.3, 0.05, 2.1]
SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SPACINGS = ("leading", "trailing", "linspace")
STEPS = (1, 2, 4, 7, 20)
SPREADS = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas", "lu": "use_lu_lambdas"}
now = 0


class Double:
    """A module whose single precision is double."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, "float64" if name == "float32" else name)


def noise(shape, *_, dtype=torch.float32, **__):
    return torch.tensor([[1.3 * math.sin(1.7 * (now + 1) + j) for j in range(4)]], dtype=dtype)


def answer(x, t):
    places = torch.arange(4, dtype=x.dtype)
    return torch.cos(2 * x + float(t) / 150 + places) + 0.3 * torch.sin(5 * x)


def sampled(kind, options, steps, times, step_options, double):
    global now
    module = sys.modules[kind.__module__]
    if hasattr(module, "randn_tensor"):
        module.randn_tensor = noise
    scheduler = kind(**options)
    scheduler.set_timesteps(steps, **times)
    if double:
        module.torch, module.np = Double(torch), Double(numpy)
        for name, value in vars(scheduler).items():
            if isinstance(value, torch.Tensor) and value.dtype == torch.float32:
                setattr(scheduler, name, value.double())
    timesteps = scheduler.timesteps[:steps] if "SCM" in kind.__name__ else scheduler.timesteps
    scale = getattr(scheduler, "init_noise_sigma", 1.0)
    sample = torch.tensor([START], dtype=torch.float64 if double else torch.float32) * scale
    samples = []
    for now, t in enumerate(timesteps):
        x = scheduler.scale_model_input(sample, t) if hasattr(scheduler, "scale_model_input") else sample
        sample = scheduler.step(answer(x, t), t, sample, **step_options).prev_sample
        samples.append(sample[0].tolist())
    module.torch, module.np = torch, numpy
    return float(scale), [float(t) for t in timesteps], samples


def short(x):
    x = float(f"{x:.9g}")
    return int(x) if x == int(x) else x


def case(scheduler, kind, options, steps, times=None, step_options=None):
    single = sampled(kind, options, steps, times or {}, step_options or {}, False)
    double = sampled(kind, options, steps, times or {}, step_options or {}, True)
    scale, timesteps, samples = single
    if not all(math.isfinite(x) for sample in samples for x in sample):
        print(f"no number: {kind.__name__} {options} {steps}", file=sys.stderr)
        return None
    differences = [max(abs(a - b) for a, b in zip(*pair)) / max(map(abs, pair[0])) for pair in zip(samples, double[2])]
    first_and_last = [samples[0], samples[-1]] if steps > 1 else [samples[-1]]
    return {
        "scheduler": scheduler,
        "steps": steps,
        "initial_scale": short(scale),
        "timesteps": [short(t) for t in timesteps],
        "samples": [[short(x) for x in sample] for sample in first_and_last],
        "single": short(float(f"{max(differences):.1e}")),
    }


def samplers():
    """Our sampler, diffusers' class with its settings, and the predictions that it takes."""
    two, three = ("epsilon", "v_prediction"), ("epsilon", "v_prediction", "sample")
    yield "euler", EulerDiscreteScheduler, {}, three
    yield "euler-ancestral", EulerAncestralDiscreteScheduler, {}, two
    yield {"ddpm": "fixed_small"}, DDPMScheduler, {"clip_sample": False}, three
    yield {"ddpm": "fixed_large"}, DDPMScheduler, {"clip_sample": False, "variance_type": "fixed_large"}, ("epsilon",)
    yield "pndm", PNDMScheduler, {"skip_prk_steps": True}, two
    yield "lms", LMSDiscreteScheduler, {}, three
    yield "heun", HeunDiscreteScheduler, {}, two
    for eta in (0.0, 0.4, 1.0):
        yield {"ddim": {"eta": eta}}, DDIMScheduler, {"clip_sample": False, "set_alpha_to_one": False, "step": {"eta": eta}}, three
    yield {"lcm": {"original_inference_steps": 50, "timestep_scaling": 10.0}}, LCMScheduler, {}, three
    for eta in (0.0, 0.3):
        yield {"tcd": {"original_inference_steps": 50, "eta": eta}}, TCDScheduler, {"step": {"eta": eta}}, three
    for order, weight in itertools.product((1, 2, 3), ("bh1", "bh2")):
        own = {"solver_order": order, "solver_type": weight, "lower_order_final": True}
        yield {"uni-pc": own}, UniPCMultistepScheduler, own, three if (order, weight) == (2, "bh2") else ("epsilon",)
    for order, algorithm, solver in itertools.product((1, 2, 3), ("dpmsolver++", "sde-dpmsolver++"), ("midpoint", "heun")):
        if solver == "heun" and order != 2:
            continue
        own = {"solver_order": order, "algorithm_type": algorithm, "solver_type": solver, "lower_order_final": True, "euler_at_final": False}
        yield {"dpm-multistep": own}, DPMSolverMultistepScheduler, own, three if order == 2 else ("epsilon",)
    for order, algorithm, solver in itertools.product((1, 2, 3), ("dpmsolver++", "sde-dpmsolver++"), ("midpoint", "heun")):
        if solver == "heun" and order == 1:
            continue
        own = {"solver_order": order, "algorithm_type": algorithm, "solver_type": solver, "lower_order_final": True}
        yield {"dpm-singlestep": own}, DPMSolverSinglestepScheduler, own, three if (order, solver) == (2, "midpoint") else ("epsilon",)
    for order in (1, 2, 3):
        own = {"solver_order": order, "lower_order_final": True}
        yield {"deis": own}, DEISMultistepScheduler, own, three if order == 2 else ("epsilon",)


def takes(kind, option):
    return option in diffusers.configuration_utils.inspect.signature(kind.__init__).parameters


def trained(sampler, kind, settings, training, steps, **sigmas):
    """A case of a model that was trained with noise of growing β."""
    own = {k: v for k, v in settings.items() if k != "step"}
    theirs = {**training, **own}
    ours = dict(training)
    last = sigmas.get("last")
    if "spread" in sigmas:
        theirs[SPREADS[sigmas["spread"]]] = True
    for option, name in {"last": "final_sigmas_type", "interpolation": "interpolation_type", "time": "timestep_type", "min": "sigma_min", "max": "sigma_max", "lambda_min": "lambda_min_clipped"}.items():
        if option in sigmas:
            theirs[name] = sigmas[option]
    if sigmas:
        ours["sigmas"] = sigmas
    theirs = {k: v for k, v in theirs.items() if takes(kind, k)}
    return case({"diffusion": {"sampler": sampler, "training": ours}}, kind, theirs, steps, step_options=settings.get("step"))


def main():
    cases = []
    for sampler, kind, settings, predictions in samplers():
        few = (2, 7) if settings.get("solver_order") in (1, 3) else STEPS
        for prediction, spacing, steps in itertools.product(predictions, SPACINGS, few):
            if kind is DPMSolverSinglestepScheduler and spacing != "linspace":
                continue
            if kind is DPMSolverSinglestepScheduler and steps < settings["solver_order"]:
                continue
            training = {**SD, "prediction_type": prediction, "timestep_spacing": spacing}
            # Weighed by h, a last step to no noise at all is no number.
            last = {"last": "sigma_min"} if settings.get("solver_type") == "bh1" else {}
            cases.append(trained(sampler, kind, settings, training, steps, **last))
        linspace = {**SD, "prediction_type": "epsilon", "timestep_spacing": "linspace"}
        plain = len(predictions) > 1 and settings.get("algorithm_type") != "sde-dpmsolver++"
        for spread, steps in itertools.product(SPREADS, (1, 4, 7)):
            if plain and takes(kind, SPREADS[spread]):
                cases.append(trained(sampler, kind, settings, linspace, steps, spread=spread))
        if takes(kind, "final_sigmas_type") and settings.get("solver_order", 2) > 1 and plain:
            cases += [trained(sampler, kind, settings, linspace, steps, last="sigma_min") for steps in (4, 20)]
            cases.append(trained(sampler, kind, settings, linspace, 7, last="sigma_min", spread="karras"))
        if takes(kind, "lambda_min_clipped") and plain:
            cosine = {**linspace, "beta_schedule": "squaredcos_cap_v2"}
            cases += [trained(sampler, kind, settings, cosine, steps, lambda_min=-5.1) for steps in (4, 7)]
        if takes(kind, "rescale_betas_zero_snr") and plain and "ddpm" not in sampler:
            zero = {**SD, "prediction_type": "v_prediction", "timestep_spacing": "trailing", "rescale_betas_zero_snr": True}
            cases += [trained(sampler, kind, settings, zero, steps) for steps in (1, 4, 20)]
        if takes(kind, "clip_sample") and "step" not in settings:
            for steps in (2, 7):
                clipped = {"sampler": sampler, "training": {**linspace, "timestep_spacing": "leading", "clip_sample": 1.5}}
                theirs = {**linspace, "timestep_spacing": "leading", **settings, "clip_sample": True, "clip_sample_range": 1.5}
                cases.append(case({"diffusion": clipped}, kind, {k: v for k, v in theirs.items() if takes(kind, k)}, steps))
        if takes(kind, "lower_order_final") and plain:
            loose = {**settings, "lower_order_final": False}
            name = next(iter(sampler))
            cases += [trained({name: {**sampler[name], "lower_order_final": False}}, kind, loose, linspace, steps) for steps in (4, 20)]
        if kind is DPMSolverMultistepScheduler and plain:
            final = {**settings, "euler_at_final": True}
            cases.append(trained({"dpm-multistep": {**sampler["dpm-multistep"], "euler_at_final": True}}, kind, final, linspace, 20, last="sigma_min"))
        if takes(kind, "use_flow_sigmas") and plain:
            for steps, shift in itertools.product((2, 7, 20), (1.0, 3.0)):
                theirs = {**SD, **settings, "prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": shift}
                ours = {**SD, "prediction_type": "flow_prediction", "timestep_spacing": "linspace", "sigmas": {"flow_shift": shift}}
                theirs = {k: v for k, v in theirs.items() if takes(kind, k)}
                cases.append(case({"diffusion": {"sampler": sampler, "training": ours}}, kind, theirs, steps))
    for interpolation, time in (("log_linear", "discrete"), ("linear", "continuous")):
        training = {**SD, "prediction_type": "v_prediction", "timestep_spacing": "leading"}
        cases += [trained("euler", EulerDiscreteScheduler, {}, training, steps, interpolation=interpolation, time=time) for steps in (1, 7)]
    for spread in ("karras", "exponential", "beta"):
        training = {**SD, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
        cases.append(trained("euler", EulerDiscreteScheduler, {}, training, 7, spread=spread, min=0.05, max=12.0))
    cases += flows()
    print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases if case) + "]")


def flow_shift(tokens):
    return tokens * (1.15 - 0.5) / (4096 - 256) + 0.5 - 256 * (1.15 - 0.5) / (4096 - 256)


def flows():
    cases = []
    euler, heun = FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler
    for steps, shift in itertools.product(STEPS, (1.0, 3.0)):
        own = {"num_train_timesteps": 1000, "shift": {"static": shift}}
        cases.append(case({"flow": {"euler": own}}, euler, {"shift": shift}, steps))
        cases.append(case({"flow": {"stochastic": own}}, euler, {"shift": shift, "stochastic_sampling": True}, steps))
        cases.append(case({"flow": {"heun": own}}, heun, {"shift": shift}, steps))
        spaced = {**own, "grid": "steps"}
        sigmas = [float(x) for x in numpy.linspace(1.0, 1 / steps, steps)]
        cases.append(case({"flow": {"euler": spaced}}, euler, {"shift": shift}, steps, {"sigmas": sigmas}))
        for spread in ("karras", "exponential", "beta"):
            option = SPREADS[spread]
            cases.append(case({"flow": {"euler": {**own, "sigmas": {"spread": spread}}}}, euler, {"shift": shift, option: True}, steps))
    for steps, kind in itertools.product(STEPS, ("exponential", "linear")):
        own = {"num_train_timesteps": 1000, "shift": {kind: 1.15}}
        theirs = {"use_dynamic_shifting": True, "time_shift_type": kind}
        cases.append(case({"flow": {"euler": own}}, euler, theirs, steps, {"mu": 1.15}))
        by_tokens = {"tokens": {"time_shift_type": kind, "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096}}
        sigmas = [float(x) for x in numpy.linspace(1.0, 1 / steps, steps)]
        cases.append(case({"flow": {"euler": {**own, "shift": by_tokens, "grid": "steps"}}}, euler, theirs, steps, {"sigmas": sigmas, "mu": flow_shift(1024)}))
        if steps > 1:
            cases.append(case({"flow": {"euler": {**own, "shift_terminal": 0.1}}}, euler, {**theirs, "shift_terminal": 0.1}, steps, {"mu": 1.15}))
    from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
    for steps in (4, 20):
        own = {"num_train_timesteps": 1000, "shift": "flux2", "grid": "steps"}
        sigmas = [float(x) for x in numpy.linspace(1.0, 1 / steps, steps)]
        mu = compute_empirical_mu(1024, steps)
        cases.append(case({"flow": {"euler": own}}, euler, {"use_dynamic_shifting": True}, steps, {"sigmas": sigmas, "mu": mu}))
    for steps in STEPS:
        cases.append(case({"flow": {"scm": {"sigma_data": 0.5}}}, SCMScheduler, {}, steps, {} if steps == 2 else {"intermediate_timesteps": None}))
    return cases


main()
