//! The cases of bench/fixtures/export_families.py, and what diffusers' pipelines passed on while they made each.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A request, and where its package's folder and its golden are.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    folder: String,
    golden: String,
    pub prompt: String,
    /// `None` where the argument was left out.
    pub negative_prompt: Option<String>,
    pub width: u32,
    pub height: u32,
    pub steps: u32,
    pub guidance_scale: f32,
    pub seed: u64,
    /// Class of diffusers that takes the place of the folder's scheduler.
    pub sampler: Option<String>,
    /// Which layer of the text encoders is read, as a request counts.
    pub clip_skip: Option<u32>,
    /// Whether the picture begins with another one.
    #[serde(default)]
    pub image: bool,
    /// How much of the way from noise is gone, where it does.
    pub strength: Option<f32>,
    /// Whether a part of it is made anew.
    #[serde(default)]
    pub mask: bool,
    /// What the picture may be off, of 255, where it is more than usual.
    pub tolerance: Option<u8>,
}

impl Case {
    /// The export.
    pub fn folder(&self) -> PathBuf {
        root().join(&self.folder)
    }

    /// The same pipeline as its author publishes it, where that is another folder.
    pub fn author(&self) -> Option<PathBuf> {
        let folder = root().join("authors").join(&self.folder);
        folder.is_dir().then_some(folder)
    }

    /// Steps that are left out where a picture is begun with, as diffusers' `get_timesteps` counts them.
    pub fn skipped(&self) -> u32 {
        let strength = self.strength.unwrap_or(1.0);
        self.steps - (f64::from(self.steps) * f64::from(strength)) as u32
    }

    /// Whether the export differs from another one by nothing but how its files lie.
    pub fn is_layout(&self) -> bool {
        ["external", "flat", "contrib", "fp16", "int4"]
            .iter()
            .any(|layout| self.folder.ends_with(layout))
    }

    pub fn golden(&self) -> Golden {
        Golden::read(&root().join(&self.golden))
    }
}

fn root() -> PathBuf {
    let folder = std::env::var_os("FAMILIES");
    folder
        .expect("FAMILIES is the folder of the tiny pipelines that `cargo xtask fixtures` prints")
        .into()
}

/// All cases.
pub fn cases() -> Vec<Case> {
    let cases = cases_of("cases.json");
    assert!(cases.len() >= 30, "{} cases", cases.len());
    cases
}

/// The cases of a file.
pub fn cases_of(file: &str) -> Vec<Case> {
    serde_json::from_value(json(&root().join(file))).unwrap()
}

pub fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// Tensors by name, of a safetensors file.
pub struct Golden {
    header: Value,
    data: Vec<u8>,
}

impl Golden {
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (length, rest) = bytes.split_at(8);
        let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
        Self {
            header: serde_json::from_slice(&rest[..length]).unwrap(),
            data: rest[length..].to_vec(),
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.header.get(name).is_some()
    }

    fn bytes(&self, name: &str, dtype: &str) -> &[u8] {
        let entry = &self.header[name];
        assert_eq!(entry["dtype"], dtype, "{name}");
        let at = |i: usize| entry["data_offsets"][i].as_u64().unwrap() as usize;
        &self.data[at(0)..at(1)]
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        serde_json::from_value(self.header[name]["shape"].clone()).unwrap()
    }

    pub fn u8(&self, name: &str) -> Vec<u8> {
        self.bytes(name, "U8").to_vec()
    }

    pub fn i64(&self, name: &str) -> Vec<i64> {
        let values = self.bytes(name, "I64").chunks_exact(8);
        values
            .map(|b| i64::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        let values = self.bytes(name, "F32").chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// The parts of a tensor along its first dimension.
    pub fn rows(&self, name: &str) -> Vec<Vec<f32>> {
        let values = self.f32(name);
        let each = values.len() / self.shape(name)[0];
        values.chunks_exact(each).map(<[f32]>::to_vec).collect()
    }
}

/// Fails where a value is further from the expected one than `share` of the expected values' range.
#[track_caller]
pub fn near(ours: &[f32], theirs: &[f32], share: f32, what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().copied().fold(f32::MIN, f32::max);
    let smallest = theirs.iter().copied().fold(f32::MAX, f32::min);
    let distance = |(a, b): (&f32, &f32)| (a - b).abs();
    let worst = ours.iter().zip(theirs).map(distance);
    let worst = worst.fold(0.0, |a: f32, b| if b > a || b.is_nan() { b } else { a });
    let range = largest - smallest;
    assert!(
        worst <= share * range,
        "{what}: {worst} off, {:.1e} of the range",
        worst / range
    );
}
