//! The page on which the operator adds models.

use axum::http::StatusCode;
use protocol::{
    Addition, AdditionRequest, AdditionStage, AdditionStatus, Fetched, Gated, License, LicenseUse,
    LookedChoice, LookedComponent, LowMemoryNeeds, ModelLook, ModelNeeds, WeightsKind,
};

use crate::hub::Fixed;
use crate::{page, page_for, page_of};

/// Cookie of the operator.
pub const OPERATOR: &str = "demo-hub-operator=yes";

/// What is found of a model; one of a class that is not known is refused, and one without a licence is called so.
pub fn look(id: &str) -> ModelLook {
    let component = |name: &str, class: &str, bytes: u64, optional: bool| LookedComponent {
        name: name.into(),
        class: Some(class.into()),
        files: vec![format!("{name}/model.fp16.safetensors")],
        bytes,
        optional,
    };
    let choice = |weights, share: u64| LookedChoice {
        weights,
        package_bytes: 2_600_000_000 / share,
        disk_bytes: if share > 1 {
            5_200_000_000
        } else {
            2_600_000_000
        },
        needs: ModelNeeds {
            max_buffer_size: 210_000_000 / share,
            max_storage_buffer_binding_size: 210_000_000 / share,
            memory_bytes: 3_100_000_000 / share,
            one_at_a_time: (share == 4).then_some(LowMemoryNeeds {
                memory_bytes: 600_000_000,
                picture_bytes: 1,
                step_bytes: 0,
            }),
            streamed: None,
        },
    };
    let refused = id == "maker/unknown";
    ModelLook {
        id: id.into(),
        revision: "451f4fe16113bff5a5d2269ed5ad43b0592e9a14".into(),
        pipeline: Some("StableDiffusionPipeline".into()),
        license: (id != "maker/unlicensed").then(|| License {
            id: "creativeml-openrail-m".into(),
            name: "CreativeML Open RAIL-M".into(),
            url: Some("https://huggingface.co/spaces/CompVis/stable-diffusion-license".into()),
            permits: LicenseUse::Restricted,
            limits: Some(vec!["Not for the uses in its attachment A.".into()]),
        }),
        gated: Some(if id == "maker/gated" {
            Gated::Automatic
        } else {
            Gated::Open
        }),
        hub_url: format!("https://huggingface.co/{id}"),
        components: vec![
            component(
                "text_encoder",
                "CLIPTextModel",
                680_000_000,
                id == "maker/optional",
            ),
            component("unet", "UNet2DConditionModel", 1_730_000_000, false),
            component("vae", "AutoencoderKL", 167_000_000, false),
        ],
        download_bytes: 2_577_000_000,
        free_bytes: 3_000_000_000,
        choices: if refused {
            Vec::new()
        } else {
            vec![
                choice(WeightsKind::Kept, 1),
                choice(WeightsKind::F16, 1),
                choice(WeightsKind::Int8, 2),
                choice(WeightsKind::Int4, 4),
            ]
        },
        notes: vec!["requests that leave them open take 20 steps at guidance 7.5".into()],
        refusal: refused
            .then(|| "unet is a KandinskyUnet; UNet2DConditionModel can be built".into()),
        is_here: id == "demo-hub/glyph",
    }
}

/// One in every status.
pub fn additions() -> Vec<Addition> {
    let all = [
        (AdditionStatus::Waiting, None),
        (AdditionStatus::Running, Some(AdditionStage::Downloading)),
        (AdditionStatus::Cancelling, None),
        (AdditionStatus::Done, None),
        (AdditionStatus::Failed, None),
        (AdditionStatus::Cancelled, None),
    ];
    let mut additions = Vec::new();
    for (number, (status, stage)) in all.into_iter().enumerate() {
        additions.push(Addition {
            id: format!("176722560000{number}-abcdef01"),
            request: AdditionRequest {
                id: format!("maker/model-{number}"),
                ..AdditionRequest::default()
            },
            status,
            stage,
            fetched: Some(Fetched {
                bytes: 486_000_000,
                total_bytes: 1_200_000_000,
                bytes_per_second: Some(31_000_000),
                seconds_left: Some(23),
            }),
            note: None,
            reason: (status == AdditionStatus::Failed).then(|| "the disk is full <b>".into()),
            created_at: 1_767_225_600_000,
            ended_at: None,
        });
    }
    additions
}

