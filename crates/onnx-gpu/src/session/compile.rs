//! Makes the buffers and the recording of one plan, and runs it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::reading::Turn;
use super::value::{self, GpuTensor};
use super::{Session, Stats, Value as Input, lock};
use crate::error::{Result, invalid_model};
use crate::gpu::{Buffer, KernelTime, Recording, Uploader};
use crate::graph::ValueId;
use crate::kernels::Launch;
use crate::lower::{Given, lower_graph};
use crate::plan::{Place, Plan, Turns};
use crate::program::{BufferId, Program, Recipe, Source, Step, Value, data_key};
use crate::tensor::{DType, Tensor};
use crate::weights::Origin;

/// Most bytes of weights that are on the device only to prepare others of them, unless one launch reads more.
pub(super) const TOGETHER: u64 = 32 << 20;

/// A plan with its buffers.
pub(super) struct Compiled {
    work: Work,
    inputs: Vec<Option<Buffer>>,
    rows: Vec<Option<Buffer>>,
    outputs: Vec<Output>,
    pub stats: Stats,
}

/// What is known of a plan before any weight is there.
pub(super) struct Launches {
    /// Each pipeline once, with the number of buffers that it binds.
    pub pipelines: Vec<(Launch, usize)>,
    /// Weights that runs read.
    pub weights: HashSet<ValueId>,
}

/// The dispatches of a run.
enum Work {
    /// All at once.
    Whole(Recording),
    /// Between them, weights are brought to the device.
    InTurns(Vec<Turn>),
}

/// What has to be computed before a plan's first run.
struct Missing {
    /// Buffers to write.
    outputs: HashSet<BufferId>,
    /// Those and what is read for them.
    touched: HashSet<BufferId>,
}

enum Output {
    Known(Tensor),
    Read {
        buffer: Buffer,
        shape: Vec<usize>,
        dtype: DType,
    },
}

/// A plan, and weights that only led to what it prepared.
pub(super) struct Loaded {
    pub compiled: Compiled,
    /// Those that another plan for the same shapes prepares anew.
    pub weights: HashMap<ValueId, Buffer>,
}

impl Session {
    pub(super) async fn compile(&self, shapes: &[Given]) -> Result<Compiled> {
        Ok(self.compile_reading(shapes, None).await?.compiled)
    }

