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

use crate::error::{Error, ErrorKind, Result, invalid_model, unsupported};
use crate::graph::attributes::Attributes;
use crate::graph::{Graph, Node, Passes, ValueId};
use crate::kernels::elementwise::{Rounding, UnaryOp, unary_of};
use crate::kernels::strided_copy::{StridedCopy, strided_copy, strided_halves};
use crate::kernels::unpack::unpack;
use crate::kernels::{AdapterClass, Elem, Format, Launch, Tiles, row_major};
use crate::ops;
use crate::tensor::{DType, Tensor, elements, with_data};
use crate::weights::Packing;

/// Most elements of a value: shaders index with 31 bits.
const MAX_ELEMENTS: usize = i32::MAX as usize;
/// Most dispatches of a graph; those of today's models take some thousands.
const MAX_STEPS: usize = 1 << 16;

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
    /// Whether every element is a number of 16 bits. A float16 tensor that a kernel computed in 32 bits is rounded when an
    /// elementwise kernel, a cast or a comparison reads it, and when it leaves the graph.
    pub half: bool,
    /// How the elements lie in the buffer; [`Packing::Words`] for everything but weights.
    pub packing: Packing,
    /// Where the elements are if not row by row; only where they are words or floats of 16 bits. Whoever binds the buffer itself has to look at this;
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
            Self::Device(device) => match device.packing {
                Packing::F16 => Format::F16,
                Packing::BF16 => Format::BF16,
                _ => Format::F32,
            },
            Self::Const(_) => Format::F32,
        }
    }
}

impl Value {
    /// Whether the elements still have to be rounded to the 16 bits that the type has.
    pub fn unrounded(&self) -> bool {
        matches!(self, Self::Device(d) if d.dtype == DType::F16 && !d.half)
    }

    /// The value, noted to hold numbers of 16 bits alone if `half`.
    pub fn noted(self, half: bool) -> Self {
        match self {
            Self::Device(device) => Self::Device(Device { half, ..device }),
            known => known,
        }
    }

    /// Whether every element is a number of 16 bits.
    pub fn is_half(&self) -> bool {
        match self {
            Self::Const(tensor) => tensor.dtype() == DType::F16,
            Self::Device(device) => device.half,
        }
    }

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
        DType::F32 | DType::F16 | DType::BF16 => Elem::F32,
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
    /// Per graph input; `None` for one without elements and one whose value is part of the program.
    pub inputs: Vec<Option<BufferId>>,
    /// Per table of which a run reads rows; `None` where it reads none.
    pub rows: Vec<Option<BufferId>>,
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
        let count = elements(shape)?;
        if count > MAX_ELEMENTS {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "a value {shape:?} has {count} elements, at most {MAX_ELEMENTS} are indexed"
                ),
            ));
        }
        let bytes = Packing::Words.bytes(count);
        self.buffers.push(BufferInfo { bytes, source });
        Ok(self.buffers.len() - 1)
    }

    /// Adds a launch.
    fn push(&mut self, step: Step) -> Result<()> {
        if self.steps.len() >= MAX_STEPS {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("the graph takes more than {MAX_STEPS} dispatches"),
            ));
        }
        self.steps.push(step);
        Ok(())
    }

    /// The buffer of a value in 32-bit words; a packed weight is unpacked once.
    fn words(&mut self, value: &Value) -> Result<BufferId> {
        let Value::Device(device) = value else {
            return self.resident(value);
        };
        if device.packing == Packing::Words {
            return self.resident(value);
        }
        let packed = self.resident(value)?;
        if let Some(&id) = self.unpacked.get(&packed) {
            return Ok(id);
        }
        let output = self.buffer(&device.shape, Source::Scratch)?;
        self.push(Step {
            launch: unpack(device.packing, elements(&device.shape)?)?,
            inputs: vec![packed],
            output,
        })?;
        self.unpacked.insert(packed, output);
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
    /// A buffer with the elements of `device` row by row, packed as they are.
    fn in_order(&mut self, device: &Device, layout: &Arc<Layout>) -> Result<BufferId> {
        let key = (device.buffer, Arc::clone(layout));
        if let Some(&id) = self.ordered.get(&key) {
            return Ok(id);
        }
        let id = self.buffer(&device.shape, Source::Scratch)?;
        self.buffers[id].bytes = device.packing.bytes(elements(&device.shape)?);
        let copy = StridedCopy {
            shape: layout.dims.clone(),
            in_offset: layout.offset,
            in_strides: layout.strides.clone(),
            out_offset: 0,
            out_strides: row_major(&layout.dims),
        };
        self.push(Step {
            launch: if device.packing.is_halves() {
                strided_halves(&copy)?
            } else {
                strided_copy(&copy)?
            },
            inputs: vec![device.buffer],
            output: id,
        })?;
        self.ordered.insert(key, id);
        Ok(id)
    }

    /// The same value, where its type has 16 bits with no more than those.
    fn rounded(&mut self, value: Value) -> Result<Value> {
        let (true, Value::Device(device)) = (value.unrounded(), &value) else {
            return Ok(value);
        };
        let input = self.words(&value)?;
        let output = self.buffer(&device.shape, Source::Scratch)?;
        let rounding = Rounding {
            inputs: true,
            output: false,
        };
        let shape = device.shape.as_slice();
        self.push(Step {
            launch: unary_of(UnaryOp::Identity, Elem::F32, shape.into(), rounding)?,
            inputs: vec![input],
            output,
        })?;
        Ok(Value::Device(Device {
            buffer: output,
            half: true,
            packing: Packing::Words,
            layout: None,
            ..device.clone()
        }))
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

impl Lowering {
    /// The same value in a buffer that is there after the run: a weight that is brought to the device is copied.
    fn kept(&mut self, value: Value, graph: &Graph) -> Result<Value> {
        let Value::Device(device) = &value else {
            return Ok(value);
        };
        match self.buffers[device.buffer].source {
            Source::Weight(id) if graph.streamed.contains(&id) => {}
            _ => return Ok(value),
        }
        let output = self.buffer(&device.shape, Source::Scratch)?;
        let strides = row_major(&device.shape);
        self.push(Step {
            launch: strided_copy(&StridedCopy {
                shape: device.shape.clone(),
                in_offset: 0,
                in_strides: strides.clone(),
                out_offset: 0,
                out_strides: strides,
            })?,
            inputs: vec![device.buffer],
            output,
        })?;
        Ok(Value::Device(Device {
            buffer: output,
            ..device.clone()
        }))
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
        outputs.push(lowering.kept(value, graph)?);
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