async fn of_operator(path: &str) -> String {
    let open = Fixed {
        storage_down: false,
    };
    let page = page_for(open, path, Some(OPERATOR)).await;
    assert_eq!(page.status, StatusCode::OK, "{path}");
    assert_eq!(page.caching.as_deref(), Some("no-store"));
    page.html
}

fn has(html: &str, expected: &[&str]) {
    for expected in expected {
        assert!(html.contains(expected), "{expected} in {html}");
    }
}

#[tokio::test]
async fn a_hub_without_an_operator_has_no_such_page() {
    let closed = Fixed { storage_down: true };
    let closed = page_of(closed, "/models/add").await;
    assert_eq!(closed.status, StatusCode::NOT_FOUND);
    let models = page("/models").await.html;
    assert!(!models.contains("/models/add") && !models.contains("hub-operator"));
}

#[tokio::test]
async fn who_is_not_signed_in_is_asked_for_the_token_and_sees_nothing_else() {
    let html = page("/models/add?id=maker%2Fmodel%22%3E&problem=not_signed_in")
        .await
        .html;
    let form = [
        "action=\"/operator/sign-in\"",
        "method=\"post\"",
        "type=\"password\"",
        "value=\"maker/model&quot;&gt;\"",
        "That is not the token of this hub",
    ];
    has(&html, &form);
    for absent in ["maker/model-0", "Being added", "Glyph", "hub-operator"] {
        assert!(!html.contains(absent), "{absent} in {html}");
    }
    let page = page("/models/add?problem=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert!(!page.html.contains("alert(1)</script>"));
}

#[tokio::test]
async fn the_operator_sees_a_link_and_every_addition() {
    let models = of_operator_models().await;
    has(&models, &["href=\"/models/add\"", "name=\"hub-operator\""]);
    let html = of_operator("/models/add").await;
    has(
        &html,
        &[
            "Waits for its turn",
            "Downloading",
            "486 MB of 1.2 GB, 31.0 MB/s, about 23 s left",
            "max=\"1200000000\"",
            "value=\"486000000\"",
            "Is being cancelled",
            "href=\"/models/maker/model-3\"",
            "the disk is full &lt;b&gt;",
            "action=\"/operator/additions/1767225600004-abcdef01/again\"",
            "action=\"/operator/additions/1767225600001-abcdef01/cancel\"",
            "Remove Glyph for good",
        ],
    );
    assert!(!html.contains(" style=\""));
}

async fn of_operator_models() -> String {
    let open = Fixed {
        storage_down: false,
    };
    page_for(open, "/models", Some(OPERATOR)).await.html
}

#[tokio::test]
async fn facts_and_choices_of_a_model_stand_in_a_form() {
    let html = of_operator("/models/add?id=maker%2Fmodel").await;
    has(
        &html,
        &[
            "Not the uses that its licence lists.",
            "Not for the uses in its attachment A.",
            "2.6 GB to download.",
            "3.0 GB are free on this server.",
            "UNet2DConditionModel",
            "Visitors download 650 MB. A picture takes 775 MB of GPU memory, or 600 MB with a part of the model there at a time, in buffers of 52.5 MB at most.",
            "Adding it takes 5.2 GB of disk, more than is free.",
            "name=\"weights\"",
            "name=\"weights-of-unet\"",
            "name=\"revision\" value=\"451f4fe16113bff5a5d2269ed5ad43b0592e9a14\"",
            "This hub can run it.",
        ],
    );
    assert!(!html.contains("name=\"license\"") && !html.contains("without-"));
    has(
        &of_operator("/models/add?id=maker%2Funlicensed").await,
        &["No licence is stated.", "name=\"license\""],
    );
    has(
        &of_operator("/models/add?id=maker%2Foptional").await,
        &[
            "name=\"without-text_encoder\"",
            "Leave text_encoder out, 680 MB",
        ],
    );
    has(
        &of_operator("/models/add?id=maker%2Fgated").await,
        &["Its terms have to be agreed to."],
    );
}

#[tokio::test]
async fn what_cannot_be_added_has_no_form() {
    for (id, said) in [
        ("unknown", "unet is a KandinskyUnet"),
        ("away", "cannot be reached"),
    ] {
        let html = of_operator(&format!("/models/add?id=maker%2F{id}")).await;
        has(&html, &[said]);
        assert!(!html.contains("data-testid=\"add-form\""), "{html}");
    }
    let here = of_operator("/models/add?id=demo-hub%2Fglyph").await;
    has(&here, &["is here already"]);
    assert!(!here.contains("data-testid=\"add-form\""));
}
