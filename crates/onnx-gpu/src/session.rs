//! A model on a device.

mod compile;
mod cost;
mod dry;
mod inputs;
mod reading;
mod report;
mod value;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, ErrorKind, Result};
use crate::gpu::{AdapterChoice, Buffer, Gpu, KernelTime, Uploader};
use crate::graph::{Graph, OutputInfo, Passes, ValueId, take_initializers};
use crate::lower::Given;
use crate::optimise::InFiles;
use crate::program::{Recipe, data_key};
use crate::proto::{Dim, Model, ValueInfo};
use crate::tensor::{Element, Tensor, elements};
use crate::weights::{Bytes, Origin, WeightSource, read_small, skeleton};
use compile::Compiled;
pub use cost::{Cost, Dispatch, dry_cost, dry_cost_beside, dry_cost_within, dry_dispatches};
pub use dry::dry_run;
use reading::Kept;
pub use report::Report;
pub use value::{GpuTensor, Value};

/// Sets of input shapes whose plans are kept.
const MAX_PLANS: usize = 8;
/// Most elements of an input whose value a plan is made for.
const MAX_READ_BY_PLANS: usize = 1 << 10;

/// Bytes of the smallest table whose rows [`Session::open_reading`] leaves in its file, unless [`Options::least_table`] says
/// otherwise.
pub const LEAST_TABLE: u64 = 64 << 20;

/// How to open a session: the defaults, and what a `with_…` changes of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// A device to share; without one, `adapter` is opened.
    pub gpu: Option<Gpu>,
    /// Which adapter to open.
    pub adapter: AdapterChoice,
    /// Which optimisations to make.
    pub passes: Passes,
    /// Names of the values to compute, in the order of the results: outputs, or whatever a node makes, an input or a constant. Nothing
    /// else is computed, and inputs that do not lead there need not be given. `None`: every output of the file.
    pub outputs: Option<Vec<String>>,
    /// Most bytes of large constants on the device, for [`Session::open_reading`]: those beyond are brought there in every run,
    /// shortly before they are needed. At least twice what its largest launch reads of them is taken, also where this is less;
    /// where that is as much as all of them, all of them are there.
    /// `None`: all of them are there for as long as the session is.
    pub weights_budget: Option<u64>,
    /// For [`Session::open_reading`]: tables of at least so many bytes stay in their files, where all that a graph does with one is
    /// to gather rows by indices that follow from its inputs. Runs read those rows alone.
    pub least_table: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gpu: None,
            adapter: AdapterChoice::default(),
            passes: Passes::default(),
            outputs: None,
            weights_budget: None,
            least_table: LEAST_TABLE,
        }
    }
}

impl Options {
    /// A device to share.
    #[must_use]
    pub fn with_gpu(mut self, gpu: Gpu) -> Self {
        self.gpu = Some(gpu);
        self
    }

    /// The adapter to open.
    #[must_use]
    pub fn with_adapter(mut self, adapter: AdapterChoice) -> Self {
        self.adapter = adapter;
        self
    }

    /// The optimisations to make.
    #[must_use]
    pub fn with_passes(mut self, passes: Passes) -> Self {
        self.passes = passes;
        self
    }

    /// The values to compute, see [`Options::outputs`].
    #[must_use]
    pub fn with_outputs<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.outputs = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The bytes of weights on the device, see [`Options::weights_budget`].
    #[must_use]
    pub fn with_weights_budget(mut self, bytes: Option<u64>) -> Self {
        self.weights_budget = bytes;
        self
    }

    /// The smallest table that stays in its file, see [`Options::least_table`].
    #[must_use]
    pub fn with_least_table(mut self, bytes: u64) -> Self {
        self.least_table = bytes;
        self
    }
}

/// Numbers on the plan that was made or run last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Dispatches per run.
    pub dispatches: usize,
    /// Different pipelines.
    pub pipelines: usize,
    /// Bytes of inputs and intermediate results on the device.
    pub peak_bytes: u64,
    /// Bytes of constants on the device, those that are there for a part of a run included.
    pub weight_bytes: u64,
    /// Bytes of constants that a run brings to the device.
    pub streamed_bytes: u64,
    /// Nodes left after folding and fusion.
    pub nodes: usize,
    /// Multiplications and additions of products, convolutions and attention per run.
    pub flops: u64,
}

