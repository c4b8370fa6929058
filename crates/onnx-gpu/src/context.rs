//! What an operator's lowering sees: its inputs, its attributes, and ways to compute.

mod state;

use std::sync::Arc;

pub(crate) use state::Lowering;

use crate::error::{Error, ErrorKind, Result, invalid_model, mismatch, unsupported};
use crate::eval::{self, MAX_FOLDED};
use crate::graph::attributes::Attributes;
use crate::graph::{Node, Pass};
use crate::kernels::strided_copy::{StridedCopy, strided_copy, strided_halves};
use crate::kernels::{Activation, AdapterClass, Format, Launch, MAX_TURNS, Tiles, row_major};
use crate::program::{Device, Layout, Source, Step, Value, data_key};
use crate::tensor::{DType, Packing, Tensor, elements};

/// Most bytes of a weight of 16-bit floats that is kept a second time with its axes in another order: reading along the rows is
/// faster where there are no tiles in workgroup memory.
const MAX_TURNED: u64 = 1 << 20;

/// What lowers an operator.
pub(crate) type Lower = fn(&mut Cx<'_>) -> Result<()>;

/// The lowering of one node.
pub(crate) struct Cx<'a> {
    lowering: &'a mut Lowering,
    pub node: &'a Node,
    pub attributes: Attributes<'a>,
    inputs: Vec<Option<Value>>,
    outputs: Vec<Option<Value>>,
}

impl<'a> Cx<'a> {
    pub fn new(
        lowering: &'a mut Lowering,
        node: &'a Node,
        attributes: Attributes<'a>,
        inputs: Vec<Option<Value>>,
    ) -> Self {
        Self {
            lowering,
            node,
            attributes,
            inputs,
            outputs: vec![None; node.outputs.len()],
        }
    }

    /// Elements of the constants that this node made; a constant passed on or seen under another shape counts nothing.
    pub fn folded(&self) -> usize {
        let passed: Vec<_> = self
            .inputs
            .iter()
            .flatten()
            .filter_map(Value::constant)
            .map(data_key)
            .collect();
        self.outputs
            .iter()
            .flatten()
            .filter_map(Value::constant)
            .filter(|tensor| !passed.contains(&data_key(tensor)))
            .map(Tensor::len)
            .sum()
    }

    /// Checks that every attribute was read and every wanted output set.
    pub fn finish(self) -> Result<Vec<Option<Value>>> {
        self.attributes.check_all_read()?;
        for (index, (wanted, value)) in self.node.outputs.iter().zip(&self.outputs).enumerate() {
            if wanted.is_some() && value.is_none() {
                return Err(unsupported(format!("output {index} is not supported")));
            }
        }
        Ok(self.outputs)
    }

    pub fn opset(&self) -> i64 {
        self.lowering.opset
    }

    pub fn class(&self) -> AdapterClass {
        self.lowering.target.tiles.class()
    }

    pub fn tiles(&self) -> Tiles {
        self.lowering.target.tiles
    }

    /// Most bytes of a buffer that a launch binds.
    pub fn max_binding(&self) -> u64 {
        self.lowering.target.max_binding
    }

    /// Number of inputs listed, omitted ones included.
    pub fn arity(&self) -> usize {
        self.node.inputs.len()
    }

    /// An input that must be there.
    pub fn input(&self, index: usize) -> Result<Value> {
        self.optional(index)
            .ok_or_else(|| invalid_model(format!("input {index} is missing")))
    }

    pub fn optional(&self, index: usize) -> Option<Value> {
        if index >= self.node.inputs.len() {
            return None;
        }
        self.inputs.get(index).cloned().flatten()
    }

    /// An optional input that has to be known before the run.
    pub fn constant(&self, index: usize) -> Result<Option<Tensor>> {
        match self.optional(index) {
            None => Ok(None),
            Some(Value::Const(tensor)) => Ok(Some(tensor)),
            Some(Value::Device(_)) => Err(unsupported(format!(
                "input {index} depends on data that are only known during the run"
            ))),
        }
    }

    /// Integers from input `index` or, in operator sets before `since`, from an attribute.
    pub fn integers(&self, name: &str, index: usize, since: i64) -> Result<Option<Vec<i64>>> {
        if self.opset() < since {
            return Ok(self.attributes.opt_ints(name)?.map(<[i64]>::to_vec));
        }
        self.constant(index)?.map(|t| t.to_i64_vec()).transpose()
    }

    /// Whether the operator set is so old that what an input says now is an attribute.
    pub fn before(&self, since: i64) -> bool {
        self.opset() < since
    }