    /// [`Self::compile`] where weights that only lead to prepared buffers are not on the device yet: they are read from `origin` and
    /// go again, some at a time.
    pub(super) async fn compile_reading(
        &self,
        shapes: &[Given],
        origin: Option<&Origin<'_>>,
    ) -> Result<Loaded> {
        let mut program = lower_graph(&self.graph, shapes, self.gpu.target())?;
        let plan = Plan::new(&mut program);
        let slots = plan
            .slot_bytes
            .iter()
            .map(|&bytes| self.gpu.buffer(bytes, "scratch"))
            .collect::<Result<Vec<_>>>()?;
        let mut weight_bytes = 0;
        let Missing {
            outputs: missing,
            touched,
        } = self.missing(&program, &plan);
        let mut buffers: Vec<Option<Buffer>> = Vec::with_capacity(program.buffers.len());
        for (id, info) in program.buffers.iter().enumerate() {
            buffers.push(match &info.source {
                _ if !plan.used[id] && !touched.contains(&id) => None,
                Source::Scratch => plan.slots[id].map(|slot| slots[slot].clone()),
                Source::Input => Some(self.gpu.buffer(info.bytes, "input")?),
                Source::Constant(tensor) => {
                    weight_bytes += info.bytes;
                    Some(self.constant(tensor).await?)
                }
                // Where it lies for how long, its turns say.
                Source::Weight(value) if self.graph.streamed.contains(value) => None,
                Source::Weight(value) => {
                    if plan.used[id] {
                        weight_bytes += info.bytes;
                    }
                    let loaded = self.weights.get(value).cloned();
                    if loaded.is_none() && (origin.is_none() || plan.used[id]) {
                        return Err(invalid_model("a weight is read that was not loaded"));
                    }
                    loaded
                }
                Source::Prepared(recipe) => {
                    if plan.used[id] {
                        weight_bytes += info.bytes;
                    }
                    Some(match self.prepared(recipe) {
                        Some(buffer) => buffer,
                        None => self.gpu.allocate(info.bytes, "prepared").await?,
                    })
                }
            });
        }
        let prepare: Vec<Step> = plan
            .prepare
            .iter()
            .filter(|step| missing.contains(&step.output))
            .cloned()
            .collect();
        let passing = self
            .prepare(origin, &program, prepare, &mut buffers)
            .await?;
        let buffer = |id: usize| {
            buffers[id]
                .clone()
                .ok_or_else(|| invalid_model("a value is read that nothing computes"))
        };
        let peak_bytes = plan.working_bytes(&program);
        let bind = |steps: Vec<Step>| {
            steps
                .into_iter()
                .map(|step| {
                    let ids = step.inputs.into_iter().chain([step.output]);
                    Ok((step.launch, ids.map(buffer).collect::<Result<Vec<_>>>()?))
                })
                .collect::<Result<Vec<_>>>()
        };
        // What only led to other prepared buffers is not kept.
        for id in missing.into_iter().filter(|&id| plan.used[id]) {
            if let (Source::Prepared(Some(recipe)), Some(buffer)) =
                (&program.buffers[id].source, &buffers[id])
            {
                lock(&self.prepared).insert(recipe.clone(), buffer.clone());
            }
        }
        let again = self.missing(&program, &plan).touched;
        let weights: HashSet<ValueId> = program
            .buffers
            .iter()
            .enumerate()
            .filter(|(id, _)| plan.used[*id] || again.contains(id))
            .filter_map(|(_, info)| match info.source {
                Source::Weight(value) => Some(value),
                _ => None,
            })
            .collect();
        let launches = || plan.steps.iter().map(|step| &step.launch);
        let keys: HashSet<&str> = launches().map(|launch| launch.key.as_str()).collect();
        let mut stats = Stats {
            dispatches: plan.steps.len(),
            pipelines: keys.len(),
            peak_bytes,
            weight_bytes,
            streamed_bytes: 0,
            nodes: self.graph.nodes.len(),
            flops: launches().map(|launch| launch.flops).sum(),
        };
        let work = if self.graph.streamed.is_empty() {
            Work::Whole(Recording::new(&self.gpu, &bind(plan.steps)?).await?)
        } else {
            let turns = Turns::new(&self.graph, &program, &plan);
            stats.weight_bytes += turns.bytes();
            stats.streamed_bytes = turns.brought();
            Work::InTurns(self.turns(turns, plan.steps, &buffer).await?)
        };
        let outputs = program
            .outputs
            .into_iter()
            .map(|value| {
                Ok(match value {
                    Value::Const(tensor) => Output::Known(tensor),
                    Value::Device(device) => Output::Read {
                        buffer: buffer(device.buffer)?,
                        shape: device.shape,
                        dtype: device.dtype,
                    },
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let given = |ids: &[Option<BufferId>]| {
            let ids = ids.iter();
            ids.map(|id| id.and_then(|id| buffers[id].clone()))
                .collect()
        };
        let mut reloaded = HashMap::new();
        if let Some(origin) = origin {
            for id in passing.intersection(&weights) {
                reloaded.insert(*id, self.load_weight(*id, origin).await?);
            }
        }
        let compiled = Compiled {
            work,
            inputs: given(&program.inputs),
            rows: given(&program.rows),
            outputs,
            stats,
        };
        Ok(Loaded {
            compiled,
            weights: reloaded,
        })
    }

    /// Runs launches that write prepared buffers. Weights that are not on the device are brought there, at most [`TOGETHER`] bytes
    /// at a time or what one launch reads, and go once no other launch reads them; gives those.
    async fn prepare(
        &self,
        origin: Option<&Origin<'_>>,
        program: &Program,
        steps: Vec<Step>,
        buffers: &mut [Option<Buffer>],
    ) -> Result<HashSet<ValueId>> {
        let absent: HashMap<BufferId, ValueId> = steps
            .iter()
            .flat_map(|step| &step.inputs)
            .filter_map(|&id| match program.buffers[id].source {
                Source::Weight(value) if buffers[id].is_none() => Some((id, value)),
                _ => None,
            })
            .collect();
        let mut last = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            let read = step.inputs.iter().filter(|id| absent.contains_key(*id));
            last.extend(read.map(|id| (*id, index)));
        }
        let mut rest = steps.into_iter().enumerate().peekable();
        while rest.peek().is_some() {
            let mut group: Vec<Step> = Vec::new();
            let (mut end, mut bytes) = (0, 0);
            let mut wanted: BTreeMap<BufferId, ValueId> = BTreeMap::new();
            while let Some((index, step)) = rest.peek() {
                let read = step.inputs.iter();
                let new: BTreeMap<BufferId, ValueId> = read
                    .filter(|id| buffers[**id].is_none() && !wanted.contains_key(*id))
                    .filter_map(|id| Some((*id, *absent.get(id)?)))
                    .collect();
                bytes += new.keys().map(|id| program.buffers[*id].bytes).sum::<u64>();
                if bytes > TOGETHER && !group.is_empty() {
                    break;
                }
                wanted.extend(new);
                end = index + 1;
                group.extend(rest.next().map(|(_, step)| step));
            }
            for (id, value) in wanted {
                let origin = origin.ok_or_else(|| invalid_model("a weight was not loaded"))?;
                buffers[id] = Some(self.load_weight(value, origin).await?);
            }
            let bound = group.into_iter().map(|step| {
                let ids = step.inputs.into_iter().chain([step.output]);
                let bound = ids.map(|id| {
                    let missing = || invalid_model("a value is read that nothing computes");
                    buffers[id].clone().ok_or_else(missing)
                });
                Ok((step.launch, bound.collect::<Result<Vec<_>>>()?))
            });
            let bound = bound.collect::<Result<Vec<_>>>()?;
            Recording::new(&self.gpu, &bound).await?.execute().await?;
            for (id, _) in last.iter().filter(|(_, last)| **last < end) {
                buffers[*id] = None;
            }
        }
        Ok(absent.into_values().collect())
    }

    async fn load_weight(&self, id: ValueId, origin: &Origin<'_>) -> Result<Buffer> {
        let weight = self.graph.weights.get(&id);
        let weight = weight.ok_or_else(|| invalid_model("a weight is gone"))?;
        let buffer = self.gpu.allocate(weight.bytes(), "weight").await?;
        let mut uploader = Uploader::new(&self.gpu);
        weight.load(origin, &buffer, &mut uploader).await?;
        uploader.flush().await?;
        Ok(buffer)
    }

    /// Makes the banks and records the launches of each turn; `buffer` gives what is not in a bank.
    async fn turns(
        &self,
        turns: Turns,
        steps: Vec<Step>,
        buffer: &dyn Fn(BufferId) -> Result<Buffer>,
    ) -> Result<Vec<Turn>> {
        let banks = (0..turns.banks).map(|_| self.gpu.unbound(turns.bank_bytes, "bank"));
        let banks = banks.collect::<Result<Vec<_>>>()?;
        let part = |place: &Place| {
            let bank = banks.get(place.bank);
            bank.and_then(|bank| bank.part(place.offset, place.bytes))
                .ok_or_else(|| invalid_model("a weight has no place on the device"))
        };
        let mut steps = steps.into_iter();
        let mut recorded = Vec::with_capacity(turns.list.len());
        for turn in turns.list {
            let loads = turn.loads.iter();
            let loads = loads.map(|(id, place)| Ok((*id, part(place)?)));
            let loads = loads.collect::<Result<Vec<_>>>()?;
            let bound = steps.by_ref().take(turn.steps.len()).map(|step| {
                let ids = step.inputs.iter().chain([&step.output]);
                let bound = ids.map(|id| match turn.places.get(id) {
                    Some(place) => part(place),
                    None => buffer(*id),
                });
                Ok((step.launch, bound.collect::<Result<Vec<_>>>()?))
            });
            let bound = bound.collect::<Result<Vec<_>>>()?;
            recorded.push(Turn {
                loads,
                recording: Recording::new(&self.gpu, &bound).await?,
            });
        }
        Ok(recorded)
    }

    /// The launches of a plan and the weights that they read.
    pub(super) fn launches(&self, shapes: &[Given]) -> Result<Launches> {
        let mut program = lower_graph(&self.graph, shapes, self.gpu.target())?;
        let plan = Plan::new(&mut program);
        let buffers = program.buffers.iter().zip(&plan.used);
        let read = buffers.filter_map(|(buffer, used)| match buffer.source {
            Source::Weight(id) if *used => Some(id),
            _ => None,
        });
        let weights = read.collect();
        let mut seen = HashSet::new();
        let pipelines = plan
            .prepare
            .into_iter()
            .chain(plan.steps)
            .filter(|step| seen.insert(step.launch.key.clone()))
            .map(|step| (step.launch, step.inputs.len() + 1))
            .collect();
        Ok(Launches { pipelines, weights })
    }

    fn prepared(&self, recipe: &Option<Arc<Recipe>>) -> Option<Buffer> {
        lock(&self.prepared).get(recipe.as_ref()?).cloned()
    }

    /// Buffers that launches of [`Plan::prepare`] have to write: those that the plan reads and no other plan has left behind,
    /// and what they are made of.
    fn missing(&self, program: &Program, plan: &Plan) -> Missing {
        let unknown = |id: &BufferId| match &program.buffers[*id].source {
            Source::Prepared(recipe) => self.prepared(recipe).is_none(),
            Source::Scratch => true,
            _ => false,
        };
        let mut outputs: HashSet<BufferId> = plan
            .prepare
            .iter()
            .map(|step| step.output)
            .filter(|id| plan.used[*id] && unknown(id))
            .collect();
        let mut touched = outputs.clone();
        for step in plan.prepare.iter().rev() {
            if outputs.contains(&step.output) {
                outputs.extend(step.inputs.iter().copied().filter(|id| unknown(id)));
                touched.extend(step.inputs.iter().copied().chain([step.output]));
            }
        }
        Missing { outputs, touched }
    }

    /// Uploads a constant; those of the graph are shared by all plans.
    async fn constant(&self, tensor: &Tensor) -> Result<Buffer> {
        let key = data_key(tensor);
        let shared = self.shared.contains(&key);
        let known = lock(&self.constants).get(&key).cloned();
        if let Some(buffer) = known.filter(|_| shared) {
            return Ok(buffer);
        }
        let buffer = self.gpu.upload(&tensor.to_gpu_bytes()?).await?;
        if shared {
            lock(&self.constants).insert(key, buffer.clone());
        }
        Ok(buffer)
    }
}

impl Compiled {
    /// Writes the inputs, runs, reads the outputs back.
    pub async fn run(&self, session: &Session, inputs: &[&Input]) -> Result<Vec<Tensor>> {
        let gpu = &session.gpu;
        self.write(session, inputs).await?;
        self.execute(session).await?;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            outputs.push(match output {
                Output::Known(tensor) => tensor.clone(),
                Output::Read {
                    buffer,
                    shape,
                    dtype,
                } => {
                    let data = gpu.read(buffer, value::bytes(shape)?).await?;
                    Tensor::from_gpu_bytes(*dtype, shape, &data)?
                }
            });
        }
        Ok(outputs)
    }

    /// [`Compiled::run`] whose outputs stay on the device, in buffers of their own.
    pub async fn run_gpu(&self, session: &Session, inputs: &[&Input]) -> Result<Vec<GpuTensor>> {
        let gpu = &session.gpu;
        self.write(session, inputs).await?;
        self.execute(session).await?;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            outputs.push(match output {
                Output::Known(tensor) => GpuTensor::upload(gpu, tensor).await?,
                Output::Read {
                    buffer,
                    shape,
                    dtype,
                } => {
                    let bytes = value::bytes(shape)?;
                    let own = gpu.buffer(bytes, "output")?;
                    gpu.copy(buffer, &own, bytes).await?;
                    GpuTensor::new(gpu, own, shape.clone(), *dtype)?
                }
            });
        }
        Ok(outputs)
    }

    pub async fn profile(&self, session: &Session, inputs: &[&Input]) -> Result<Vec<KernelTime>> {
        self.write(session, inputs).await?;
        match &self.work {
            Work::Whole(recording) => recording.profile().await,
            Work::InTurns(turns) => session.profile_turns(turns).await,
        }
    }

    async fn execute(&self, session: &Session) -> Result<()> {
        match &self.work {
            Work::Whole(recording) => recording.execute().await,
            Work::InTurns(turns) => session.take_turns(turns).await,
        }
    }

    async fn write(&self, session: &Session, inputs: &[&Input]) -> Result<()> {
        let gpu = &session.gpu;
        for (buffer, input) in self.inputs.iter().zip(inputs) {
            let Some(buffer) = buffer else { continue };
            match input {
                Input::Host(tensor) => gpu.write(buffer, &tensor.to_gpu_bytes()?)?,
                Input::Device(tensor) => {
                    let bytes = value::bytes(tensor.shape())?;
                    gpu.copy(tensor.buffer(), buffer, bytes).await?;
                }
            }
        }
        session.bring_rows(&self.rows, inputs).await
    }
}
