//! Loads a model from a web server by ranges.

use onnx_gpu::weights::HttpRanges;
use onnx_gpu::{AdapterChoice, Gpu, Options, Result, Session, Tensor};
use wasm_bindgen::prelude::*;

/// Opens `model` below the URL `base`, whose weights are fetched by HTTP ranges, runs it on one `f32` row and gives
/// its first output's numbers.
///
/// # Errors
/// A sentence saying what failed.
#[wasm_bindgen]
pub async fn run_from_ranges(
    base: String,
    model: String,
    input: String,
    row: Vec<f32>,
) -> std::result::Result<Vec<f32>, JsValue> {
    console_error_panic_hook::set_once();
    run(&base, &model, &input, row)
        .await
        .map_err(|error| JsError::new(&format!("{:?}: {error}", error.kind())).into())
}

async fn run(base: &str, model: &str, input: &str, row: Vec<f32>) -> Result<Vec<f32>> {
    let options = Options::default().with_gpu(Gpu::request(&AdapterChoice::Default).await?);
    let session = Session::open(&HttpRanges::new(base), model, options).await?;
    let x = Tensor::f32([1, row.len()], row)?;
    let outputs = session.run(&[(input, x)]).await?;
    Ok(outputs
        .first()
        .map(|(_, tensor)| tensor.to_f32_vec())
        .unwrap_or_default())
}
