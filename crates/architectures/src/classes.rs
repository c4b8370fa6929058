//! The classes: one builder each, in a file of its own.

mod clip;
mod dc_ae;
mod flux;
mod flux2;
mod gemma2;
mod kl;
mod kl_flux2;
mod lumina2;
mod pixart;
mod ports;
mod qwen3;
mod sana;
mod sd3;
mod states;
mod t5;
mod tiny;
mod unet;
mod z_image;

use crate::Part;
use crate::config::Members;
use crate::error::{Error, Result};
use crate::network::Network;

type Builder = fn(&Part, Members, &mut Network<'_>) -> Result<()>;

/// The builders by the names of their classes.
const BUILDERS: [(&str, Builder); 20] = [
    ("AutoencoderDC", dc_ae::build),
    ("AutoencoderKL", kl::build),
    ("AutoencoderKLFlux2", kl_flux2::build),
    ("AutoencoderTiny", tiny::build),
    ("CLIPTextModel", clip::build),
    ("CLIPTextModelWithProjection", clip::build),
    ("Flux2Transformer2DModel", flux2::build),
    ("FluxTransformer2DModel", flux::build),
    ("Gemma2ForCausalLM", gemma2::build),
    ("Gemma2Model", gemma2::build),
    ("PixArtTransformer2DModel", pixart::build),
    ("Lumina2Transformer2DModel", lumina2::build),
    ("Qwen3ForCausalLM", qwen3::build),
    ("Qwen3Model", qwen3::build),
    ("SD3Transformer2DModel", sd3::build),
    ("SanaTransformer2DModel", sana::build),
    ("T5EncoderModel", t5::build),
    // What folders of PixArt called it before it had a class of its own.
    ("Transformer2DModel", pixart::build),
    ("UNet2DConditionModel", unet::build),
    ("ZImageTransformer2DModel", z_image::build),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BUILDERS.iter().map(|(name, _)| *name)
}

pub(crate) fn build(
    class: &str,
    part: &Part,
    members: Members,
    network: &mut Network<'_>,
) -> Result<()> {
    match BUILDERS.iter().find(|(name, _)| *name == class) {
        Some((_, builder)) => builder(part, members, network),
        None => Err(Error::UnknownClass {
            class: class.to_owned(),
            known: names().collect::<Vec<_>>().join(", "),
        }),
    }
}

/// A class where something else is wanted.
fn other_part(members: &Members, part: &Part) -> Error {
    Error::OtherPart {
        class: members.class().to_owned(),
        part: match part {
            Part::TextEncoder(_) => "text encoder",
            Part::Denoiser => "denoiser",
            Part::Decoder => "decoder",
            Part::Encoder => "encoder of pictures",
        },
    }
}
