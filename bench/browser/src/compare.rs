//! What the page calls.

use js_sys::{Array, Uint8Array};
use onnx_gpu::{
    AdapterChoice, DType, Error, ErrorKind, Gpu, Options, Result, Session, Tensor, npy,
};
use wasm_bindgen::prelude::*;
use web_time::Instant;

/// Runs a graph and compares its output `output` with what was expected.
///
/// `names` holds the inputs' names and `inputs` their `.npy` files, as `Uint8Array`s in the same order;
/// `expected` is an `.npy` file. The answer is JSON: `max_abs` (largest absolute difference), `range` (of
/// the expected numbers), `dispatches`, `adapter`, `first_ms` and `ms` (times of two runs, read-back included).
///
/// # Errors
/// A sentence saying what failed: no adapter, an unreadable file, an unknown operator, a lost device.
#[wasm_bindgen]
pub async fn compare(
    model: Uint8Array,
    names: Vec<String>,
    inputs: Array,
    output: String,
    expected: Uint8Array,
) -> std::result::Result<String, JsValue> {
    console_error_panic_hook::set_once();
    let files: Vec<Uint8Array> = inputs.iter().map(JsCast::unchecked_into).collect();
    report(&model.to_vec(), &names, &files, &output, &expected.to_vec())
        .await
        .map_err(|error| JsError::new(&error.to_string()).into())
}

async fn report(
    model: &[u8],
    names: &[String],
    files: &[Uint8Array],
    output: &str,
    expected: &[u8],
) -> Result<String> {
    let inputs = names
        .iter()
        .zip(files)
        .map(|(name, file)| Ok((name.as_str(), npy::read(&file.to_vec())?)))
        .collect::<Result<Vec<(&str, Tensor)>>>()?;
    let expected = npy::read(expected)?;
    let gpu = Gpu::request(&AdapterChoice::Default).await?;
    let options = Options::default().with_gpu(gpu);
    let session = Session::from_bytes(model, options).await?;
    let first = Instant::now();
    session.run(&inputs).await?;
    let first_ms = first.elapsed().as_secs_f64() * 1e3;
    let second = Instant::now();
    let outputs = session.run(&inputs).await?;
    let ms = second.elapsed().as_secs_f64() * 1e3;
    let (_, actual) = outputs
        .iter()
        .find(|(name, _)| name == output)
        .ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                format!("the graph has no output `{output}`"),
            )
        })?;
    let (max_abs, range) = difference(actual, &expected)?;
    Ok(format!(
        "{{\"max_abs\":{max_abs:e},\"range\":{range:e},\"dispatches\":{},\"adapter\":{:?},\"first_ms\":{first_ms:.1},\"ms\":{ms:.1}}}",
        session.stats().dispatches,
        session.gpu().info().name,
    ))
}

/// Largest absolute difference, and the range of the expected numbers.
fn difference(actual: &Tensor, expected: &Tensor) -> Result<(f64, f64)> {
    let fail = |message: String| Err(Error::new(ErrorKind::ShapeMismatch, message));
    if actual.shape() != expected.shape() {
        return fail(format!(
            "{:?} instead of {:?}",
            actual.shape(),
            expected.shape()
        ));
    }
    if actual.dtype() != DType::F32 || expected.dtype() != DType::F32 {
        return fail("only f32 outputs are compared".to_owned());
    }
    let (actual, expected) = (actual.to_f32_vec(), expected.to_f32_vec());
    let (mut max_abs, mut low, mut high) = (0.0f64, f64::INFINITY, f64::NEG_INFINITY);
    for (a, e) in actual.iter().zip(&expected) {
        if a.is_nan() && e.is_nan() || a == e && a.is_infinite() {
            continue;
        }
        let error = (f64::from(*a) - f64::from(*e)).abs();
        if !error.is_finite() {
            return fail(format!("{a} instead of {e}"));
        }
        max_abs = max_abs.max(error);
        low = low.min(f64::from(*e));
        high = high.max(f64::from(*e));
    }
    Ok((max_abs, high - low))
}
