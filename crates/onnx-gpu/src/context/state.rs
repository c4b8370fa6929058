//! The state of a walk over a graph: buffers and launches so far.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Passes, ValueId};
use crate::kernels::elementwise::{Rounding, UnaryOp, unary_of};
use crate::kernels::strided_copy::{StridedCopy, strided_copy, strided_halves};
use crate::kernels::unpack::unpack;
use crate::kernels::{AdapterClass, Elem, Target, row_major};
use crate::program::{BufferId, BufferInfo, Device, Layout, Source, Step, Value, data_key};
use crate::tensor::{Packing, elements};

/// Most elements of a value: shaders index with 31 bits.
const MAX_ELEMENTS: usize = i32::MAX as usize;
/// Most dispatches of a graph; those of today's models take some thousands.
const MAX_STEPS: usize = 1 << 16;

/// The state of a walk.
pub(crate) struct Lowering {
    pub opset: i64,
    pub target: Target,
    pub passes: Passes,
    pub(super) fold_only: bool,
    pub buffers: Vec<BufferInfo>,
    pub steps: Vec<Step>,
    pub(super) uploaded: HashMap<(usize, usize), BufferId>,
    /// The buffer of 32-bit words made from a packed one.
    pub(super) unpacked: HashMap<BufferId, BufferId>,
    /// Elements of constants computed so far.
    pub folded: usize,
    /// Copies that put the elements of a buffer into order.
    pub(super) ordered: HashMap<(BufferId, Arc<Layout>), BufferId>,
}

impl Lowering {
    pub fn new(opset: i64, target: Target, passes: Passes) -> Self {
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

    pub fn buffer(&mut self, shape: &[usize], source: Source) -> Result<BufferId> {
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
    pub fn push(&mut self, step: Step) -> Result<()> {
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
    pub fn words(&mut self, value: &Value) -> Result<BufferId> {
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
    pub fn resident(&mut self, value: &Value) -> Result<BufferId> {
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
    pub fn rounded(&mut self, value: Value) -> Result<Value> {
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
    pub fn dense(&mut self, value: Value) -> Result<Value> {
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
    pub fn kept(&mut self, value: Value, streamed: &HashSet<ValueId>) -> Result<Value> {
        let Value::Device(device) = &value else {
            return Ok(value);
        };
        match self.buffers[device.buffer].source {
            Source::Weight(id) if streamed.contains(&id) => {}
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
