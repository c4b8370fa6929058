//! What diffusers notes beside the tensors: the configuration of PEFT, in which alpha is.

use serde_json::{Map, Value};

use super::place::Place;
use super::wrong;
use crate::error::Result;
use crate::weights::Header;

/// Name of the note.
const NOTE: &str = "lora_adapter_metadata";

/// The members of the configurations, `component.member`.
pub(super) struct Notes(Map<String, Value>);

impl Notes {
    pub fn of(header: &Header) -> Result<Self> {
        let Some(text) = header.metadata().get(NOTE) else {
            return Ok(Self(Map::new()));
        };
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            _ => Err(wrong(NOTE, "it is no JSON object")),
        }
    }

    /// The alpha of a module, such that it is to be divided by the rank; nothing where none is noted.
    pub fn alpha(&self, place: &Place<'_>, rank: usize) -> Result<Option<f32>> {
        let member = |name: &str| {
            let key = format!("{}.{name}", place.prefix);
            self.0.get(&key).map(|value| (key, value))
        };
        let is_set = |name: &str| member(name).filter(|(_, value)| **value == Value::Bool(true));
        if let Some((key, _)) = is_set("use_dora").or_else(|| is_set("lora_bias")) {
            return Err(wrong(&key, "such a change cannot be added to a model here"));
        }
        let patterns = member("alpha_pattern").and_then(|(_, value)| value.as_object());
        let own = patterns.into_iter().flatten().find_map(|(name, value)| {
            let before = place.module.strip_suffix(&**name)?;
            (before.is_empty() || before.ends_with('.')).then_some(value)
        });
        let Some((key, general)) = member("lora_alpha") else {
            return Ok(None);
        };
        let alpha = own.unwrap_or(general).as_f64();
        let alpha = alpha.ok_or_else(|| wrong(&key, "it is no number"))? as f32;
        let root = match is_set("use_rslora") {
            Some(_) => (rank as f32).sqrt(),
            None => 1.0,
        };
        Ok(Some(alpha * root))
    }
}
