//! One walk over the graph for concrete input shapes: shape inference, constant folding and lowering to launches.

mod hoist;
mod rows;

use crate::context::{Cx, Lowering};
use crate::error::{Error, ErrorKind, Result, invalid_model, unsupported};
use crate::graph::attributes::Attributes;
use crate::graph::{Graph, Node};
use crate::kernels::Target;
use crate::ops;
use crate::program::{BufferInfo, Device, Program, Source, Value};
use crate::tensor::{DType, Packing, Tensor, elements};

/// Most elements of all constants computed on the CPU in one walk.
const MAX_FOLDED_IN_ALL: usize = 1 << 26;

/// Lowers one node; the result has one entry per output.
pub(crate) fn lower_node(
    lowering: &mut Lowering,
    node: &Node,
    inputs: Vec<Option<Value>>,
) -> Result<Vec<Option<Value>>> {
    let mut cx = Cx::new(lowering, node, Attributes::new(&node.attributes), inputs);
    let lowered = ops::lower(&mut cx);
    let folded = cx.folded();
    let outputs = lowered
        .and_then(|()| cx.finish())
        .map_err(|e| e.in_node(node.label(), &node.op))?;
    // A file's own constants take no more memory than the file.
    if node.op != "Constant" {
        lowering.folded = lowering.folded.saturating_add(folded);
    }
    if lowering.folded > MAX_FOLDED_IN_ALL {
        return Err(Error::new(
            ErrorKind::Limit,
            format!("constants of more than {MAX_FOLDED_IN_ALL} elements have to be computed"),
        )
        .in_node(node.label(), &node.op));
    }
    Ok(outputs)
}

/// What is known of a graph input before the run.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub shape: Vec<usize>,
    /// Where a shape or a branch may follow from it.
    pub value: Option<Tensor>,
}

impl From<Vec<usize>> for Given {
    fn from(shape: Vec<usize>) -> Self {
        Self { shape, value: None }
    }
}

impl PartialEq for Given {
    /// Numbers are the same if their bits are: a plan for one NaN is that for every run with it.
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.value, &other.value) {
            (None, None) => true,
            (Some(a), Some(b)) => a.same_bits(b),
            _ => false,
        };
        same && self.shape == other.shape
    }
}

/// Lowers a graph for inputs in the order of its own.
pub(crate) fn lower_graph(graph: &Graph, given: &[Given], target: Target) -> Result<Program> {
    let mut lowering = Lowering::new(graph.opset, target, graph.passes);
    let mut values: Vec<Option<Value>> = vec![None; graph.values];
    for (&id, tensor) in &graph.constants {
        values[id] = Some(Value::Const(tensor.clone()));
    }
    for (&id, weight) in &graph.weights {
        lowering.buffers.push(BufferInfo {
            bytes: weight.bytes(),
            source: Source::Weight(id),
        });
        values[id] = Some(Value::Device(Device {
            buffer: lowering.buffers.len() - 1,
            shape: weight.shape.clone(),
            dtype: weight.dtype,
            half: weight.dtype == DType::F16,
            packing: weight.packing,
            layout: None,
        }));
    }
    let mut inputs = Vec::new();
    for ((id, info), Given { shape, value }) in graph.inputs.iter().zip(given) {
        if let Some(value) = value {
            inputs.push(None);
            values[*id] = Some(Value::Const(value.clone()));
            continue;
        }
        if elements(shape)? == 0 {
            inputs.push(None);
            values[*id] = Some(Value::Const(Tensor::zeros(info.dtype, shape.clone())?));
            continue;
        }
        let buffer = lowering.buffer(shape, Source::Input)?;
        inputs.push(Some(buffer));
        values[*id] = Some(Value::Device(Device {
            buffer,
            shape: shape.clone(),
            dtype: info.dtype,
            half: info.dtype == DType::F16,
            packing: Packing::Words,
            layout: None,
        }));
    }
    let mut rows = Vec::with_capacity(graph.rows.len());
    for read in &graph.rows {
        let shape = graph.shape_of_rows(read, given)?;
        if elements(&shape)? == 0 {
            rows.push(None);
            values[read.value] = Some(Value::Const(Tensor::zeros(read.dtype, shape)?));
            continue;
        }
        let buffer = lowering.buffer(&shape, Source::Input)?;
        rows.push(Some(buffer));
        values[read.value] = Some(Value::Device(Device {
            buffer,
            shape,
            dtype: read.dtype,
            half: read.table.dtype == DType::F16,
            packing: Packing::Words,
            layout: None,
        }));
    }
    lower_nodes(&mut lowering, &graph.nodes, &mut values)?;
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (id, info) in &graph.outputs {
        let value = values[*id]
            .clone()
            .ok_or_else(|| invalid_model(format!("output '{}' has no value", info.name)))?;
        let value = lowering.rounded(value)?;
        let value = lowering.dense(value)?;
        outputs.push(lowering.kept(value, &graph.streamed)?);
    }
    let mut program = Program {
        buffers: lowering.buffers,
        prepare: Vec::new(),
        steps: lowering.steps,
        inputs,
        rows,
        outputs,
    };
    hoist::hoist(&mut program, graph);
    Ok(program)
}

/// Lowers nodes in order; of an `If` those of the branch that its condition chooses.
fn lower_nodes(
    lowering: &mut Lowering,
    nodes: &[Node],
    values: &mut [Option<Value>],
) -> Result<()> {
    for node in nodes {
        if !node.branches.is_empty() {
            lower_branch(lowering, node, values).map_err(|e| e.in_node(node.label(), &node.op))?;
            continue;
        }
        let mut arguments = Vec::with_capacity(node.inputs.len() + 2);
        let epilogue = [node.epilogue.bias, node.epilogue.residual];
        for id in node.inputs.iter().chain(&epilogue) {
            arguments.push(match id {
                None => None,
                Some(id) => Some(values[*id].clone().ok_or_else(|| {
                    invalid_model("an input has no value").in_node(node.label(), &node.op)
                })?),
            });
        }
        let outputs = lower_node(lowering, node, arguments)?;
        for (id, value) in node.outputs.iter().zip(outputs) {
            if let Some(id) = id {
                values[*id] = value;
            }
        }
    }
    Ok(())
}

fn lower_branch(lowering: &mut Lowering, node: &Node, values: &mut [Option<Value>]) -> Result<()> {
    Attributes::new(&node.attributes).check_all_read()?;
    let condition = match node.inputs.as_slice() {
        &[Some(id)] => values[id].clone(),
        _ => None,
    };
    let branch = match condition {
        Some(Value::Const(condition)) => node.chosen(&condition)?,
        Some(Value::Device(_)) => {
            return Err(unsupported(
                "the condition depends on data that are only known during the run",
            ));
        }
        None => return Err(invalid_model("the condition is missing")),
    };
    lower_nodes(lowering, &branch.nodes, values)?;
    for (&made, out) in branch.outputs.iter().zip(&node.outputs) {
        if let Some(out) = out {
            values[*out] = values[made].clone();
        }
    }
    Ok(())
}
