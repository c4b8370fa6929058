//! Names of tensors: a module of a model, and what the tensor is to it.

use std::collections::BTreeMap;

use super::wrong;
use crate::error::Result;
use crate::weights::{Header, Stored};

/// A tensor and its name.
type Named<'h> = (&'h str, &'h Stored);

/// The tensors of a module.
#[derive(Clone, Debug, Default)]
pub(super) struct Module<'h> {
    pub down: Option<Named<'h>>,
    pub up: Option<Named<'h>>,
    pub alpha: Option<Named<'h>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Down,
    Up,
    Alpha,
}

/// Endings of names: kohya's, PEFT's, diffusers' of earlier years, and its attention processors'.
const ROLES: [(&str, Role); 15] = [
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    ("_lora.down.weight", Role::Down),
    ("_lora.up.weight", Role::Up),
    (".lora.alpha", Role::Alpha),
    ("_lora.alpha", Role::Alpha),
    (".alpha", Role::Alpha),
];

/// What stands in the names of other kinds of changes, and what those are called.
const OTHERS: [(&str, &str); 12] = [
    ("dora_scale", "DoRA"),
    ("lora_magnitude_vector", "DoRA"),
    ("lora_mid", "a Tucker decomposition"),
    ("hada_w", "LoHa"),
    ("hada_t", "LoHa"),
    ("lokr_", "LoKr"),
    ("oft_", "OFT"),
    ("on_input", "IA3"),
    ("lora_embedding_", "a LoRA of embeddings"),
    ("bundle_emb", "an embedding of words"),
    ("emb_params", "an embedding of words"),
    ("lora_bias", "a change of biases"),
];
/// The same of what names end in.
const OTHER_ENDINGS: [(&str, &str); 5] = [
    (".bias", "a change of biases"),
    (".diff", "a whole difference"),
    (".diff_b", "a whole difference"),
    (".w_norm", "a change of norms"),
    (".b_norm", "a change of norms"),
];

/// The modules of a file.
///
/// # Errors
/// [`crate::Error::Lora`] for a tensor that belongs to no pair.
pub(super) fn modules(header: &Header) -> Result<BTreeMap<String, Module<'_>>> {
    let mut modules: BTreeMap<String, Module<'_>> = BTreeMap::new();
    for (key, stored) in header.tensors() {
        let mut endings = OTHER_ENDINGS.iter();
        let other = OTHERS.iter().find(|(part, _)| key.contains(part));
        let other = other.or_else(|| endings.find(|(end, _)| key.ends_with(end)));
        if let Some((_, kind)) = other {
            return Err(wrong(
                key,
                format!("this is {kind}, which cannot be added to a model here"),
            ));
        }
        let role = ROLES
            .iter()
            .find_map(|(ending, role)| Some((key.strip_suffix(ending)?, *role)));
        let Some((name, role)) = role else {
            return Err(wrong(key, "this is no tensor of a LoRA"));
        };
        let module = modules.entry(name.to_owned()).or_default();
        let slot = match role {
            Role::Down => &mut module.down,
            Role::Up => &mut module.up,
            Role::Alpha => &mut module.alpha,
        };
        if let Some((other, _)) = slot.replace((key, stored)) {
            return Err(wrong(key, format!("{other} is the same")));
        }
    }
    if modules.is_empty() {
        return Err(wrong("the file", "it has no tensors"));
    }
    Ok(modules)
}
