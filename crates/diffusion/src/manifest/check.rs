//! Whether the graphs' ports fit the pipeline and each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Bindings, Coder, Dim, Feed, Graph, Manifest, Port, PortType, Symbol, TextInput, TextRun, ensure,
};
use crate::error::{Error, Result};

/// Largest fixed dimension, length and number of channels.
const MAX_DIM: usize = 1 << 20;
/// Most zeros that stand for a text encoder: they are made by the host.
const MAX_ZEROS: usize = 1 << 22;
/// Largest number of graphs, texts and runs.
const MAX_PARTS: usize = 32;

impl Manifest {
    pub(super) fn check_wiring(&self) -> Result<()> {
        let parts = [self.graphs.len(), self.texts.len(), self.conditioning.len()];
        ensure(parts.iter().all(|n| (1..=MAX_PARTS).contains(n)), || {
            format!("a package has 1 to {MAX_PARTS} graphs, texts and runs of text encoders")
        })?;
        let (channels, stride) = (self.latents.channels, self.latents.stride);
        ensure(
            (1..=1 << 10).contains(&channels) && (1..=1 << 7).contains(&stride),
            || format!("latents of {channels} channels and {stride} pixels"),
        )?;
        let patch = self.latents.patch;
        ensure((1..=1 << 5).contains(&patch), || {
            format!("tokens of {patch} latents")
        })?;
        let rgb = self.latents.rgb.as_ref();
        ensure(rgb.is_none_or(|map| map.fits(channels)), || {
            format!("the colours are not those of {channels} channels")
        })?;
        self.sizes.check(stride)?;
        for text in self.texts.values() {
            if let Some(fault) = text.fault() {
                return Err(Error::package(fault));
            }
        }
        for graph in self.graphs.values() {
            check_ports(graph)?;
        }
        let values = self.check_conditioning()?;
        self.check_denoiser(&values)?;
        self.check_coder(&self.decoder, false)?;
        if let Some(encoder) = &self.encoder {
            self.check_coder(encoder, true)?;
        }
        if let Some(interval) = self.guidance_interval {
            ensure(interval.is_sound(), || {
                let (start, stop) = (interval.start, interval.stop);
                format!("guidance from {start} to {stop} of the steps is no part of them")
            })?;
            ensure(self.guidance.is_free(), || {
                "only classifier-free guidance acts at a part of the steps".to_owned()
            })?;
        }
        ensure(!self.negative_prompt || self.guidance.is_free(), || {
            "without classifier-free guidance there is no negative prompt".to_owned()
        })
    }

    /// Gives the names of what the text encoders give.
    fn check_conditioning(&self) -> Result<BTreeSet<&str>> {
        let mut values = BTreeSet::new();
        for run in &self.conditioning {
            let graph = self.graph(&run.graph)?;
            let text = self.texts.get(&run.text).ok_or_else(|| {
                Error::package(format!("{} reads no text of the package", run.graph))
            })?;
            given(graph, run.inputs.keys())?;
            for (name, input) in &run.inputs {
                let port = port(graph.input(name), graph, name)?;
                let types: &[PortType] = match input {
                    TextInput::Ids => &[PortType::Int64, PortType::Int32],
                    TextInput::Mask => &[
                        PortType::Int64,
                        PortType::Int32,
                        PortType::Bool,
                        PortType::Float32,
                        PortType::Float16,
                    ],
                };
                let [rows, tokens] = port.shape[..] else {
                    return Err(misfit(graph, port, "[n, tokens]"));
                };
                ensure(
                    types.contains(&port.dtype)
                        && is_rows(rows)
                        && is(tokens, Symbol::Tokens, text.length),
                    || misfit(graph, port, "whole numbers [n, tokens]").to_string(),
                )?;
            }
            for (name, value) in &run.outputs {
                let port = port(graph.output(name), graph, name)?;
                let fits = match port.shape[..] {
                    [rows, tokens, Dim::Is(_)] => {
                        is_rows(rows) && is(tokens, Symbol::Tokens, text.length)
                    }
                    [rows, Dim::Is(_)] => is_rows(rows),
                    _ => false,
                };
                ensure(fits && port.dtype.is_float(), || {
                    misfit(graph, port, "floats [n, tokens, width] or [n, width]").to_string()
                })?;
                ensure(values.insert(&**value), || {
                    format!("two outputs of text encoders are named {value:?}")
                })?;
            }
            self.check_skips(run, graph)?;
        }
        Ok(values)
    }

    /// Whatever layer is read, the denoiser is given the same names and shapes.
    fn check_skips(&self, run: &TextRun, graph: &Graph) -> Result<()> {
        let most = self.max_clip_skip() as usize;
        ensure(
            run.skips.len() < MAX_PARTS && (run.skips.is_empty() || run.skips.len() + 1 == most),
            || format!("{} skips another number of layers than others", run.graph),
        )?;
        let usual = shapes(graph, &run.outputs)?;
        for outputs in &run.skips {
            let same = outputs.len() == run.outputs.len() && shapes(graph, outputs)? == usual;
            ensure(same, || {
                format!(
                    "{} gives something else where layers are skipped",
                    run.graph
                )
            })?;
        }
        Ok(())
    }

