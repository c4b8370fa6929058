//! rten as a peer of the benchmark.

use harness::{Array, Data, Failure, Peer};
use rten::{Value, ValueOrView};
use rten_tensor::prelude::*;

struct Rten {
    model: rten::Model,
    inputs: Vec<(rten::NodeId, Value)>,
    outputs: Vec<(String, rten::NodeId)>,
}

impl Peer for Rten {
    fn open(model: &[u8], inputs: Vec<(String, Array)>) -> Result<Self, Failure> {
        let mut options = rten::ModelOptions::with_all_ops();
        options.prepack_weights(true);
        let model = options.load(model.to_vec())?;
        let inputs = inputs
            .into_iter()
            .map(|(name, array)| {
                // rten has int32 where ONNX has int64.
                let value = match array.data {
                    Data::F32(v) => Value::from_shape(array.shape, v)?,
                    Data::I64(v) => {
                        let v = v
                            .into_iter()
                            .map(i32::try_from)
                            .collect::<Result<Vec<_>, _>>()?;
                        Value::from_shape(array.shape, v)?
                    }
                };
                Ok((model.node_id(&name)?, value))
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let outputs = model
            .output_ids()
            .iter()
            .map(|&id| {
                let name = model
                    .node_info(id)
                    .and_then(|info| info.name().map(str::to_owned));
                (name.unwrap_or_default(), id)
            })
            .collect();
        Ok(Self {
            model,
            inputs,
            outputs,
        })
    }

    fn run(&mut self) -> Result<Vec<(String, Array)>, Failure> {
        let inputs = self
            .inputs
            .iter()
            .map(|(id, value)| (*id, ValueOrView::from(value.as_view())))
            .collect();
        let ids: Vec<_> = self.outputs.iter().map(|(_, id)| *id).collect();
        let values = self.model.run(inputs, &ids, None)?;
        self.outputs
            .iter()
            .zip(values)
            .map(|((name, _), value)| {
                let array = match value {
                    Value::FloatTensor(t) => Array {
                        shape: t.shape().to_vec(),
                        data: Data::F32(t.to_vec()),
                    },
                    Value::Int32Tensor(t) => Array {
                        shape: t.shape().to_vec(),
                        data: Data::I64(t.iter().map(|&x| i64::from(x)).collect()),
                    },
                    _ => return Err("an output is neither float nor integer".into()),
                };
                Ok((name.clone(), array))
            })
            .collect()
    }
}

fn main() {
    harness::main::<Rten>();
}
