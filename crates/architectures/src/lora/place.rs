//! Which weights of which component a module is.

use std::collections::BTreeMap;

use super::{Component, original};
use crate::original::Names;
use crate::weights::Weights;

/// What names begin with; a name that begins with none of these is of the denoiser.
const PREFIXES: [(&str, Component); 12] = [
    ("lora_unet_", Component::Denoiser),
    ("lora_transformer_", Component::Denoiser),
    ("unet.", Component::Denoiser),
    ("transformer.", Component::Denoiser),
    ("diffusion_model.", Component::Denoiser),
    ("lora_te_", Component::TextEncoder(0)),
    ("lora_te1_", Component::TextEncoder(0)),
    ("lora_te2_", Component::TextEncoder(1)),
    (T5_OF_KOHYA, Component::TextEncoder(2)),
    ("text_encoder.", Component::TextEncoder(0)),
    ("text_encoder_2.", Component::TextEncoder(1)),
    ("text_encoder_3.", Component::TextEncoder(2)),
];
/// T5 in kohya's scripts, the third encoder of Stable Diffusion 3 and the second one of FLUX.1.
const T5_OF_KOHYA: &str = "lora_te3_";

/// A module.
pub(super) struct Place<'n> {
    /// What the names of its component begin with, without the dot.
    pub prefix: &'n str,
    pub component: Component,
    /// Its name within the component.
    pub module: &'n str,
}

/// The place of a name; `is_there` says which components there are.
pub(super) fn of(name: &str, is_there: impl Fn(Component) -> bool) -> Place<'_> {
    let found = PREFIXES
        .iter()
        .find_map(|(prefix, component)| Some((prefix, *component, name.strip_prefix(prefix)?)));
    let Some((prefix, component, module)) = found else {
        return Place {
            prefix: "",
            component: Component::Denoiser,
            module: name,
        };
    };
    let component = match component {
        missing if *prefix == T5_OF_KOHYA && !is_there(missing) => Component::TextEncoder(1),
        component => component,
    };
    Place {
        prefix: prefix.trim_end_matches('.'),
        component,
        module,
    }
}

/// The weights of a component by the names of their modules, in which dots count as `_`: kohya's have no dots.
pub(super) struct Index<'w> {
    component: Component,
    /// Nothing where two weights have one name.
    tensors: BTreeMap<String, Option<&'w str>>,
    /// Original names of a UNet's modules.
    names: Option<Names>,
}

impl<'w> Index<'w> {
    pub fn of(component: Component, weights: &'w Weights) -> Self {
        let mut tensors = BTreeMap::new();
        for tensor in weights.names() {
            if let Some(module) = tensor.strip_suffix(".weight") {
                let same = tensors.insert(plain(component, module), Some(tensor));
                if same.is_some() {
                    tensors.insert(plain(component, module), None);
                }
            }
        }
        let count = |of: &dyn Fn(usize) -> String| {
            let there = (0..).take_while(|index| tensors.contains_key(&of(*index)));
            there.count()
        };
        let levels = count(&|level| format!("down_blocks_{level}_resnets_0_conv1"));
        let layers = count(&|layer| format!("down_blocks_0_resnets_{layer}_conv1"));
        Self {
            component,
            tensors,
            names: (levels > 0).then(|| Names::unet(levels, layers)),
        }
    }

    /// The weights of a module, one behind the other in its rows; nothing where there are none.
    pub fn tensors(&self, module: &str) -> Option<Vec<&'w str>> {
        let name = plain(self.component, module);
        let all = |names: &[String]| -> Option<Vec<&'w str>> {
            names.iter().map(|name| *self.tensors.get(name)?).collect()
        };
        let own = [vec![name.clone()], vec![format!("{name}_0")]];
        let others = match self.component {
            Component::Denoiser => original::modules(&name, self.names.as_ref()),
            Component::TextEncoder(_) => Vec::new(),
        };
        // `to_out` of attention processors is the first of a list.
        let own = own
            .into_iter()
            .take(if name.ends_with("_to_out") { 2 } else { 1 });
        own.chain(others).find_map(|names| all(&names))
    }
}

fn plain(component: Component, module: &str) -> String {
    let name = module.replace('.', "_").replace("_processor_", "_");
    match (component, name.strip_prefix("text_model_")) {
        // Checkpoints of other years have the names without it.
        (Component::TextEncoder(_), Some(rest)) => rest.to_owned(),
        _ => name,
    }
}
