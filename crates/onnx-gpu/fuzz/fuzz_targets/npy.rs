//! Any bytes as a NumPy file; what is read and written again reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnx_gpu::npy;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tensor) = npy::read(bytes) {
        let again = npy::read(&npy::write(&tensor)).expect("a file of ours");
        assert_eq!(again.shape(), tensor.shape());
        assert_eq!(again.dtype(), tensor.dtype());
    }
});
