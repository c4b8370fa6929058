//! wonnx as a peer of the benchmark.

use std::collections::HashMap;

use harness::{Array, Data, Failure, Peer};
use wonnx::utils::{InputTensor, OutputTensor};

struct Wonnx {
    session: wonnx::Session,
    inputs: Vec<(String, Array)>,
}

impl Peer for Wonnx {
    fn open(model: &[u8], inputs: Vec<(String, Array)>) -> Result<Self, Failure> {
        let session = pollster::block_on(wonnx::Session::from_bytes(model))?;
        Ok(Self { session, inputs })
    }

    fn run(&mut self) -> Result<Vec<(String, Array)>, Failure> {
        let inputs: HashMap<String, InputTensor> = self
            .inputs
            .iter()
            .map(|(name, array)| {
                let tensor = match &array.data {
                    Data::F32(v) => v.as_slice().into(),
                    Data::I64(v) => v.as_slice().into(),
                };
                (name.clone(), tensor)
            })
            .collect();
        let outputs = pollster::block_on(self.session.run(&inputs))?;
        outputs
            .into_iter()
            .map(|(name, tensor)| {
                // It gives no shapes; elements are compared in order.
                let data = match tensor {
                    OutputTensor::F32(v) => Data::F32(v),
                    OutputTensor::I64(v) => Data::I64(v),
                    _ => return Err("an output is neither float32 nor int64".into()),
                };
                let len = match &data {
                    Data::F32(v) => v.len(),
                    Data::I64(v) => v.len(),
                };
                Ok((
                    name,
                    Array {
                        shape: vec![len],
                        data,
                    },
                ))
            })
            .collect()
    }
}

fn main() {
    harness::main::<Wonnx>();
}
