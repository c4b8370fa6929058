//! The `onnx-gpu` engine: Vulkan, Metal, DX12 and the browser's WebGPU.

mod source;
mod step;

use std::sync::Arc;

use async_trait::async_trait;
use half::f16;
use onnx_gpu::{AdapterChoice, DType, Dim, Gpu, GpuTensor, Options, Session};

use self::source::Source;
use super::{Engine, Memory, Model, Stepper, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::files::Files;
use crate::manifest::Graph;
use crate::tensor::{Data, Tensor};

/// Runs graphs on a GPU; clones share the device.
#[derive(Clone, Debug)]
pub struct GpuEngine(Gpu);

impl GpuEngine {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`ErrorKind::NoAdapter`] when none fits, [`ErrorKind::Engine`] when the driver refuses.
    pub async fn request(choice: AdapterChoice) -> Result<Self> {
        let gpu = Gpu::request(&choice)
            .await
            .map_err(|e| fail("the GPU cannot be opened", &e))?;
        Ok(Self(gpu))
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.0
    }
}

impl From<Gpu> for GpuEngine {
    fn from(gpu: Gpu) -> Self {
        Self(gpu)
    }
}

#[async_trait(?Send)]
impl Engine for GpuEngine {
    fn backend(&self) -> String {
        let api = match self.0.info().backend.as_str() {
            "vulkan" => "Vulkan",
            "metal" => "Metal",
            "dx12" => "DX12",
            "webgpu" => "WebGPU",
            other => other,
        };
        format!("onnx-gpu ({api})")
    }

    fn adapter(&self) -> String {
        self.0.info().name.clone()
    }

    fn shared(&self) -> Box<dyn Engine> {
        Box::new(self.clone())
    }

    async fn load(&self, component: &str, onnx: &[u8]) -> Result<Box<dyn Model>> {
        let options = Options::default().with_gpu(self.0.clone());
        let session = Session::from_bytes(onnx, options)
            .await
            .map_err(|error| load_error(component, &error))?;
        Ok(Box::new(GpuModel {
            component: component.to_owned(),
            session,
            source: None,
        }))
    }

    async fn load_graph(
        &self,
        component: &str,
        graph: &Graph,
        files: &Arc<dyn Files>,
        weights_budget: Option<u64>,
    ) -> Result<Box<dyn Model>> {
        let options = Options::default()
            .with_gpu(self.0.clone())
            .with_weights_budget(weights_budget);
        let source = Source::new(files, graph);
        let session = Session::open_reading(source.clone(), &graph.file, options)
            .await
            .map_err(|error| {
                source
                    .failure()
                    .unwrap_or_else(|| load_error(component, &error))
            })?;
        Ok(Box::new(GpuModel {
            component: component.to_owned(),
            session,
            source: Some(source),
        }))
    }

    fn stepper(&self) -> Box<dyn Stepper> {
        Box::new(step::GpuStepper(self.0.clone()))
    }
}

struct GpuModel {
    component: String,
    session: Session,
    /// What runs may still read.
    source: Option<Arc<Source>>,
}

#[async_trait(?Send)]
impl Model for GpuModel {
    fn takes(&self, name: &str, shape: &[usize]) -> bool {
        let mut inputs = self.session.inputs().iter();
        let Some(info) = inputs.find(|info| info.name == name) else {
            return false;
        };
        info.shape.as_ref().is_none_or(|dims| {
            let fits = |(dim, size): (&Dim, &usize)| match dim {
                Dim::Fixed(fixed) => fixed == size,
                Dim::Symbol(_) => true,
            };
            dims.len() == shape.len() && dims.iter().zip(shape).all(fits)
        })
    }

    fn memory(&self, inputs: &[(&str, &[usize])]) -> Result<Option<Memory>> {
        let cost = self
            .session
            .cost(inputs)
            .map_err(|error| fail(&self.component, &error))?;
        let device = self.session.gpu().info();
        let offered = device
            .max_buffer_size
            .min(device.max_storage_buffer_binding_size);
        Ok(Some(Memory {
            fits: cost.largest_buffer <= offered,
            bytes: cost.total_bytes,
        }))
    }

    fn trim(&self) {
        self.session.forget_plans();
    }

    async fn run(&self, inputs: Vec<(&str, Tensor)>) -> Result<Vec<(String, Tensor)>> {
        let fail = |error: onnx_gpu::Error| self.failure(&error);
        let inputs = inputs
            .into_iter()
            .map(|(name, tensor)| {
                let tensor = to_gpu(tensor, self.dtype(name)).map_err(fail)?;
                Ok((name, tensor))
            })
            .collect::<Result<Vec<_>>>()?;
        self.session
            .run(&inputs)
            .await
            .map_err(fail)?
            .into_iter()
            .map(|(name, tensor)| Ok((name, from_gpu(&tensor)?)))
            .collect()
    }