/// A model whose weights are on a device, ready to run.
///
/// A plan is made for each set of input shapes and kept; where shapes inside the graph, or the branch of an `If`, follow from
/// the value of a small input, for each such value too. Concurrent runs are allowed; two at a time with equal shapes work on
/// buffers of their own.
pub struct Session {
    gpu: Gpu,
    graph: Graph,
    inputs: Vec<ValueInfo>,
    outputs: Vec<OutputInfo>,
    /// Small constants of the graph, which every plan shares.
    shared: HashSet<(usize, usize)>,
    constants: Mutex<HashMap<(usize, usize), Buffer>>,
    /// The other constants of the graph.
    weights: HashMap<ValueId, Buffer>,
    prepared: Mutex<HashMap<Arc<Recipe>, Buffer>>,
    plans: Mutex<Vec<(Vec<Given>, Compiled)>>,
    stats: Mutex<Stats>,
    /// Where constants are read during runs.
    kept: Option<Kept>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Parses an ONNX file and opens it on a device. If every input shape is fixed, the plan is made and the weights are
    /// uploaded at once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Parse`], [`crate::ErrorKind::InvalidModel`] and [`crate::ErrorKind::UnsupportedOp`] for the file,
    /// [`crate::ErrorKind::NoAdapter`], [`crate::ErrorKind::Limit`] and [`crate::ErrorKind::OutOfMemory`] for the device.
    pub async fn from_bytes(bytes: &[u8], options: Options) -> Result<Self> {
        Self::load(bytes, &Bytes::new(), options).await
    }

    /// Opens a model whose graph is in memory and whose weights, or some of them, are in the files of `source`. They are
    /// streamed to the device; see [`crate::weights`] for how much main memory that takes.
    ///
    /// # Errors
    /// As [`Session::from_bytes`]; [`crate::ErrorKind::InvalidModel`] for a path that leaves the model's folder,
    /// [`crate::ErrorKind::Io`] and what else the source reports.
    pub async fn load(graph: &[u8], source: &dyn WeightSource, options: Options) -> Result<Self> {
        Self::assemble(graph, source, options, None).await
    }

    /// [`Session::open`] of files that are there for as long as the session is: what [`Options::weights_budget`] and
    /// [`Options::least_table`] leave in them is read during runs. Results are the same, bit for bit; but an index outside of
    /// such a table is an error.
    ///
    /// # Errors
    /// As [`Session::open`]; runs fail with what the source reports, too.
    pub async fn open_reading(
        source: Arc<dyn WeightSource>,
        model: &str,
        options: Options,
    ) -> Result<Self> {
        let graph = skeleton(&*source, model).await?;
        let in_files = InFiles {
            least_table: options.least_table,
            budget: options.weights_budget,
        };
        let mut session = Self::assemble(&graph, &*source, options, Some(in_files)).await?;
        session.kept = Some(Kept { graph, source });
        Ok(session)
    }

    async fn assemble(
        graph: &[u8],
        source: &dyn WeightSource,
        options: Options,
        in_files: Option<InFiles>,
    ) -> Result<Self> {
        let mut model = Model::parse(graph)?;
        let origin = Origin {
            graph,
            files: source,
        };
        let initializers = take_initializers(&mut model);
        let known = read_small(initializers, &origin).await?;
        let mut graph = Graph::new(model, known, options.passes, options.outputs.as_deref())?;
        graph.optimise();
        if let Some(in_files) = in_files {
            graph.leave_in_files(in_files);
        }
        let gpu = match options.gpu {
            Some(gpu) => gpu,
            None => Gpu::request(&options.adapter).await?,
        };
        let mut session = Self::unloaded(graph, gpu);
        let shapes = session.fixed();
        // The plan needs no weight: its pipelines are made while they arrive.
        let (warming, read) = match &shapes {
            Some(shapes) => {
                let launches = session.launches(shapes)?;
                let warming = session.gpu.start_pipelines(launches.pipelines);
                (Some(warming), Some(launches.weights))
            }
            None => (None, None),
        };
        let streamed = session.stream(&origin, read.as_ref()).await;
        if let Some(warming) = warming {
            warming.finish().await;
        }
        streamed?;
        if let Some(shapes) = shapes {
            // No other shapes will come: what is only needed to prepare other buffers is brought for that alone.
            let loaded = session.compile_reading(&shapes, Some(&origin)).await?;
            session.weights.extend(loaded.weights);
            lock(&session.constants).clear();
            session.keep(shapes, loaded.compiled);
        }
        session.graph.forget_contents();
        Ok(session)
    }

    /// Opens the model in the file `model` of `source`, reading the graph without the weights that lie in the same file.
    ///
    /// # Errors
    /// As [`Session::load`].
    pub async fn open(source: &dyn WeightSource, model: &str, options: Options) -> Result<Self> {
        let graph = skeleton(source, model).await?;
        Self::load(&graph, source, options).await
    }