    fn check_denoiser(&self, values: &BTreeSet<&str>) -> Result<()> {
        let wiring = &self.denoiser;
        let graph = self.graph(&wiring.graph)?;
        ensure(wiring.time.factor.is_finite(), || {
            format!("the unit of time is {}", wiring.time.factor)
        })?;
        let own = [&wiring.sample, &wiring.timestep];
        given(graph, wiring.inputs.keys().chain(own))?;
        let sample = port(graph.input(&wiring.sample), graph, &wiring.sample)?;
        let channels = self.latents.channels;
        let seen = self.seen_channels()?;
        self.is_latents(graph, sample, seen)?;
        ensure(
            seen == channels || (self.encoder.is_some() && sample.rows() == 1),
            || {
                format!(
                    "{} is given a mask and a picture beside the latents, which needs an encoder and one prompt a run",
                    graph.file
                )
            },
        )?;
        let answer = port(graph.output(&wiring.answer), graph, &wiring.answer)?;
        self.is_latents(graph, answer, channels)?;
        let time = port(graph.input(&wiring.timestep), graph, &wiring.timestep)?;
        let numbers = time.dtype != PortType::Bool;
        let one = match time.shape[..] {
            [] => true,
            [rows] => is_rows(rows),
            _ => false,
        };
        ensure(numbers && one, || {
            misfit(graph, time, "a number for each prompt").to_string()
        })?;
        for (name, feed) in &wiring.inputs {
            let port = port(graph.input(name), graph, name)?;
            let floats = || misfit(graph, port, "floats [n, width]").to_string();
            match feed {
                Feed::Values(names) => {
                    ensure(!names.is_empty(), || format!("{name} is given nothing"))?;
                    for name in names {
                        ensure(values.contains(&**name), || {
                            format!("no text encoder gives {name:?}")
                        })?;
                    }
                    ensure(port.dtype.is_float(), floats)?;
                }
                Feed::Mask(text) => ensure(self.texts.contains_key(text), || {
                    format!("{name} is the mask of no text of the package")
                })?,
                Feed::TimeIds => {
                    let six = matches!(port.shape[..], [rows, Dim::Is(6)] if is_rows(rows));
                    ensure(six && port.dtype.is_float(), floats)?;
                }
                Feed::Size => {
                    let two = matches!(port.shape[..], [rows, Dim::Is(2)] if is_rows(rows));
                    ensure(two && port.dtype.is_float(), floats)?;
                }
                Feed::GuidanceScale => {
                    let one = matches!(port.shape[..], [rows] if is_rows(rows));
                    ensure(one && port.dtype.is_float(), floats)?;
                }
                Feed::Zeros([tokens, width]) => {
                    let fits = are_zeros(&port.shape, [*tokens, *width]);
                    ensure(fits && port.dtype.is_float(), || {
                        let want = format!("floats [n, {tokens}, {width}], {MAX_ZEROS} at most");
                        misfit(graph, port, &want).to_string()
                    })?;
                }
                Feed::GuidanceEmbedding => {
                    let wide = matches!(port.shape[..], [rows, Dim::Is(4..=4096)] if is_rows(rows));
                    ensure(wide && port.dtype.is_float(), floats)?;
                }
            }
        }
        Ok(())
    }

    fn check_coder(&self, coder: &Coder, encodes: bool) -> Result<()> {
        ensure(
            coder.scale.is_finite() && coder.scale > 0.0 && coder.shift.is_finite(),
            || format!("latents are scaled by {} and {}", coder.scale, coder.shift),
        )?;
        let graph = self.graph(&coder.graph)?;
        let ([input], [output]) = (&graph.inputs[..], &graph.outputs[..]) else {
            let file = &graph.file;
            return Err(Error::package(format!(
                "{file} has other than one input and one output"
            )));
        };
        let (latents, image) = if encodes {
            (output, input)
        } else {
            (input, output)
        };
        let channels = self.latents.channels;
        let moments = encodes && latents.shape.get(1) == Some(&Dim::Is(2 * channels));
        self.is_latents(
            graph,
            latents,
            if moments { 2 * channels } else { channels },
        )?;
        let [height, width] = self.sizes.default.pixels();
        let is_image = match image.shape[..] {
            [rows, Dim::Is(3), down, across] => {
                is_rows(rows)
                    && self.is_side(down, Symbol::PixelHeight, height)
                    && self.is_side(across, Symbol::PixelWidth, width)
            }
            _ => false,
        };
        ensure(is_image && image.dtype.is_float(), || {
            misfit(graph, image, "pictures [n, 3, height, width]").to_string()
        })
    }

    /// Whether a side is the symbol that stands for it, or the one size that there is.
    fn is_side(&self, dim: Dim, symbol: Symbol, size: usize) -> bool {
        match dim {
            Dim::Is(fixed) => fixed == size && self.sizes.others.is_none(),
            Dim::Of(other) => other == symbol,
        }
    }

