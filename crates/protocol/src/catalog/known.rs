//! Models that people ask for and that a hub does not hold yet: what is known of them before anything is downloaded.

use serde::{Deserialize, Serialize};

use super::{License, PaperRecord};
use crate::capability::CapabilityReport;
use crate::model::{ModelDefaults, ModelLimits, ModelNeeds, ModelSummary, ModelWork};
use crate::verdict::{Verdict, VerdictKind, verdict};

/// A model that this hub could hold. What is not known without its author's files, such as revision and digests, is not here:
/// a package has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KnownModel {
    /// `owner/name` on the hub that authors publish on.
    pub id: String,
    /// Human name.
    pub title: String,
    /// What `demo-hub models add` is told, where that is more than the identifier: a file of the repository, options.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// One sentence for lists.
    pub summary: String,
    /// What it was built or distilled from, such as `Stable Diffusion 2`.
    pub family: String,
    /// Class of its pipeline.
    pub pipeline: String,
    /// Licence of the weights; absent: see its page.
    #[serde(default)]
    pub license: Option<License>,
    /// Its paper.
    #[serde(default)]
    pub paper: Option<PaperRecord>,
    /// Whether its author wants an agreement before the files are given out.
    #[serde(default)]
    pub gated: bool,
    /// Width in pixels of the picture where a request leaves it open.
    pub width: u32,
    /// Height in pixels of the picture where a request leaves it open.
    pub height: u32,
    /// Values where a request leaves them open.
    pub defaults: ModelDefaults,
    /// What its weights take, those of most bits first; empty: it was not counted.
    #[serde(default)]
    pub weights: Vec<KnownWeights>,
    /// What a picture costs; absent: it was not counted.
    #[serde(default)]
    pub work: Option<ModelWork>,
    /// Whether the authors of this program ran it with its author's weights.
    #[serde(default)]
    pub ran: bool,
}

/// What weights of some bits take, counted from the published configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KnownWeights {
    /// `f16`, `int8` or `int4`, as `--weights` takes it; `f16` is what authors publish.
    pub kind: String,
    /// Bytes to download.
    pub bytes: u64,
    /// What a GPU must offer.
    pub needs: ModelNeeds,
}

/// What would become of a known model once it is added.
#[derive(Clone, Debug, PartialEq)]
pub struct Prospect {
    /// The verdict that it would get.
    pub verdict: Verdict,
    /// The weights that it would get it with.
    pub weights: KnownWeights,
}

impl KnownModel {
    /// The verdict once the hub holds it, for the browser that gave `report`: with the weights of most bits that run there, else of
    /// fewest; `None` where it was not counted.
    pub fn prospect(&self, report: &CapabilityReport, accept_software: bool) -> Option<Prospect> {
        let mut last = None;
        for weights in &self.weights {
            let verdict = verdict(&self.with(weights), report, accept_software);
            let runs = verdict.kind != VerdictKind::OnServer;
            last = Some(Prospect {
                verdict,
                weights: weights.clone(),
            });
            if runs {
                break;
            }
        }
        last
    }

    /// What the hub would say of it as a package with these weights.
    fn with(&self, weights: &KnownWeights) -> ModelSummary {
        let (creator, name) = self.id.split_once('/').unwrap_or(("", &self.id));
        ModelSummary {
            id: self.id.clone(),
            name: name.to_owned(),
            creator: creator.to_owned(),
            summary: self.summary.clone(),
            license: self
                .license
                .as_ref()
                .map(|l| l.id.clone())
                .unwrap_or_default(),
            paper: None,
            package_url: Some(String::new()),
            weights_digest: String::new(),
            download_bytes: weights.bytes,
            width: self.width,
            height: self.height,
            sizes: None,
            weighted_prompts: false,
            max_clip_skip: 1,
            samplers: Vec::new(),
            loras: Vec::new(),
            negative_prompt: false,
            begins_with_pictures: false,
            limits: ModelLimits {
                min_steps: 1,
                max_steps: self.defaults.num_inference_steps,
                min_guidance: self.defaults.guidance_scale,
                max_guidance: self.defaults.guidance_scale,
            },
            defaults: self.defaults.clone(),
            needs: weights.needs,
            needs_of_largest: None,
            work: self.work,
            example_prompts: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::AdapterReport;

    fn known() -> KnownModel {
        let weights = |kind: &str, mib: u64| KnownWeights {
            kind: kind.to_owned(),
            bytes: mib << 20,
            needs: ModelNeeds {
                max_buffer_size: mib << 20,
                max_storage_buffer_binding_size: mib << 20,
                memory_bytes: mib << 20,
                one_at_a_time: None,
                streamed: None,
            },
        };
        KnownModel {
            id: "a/b".to_owned(),
            title: "B".to_owned(),
            add: None,
            summary: String::new(),
            family: String::new(),
            pipeline: String::new(),
            license: None,
            paper: None,
            gated: false,
            width: 512,
            height: 512,
            defaults: ModelDefaults {
                num_inference_steps: 4,
                guidance_scale: 0.0,
            },
            weights: vec![
                weights("f16", 400),
                weights("int8", 200),
                weights("int4", 100),
            ],
            work: None,
            ran: false,
        }
    }

    fn carrying(mib: u64) -> CapabilityReport {
        CapabilityReport {
            webgpu: true,
            adapter: Some(AdapterReport {
                max_buffer_size: mib << 20,
                max_storage_buffer_binding_size: mib << 20,
                ..AdapterReport::default()
            }),
            ..CapabilityReport::default()
        }
    }

    #[test]
    fn the_weights_of_most_bits_that_run_are_proposed() {
        for (mib, kind, verdict) in [
            (500, "f16", VerdictKind::RunsHere),
            (399, "int8", VerdictKind::RunsHere),
            (100, "int4", VerdictKind::RunsHere),
            (99, "int4", VerdictKind::OnServer),
        ] {
            let found = known().prospect(&carrying(mib), false);
            let found = found.map(|p| (p.weights.kind, p.verdict.kind));
            assert_eq!(found, Some((kind.to_owned(), verdict)), "{mib} MiB");
        }
    }

    #[test]
    fn what_was_not_counted_has_no_verdict() {
        let uncounted = KnownModel {
            weights: Vec::new(),
            ..known()
        };
        assert_eq!(uncounted.prospect(&carrying(500), false), None);
    }
}
