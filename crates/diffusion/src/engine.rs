//! What runs the graphs of a package.

#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
mod step;
mod value;

use std::sync::Arc;

use async_trait::async_trait;

pub use step::{Answer, Form, HostStepper, MAX_VALUES, Operand, Stepper, Term};
pub use value::Value;

use crate::error::{Error, Result};
use crate::files::{Files, whole};
use crate::manifest::Graph;
use crate::tensor::Tensor;

/// Loads ONNX graphs onto a device. Neither engines nor models need to be `Send`: a browser's are not.
#[async_trait(?Send)]
pub trait Engine {
    /// Engine and API, such as `onnx-gpu (Vulkan)`, `onnx-gpu (WebGPU)` or `rten (CPU)`.
    fn backend(&self) -> String;

    /// The device as the platform names it.
    fn adapter(&self) -> String;

    /// Prepares the graph `onnx` of the package's `component`.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidModel`] when the bytes are no graph that this engine runs; a device kind
    /// (out of memory, lost) when the device is at fault.
    async fn load(&self, component: &str, onnx: &[u8]) -> Result<Box<dyn Model>>;

    /// [`Engine::load`] of a graph of a package, which an engine may stream to its device. Its external data is in the
    /// files that `graph` names. An engine may go on reading them for as long as the model is there: rows of large tables, and of
    /// the weights what exceeds `weights_budget` bytes on the device, in every run.
    ///
    /// # Errors
    /// As [`Engine::load`] and [`crate::Files::read`]; [`crate::ErrorKind::Engine`] for external data where an engine takes
    /// none.
    async fn load_graph(
        &self,
        component: &str,
        graph: &Graph,
        files: &Arc<dyn Files>,
        _weights_budget: Option<u64>,
    ) -> Result<Box<dyn Model>> {
        if !graph.external.is_empty() {
            let message = format!("{component} has external data, which this engine does not read");
            return Err(Error::engine(message));
        }
        self.load(component, &whole(&**files, &graph.file).await?)
            .await
    }

    /// The same engine once more, on the same device: for graphs that are loaded again.
    fn shared(&self) -> Box<dyn Engine>;

    /// The arithmetic between runs, where this engine's models leave their outputs.
    fn stepper(&self) -> Box<dyn Stepper> {
        Box::new(HostStepper)
    }
}

/// Device memory that a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whether the device offers buffers as large as the largest one.
    pub fits: bool,
    /// Bytes of weights, inputs and intermediate results.
    pub bytes: u64,
}

/// A loaded graph.
#[async_trait(?Send)]
pub trait Model {
    /// Whether the graph declares that its input `name` may have `shape`.
    fn takes(&self, name: &str, shape: &[usize]) -> bool;

    /// What a run on inputs of these shapes takes; `None` where the engine plans no memory before it runs.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when names or shapes do not fit the graph.
    fn memory(&self, _inputs: &[(&str, &[usize])]) -> Result<Option<Memory>> {
        Ok(None)
    }

    /// Frees the device memory that is kept for further runs on inputs of equal shapes.
    fn trim(&self) {}

    /// Runs the graph on named inputs; gives every output by name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Engine`] when names, types or shapes do not fit the graph; a device kind when the
    /// device is at fault.
    async fn run(&self, inputs: Vec<(&str, Tensor)>) -> Result<Vec<(String, Tensor)>>;

    /// [`Model::run`] whose inputs may be on the engine's device already and whose outputs stay there.
    ///
    /// # Errors
    /// As [`Model::run`].
    async fn run_values(&self, inputs: Vec<(&str, Value)>) -> Result<Vec<(String, Value)>> {
        let mut read = Vec::with_capacity(inputs.len());
        for (name, value) in inputs {
            read.push((name, value.into_tensor().await?));
        }
        let outputs = self.run(read).await?;
        Ok(outputs
            .into_iter()
            .map(|(name, tensor)| (name, Value::Host(tensor)))
            .collect())
    }
}
