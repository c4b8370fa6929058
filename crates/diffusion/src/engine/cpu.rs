//! The `rten` engine: any CPU, SIMD, also in the browser.
//!
//! rten stores float16 initialisers as float32 when it reads a graph, and int64 as int32; bfloat16 is widened before.
//! Weights are packed for its kernels when a graph is loaded: steps take about 40 % less time for a third more memory.

mod product;
mod widen;

use std::sync::Arc;

use async_trait::async_trait;
use rten::{Dimension, NodeId, Value, ValueOrView};
use rten_tensor::{AsView, Layout};

pub use self::product::Product;
use super::{Engine, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Files, whole};
use crate::manifest::Graph;
use crate::tensor::{Data, Tensor};

/// Runs graphs on the CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuEngine;

impl CpuEngine {
    /// An engine; it holds no state.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait(?Send)]
impl Engine for CpuEngine {
    fn backend(&self) -> String {
        "rten (CPU)".to_owned()
    }

    fn adapter(&self) -> String {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let unit = if threads == 1 { "thread" } else { "threads" };
        format!("{}, {threads} {unit}", std::env::consts::ARCH)
    }

    fn shared(&self) -> Box<dyn Engine> {
        Box::new(*self)
    }

    async fn load(&self, component: &str, onnx: &[u8]) -> Result<Box<dyn Model>> {
        load(component, onnx, Vec::new())
    }

    async fn load_graph(
        &self,
        component: &str,
        graph: &Graph,
        files: &Arc<dyn Files>,
        _weights_budget: Option<u64>,
    ) -> Result<Box<dyn Model>> {
        let onnx = whole(&**files, &graph.file).await?;
        let mut external = Vec::with_capacity(graph.external.len());
        for (location, file) in &graph.external {
            external.push((&**location, whole(&**files, file).await?.into_owned()));
        }
        load(component, &onnx, external)
    }
}

fn load(component: &str, onnx: &[u8], external: Vec<(&str, Vec<u8>)>) -> Result<Box<dyn Model>> {
    let mut options = rten::ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let onnx = match widen::widen(component, onnx, &external)? {
        Some(widened) => {
            options.external_data(widen::LOCATION, widened.floats);
            widened.onnx
        }
        None => onnx.to_vec(),
    };
    for (location, bytes) in external {
        options.external_data(location, bytes);
    }
    let model = options.load(onnx).map_err(|error| {
        Error::new(
            ErrorKind::InvalidModel {
                component: component.to_owned(),
            },
            format!("{component} is not a graph that rten can run: {error}"),
        )
    })?;
    Ok(Box::new(CpuModel {
        component: component.to_owned(),
        model,
    }))
}

struct CpuModel {
    component: String,
    model: rten::Model,
}

impl CpuModel {
    fn error(&self, detail: impl std::fmt::Display) -> Error {
        Error::engine(format!("{}: {detail}", self.component))
    }

    fn name(&self, id: NodeId) -> String {
        self.model
            .node_info(id)
            .and_then(|info| info.name().map(str::to_owned))
            .unwrap_or_default()
    }

    fn input(&self, tensor: Tensor) -> Result<Value> {
        let (shape, data) = tensor.into_parts();
        let value = match data {
            Data::F32(v) => Value::from_shape(shape, v).map_err(|e| self.error(e))?,
            Data::I32(v) => Value::from_shape(shape, v).map_err(|e| self.error(e))?,
            Data::I64(v) => {
                let v: Vec<i32> = v
                    .into_iter()
                    .map(i32::try_from)
                    .collect::<std::result::Result<_, _>>()
                    .map_err(|e| self.error(e))?;
                Value::from_shape(shape, v).map_err(|e| self.error(e))?
            }
        };
        Ok(value)
    }

    fn output(&self, value: Value) -> Result<Tensor> {
        match value {
            Value::FloatTensor(t) => Tensor::f32(t.shape(), t.to_vec()),
            Value::Int32Tensor(t) => {
                Tensor::i64(t.shape(), t.iter().map(|&x| i64::from(x)).collect())
            }
            _ => Err(self.error("an output is neither float nor integer")),
        }
    }
}

#[async_trait(?Send)]
impl Model for CpuModel {
    fn takes(&self, name: &str, shape: &[usize]) -> bool {
        let Some(info) = self
            .model
            .find_node(name)
            .and_then(|id| self.model.node_info(id))
        else {
            return false;
        };
        info.shape().is_none_or(|dims| {
            let fits = |(dim, size): (&Dimension, &usize)| match dim {
                Dimension::Fixed(fixed) => fixed == size,
                Dimension::Symbolic(_) => true,
            };
            dims.len() == shape.len() && dims.iter().zip(shape).all(fits)
        })
    }

    async fn run(&self, inputs: Vec<(&str, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let inputs = inputs
            .into_iter()
            .map(|(name, tensor)| {
                let id = self.model.node_id(name).map_err(|e| self.error(e))?;
                Ok((id, ValueOrView::Value(self.input(tensor)?)))
            })
            .collect::<Result<Vec<_>>>()?;
        let outputs = self.model.output_ids().to_vec();
        let values = self
            .model
            .run(inputs, &outputs, None)
            .map_err(|e| self.error(e))?;
        outputs
            .into_iter()
            .zip(values)
            .map(|(id, value)| Ok((self.name(id), self.output(value)?)))
            .collect()
    }
}
