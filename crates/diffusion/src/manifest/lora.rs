//! LoRAs that come with a package.

use protocol::{MAX_LORA_WEIGHT, ModelLora, is_lora_name};
use serde::{Deserialize, Serialize};

use super::{Manifest, ensure};
use crate::error::Result;

/// A LoRA and its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraEntry {
    /// The name that prompts call it by.
    pub name: String,
    /// Its author's file.
    pub file: String,
    /// What it adds to, [`crate::lora::Bindings`].
    pub bindings: String,
    /// Weight in pictures whose prompt does not name it; absent: it is in those alone whose prompt does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f32>,
    /// The hash by which AUTOMATIC1111's web UI knows its file, 12 hex digits.
    pub hash: String,
}

impl LoraEntry {
    /// As requests know it.
    pub fn summary(&self) -> ModelLora {
        ModelLora {
            name: self.name.clone(),
            weight: self.weight,
            hash: self.hash.clone(),
        }
    }
}

impl Manifest {
    pub(super) fn check_loras(&self) -> Result<()> {
        for (index, entry) in self.loras.iter().enumerate() {
            let name = &entry.name;
            ensure(is_lora_name(name), || {
                format!("{name:?} is no name of a LoRA")
            })?;
            let before = self.loras.iter().take(index);
            ensure(before.clone().all(|other| other.name != *name), || {
                format!("there are two LoRAs {name:?}")
            })?;
            let weighs = |weight: f32| weight.abs() <= MAX_LORA_WEIGHT;
            ensure(entry.weight.is_none_or(weighs), || {
                format!("the LoRA {name:?} has the weight {:?}", entry.weight)
            })?;
            let hex = entry
                .hash
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            ensure(entry.hash.len() == 12 && hex, || {
                format!("the LoRA {name:?} has no hash of 12 lower-case hex digits")
            })?;
        }
        Ok(())
    }
}
