//! A hub whose data are always the same.

use app::ssr::HubData;
use async_trait::async_trait;
use protocol::{
    AddingPage, AdditionRequest, Author, CreatorPage, GalleryPage, GalleryQuery, Gated,
    GenerationRequest, ImageRecord, KnownModel, KnownWeights, License, LicenseUse, ModelCard,
    ModelDefaults, ModelLimits, ModelNeeds, ModelPage, ModelQuery, ModelSummary, PackageHere,
    Paper, PaperRecord, Problem, ProblemCode, Provenance, Recipe, Runs, Source, Trouble,
    TroubleKind,
};

use crate::adding::{OPERATOR, additions, look};

pub const PROMPT: &str = "red <b>apple</b> & \"pear\"";

pub struct Fixed {
    pub storage_down: bool,
}

pub fn record(id: &str) -> ImageRecord {
    ImageRecord {
        id: id.into(),
        sha256: "ab".repeat(32),
        bytes: 9_100,
        width: 64,
        height: 64,
        created_at: 1_767_225_600_000,
        recipe: Recipe {
            request: GenerationRequest {
                model: "demo-hub/glyph".into(),
                prompt: PROMPT.into(),
                negative_prompt: Some("blue".into()),
                seed: Some(7),
                num_inference_steps: Some(8),
                guidance_scale: Some(3.5),
                clip_skip: Some(2),
                variation_seed: Some(9),
                variation_strength: Some(0.25),
                prompt_syntax: Some(protocol::PromptSyntax::A1111),
                upscale: Some(protocol::UpscaleFactor::Two),
                ..GenerationRequest::default()
            },
            weights_digest: "cd".repeat(32),
            scheduler: "flow-match-euler".into(),
            backend: "onnx-gpu (WebGPU)".into(),
            adapter: "Example GPU".into(),
            place: protocol::RunsOn::Browser,
            upscaler: Some(protocol::UsedUpscaler {
                model: "demo-hub/esrgan-thick".into(),
                weights_digest: "01".repeat(32),
            }),
            loras: vec![protocol::UsedLora {
                name: "ink wash".into(),
                hash: "0a1b2c3d4e5f".into(),
                text_weight: 0.5,
                weight: 0.8,
            }],
            start: Some(protocol::StartOf {
                sha256: "ef".repeat(32),
                strength: 0.6,
                mask_sha256: None,
                mask_by: protocol::MaskBy::default(),
            }),
            duration_ms: 3_210,
        },
        url: "/images/abab.png".into(),
        permalink: format!("/i/{id}"),
        thumbnail: None,
        unlisted: false,
        visibility: protocol::Visibility::Listed,
        expires_at: None,
        mine: false,
    }
}

#[async_trait]
impl HubData for Fixed {
    fn is_operator(&self, cookies: Option<&str>) -> bool {
        cookies.is_some_and(|sent| sent == OPERATOR)
    }

    async fn adding(
        &self,
        asked: Option<AdditionRequest>,
        cookies: Option<String>,
    ) -> Result<AddingPage, Problem> {
        if self.storage_down {
            return Err(Problem::new(ProblemCode::NotFound, "no such page"));
        }
        if !self.is_operator(cookies.as_deref()) {
            return Ok(AddingPage::default());
        }
        let look = asked.map(|asked| match &*asked.id {
            "maker/away" => Err(Problem::new(
                ProblemCode::ModelHubUnavailable,
                "hub.example cannot be reached",
            )),
            id => Ok(look(id)),
        });
        Ok(AddingPage {
            signed_in: true,
            look,
            additions: additions(),
            packages: vec![PackageHere {
                id: "demo-hub/glyph".into(),
                name: "Glyph".into(),
                bytes: 37_500_000,
            }],
        })
    }

