//! What a run reads from the model's files.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Session, Value};
use crate::error::{Error, ErrorKind, Result, invalid_model};
use crate::gpu::{Buffer, Caught, KernelTime, Recording, Uploader};
use crate::graph::{Rows, ValueId};
use crate::tensor::Tensor;
use crate::weights::{Origin, WeightSource};

/// The graph without its large constants, and the files that hold those.
pub(super) struct Kept {
    pub graph: Vec<u8>,
    pub source: Arc<dyn WeightSource>,
}

/// Weights to bring to the device and the dispatches that read them.
pub(super) struct Turn {
    pub loads: Vec<(ValueId, Buffer)>,
    pub recording: Recording,
}

impl Session {
    fn origin(&self) -> Result<Origin<'_>> {
        let kept = self.kept.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Io, "the files of the model are no longer there")
        })?;
        Ok(Origin {
            graph: &kept.graph,
            files: &*kept.source,
        })
    }

    /// Runs turn after turn. The device computes while the weights of the next turn are read; that they overwrite nothing that is
    /// still to be read follows from the order in which they are handed over.
    pub(super) async fn take_turns(&self, turns: &[Turn]) -> Result<()> {
        let mut uploader = Uploader::new(&self.gpu);
        let mut caught: Vec<Caught> = Vec::new();
        for turn in turns {
            self.bring(turn, &mut uploader).await?;
            caught.extend(turn.recording.start()?);
        }
        for error in caught {
            error.await?;
        }
        uploader.flush().await
    }

    /// [`Recording::profile`] of every turn.
    pub(super) async fn profile_turns(&self, turns: &[Turn]) -> Result<Vec<KernelTime>> {
        let mut uploader = Uploader::new(&self.gpu);
        let mut times = Vec::new();
        for turn in turns {
            self.bring(turn, &mut uploader).await?;
            uploader.flush().await?;
            times.extend(turn.recording.profile().await?);
        }
        Ok(times)
    }

    async fn bring(&self, turn: &Turn, uploader: &mut Uploader) -> Result<()> {
        if turn.loads.is_empty() {
            return Ok(());
        }
        let origin = self.origin()?;
        for (id, buffer) in &turn.loads {
            let weight = self.graph.weights.get(id);
            let weight = weight.ok_or_else(|| invalid_model("a weight is gone"))?;
            weight.load(&origin, buffer, uploader).await?;
        }
        Ok(())
    }

    /// Reads the rows that `inputs`, in the model's order, ask for and writes them to `buffers`, one for each table.
    pub(super) async fn bring_rows(
        &self,
        buffers: &[Option<Buffer>],
        inputs: &[&Value],
    ) -> Result<()> {
        for (rows, buffer) in self.graph.rows.iter().zip(buffers) {
            let Some(buffer) = buffer else { continue };
            let values = self.inputs_of(rows, inputs).await?;
            let places = rows.places(&self.graph.indices(rows, &values)?)?;
            let data = rows.table.rows(&self.origin()?, &places).await?;
            let mut uploader = Uploader::new(&self.gpu);
            uploader.write(buffer, 0, &data).await?;
            uploader.flush().await?;
        }
        Ok(())
    }

    async fn inputs_of(&self, rows: &Rows, inputs: &[&Value]) -> Result<HashMap<ValueId, Tensor>> {
        let mut values = HashMap::new();
        for id in rows.inputs(&self.graph) {
            let mut places = self.graph.inputs.iter();
            let place = places.position(|(input, _)| *input == id);
            let tensor = match place.and_then(|place| inputs.get(place)) {
                Some(Value::Host(tensor)) => tensor.clone(),
                Some(Value::Device(tensor)) => tensor.read().await?,
                None => continue,
            };
            values.insert(id, tensor);
        }
        Ok(values)
    }
}
