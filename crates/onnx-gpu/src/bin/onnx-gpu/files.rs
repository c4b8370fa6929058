//! Files on the command line.

use std::path::Path;

use onnx_gpu::{Error, ErrorKind, Result, Tensor, npy};

/// A file's bytes.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::new(ErrorKind::Io, format!("{}: {e}", path.display())))
}

/// Reads every `NAME=FILE.npy`.
pub fn inputs(arguments: &[String]) -> Result<Vec<(String, Tensor)>> {
    arguments
        .iter()
        .map(|argument| {
            let (name, path) = argument.split_once('=').ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidInput,
                    format!("'{argument}' is not NAME=FILE.npy"),
                )
            })?;
            let tensor = npy::read(&bytes(Path::new(path))?)
                .map_err(|e| Error::new(e.kind(), format!("{path}: {e}")))?;
            Ok((name.to_owned(), tensor))
        })
        .collect()
}

/// Reads every `NAME=1x4x64x64`.
pub fn shapes(arguments: &[String]) -> Result<Vec<(String, Vec<usize>)>> {
    arguments
        .iter()
        .map(|argument| {
            let refuse = || {
                let message = format!("'{argument}' is not NAME=1x4x64x64");
                Error::new(ErrorKind::InvalidInput, message)
            };
            let (name, sizes) = argument.split_once('=').ok_or_else(refuse)?;
            let sizes: Option<Vec<usize>> = sizes.split('x').map(|n| n.parse().ok()).collect();
            Ok((name.to_owned(), sizes.ok_or_else(refuse)?))
        })
        .collect()
}

/// The form that a session takes.
pub fn borrowed(inputs: &[(String, Tensor)]) -> Vec<(&str, Tensor)> {
    inputs
        .iter()
        .map(|(n, t)| (n.as_str(), t.clone()))
        .collect()
}

/// Prints shape, type and range of a tensor.
pub fn describe(name: &str, tensor: &Tensor) {
    let values = tensor.to_f32_vec();
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let nans = values.iter().filter(|v| v.is_nan()).count();
    println!(
        "{name}: {} {:?}, from {low} to {high}, {nans} NaN",
        tensor.dtype(),
        tensor.shape()
    );
}

/// Writes `folder/name.npy`; characters that separate paths become `_`.
pub fn save(folder: &Path, name: &str, tensor: &Tensor) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.npy", name.replace(['/', '\\', ':'], "_")));
    std::fs::write(&path, npy::write(tensor))
        .map_err(|e| Error::new(ErrorKind::Io, format!("{}: {e}", path.display())))?;
    println!("  written to {}", path.display());
    Ok(())
}
