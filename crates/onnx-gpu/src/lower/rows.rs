//! Which rows of tables a run reads: their indices are computed like shapes.

use std::collections::HashMap;

use super::{Given, lower_node};
use crate::context::Lowering;
use crate::error::{Result, invalid_model};
use crate::graph::{Graph, Rows, ValueId};
use crate::kernels::AdapterClass;
use crate::program::Value;
use crate::tensor::{DType, Tensor};

impl Graph {
    /// The indices of rows, where `inputs` are known.
    ///
    /// # Errors
    /// Those of the operators that compute them.
    pub fn indices(&self, rows: &Rows, inputs: &HashMap<ValueId, Tensor>) -> Result<Tensor> {
        let mut made: HashMap<ValueId, Tensor> = HashMap::new();
        let mut lowering = Lowering::fold_only(self.opset, AdapterClass::Hardware);
        for node in &rows.nodes {
            let find = |id: &ValueId| {
                let known = made.get(id).or_else(|| inputs.get(id));
                known.or_else(|| rows.constants.get(id)).cloned()
            };
            let arguments = node.inputs.iter().map(|id| {
                let missing = || invalid_model("an index has no value");
                let known = |id| find(id).map(Value::Const).ok_or_else(missing);
                id.as_ref().map(known).transpose()
            });
            let arguments = arguments.collect::<Result<Vec<_>>>()?;
            let outputs = lower_node(&mut lowering, node, arguments)?;
            for (id, value) in node.outputs.iter().zip(outputs) {
                if let (Some(id), Some(Value::Const(tensor))) = (id, value) {
                    made.insert(*id, tensor);
                }
            }
        }
        let known = made.remove(&rows.indices);
        known
            .or_else(|| inputs.get(&rows.indices).cloned())
            .ok_or_else(|| invalid_model("indices are not computed"))
    }

    /// The shape of rows, for inputs of which little more than the shapes is known.
    ///
    /// # Errors
    /// As [`Self::indices`].
    pub fn shape_of_rows(&self, rows: &Rows, given: &[Given]) -> Result<Vec<usize>> {
        let mut inputs = HashMap::new();
        for ((id, info), given) in self.inputs.iter().zip(given) {
            if matches!(info.dtype, DType::I64 | DType::I32) {
                let value = match &given.value {
                    Some(value) => value.clone(),
                    None => Tensor::zeros(info.dtype, given.shape.clone())?,
                };
                inputs.insert(*id, value);
            }
        }
        let indices = self.indices(rows, &inputs)?;
        Ok([
            indices.shape(),
            rows.table.shape.get(1..).unwrap_or_default(),
        ]
        .concat())
    }
}