    /// The bias that fusion added to this node.
    pub fn fused_bias(&self) -> Option<Value> {
        self.inputs.get(self.node.inputs.len()).cloned().flatten()
    }

    /// The addend that fusion moved into this node.
    pub fn fused_residual(&self) -> Option<Value> {
        self.inputs
            .get(self.node.inputs.len() + 1)
            .cloned()
            .flatten()
    }

    pub fn activation(&self) -> Activation {
        self.node.epilogue.activation
    }

    pub fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    pub fn wants(&self, index: usize) -> bool {
        self.node.outputs.get(index).copied().flatten().is_some()
    }

    pub fn set(&mut self, index: usize, value: Value) {
        if let Some(slot) = self.outputs.get_mut(index) {
            *slot = Some(value);
        }
    }

    /// The value with no more than the 16 bits that its type has, where it has 16.
    pub fn rounded(&mut self, value: Value) -> Result<Value> {
        self.lowering.rounded(value)
    }

    /// A new buffer to be written by [`Cx::push`].
    pub fn allocate(&mut self, shape: &[usize], dtype: DType) -> Result<Device> {
        Ok(Device {
            buffer: self.lowering.buffer(shape, Source::Scratch)?,
            shape: shape.to_vec(),
            dtype,
            half: false,
            packing: Packing::Words,
            layout: None,
        })
    }

    /// A new buffer of packed elements.
    pub fn allocate_packed(
        &mut self,
        shape: &[usize],
        dtype: DType,
        packing: Packing,
    ) -> Result<Device> {
        let buffer = self.lowering.buffer(shape, Source::Scratch)?;
        self.lowering.buffers[buffer].bytes = packing.bytes(elements(shape)?);
        Ok(Device {
            buffer,
            shape: shape.to_vec(),
            dtype,
            half: packing == Packing::F16,
            packing,
            layout: None,
        })
    }

    /// Where the elements of a value are in the buffer that [`Cx::base`] names.
    pub fn layout(&self, value: &Value) -> Layout {
        match value {
            Value::Device(Device {
                layout: Some(layout),
                ..
            }) => Layout::clone(layout),
            other => Layout::dense(other.shape()),
        }
    }

    /// The value as a kernel binds it that reads through [`Cx::layout`].
    pub fn base(&self, value: &Value) -> Value {
        match value {
            Value::Device(device) => Value::Device(Device {
                layout: None,
                ..device.clone()
            }),
            constant => constant.clone(),
        }
    }

    /// A value whose elements lie in `device` as `layout` says.
    pub fn arranged(&self, device: Device, layout: Layout) -> Value {
        let layout = (!layout.is_dense()).then(|| Arc::new(layout));
        Value::Device(Device { layout, ..device })
    }

    /// Whether an optimisation of the lowering is wanted.
    pub fn has(&self, pass: Pass) -> bool {
        self.lowering.passes.contains(pass)
    }

    /// Whether the adapter could leave the loops of a launch before their end.
    pub fn is_too_long(&self, launch: &Launch) -> bool {
        self.class() == AdapterClass::Software && launch.turns > MAX_TURNS
    }

    /// Records a launch into `output`.
    pub fn push(&mut self, launch: Launch, inputs: &[&Value], output: &Device) -> Result<()> {
        self.push_packed(launch, inputs, &[], output)
    }