    fn unloaded(graph: Graph, gpu: Gpu) -> Self {
        Self {
            gpu,
            inputs: graph.inputs.iter().map(|(_, info)| info.clone()).collect(),
            outputs: graph.outputs.iter().map(|(_, info)| info.clone()).collect(),
            shared: graph.constants.values().map(data_key).collect(),
            graph,
            constants: Mutex::default(),
            weights: HashMap::new(),
            prepared: Mutex::default(),
            plans: Mutex::default(),
            stats: Mutex::default(),
            kept: None,
        }
    }

    /// Brings the large constants to the device, or those among `read`, in the order in which they lie in their files.
    async fn stream(&mut self, origin: &Origin<'_>, read: Option<&HashSet<ValueId>>) -> Result<()> {
        let weights = self.graph.weights.iter();
        let mut weights: Vec<_> = weights
            .filter(|(id, _)| !self.graph.streamed.contains(id))
            .filter(|(id, _)| read.is_none_or(|read| read.contains(id)))
            .collect();
        weights.sort_by_key(|(id, weight)| (weight.location(), **id));
        let mut uploader = Uploader::new(&self.gpu);
        for (&id, weight) in weights {
            let buffer = self.gpu.allocate(weight.bytes(), "weight").await?;
            weight.load(origin, &buffer, &mut uploader).await?;
            self.weights.insert(id, buffer);
        }
        uploader.flush().await
    }

