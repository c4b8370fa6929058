//! Any bytes as a model that is planned: shape inference, folding, fusion, lowering, memory plan.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnx_gpu::kernels::AdapterClass;

fuzz_target!(|bytes: &[u8]| {
    for class in [AdapterClass::Software, AdapterClass::Hardware] {
        let _ = onnx_gpu::dry_run(bytes, class);
    }
});
