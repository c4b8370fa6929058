//! Models that are looked at before they are added.

use protocol::{Gated, LicenseUse, ModelLook};

use super::*;
use crate::catalog::one_model;
use crate::fetched::FIRST;
use crate::renderers::stand_in::Act;

async fn look(operator: &Operator, id: &str) -> Response {
    let asked = operator.ask(Method::GET, "/api/v1/operator/look");
    asked.query(&[("id", id)]).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_says_what_a_model_takes_and_what_stands_against_it() {
    let (of, models) = (ModelHub::start().await, tempfile::tempdir().unwrap());
    let hub = hub_over(&models, &of).await;
    let operator = Operator::of(&hub.url);
    let page = format!("{}/maker/model", of.hub.url);
    let found: ModelLook = read(look(&operator, &page).await).await;
    assert_eq!((&*found.id, &*found.revision), ("maker/model", FIRST));
    assert_eq!(found.pipeline.as_deref(), Some("StableDiffusionPipeline"));
    assert_eq!(found.hub_url, page);
    let license = found.license.unwrap();
    assert_eq!(license.permits, LicenseUse::Restricted);
    let bytes = of.state.lock().unwrap().files[LARGE].len() as u64;
    let unet = found.components.iter().find(|part| part.name == "unet");
    assert_eq!(unet.unwrap().bytes, bytes);
    assert!(found.download_bytes > bytes && found.free_bytes > 0);
    assert_eq!((found.refusal, found.is_here), (None, false));
    assert!(of.ranges().is_empty() && is_without_packages(models.path()));
    // The next one is remembered.
    let asked = of.hub.seen().len();
    look(&operator, "maker/model").await;
    assert_eq!(of.hub.seen().len(), asked);

    of.set(|state| state.gated = true);
    let gated: ModelLook = read(look(&operator, "maker/model@v1").await).await;
    assert_eq!(gated.gated, Some(Gated::Automatic));
    let refusal = gated.refusal.unwrap();
    assert!(refusal.contains(&page) && refusal.contains("--hub-token"));
    of.set(|state| {
        state.gated = false;
        let index = json!({"_class_name": "KandinskyPipeline"}).to_string();
        let file = state.files.get_mut("model_index.json").unwrap();
        *file = index.into_bytes();
    });
    let unknown: ModelLook = read(look(&operator, "maker/model@v1").await).await;
    assert!(unknown.refusal.unwrap().contains("KandinskyPipeline"));
    assert_problem(
        look(&operator, "maker/nothing").await,
        ProblemCode::UnknownModel,
    )
    .await;
    for id in ["../../etc/passwd", "nothing", "maker/model@--x y"] {
        assert_problem(look(&operator, id).await, ProblemCode::OutOfRange).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_hub_has_a_code() {
    let models = tempfile::tempdir().unwrap();
    for (answer, code) in [
        (
            Act::json(401, &json!({})).header("x-error-code", "RepoNotFound"),
            ProblemCode::UnknownModel,
        ),
        (Act::json(403, &json!({})), ProblemCode::ModelWithheld),
        (
            Act::json(429, &json!({})).header("retry-after", "60"),
            ProblemCode::ModelHubUnavailable,
        ),
        (Act::json(500, &json!({})), ProblemCode::ModelHubUnavailable),
        (
            Act::say(200, "application/json", "{\"id\":"),
            ProblemCode::ModelHubUnavailable,
        ),
    ] {
        let stand_in = one_model("maker/model", answer).await;
        let dir = models.path().to_str().unwrap();
        let options = [
            "--models-dir",
            dir,
            "--admin-token",
            ADMIN,
            "--hub-url",
            &stand_in.url,
        ];
        let hub = Hub::with(&options).await;
        let operator = Operator::of(&hub.url);
        assert_problem(look(&operator, "maker/model").await, code).await;
    }
}