    /// The declared shape of every input, if all are fixed and no plan depends on a value.
    fn fixed(&self) -> Option<Vec<Given>> {
        let fixed = |info: &ValueInfo| {
            info.shape
                .as_ref()?
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(size) => Some(*size),
                    Dim::Symbol(_) => None,
                })
                .collect()
        };
        let shapes: Option<Vec<Vec<usize>>> = self.inputs.iter().map(fixed).collect();
        let shapes = shapes.filter(|_| !self.graph.read_by_plans.contains(&true))?;
        Some(shapes.into_iter().map(Given::from).collect())
    }

    /// Names, element types and shapes of the inputs that a run needs.
    pub fn inputs(&self) -> &[ValueInfo] {
        &self.inputs
    }

    /// Names of the outputs and, where the file tells, their element types and shapes.
    pub fn outputs(&self) -> &[OutputInfo] {
        &self.outputs
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Numbers on the plan that was made or run last.
    pub fn stats(&self) -> Stats {
        *lock(&self.stats)
    }

    /// Runs the model on named inputs; the result has every output by name, in the model's order.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] for a missing, unknown or wrongly typed input,
    /// [`crate::ErrorKind::ShapeMismatch`] for one whose shape does not fit, and whatever the device reports.
    pub async fn run(&self, inputs: &[(&str, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let given = on_host(inputs);
        let inputs = self.checked(&given)?;
        let (shapes, compiled) = self.checkout(&inputs).await?;
        let result = compiled.run(self, &inputs).await;
        self.keep(shapes, compiled);
        Ok(self.named(result?))
    }

    /// [`Session::run`] without a read-back: inputs may be on this session's device already, and every output stays there.
    ///
    /// # Errors
    /// As [`Session::run`]; [`crate::ErrorKind::InvalidInput`] for a tensor of another device.
    pub async fn run_gpu(&self, inputs: &[(&str, Value)]) -> Result<Vec<(String, GpuTensor)>> {
        for (name, value) in inputs {
            if let Value::Device(tensor) = value
                && !tensor.gpu().is(&self.gpu)
            {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("input '{name}' is on another device"),
                ));
            }
        }
        let inputs = self.checked(inputs)?;
        let (shapes, compiled) = self.checkout(&inputs).await?;
        let result = compiled.run_gpu(self, &inputs).await;
        self.keep(shapes, compiled);
        Ok(self.named(result?))
    }

    fn checked<'a>(&self, given: &'a [(&str, Value)]) -> Result<Vec<&'a Value>> {
        inputs::check(&self.inputs, &self.graph.spare, given)
    }

    /// A tensor for an input from its elements alone, row by row, in the shape that the file declares. One dimension may be open;
    /// it follows from the number of elements.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidInput`] for an unknown input, another element type, or where the shape does not follow;
    /// [`crate::ErrorKind::ShapeMismatch`] for a number of elements that does not fill it.
    pub fn input<T: Element>(&self, name: &str, elements: &[T]) -> Result<Tensor> {
        inputs::filled(&self.inputs, name, elements)
    }

    fn named<T>(&self, values: Vec<T>) -> Vec<(String, T)> {
        let names = self.outputs.iter().map(|info| info.name.clone());
        names.zip(values).collect()
    }

    /// The time, bytes and floating-point operations of every dispatch of one run, in order. Dispatches run one at a time, so
    /// the sum is larger than the time of [`Session::run`].
    ///
    /// # Errors
    /// As [`Session::run`].
    pub async fn profile(&self, inputs: &[(&str, Tensor)]) -> Result<Vec<KernelTime>> {
        let given = on_host(inputs);
        let inputs = self.checked(&given)?;
        let (shapes, compiled) = self.checkout(&inputs).await?;
        let result = compiled.profile(self, &inputs).await;
        self.keep(shapes, compiled);
        result
    }

    /// Takes the plan for these inputs out of the cache, or makes one.
    async fn checkout(&self, inputs: &[&Value]) -> Result<(Vec<Given>, Compiled)> {
        let mut shapes = Vec::with_capacity(inputs.len());
        for (input, &read) in inputs.iter().zip(&self.graph.read_by_plans) {
            let shape = input.shape().to_vec();
            let small = elements(&shape)? <= MAX_READ_BY_PLANS;
            let value = match input {
                _ if !read || !small => None,
                Value::Host(tensor) => Some(tensor.clone()),
                Value::Device(tensor) => Some(tensor.read().await?),
            };
            shapes.push(Given { shape, value });
        }
        let cached = {
            let mut plans = lock(&self.plans);
            let found = plans.iter().position(|(key, _)| *key == shapes);
            found.map(|index| plans.remove(index).1)
        };
        let compiled = match cached {
            Some(compiled) => compiled,
            None => self.compile(&shapes).await?,
        };
        Ok((shapes, compiled))
    }

    fn keep(&self, shapes: Vec<Given>, compiled: Compiled) {
        *lock(&self.stats) = compiled.stats;
        let mut plans = lock(&self.plans);
        if !plans.iter().any(|(key, _)| *key == shapes) {
            plans.push((shapes, compiled));
        }
        // Each has banks of its own.
        let most = if self.graph.streamed.is_empty() {
            MAX_PLANS
        } else {
            1
        };
        if plans.len() > most {
            plans.remove(0);
        }
    }

    /// Frees the memory of inputs and intermediate results that is kept for runs of equal shapes; those have to be planned
    /// again.
    pub fn forget_plans(&self) {
        lock(&self.plans).clear();
    }

    /// [`Session::from_bytes`] for callers without an async runtime.
    ///
    /// # Errors
    /// As [`Session::from_bytes`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn from_bytes_blocking(bytes: &[u8], options: Options) -> Result<Self> {
        pollster::block_on(Self::from_bytes(bytes, options))
    }

    /// [`Session::load`] for callers without an async runtime.
    ///
    /// # Errors
    /// As [`Session::load`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load_blocking(
        graph: &[u8],
        source: &dyn WeightSource,
        options: Options,
    ) -> Result<Self> {
        pollster::block_on(Self::load(graph, source, options))
    }

    /// Opens a model file, and the files beside it that hold its weights, for callers without an async runtime.
    ///
    /// # Errors
    /// As [`Session::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open_blocking(path: impl AsRef<std::path::Path>, options: Options) -> Result<Self> {
        let (folder, name) = crate::weights::Folder::of(path.as_ref())?;
        pollster::block_on(Self::open(&folder, &name, options))
    }

    /// [`Session::run`] for callers without an async runtime.
    ///
    /// # Errors
    /// As [`Session::run`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn run_blocking(&self, inputs: &[(&str, Tensor)]) -> Result<Vec<(String, Tensor)>> {
        pollster::block_on(self.run(inputs))
    }

    /// [`Session::profile`] for callers without an async runtime.
    ///
    /// # Errors
    /// As [`Session::run`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile_blocking(&self, inputs: &[(&str, Tensor)]) -> Result<Vec<KernelTime>> {
        pollster::block_on(self.profile(inputs))
    }
}

/// The declared shape of an input, with 1 for what is open; a scalar where not even the rank is known.
fn fixed_or_one(info: &ValueInfo) -> Vec<usize> {
    let size = |dim: &Dim| match dim {
        Dim::Fixed(size) => *size,
        Dim::Symbol(_) => 1,
    };
    let dims = info.shape.as_deref().unwrap_or_default();
    dims.iter().map(size).collect()
}

fn on_host<'a>(inputs: &[(&'a str, Tensor)]) -> Vec<(&'a str, Value)> {
    inputs
        .iter()
        .map(|(name, tensor)| (*name, Value::Host(tensor.clone())))
        .collect()
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("inputs", &self.inputs)
            .field("outputs", &self.outputs)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
