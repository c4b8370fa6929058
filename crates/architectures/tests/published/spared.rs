//! Models on devices that do not hold them at once.

use architectures::{Element, Kind, Weights, build_smaller};
use serde_json::Value;

use super::components::components;
use super::{BINDING, planned, planned_within};

/// Weights of a component that are on a device which streams them, as `diffusion::STREAMED_WEIGHTS` says.
pub const STREAMED_WEIGHTS: u64 = 512 << 20;

/// What models take with all components on the device, with one at a time, and with layers brought to it.
#[test]
fn large_models_fit_small_devices_part_by_part() {
    println!("| model | all | one at a time | layers streamed | brought each step |");
    let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
    for (model, kind) in [
        ("FLUX.2 klein 4B", Kind::Int4),
        ("Z-Image", Kind::Int4),
        ("SDXL", Kind::F16),
        ("FLUX.1-schnell", Kind::Int4),
    ] {
        let (mut all, mut one, mut streamed, mut step) = (0, 0, 0, 0);
        let own = components();
        for component in own.iter().filter(|component| component.model == model) {
            let config: Value = serde_json::from_str(component.config).unwrap();
            let weights = Weights::imagined(Element::F16);
            let built = build_smaller("net", &component.part, &config, &weights, kind).unwrap();
            let cost = planned(component, &built.graph);
            let within = planned_within(component, &built.graph, Some(STREAMED_WEIGHTS));
            let shown = format!("{model} {}", component.name);
            assert!(within.largest_buffer <= BINDING, "{shown}: {within:?}");
            assert_eq!(within.flops, cost.flops, "{shown}");
            let working = cost.total_bytes - cost.constant_bytes;
            let held = within.total_bytes - working;
            // Small constants, and what is prepared once, come on top of the weights.
            assert!(held <= STREAMED_WEIGHTS / 10 * 11, "{shown}: {held}");
            // Every weight is there, or brought once a run.
            if within.streamed_bytes > 0 {
                let whole = within.constant_bytes + within.streamed_bytes;
                assert!(whole >= cost.constant_bytes, "{shown}");
                assert!(
                    whole <= cost.constant_bytes + cost.constant_bytes / 20,
                    "{shown}: {whole}"
                );
            } else {
                assert!(cost.constant_bytes <= STREAMED_WEIGHTS, "{shown}");
            }
            all += cost.load_bytes;
            one = one.max(cost.load_bytes);
            streamed = streamed.max(within.load_bytes);
            if component.name == "denoiser" {
                step = within.streamed_bytes;
            }
        }
        println!(
            "| {model}, `{kind}` | {} | {} | {} | {} |",
            mb(all),
            mb(one),
            mb(streamed),
            mb(step)
        );
        assert!(streamed < one && one <= all && step > 0, "{model}");
    }
}