    async fn models(&self) -> Result<Vec<ModelSummary>, Problem> {
        let glyph = ModelSummary {
            id: "demo-hub/glyph".into(),
            name: "Glyph".into(),
            creator: "demo-hub".into(),
            summary: "Small pictures from words.".into(),
            license: "Apache-2.0".into(),
            paper: Some(Paper {
                title: "Flow Straight and Fast".into(),
                authors: vec!["Xingchao Liu".into(), "Chengyue Gong".into()],
                arxiv: "2209.03003".into(),
                abstract_text: "We present rectified flow.".into(),
            }),
            package_url: Some("/models/glyph/manifest.json".into()),
            weights_digest: "cd".repeat(32),
            download_bytes: 74_500_000,
            width: 64,
            height: 64,
            sizes: None,
            weighted_prompts: false,
            max_clip_skip: 1,
            loras: Vec::new(),
            begins_with_pictures: false,
            samplers: Vec::new(),
            negative_prompt: true,
            limits: ModelLimits {
                min_steps: 1,
                max_steps: 50,
                min_guidance: 1.0,
                max_guidance: 15.0,
            },
            defaults: ModelDefaults {
                num_inference_steps: 8,
                guidance_scale: 3.0,
            },
            needs: ModelNeeds {
                max_buffer_size: 64 << 20,
                max_storage_buffer_binding_size: 64 << 20,
                memory_bytes: 256 << 20,
                one_at_a_time: None,
                streamed: None,
            },
            needs_of_largest: None,
            work: None,
            example_prompts: vec!["green heart".into()],
        };
        let brief = ModelSummary {
            id: "demo-hub/brief".into(),
            name: "Brief".into(),
            negative_prompt: false,
            begins_with_pictures: true,
            max_clip_skip: 12,
            loras: vec![
                protocol::ModelLora {
                    name: "ink wash".into(),
                    weight: Some(0.8),
                    hash: "0a1b2c3d4e5f".into(),
                },
                protocol::ModelLora {
                    name: "soft".into(),
                    weight: None,
                    hash: "1a2b3c4d5e6f".into(),
                },
            ],
            ..glyph.clone()
        };
        Ok(vec![glyph, brief])
    }

    async fn gallery(
        &self,
        query: GalleryQuery,
        _cookies: Option<String>,
    ) -> Result<GalleryPage, Problem> {
        if self.storage_down {
            return Err(Problem::new(
                ProblemCode::StorageUnavailable,
                "connection refused",
            ));
        }
        if query.mine || query.model.as_deref() == Some("no/such") {
            return Ok(GalleryPage::default());
        }
        Ok(match query.cursor.as_deref() {
            None => GalleryPage {
                items: vec![record("new"); query.limit.unwrap_or(24).min(3)],
                next_cursor: Some("a/b=".into()),
            },
            Some("a/b=") => GalleryPage {
                items: vec![record("old")],
                next_cursor: None,
            },
            Some(other) => panic!("unexpected cursor {other}"),
        })
    }

    async fn search(&self, query: ModelQuery) -> Result<ModelPage, Problem> {
        Ok(ModelPage {
            items: vec![self.card("demo-hub/glyph").await?, elsewhere()],
            known: vec![known()],
            next_cursor: query.cursor.is_none().then(|| "a/b=".to_owned()),
            provenance: vec![down()],
        })
    }

    async fn card(&self, id: &str) -> Result<ModelCard, Problem> {
        match id {
            "demo-hub/glyph" => Ok(card_of(&self.models().await?[0])),
            "demo-hub/brief" => Ok(card_of(&self.models().await?[1])),
            "lab/elsewhere" => Ok(elsewhere()),
            "lab/asked-for" => Ok(ModelCard {
                id: known().id,
                owner: "lab".to_owned(),
                name: "asked-for".to_owned(),
                title: known().title,
                license: known().license,
                known: Some(Box::new(known())),
                ..ModelCard::default()
            }),
            _ => Err(Problem::new(ProblemCode::NotFound, "no such model")),
        }
    }

