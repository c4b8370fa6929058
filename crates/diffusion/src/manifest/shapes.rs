//! Whether the graphs' ports fit the pipeline.

use PortType::{Float32, Int32, Int64};

use super::{Component, Components, Manifest, Port, PortType, Wiring, ensure};
use crate::error::{Error, Result};

impl Manifest {
    pub(super) fn check_shapes(&self) -> Result<()> {
        let [c, h, w] = self.latents;
        let length = self.tokenizer.max_length;
        let (width, height) = (self.image.width as usize, self.image.height as usize);
        ensure(
            [c, h, w, length, width, height]
                .iter()
                .all(|&n| (1..=1 << 14).contains(&n)),
            || "a size is zero or beyond 16,384".to_owned(),
        )?;
        ensure(
            self.latent_rgb.as_ref().is_none_or(|map| map.fits(c)),
            || format!("latent_rgb does not map {c} channels to colours"),
        )?;
        match self.wiring {
            Wiring::Paired => self.check_paired(),
            Wiring::StableDiffusion => self.check_stable_diffusion(),
        }
    }

    fn check_paired(&self) -> Result<()> {
        let [c, h, w] = self.latents;
        let length = self.tokenizer.max_length;
        let (width, height) = (self.image.width as usize, self.image.height as usize);
        let Components {
            text_encoder,
            denoiser,
            decoder,
        } = &self.components;
        let text = output(text_encoder, "last_hidden_state")?;
        ensure(
            text.dtype == Float32 && matches!(text.shape[..], [2, l, _] if l == length),
            || format!("last_hidden_state must be float32 [2, {length}, width]"),
        )?;
        ports(
            &text_encoder.inputs,
            &[
                ("input_ids", Int64, &[2, length]),
                ("attention_mask", Int64, &[2, length]),
            ],
        )?;
        ports(
            &denoiser.inputs,
            &[
                ("latents", Float32, &[2, c, h, w]),
                ("t", Float32, &[2]),
                ("text", Float32, &text.shape),
                ("text_mask", Float32, &[2, length]),
            ],
        )?;
        ports(&denoiser.outputs, &[("velocity", Float32, &[2, c, h, w])])?;
        ports(&decoder.inputs, &[("latents", Float32, &[1, c, h, w])])?;
        ports(
            &decoder.outputs,
            &[("image", Float32, &[1, 3, height, width])],
        )
    }

    fn check_stable_diffusion(&self) -> Result<()> {
        let [c, h, w] = self.latents;
        let length = self.tokenizer.max_length;
        let (width, height) = (self.image.width as usize, self.image.height as usize);
        let Components {
            text_encoder,
            denoiser,
            decoder,
        } = &self.components;
        let wrong = |component: &Component, want: &str| {
            Error::package(format!(
                "{} needs {want}, the manifest declares {component:?}",
                component.file
            ))
        };
        let ([ids], [text, ..]) = (&text_encoder.inputs[..], &text_encoder.outputs[..]) else {
            return Err(wrong(text_encoder, "token ids as its one input"));
        };
        let fits = matches!(ids.dtype, Int64 | Int32)
            && ids.shape == [1, length]
            && text.dtype == Float32
            && matches!(text.shape[..], [1, l, _] if l == length);
        ensure(fits, || {
            format!(
                "{} must turn [1, {length}] token ids into [1, {length}, width] floats",
                text_encoder.file
            )
        })?;
        let ([latents, timestep, states], [answer]) = (&denoiser.inputs[..], &denoiser.outputs[..])
        else {
            return Err(wrong(
                denoiser,
                "latents, timestep and hidden states, and one answer",
            ));
        };
        let floats = |port: &Port, shape: &[usize]| port.dtype == Float32 && port.shape == shape;
        let fits = floats(latents, &[1, c, h, w])
            && matches!(timestep.shape[..], [] | [1])
            && floats(states, &text.shape)
            && floats(answer, &[1, c, h, w]);
        ensure(fits, || {
            format!(
                "{} does not take and give latents of [1, {c}, {h}, {w}]",
                denoiser.file
            )
        })?;
        let ([latents], [image]) = (&decoder.inputs[..], &decoder.outputs[..]) else {
            return Err(wrong(decoder, "latents and one image"));
        };
        let fits = floats(latents, &[1, c, h, w]) && floats(image, &[1, 3, height, width]);
        ensure(fits, || {
            format!(
                "{} does not make an image of [1, 3, {height}, {width}] of the latents",
                decoder.file
            )
        })
    }
}

fn output<'a>(component: &'a Component, name: &str) -> Result<&'a Port> {
    component
        .outputs
        .iter()
        .find(|port| port.name == name)
        .ok_or_else(|| Error::package(format!("{} has no output {name}", component.file)))
}

fn ports(have: &[Port], want: &[(&str, PortType, &[usize])]) -> Result<()> {
    let fits = have.len() == want.len()
        && want.iter().all(|&(name, dtype, shape)| {
            have.iter()
                .any(|p| p.name == name && p.dtype == dtype && p.shape == shape)
        });
    ensure(fits, || {
        format!("the pipeline needs the ports {want:?}, the manifest declares {have:?}")
    })
}