    async fn run_values(&self, inputs: Vec<(&str, Value)>) -> Result<Vec<(String, Value)>> {
        let fail = |error: onnx_gpu::Error| self.failure(&error);
        let inputs = inputs
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    Value::Host(tensor) => to_gpu(tensor, self.dtype(name)).map_err(fail)?.into(),
                    Value::Gpu(tensor) => {
                        let dtype = self.dtype(name).unwrap_or(tensor.dtype());
                        tensor.in_type(dtype).map_err(fail)?.into()
                    }
                };
                Ok((name, value))
            })
            .collect::<Result<Vec<(&str, onnx_gpu::Value)>>>()?;
        let outputs = self.session.run_gpu(&inputs).await.map_err(fail)?;
        Ok(outputs
            .into_iter()
            .map(|(name, tensor)| (name, Value::Gpu(tensor)))
            .collect())
    }
}

impl GpuModel {
    /// What the files say is wrong with them, if they are what failed.
    fn failure(&self, error: &onnx_gpu::Error) -> Error {
        let read = self.source.as_ref().and_then(|source| source.failure());
        read.unwrap_or_else(|| fail(&self.component, error))
    }

    /// The type that the graph declares for an input.
    fn dtype(&self, name: &str) -> Option<DType> {
        let mut inputs = self.session.inputs().iter();
        inputs.find(|info| info.name == name).map(|info| info.dtype)
    }
}

/// A tensor in the type of a port: floats round to float16, and whole numbers other than 0 are true.
fn to_gpu(tensor: Tensor, dtype: Option<DType>) -> onnx_gpu::Result<onnx_gpu::Tensor> {
    let (shape, data) = tensor.into_parts();
    match (data, dtype) {
        (Data::F32(v), Some(DType::F16)) => {
            onnx_gpu::Tensor::f16(shape, v.into_iter().map(f16::from_f32).collect())
        }
        (Data::F32(v), _) => onnx_gpu::Tensor::f32(shape, v),
        (Data::I64(v), Some(DType::Bool)) => {
            onnx_gpu::Tensor::bool(shape, v.into_iter().map(|n| n != 0).collect())
        }
        (Data::I64(v), _) => onnx_gpu::Tensor::i64(shape, v),
        (Data::I32(v), _) => onnx_gpu::Tensor::i32(shape, v),
    }
}

fn from_gpu(tensor: &onnx_gpu::Tensor) -> Result<Tensor> {
    let fail = |error: onnx_gpu::Error| fail("an output", &error);
    match tensor.dtype() {
        DType::I64 => Tensor::i64(tensor.shape(), tensor.as_i64().map_err(fail)?.to_vec()),
        DType::F16 => {
            let halves = tensor.as_f16().map_err(fail)?.iter();
            Tensor::f32(tensor.shape(), halves.map(|half| half.to_f32()).collect())
        }
        _ => Tensor::f32(tensor.shape(), tensor.as_f32().map_err(fail)?.to_vec()),
    }
}

pub(super) async fn read(tensor: &GpuTensor) -> Result<Tensor> {
    let tensor = tensor.read().await.map_err(|e| fail("reading back", &e))?;
    from_gpu(&tensor)
}

fn load_error(component: &str, error: &onnx_gpu::Error) -> Error {
    use onnx_gpu::ErrorKind as Gpu;
    match error.kind() {
        Gpu::Parse | Gpu::InvalidModel | Gpu::UnsupportedOp | Gpu::ShapeMismatch => Error::new(
            ErrorKind::InvalidModel {
                component: component.to_owned(),
            },
            format!("{component} is not a graph that onnx-gpu can run: {error}"),
        ),
        _ => fail(component, error),
    }
}

pub(crate) fn fail(context: &str, error: &onnx_gpu::Error) -> Error {
    use onnx_gpu::ErrorKind as Gpu;
    let kind = match error.kind() {
        Gpu::NoAdapter => ErrorKind::NoAdapter,
        Gpu::OutOfMemory | Gpu::Limit => ErrorKind::OutOfMemory,
        Gpu::DeviceLost => ErrorKind::DeviceLost,
        _ => ErrorKind::Engine,
    };
    Error::new(kind, format!("{context}: {error}"))
}
