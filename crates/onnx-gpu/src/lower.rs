//! One walk over the graph for concrete input shapes: shape inference, constant folding and lowering to launches.

mod context;
mod hoist;
mod layout;

pub(crate) use context::{Cx, MAX_FOLDED, axes, axis, broadcast, split_at_axis};
pub(crate) use hoist::Recipe;
pub(crate) use layout::{Layout, Run, refine};

use context::MAX_FOLDED_IN_ALL;
use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result, invalid_model};
use crate::graph::attributes::Attributes;
use crate::graph::{Graph, Node, Passes, ValueId};
use crate::kernels::strided_copy::{StridedCopy, strided_copy};
use crate::kernels::unpack::unpack;
use crate::kernels::{AdapterClass, Elem, Format, Launch, Tiles, row_major};
use crate::ops;
use crate::tensor::{DType, Tensor, elements, with_data};
use crate::weights::Packing;

/// Index of a buffer in a [`Program`].
pub(crate) type BufferId = usize;

/// A value met in the walk.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Known before the run.
    Const(Tensor),
    /// Computed by the run.
    Device(Device),
}

/// A tensor in a buffer of the device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub buffer: BufferId,
    pub shape: Vec<usize>,
    pub dtype: DType,
    /// How the elements lie in the buffer; [`Packing::Words`] for everything but weights.
    pub packing: Packing,
    /// Where the elements are if not row by row; only where they are words. Whoever binds the buffer itself has to look at this;
    /// [`Cx::push`] copies the elements into order first.
    pub layout: Option<Arc<Layout>>,
}

impl Value {
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Const(t) => t.shape(),
            Self::Device(d) => &d.shape,
        }
    }

    pub fn dtype(&self) -> DType {
        match self {
            Self::Const(t) => t.dtype(),
            Self::Device(d) => d.dtype,
        }
    }

    pub fn rank(&self) -> usize {
        self.shape().len()
    }

    pub fn elements(&self) -> usize {
        self.shape().iter().product()
    }

    pub fn constant(&self) -> Option<&Tensor> {
        match self {
            Self::Const(t) => Some(t),
            Self::Device(_) => None,
        }
    }
}

impl Value {
    /// How a launch that reads any [`Format`] finds the elements.
    pub fn format(&self) -> Format {
        match self {
            Self::Device(device) if device.packing == Packing::F16 => Format::F16,
            _ => Format::F32,
        }
    }
}

impl Value {
    /// How the elements lie in their buffer.
    pub fn packing(&self) -> Packing {
        match self {
            Self::Const(_) => Packing::Words,
            Self::Device(device) => device.packing,
        }
    }
}

/// How the device holds a type.
pub(crate) fn elem(dtype: DType) -> Elem {
    match dtype {
        DType::F32 | DType::F16 => Elem::F32,
        DType::I64 | DType::I32 | DType::I8 => Elem::I32,
        DType::U8 => Elem::U32,
        DType::Bool => Elem::Bool,
    }
}

/// Where a buffer's contents come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Written by launches.
    Scratch,
    /// Written before each run: the graph input of this index.
    Input,
    /// Uploaded once.
    Constant(Tensor),
    /// On the device since the model was loaded.
    Weight(ValueId),
    /// Written once, by [`Program::prepare`]; equal recipes give equal contents.
    Prepared(Option<Arc<Recipe>>),
}

impl Source {
    /// Whether the contents are the same in every run.
    pub fn is_constant(&self) -> bool {
        matches!(
            self,
            Self::Constant(_) | Self::Weight(_) | Self::Prepared(_)
        )
    }
}

/// A buffer of a program.
#[derive(Clone, Debug)]
pub(crate) struct BufferInfo {
    pub bytes: u64,
    pub source: Source,
}

/// One launch with its buffers.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub launch: Launch,
    pub inputs: Vec<BufferId>,
    pub output: BufferId,
}

/// The launches of one graph for one set of input shapes.
#[derive(Debug)]
pub(crate) struct Program {
    pub buffers: Vec<BufferInfo>,
    /// Launches that read nothing but constants: run once, before the first run.
    pub prepare: Vec<Step>,
    pub steps: Vec<Step>,
    /// Per graph input; `None` for one without elements.
    pub inputs: Vec<Option<BufferId>>,
    pub outputs: Vec<Value>,
}

/// What a program is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub tiles: Tiles,
    /// Most bytes of a buffer that a launch binds.
    pub max_binding: u64,
}

impl From<AdapterClass> for Target {
    /// An adapter that binds no more than what every WebGPU device does.
    fn from(class: AdapterClass) -> Self {
        Self {
            tiles: class.into(),
            max_binding: 128 << 20,
        }
    }
}

/// The state of a walk.
pub(crate) struct Lowering {
    pub opset: i64,
    pub target: Target,
    pub passes: Passes,
    fold_only: bool,
    buffers: Vec<BufferInfo>,
    steps: Vec<Step>,
    uploaded: HashMap<(usize, usize), BufferId>,
    /// The buffer of 32-bit words made from a packed one.
    unpacked: HashMap<BufferId, BufferId>,
    /// Elements of constants computed so far.
    folded: usize,
    /// Copies that put the elements of a buffer into order.
    ordered: HashMap<(BufferId, Arc<Layout>), BufferId>,
}