    fn is_latents(&self, graph: &Graph, port: &Port, channels: usize) -> Result<()> {
        let [_, height, width] = self.latents_of(self.sizes.default);
        let fits = match port.shape[..] {
            [rows, Dim::Is(c), down, across] => {
                is_rows(rows)
                    && c == channels
                    && self.is_side(down, Symbol::Height, height)
                    && self.is_side(across, Symbol::Width, width)
            }
            _ => false,
        };
        ensure(fits && port.dtype.is_float(), || {
            let want = format!("latents [n, {channels}, h, w]");
            misfit(graph, port, &want).to_string()
        })
    }

    /// Channels of what the denoiser sees: those of the latents, or these, a mask, and the latents of a masked picture.
    fn seen_channels(&self) -> Result<usize> {
        let channels = self.latents.channels;
        let beside = 2 * channels + 1;
        Ok(if self.sees_picture()? {
            beside
        } else {
            channels
        })
    }

    /// Whether the denoiser is given a mask and the latents of a masked picture beside the latents, as the inpainting models
    /// of Stable Diffusion are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidPackage`] where there is no such graph.
    pub fn sees_picture(&self) -> Result<bool> {
        let sample = self
            .graph(&self.denoiser.graph)?
            .input(&self.denoiser.sample);
        let channels = sample.and_then(|port| port.shape.get(1));
        Ok(channels == Some(&Dim::Is(2 * self.latents.channels + 1)))
    }

    /// The symbols for a run on `rows` prompts of so many tokens.
    pub fn bindings(&self, size: super::ImageSize, rows: usize, tokens: usize) -> Bindings {
        let [_, height, width] = self.latents_of(size);
        Bindings {
            rows,
            tokens,
            latents: [height, width],
            pixels: size.pixels(),
        }
    }
}

/// What outputs give, by the names that the package has for it.
fn shapes<'g>(
    graph: &'g Graph,
    outputs: &'g BTreeMap<String, String>,
) -> Result<BTreeMap<&'g str, (PortType, &'g [Dim])>> {
    let shape = |(name, value): (&'g String, &'g String)| {
        let port = port(graph.output(name), graph, name)?;
        Ok((&**value, (port.dtype, &*port.shape)))
    };
    outputs.iter().map(shape).collect()
}

fn check_ports(graph: &Graph) -> Result<()> {
    for port in graph.inputs.iter().chain(&graph.outputs) {
        let sane = |dim: &Dim| match dim {
            Dim::Is(size) => (1..=MAX_DIM).contains(size),
            Dim::Of(_) => true,
        };
        ensure(port.shape.iter().all(sane), || {
            format!("{} of {} has shape {:?}", port.name, graph.file, port.shape)
        })?;
    }
    Ok(())
}

/// Every input of a graph is given something, once.
fn given<'a>(graph: &Graph, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut left: BTreeSet<&str> = graph.inputs.iter().map(|port| &*port.name).collect();
    for name in names {
        ensure(left.remove(&**name), || {
            format!("{} has no input {name}, or it is given twice", graph.file)
        })?;
    }
    match left.first() {
        Some(name) => Err(Error::package(format!(
            "the input {name} of {} is given nothing",
            graph.file
        ))),
        None => Ok(()),
    }
}

fn port<'a>(found: Option<&'a Port>, graph: &Graph, name: &str) -> Result<&'a Port> {
    found.ok_or_else(|| Error::package(format!("{} declares no port {name}", graph.file)))
}

fn misfit(graph: &Graph, port: &Port, want: &str) -> Error {
    Error::package(format!(
        "{} of {} is {:?} {:?}; the pipeline needs {want}",
        port.name, graph.file, port.dtype, port.shape
    ))
}

fn is(dim: Dim, symbol: Symbol, size: usize) -> bool {
    dim == Dim::Of(symbol) || dim == Dim::Is(size)
}

/// Whether a port of this shape takes zeros of so many tokens and so wide.
fn are_zeros(shape: &[Dim], [tokens, width]: [usize; 2]) -> bool {
    let few = tokens
        .checked_mul(width)
        .is_some_and(|count| (1..=MAX_ZEROS).contains(&count));
    let [rows, own_tokens, own_width] = *shape else {
        return false;
    };
    few && is_rows(rows) && [own_tokens, own_width] == [tokens, width].map(Dim::Is)
}

/// One prompt a run, two, or as many as are given.
fn is_rows(dim: Dim) -> bool {
    matches!(dim, Dim::Of(Symbol::Rows) | Dim::Is(1 | 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest is a stranger's: what it has the host make is bounded.
    #[test]
    fn zeros_have_the_shape_of_their_port_and_are_not_too_many() {
        let port = |tokens, width| [Dim::Of(Symbol::Rows), Dim::Is(tokens), Dim::Is(width)];
        assert!(are_zeros(&port(256, 4096), [256, 4096]));
        assert!(!are_zeros(&port(256, 4096), [256, 2048]));
        assert!(!are_zeros(&port(256, 4096)[..2], [256, 4096]));
        for [tokens, width] in [[0, 4096], [1 << 20, 1 << 20], [usize::MAX, 2]] {
            assert!(!are_zeros(&port(tokens, width), [tokens, width]));
        }
    }
}
