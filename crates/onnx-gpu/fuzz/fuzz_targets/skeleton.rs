//! Any bytes as a model file that is read without its weights: what the parser takes as a whole, it takes that way too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnx_gpu::proto::Model;
use onnx_gpu::weights::{Bytes, skeleton};

fuzz_target!(|bytes: &[u8]| {
    let files = Bytes::new().file("m", bytes);
    let graph = pollster::block_on(skeleton(&files, "m"));
    if let Ok(whole) = Model::parse(bytes) {
        let graph = graph.expect("a model that parses has a skeleton");
        let graph = Model::parse(&graph).expect("a skeleton parses").graph;
        assert_eq!(graph.nodes.len(), whole.graph.nodes.len());
        assert_eq!(graph.initializers.len(), whole.graph.initializers.len());
    }
});