impl Lowering {
    fn new(opset: i64, target: Target, passes: Passes) -> Self {
        Self {
            opset,
            target,
            passes,
            fold_only: false,
            buffers: Vec::new(),
            steps: Vec::new(),
            uploaded: HashMap::new(),
            unpacked: HashMap::new(),
            folded: 0,
            ordered: HashMap::new(),
        }
    }

    /// A walk that computes constants and refuses to launch anything.
    pub fn fold_only(opset: i64, class: AdapterClass) -> Self {
        Self {
            fold_only: true,
            ..Self::new(opset, class.into(), Passes::ALL)
        }
    }

    fn buffer(&mut self, shape: &[usize], source: Source) -> Result<BufferId> {
        if self.fold_only {
            return Err(Error::new(
                ErrorKind::UnsupportedOp,
                "not computed on the CPU",
            ));
        }
        let bytes = Packing::Words.bytes(elements(shape)?);
        self.buffers.push(BufferInfo { bytes, source });
        Ok(self.buffers.len() - 1)
    }

    /// The buffer of a value in 32-bit words; a packed weight is unpacked once.
    fn words(&mut self, value: &Value) -> Result<BufferId> {
        let Value::Device(device) = value else {
            return self.resident(value);
        };
        if device.packing == Packing::Words {
            return self.resident(value);
        }
        if let Some(&id) = self.unpacked.get(&device.buffer) {
            return Ok(id);
        }
        let output = self.buffer(&device.shape, Source::Scratch)?;
        self.steps.push(Step {
            launch: unpack(device.packing, elements(&device.shape)?)?,
            inputs: vec![device.buffer],
            output,
        });
        self.unpacked.insert(device.buffer, output);
        Ok(output)
    }

    /// The buffer of a value as it lies there; a constant is uploaded once.
    fn resident(&mut self, value: &Value) -> Result<BufferId> {
        match value {
            Value::Device(device) => match &device.layout {
                None => Ok(device.buffer),
                Some(layout) => self.in_order(device, layout),
            },
            Value::Const(tensor) => {
                let key = data_key(tensor);
                if let Some(&id) = self.uploaded.get(&key) {
                    return Ok(id);
                }
                let id = self.buffer(tensor.shape(), Source::Constant(tensor.clone()))?;
                self.uploaded.insert(key, id);
                Ok(id)
            }
        }
    }
}

impl Lowering {
    /// A buffer with the elements of `device` row by row.
    fn in_order(&mut self, device: &Device, layout: &Arc<Layout>) -> Result<BufferId> {
        let key = (device.buffer, Arc::clone(layout));
        if let Some(&id) = self.ordered.get(&key) {
            return Ok(id);
        }
        let id = self.buffer(&device.shape, Source::Scratch)?;
        let copy = StridedCopy {
            shape: layout.dims.clone(),
            in_offset: layout.offset,
            in_strides: layout.strides.clone(),
            out_offset: 0,
            out_strides: row_major(&layout.dims),
        };
        self.steps.push(Step {
            launch: strided_copy(&copy)?,
            inputs: vec![device.buffer],
            output: id,
        });
        self.ordered.insert(key, id);
        Ok(id)
    }

    /// The same value in words, row by row.
    fn dense(&mut self, value: Value) -> Result<Value> {
        match value {
            Value::Device(device) => {
                let buffer = self.words(&Value::Device(device.clone()))?;
                Ok(Value::Device(Device {
                    buffer,
                    packing: Packing::Words,
                    layout: None,
                    ..device
                }))
            }
            other => Ok(other),
        }
    }
}

/// Identifies the elements of a tensor for as long as it lives: address and length.
pub(crate) fn data_key(tensor: &Tensor) -> (usize, usize) {
    with_data!(tensor.data(), v => (v.as_ptr().addr(), v.len()))
}

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

/// Lowers a graph for input shapes in the order of its inputs.
pub(crate) fn lower_graph(graph: &Graph, shapes: &[Vec<usize>], target: Target) -> Result<Program> {
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
            packing: weight.packing,
            layout: None,
        }));
    }
    let mut inputs = Vec::new();
    for ((id, info), shape) in graph.inputs.iter().zip(shapes) {
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
            packing: Packing::Words,
            layout: None,
        }));
    }
    for node in &graph.nodes {
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
        let outputs = lower_node(&mut lowering, node, arguments)?;
        for (id, value) in node.outputs.iter().zip(outputs) {
            if let Some(id) = id {
                values[*id] = value;
            }
        }
    }
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for (id, info) in &graph.outputs {
        let value = values[*id]
            .clone()
            .ok_or_else(|| invalid_model(format!("output '{}' has no value", info.name)))?;
        outputs.push(lowering.dense(value)?);
    }
    let mut program = Program {
        buffers: lowering.buffers,
        prepare: Vec::new(),
        steps: lowering.steps,
        inputs,
        outputs,
    };
    hoist::hoist(&mut program, graph);
    Ok(program)
}
