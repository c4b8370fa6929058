//! A session as an object of the page.

use std::collections::BTreeMap;

use js_sys::{Array, Uint8Array};
use onnx_gpu::weights::HttpRanges;
use onnx_gpu::{DType, Dim, Gpu, KernelTime, Options, Result, Session, Tensor, npy};
use wasm_bindgen::prelude::*;

use crate::json;

/// A graph on the browser's GPU. Tensors cross the boundary as `.npy` files.
#[wasm_bindgen]
pub struct Engine(Session);

fn thrown(error: onnx_gpu::Error) -> JsValue {
    JsError::new(&error.to_string()).into()
}

#[wasm_bindgen]
impl Engine {
    /// Parses a graph, opens the GPU, uploads the weights and, where every input shape is fixed, compiles.
    ///
    /// # Errors
    /// An `Error` with a sentence: no adapter, an unreadable file, an unknown operator, too little memory.
    pub async fn open(model: Uint8Array) -> std::result::Result<Engine, JsValue> {
        console_error_panic_hook::set_once();
        let gpu = Gpu::request(&onnx_gpu::AdapterChoice::Default)
            .await
            .map_err(thrown)?;
        let options = Options::default().with_gpu(gpu);
        Session::from_bytes(&model.to_vec(), options)
            .await
            .map(Engine)
            .map_err(thrown)
    }

    /// As [`Engine::open`], for the file `model` below the URL `base`: weights, in the file or in files beside it, are
    /// fetched by HTTP ranges and pass through the module's memory in chunks.
    ///
    /// # Errors
    /// As [`Engine::open`]; a server without ranges.
    pub async fn fetch(base: String, model: String) -> std::result::Result<Engine, JsValue> {
        console_error_panic_hook::set_once();
        Session::open(&HttpRanges::new(base), &model, Options::default())
            .await
            .map(Engine)
            .map_err(thrown)
    }

    /// JSON: `inputs` and `outputs`, each a list of `name`, `dtype` and `shape` (numbers, or names of free
    /// dimensions, or null where the rank is open); `adapter`; whether it is `software`.
    pub fn describe(&self) -> String {
        let list = |items: Vec<String>| format!("[{}]", items.join(","));
        let inputs = self.0.inputs().iter();
        let inputs = inputs.map(|i| info(&i.name, Some(i.dtype), i.shape.as_deref()));
        let outputs = self.0.outputs().iter();
        let outputs = outputs.map(|o| info(&o.name, o.dtype, o.shape.as_deref()));
        let adapter = self.0.gpu().info();
        format!(
            "{{\"inputs\":{},\"outputs\":{},\"adapter\":{},\"software\":{}}}",
            list(inputs.collect()),
            list(outputs.collect()),
            json::string(&adapter.name),
            adapter.software
        )
    }

    /// Runs once. `names` and `inputs` (`Uint8Array`s) go together; the answer alternates names and `.npy` files.
    ///
    /// # Errors
    /// An `Error` with a sentence: a missing input, a wrong shape, a lost device.
    pub async fn run(
        &self,
        names: Vec<String>,
        inputs: Array,
    ) -> std::result::Result<Array, JsValue> {
        let inputs = tensors(&names, &inputs).map_err(thrown)?;
        let outputs = self.0.run(&inputs).await.map_err(thrown)?;
        let answer = Array::new();
        for (name, tensor) in outputs {
            answer.push(&JsValue::from(name));
            answer.push(&Uint8Array::from(npy::write(&tensor).as_slice()));
        }
        Ok(answer)
    }

    /// Runs once, kernel by kernel. JSON: `kernels`, the slowest first, each with `label`, `calls` and `ms`.
    ///
    /// # Errors
    /// As [`Engine::run`].
    pub async fn profile(
        &self,
        names: Vec<String>,
        inputs: Array,
    ) -> std::result::Result<String, JsValue> {
        let inputs = tensors(&names, &inputs).map_err(thrown)?;
        let times = self.0.profile(&inputs).await.map_err(thrown)?;
        Ok(kernels(&times))
    }

    /// JSON: numbers on the plan of the last run.
    pub fn stats(&self) -> String {
        let stats = self.0.stats();
        format!(
            "{{\"nodes\":{},\"dispatches\":{},\"pipelines\":{},\"weight_bytes\":{},\"peak_bytes\":{}}}",
            stats.nodes, stats.dispatches, stats.pipelines, stats.weight_bytes, stats.peak_bytes
        )
    }
}

/// The inputs of a run by name.
pub(crate) fn tensors<'a>(names: &'a [String], files: &Array) -> Result<Vec<(&'a str, Tensor)>> {
    names
        .iter()
        .zip(files.iter())
        .map(|(name, file)| {
            let file: Uint8Array = file.unchecked_into();
            Ok((name.as_str(), npy::read(&file.to_vec())?))
        })
        .collect()
}

fn kernels(times: &[KernelTime]) -> String {
    let mut families: BTreeMap<&str, (usize, f64, u64, u64)> = BTreeMap::new();
    for time in times {
        let entry = families.entry(time.label).or_default();
        entry.0 += 1;
        entry.1 += time.seconds;
        entry.2 += time.flops;
        entry.3 += time.bytes;
    }
    let mut rows: Vec<_> = families.into_iter().collect();
    rows.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let rows: Vec<String> = rows
        .into_iter()
        .map(|(label, (calls, seconds, flops, bytes))| {
            format!(
                "{{\"label\":{},\"calls\":{calls},\"ms\":{},\"flops\":{flops},\"bytes\":{bytes}}}",
                json::string(label),
                seconds * 1e3
            )
        })
        .collect();
    format!("{{\"kernels\":[{}]}}", rows.join(","))
}

fn info(name: &str, dtype: Option<DType>, shape: Option<&[Dim]>) -> String {
    let shape = match shape {
        None => "null".to_owned(),
        Some(dims) => {
            let dims: Vec<String> = dims
                .iter()
                .map(|dim| match dim {
                    Dim::Fixed(size) => size.to_string(),
                    Dim::Symbol(name) => json::string(name),
                })
                .collect();
            format!("[{}]", dims.join(","))
        }
    };
    format!(
        "{{\"name\":{},\"dtype\":{},\"shape\":{shape}}}",
        json::string(name),
        dtype.map_or("null".to_owned(), |dtype| json::string(&dtype.to_string()))
    )
}

/// Version of the runtime.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