    /// [`Cx::push`] for a launch that reads the inputs of the indices `packed` as they lie in their buffers.
    pub fn push_packed(
        &mut self,
        launch: Launch,
        inputs: &[&Value],
        packed: &[usize],
        output: &Device,
    ) -> Result<()> {
        if self.is_too_long(&launch) {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "an invocation of '{}' would take {} turns of a loop, {MAX_TURNS} is what a software adapter takes",
                    launch.label, launch.turns
                ),
            ));
        }
        let inputs = inputs
            .iter()
            .enumerate()
            .map(|(index, value)| {
                if packed.contains(&index) {
                    self.lowering.resident(value)
                } else {
                    self.lowering.words(value)
                }
            })
            .collect::<Result<Vec<_>>>()?;
        if inputs.contains(&output.buffer) {
            return Err(Error::new(
                ErrorKind::Validation,
                "a launch would read the buffer that it writes",
            ));
        }
        self.lowering.push(Step {
            launch,
            inputs,
            output: output.buffer,
        })
    }

    /// Records one launch that fills a new tensor. A tensor without elements needs no launch.
    pub fn launch(
        &mut self,
        launch: impl FnOnce() -> Result<Launch>,
        inputs: &[&Value],
        shape: &[usize],
        dtype: DType,
    ) -> Result<Value> {
        if elements(shape)? == 0 {
            return Ok(Value::Const(Tensor::zeros(dtype, shape)?));
        }
        let output = self.allocate(shape, dtype)?;
        self.push(launch()?, inputs, &output)?;
        Ok(Value::Device(output))
    }

    /// [`Cx::launch`] for a launch that reads the inputs of the indices `packed` in their [`Value::format`].
    pub fn launch_packed(
        &mut self,
        launch: impl FnOnce() -> Result<Launch>,
        inputs: &[&Value],
        packed: &[usize],
        shape: &[usize],
        dtype: DType,
    ) -> Result<Value> {
        if elements(shape)? == 0 {
            return Ok(Value::Const(Tensor::zeros(dtype, shape)?));
        }
        let formatted: Vec<usize> = packed
            .iter()
            .copied()
            .filter(|&index| inputs[index].format() != Format::F32)
            .collect();
        let output = self.allocate(shape, dtype)?;
        self.push_packed(launch()?, inputs, &formatted, &output)?;
        Ok(Value::Device(output))
    }

    /// Whether a copy of the elements is only noted: of what a run computes, and of large weights, which would lie on the device
    /// twice.
    fn is_viewed(&self, device: &Device) -> bool {
        let buffer = &self.lowering.buffers[device.buffer];
        match device.packing {
            Packing::Words => !buffer.source.is_constant(),
            Packing::F16 | Packing::BF16 => {
                matches!(buffer.source, Source::Weight(_)) && buffer.bytes > MAX_TURNED
            }
            _ => false,
        }
    }

    /// Fills a new tensor by strided copies that together cover it: on the CPU if every source is known. One copy that fills
    /// it row by row is only noted, and made when a kernel needs the elements in order.
    pub fn copies(
        &mut self,
        shape: &[usize],
        dtype: DType,
        pieces: &[(&Value, StridedCopy)],
    ) -> Result<Value> {
        let n = elements(shape)?;
        let constants: Option<Vec<_>> = pieces
            .iter()
            .map(|(value, copy)| Some((value.constant()?, copy)))
            .collect();
        if let Some(constants) = constants.filter(|_| n <= MAX_FOLDED) {
            return Ok(Value::Const(eval::copies(shape, dtype, &constants)?));
        }
        if n == 0 {
            return Ok(Value::Const(Tensor::zeros(dtype, shape)?));
        }
        if self.has(Pass::Views)
            && let [(Value::Device(device), copy)] = pieces
            && self.is_viewed(device)
            && elements(&copy.shape)? == n
            && copy.out_offset == 0
            && copy.out_strides == row_major(&copy.shape)
        {
            let source = self.layout(pieces[0].0);
            if let Some(read) = source.compose(copy) {
                let viewed = Device {
                    shape: shape.to_vec(),
                    dtype,
                    ..device.clone()
                };
                return Ok(self.arranged(viewed, Layout::of_copy(&read)));
            }
        }
        if let [(value, copy)] = pieces
            && value.packing().is_halves()
            && elements(&copy.shape)? == n
            && copy.out_offset == 0
            && copy.out_strides == row_major(&copy.shape)
        {
            let output = self.allocate_packed(shape, dtype, value.packing())?;
            self.push_packed(strided_halves(copy)?, &[value], &[0], &output)?;
            return Ok(Value::Device(output));
        }
        let mut output = self.allocate(shape, dtype)?;
        output.half = pieces.iter().all(|(value, _)| value.is_half());
        for (value, copy) in pieces {
            if elements(&copy.shape)? == 0 {
                continue;
            }
            match self.layout(value).compose(copy) {
                Some(read) => {
                    let base = self.base(value);
                    self.push(strided_copy(&read)?, &[&base], &output)?;
                }
                None => self.push(strided_copy(copy)?, &[value], &output)?,
            }
        }
        Ok(Value::Device(output))
    }

    /// The same elements under another shape; no copy is made.
    pub fn reshaped(&self, value: Value, shape: Vec<usize>) -> Result<Value> {
        if value.elements() != elements(&shape)? {
            return Err(mismatch(format!(
                "{:?} cannot take the shape {shape:?}",
                value.shape()
            )));
        }
        Ok(match value {
            Value::Const(tensor) => Value::Const(tensor.reshaped(shape)?),
            Value::Device(device) => Value::Device(Device { shape, ..device }),
        })
    }
}
