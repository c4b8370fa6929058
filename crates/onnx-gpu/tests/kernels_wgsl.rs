//! Every WGSL text that the kernels can produce parses and validates, without a GPU.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "kernels_wgsl/elementwise.rs"]
mod elementwise;
#[path = "kernels_wgsl/moves.rs"]
mod moves;
#[path = "kernels_wgsl/products.rs"]
mod products;
#[path = "kernels_wgsl/rows.rs"]
mod rows;

use std::collections::BTreeMap;

use naga::valid::{Capabilities, ValidationFlags, Validator};
use onnx_gpu::kernels::{Activation, AdapterClass, Launch};

const CLASSES: [AdapterClass; 2] = [AdapterClass::Software, AdapterClass::Hardware];

const ACTIVATIONS: [Activation; 11] = [
    Activation::None,
    Activation::Relu,
    Activation::LeakyRelu(0.1),
    Activation::Silu,
    Activation::QuickGelu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Clip(0.0, 6.0),
    Activation::HardSwish,
];

fn every_launch() -> BTreeMap<String, Launch> {
    let mut all = Vec::new();
    elementwise::elementwise(&mut all);
    products::products(&mut all);
    products::packed(&mut all);
    rows::rows(&mut all);
    moves::moves(&mut all);
    let mut by_key: BTreeMap<String, Launch> = BTreeMap::new();
    for launch in all {
        if let Some(known) = by_key.get(&launch.key) {
            assert_eq!(known.wgsl, launch.wgsl, "{} names two shaders", launch.key);
        }
        by_key.insert(launch.key.clone(), launch);
    }
    by_key
}

#[test]
fn every_shader_validates_and_fits_its_bindings() {
    let launches = every_launch();
    assert!(launches.len() > 300, "{}", launches.len());
    for (key, launch) in &launches {
        let module = naga::front::wgsl::parse_str(&launch.wgsl)
            .unwrap_or_else(|error| panic!("{key}: {}", error.emit_to_string(&launch.wgsl)));
        // Every Vulkan, Metal, DX12 and WebGPU device unpacks 16-bit floats.
        Validator::new(
            ValidationFlags::all(),
            Capabilities::SHADER_FLOAT16_IN_FLOAT32,
        )
        .validate(&module)
        .unwrap_or_else(|error| panic!("{key}: {}", error.emit_to_string(&launch.wgsl)));
        assert!(
            module.entry_points.iter().any(|e| e.name == "main"),
            "{key}"
        );
        let mut bindings = Vec::new();
        for (_, variable) in module.global_variables.iter() {
            let Some(binding) = variable.binding else {
                continue;
            };
            assert_eq!(binding.group, 0, "{key}");
            bindings.push(binding.binding);
            match variable.space {
                naga::AddressSpace::Uniform => {
                    assert_eq!(binding.binding, 0, "{key}");
                    let size = module.types[variable.ty].inner.size(module.to_ctx()) as usize;
                    let given = launch.params.len().next_multiple_of(4) * 4;
                    assert!(
                        size <= given,
                        "{key}: {size} bytes of parameters, {given} given"
                    );
                }
                naga::AddressSpace::Storage { access } => {
                    let writes = access.contains(naga::StorageAccess::STORE);
                    let last = binding.binding as usize == launch.bindings;
                    assert_eq!(writes, last, "{key}: only the last binding is written");
                }
                _ => {}
            }
        }
        bindings.sort_unstable();
        let expected: Vec<u32> = (0..=launch.bindings as u32).collect();
        assert_eq!(bindings, expected, "{key}");
        assert!(
            launch.workgroups.iter().all(|&n| (1..=65_535).contains(&n)),
            "{key}"
        );
    }
}

#[test]
fn shaders_stay_within_core_wgsl() {
    for (key, launch) in every_launch() {
        for word in ["enable ", "requires ", "subgroup", "f16", "override "] {
            assert!(!launch.wgsl.contains(word), "{key} uses '{word}'");
        }
    }
}