    async fn creator(&self, owner: &str, _: Option<String>) -> Result<CreatorPage, Problem> {
        if owner != "lab" {
            return Err(Problem::new(ProblemCode::NotFound, "no such creator"));
        }
        Ok(CreatorPage {
            owner: owner.to_owned(),
            items: vec![elsewhere()],
            provenance: vec![down()],
            ..CreatorPage::default()
        })
    }

    async fn image(&self, id: &str, _cookies: Option<String>) -> Result<ImageRecord, Problem> {
        if id == "known" {
            Ok(record(id))
        } else if id == "mine" {
            Ok(ImageRecord {
                mine: true,
                unlisted: true,
                visibility: protocol::Visibility::Unlisted,
                width: 512,
                ..record(id)
            })
        } else {
            Err(Problem::new(ProblemCode::NotFound, "no such picture"))
        }
    }
}

pub const HOSTILE: &str = "</script><script>alert(1)</script><b>bold</b>";

/// The card of a model that runs here.
pub fn card_of(model: &ModelSummary) -> ModelCard {
    ModelCard {
        id: model.id.clone(),
        owner: "demo-hub".into(),
        name: "glyph".into(),
        title: model.name.clone(),
        summary: Some(model.summary.clone()),
        license: Some(License {
            id: model.license.clone(),
            name: "Apache License 2.0".into(),
            url: Some("https://www.apache.org/licenses/LICENSE-2.0".into()),
            permits: LicenseUse::Any,
            limits: Some(vec!["Keep the notices.".into()]),
        }),
        papers: model.paper.iter().map(PaperRecord::from).collect(),
        total_bytes: Some(model.download_bytes),
        needs: Some(model.needs),
        runs: Runs {
            browser: true,
            server: true,
        },
        runnable: Some(model.clone()),
        ..ModelCard::default()
    }
}

/// A model of the hub that does not run here, with as much mischief and as many authors as there can be.
pub fn known() -> KnownModel {
    let weights = |kind: &str, bytes| KnownWeights {
        kind: kind.to_owned(),
        bytes,
        needs: ModelNeeds {
            max_buffer_size: 101_000_000,
            max_storage_buffer_binding_size: 101_000_000,
            memory_bytes: bytes + 300_000_000,
            one_at_a_time: None,
            streamed: None,
        },
    };
    KnownModel {
        id: "lab/asked-for".to_owned(),
        title: "Asked For".to_owned(),
        add: Some("lab/asked-for:whole.safetensors".to_owned()),
        summary: "A model that people ask for.".to_owned(),
        family: "Stable Diffusion 2".to_owned(),
        pipeline: "StableDiffusionPipeline".to_owned(),
        license: None,
        paper: None,
        gated: true,
        width: 512,
        height: 512,
        defaults: ModelDefaults {
            num_inference_steps: 1,
            guidance_scale: 0.0,
        },
        weights: vec![
            weights("f16", 2_500_000_000),
            weights("int8", 1_300_000_000),
        ],
        work: None,
        ran: false,
    }
}

fn elsewhere() -> ModelCard {
    ModelCard {
        id: "lab/elsewhere".into(),
        owner: "lab".into(),
        name: "elsewhere".into(),
        title: "elsewhere".into(),
        gated: Some(Gated::Manual),
        papers: vec![
            PaperRecord {
                title: Some("Many Hands".into()),
                abstract_text: Some(HOSTILE.into()),
                authors: (1..=400)
                    .map(|n| Author::named(format!("Author {n}")))
                    .collect(),
                ..PaperRecord::of_arxiv("2401.00001")
            },
            PaperRecord::of_arxiv("2401.00002"),
        ],
        tags: vec![HOSTILE.into()],
        provenance: vec![down()],
        ..ModelCard::default()
    }
}

pub fn down() -> Provenance {
    Provenance {
        source: Source::Hub,
        fetched_at: Some(1_767_225_600_000),
        stale: true,
        trouble: Some(Trouble {
            kind: TroubleKind::Timeout,
            detail: "no answer within 3 s".into(),
        }),
    }
}
