//! The denoiser of a folder: what each of its inputs is given.

use std::collections::BTreeMap;

use anyhow::Context;
use diffusion::manifest::{Denoiser, Feed, Guidance, Symbol, TimeUnit};

use super::super::graph::{Graph, Place, Wired, fixed, port};
use super::super::layout::Part;
use super::super::pipeline::Family;
use super::size::{Spatial, seen};
use super::{POOLED, Reader, STATES, number};

impl Reader<'_> {
    pub(super) fn denoiser(
        &self,
        graph: Graph,
        width: usize,
        spatial: &Spatial<'_>,
    ) -> anyhow::Result<(Denoiser, Guidance, Wired)> {
        let xl = self.pipeline.family == Family::StableDiffusionXl;
        let config = self.config(Part::Unet)?;
        let sample = graph.input("the latents", &["sample", "latents"])?;
        let timestep = graph.input("the timestep", &["timestep", "t"])?;
        let states = graph.input("the hidden states", &["encoder_hidden_states"])?;
        let mut seen_places = spatial.latents();
        seen_places[1] = Place::Is(seen(sample, &config, spatial.latents.channels));
        let mut known = vec![&*sample.name, &*timestep.name, &*states.name];
        let time: &[Place] = match timestep.shape.as_deref() {
            Some([]) => &[],
            _ => &[Place::Rows],
        };
        let text = Place::Varies(Symbol::Tokens, fixed(states, 1).unwrap_or_default());
        let mut inputs = vec![
            port(&graph, sample, &seen_places)?,
            port(&graph, timestep, time)?,
            port(&graph, states, &[Place::Rows, text, Place::Is(width)])?,
        ];
        let both: &[&str] = if xl { &STATES } else { &STATES[..1] };
        let values = both.iter().map(|name| (*name).to_owned()).collect();
        let mut feeds = BTreeMap::from([(states.name.clone(), Feed::Values(values))]);
        if xl {
            let pooled = graph.input("the pooled text", &["text_embeds"])?;
            let ids = graph.input("the sizes", &["time_ids"])?;
            let wide = fixed(pooled, 1).or(number(&config, "cross_attention_dim"));
            let wide = wide.unwrap_or_default();
            inputs.push(port(&graph, pooled, &[Place::Rows, Place::Is(wide)])?);
            inputs.push(port(&graph, ids, &[Place::Rows, Place::Is(6)])?);
            feeds.insert(pooled.name.clone(), Feed::Values(vec![POOLED.to_owned()]));
            feeds.insert(ids.name.clone(), Feed::TimeIds);
            known.extend(["text_embeds", "time_ids"]);
        }
        let mut guidance = Guidance::ClassifierFree;
        if let Some(scale) = graph.optional("timestep_cond") {
            let wide = fixed(scale, 1).or(number(&config, "time_cond_proj_dim"));
            let wide = wide
                .context("neither the graph nor unet/config.json says how wide timestep_cond is")?;
            inputs.push(port(&graph, scale, &[Place::Rows, Place::Is(wide)])?);
            feeds.insert(scale.name.clone(), Feed::GuidanceEmbedding);
            guidance = Guidance::Embedded;
            known.push("timestep_cond");
        }
        graph.has_only(&known)?;
        let answer = graph.output("the answer", &["out_sample", "sample"])?;
        let outputs = vec![port(&graph, answer, &spatial.latents())?];
        let denoiser = Denoiser {
            graph: "denoiser".to_owned(),
            sample: sample.name.clone(),
            timestep: timestep.name.clone(),
            time: TimeUnit::default(),
            inputs: feeds,
            answer: answer.name.clone(),
            negated: false,
        };
        let wired = Wired {
            graph,
            inputs,
            outputs,
        };
        Ok((denoiser, guidance, wired))
    }
}
