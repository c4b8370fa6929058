//! `POST /v1/images/edits` and `/v1/images/variations`
//! (<https://platform.openai.com/docs/api-reference/images/createEdit>).

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use diffusion::Looked;
use protocol::start::strength;
use protocol::{MaskBy, Problem, ProblemCode, RequestError};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{ErrorBody, ImagesResponse, StreamEvent};
use super::error::OpenAiError;
use super::form::Form;
use super::members::Members;
use super::request::{ImagesRequest, Plan, ResponseFormat, size};
use super::{answer, from_here};
use crate::api::Hub;
use crate::api::jobs::submit::{Beginning, Mask, idempotency_key};
use crate::api::visitor::Visitor;
use crate::images::Given;
use crate::images::verify::sha256_hex;
use crate::jobs::key::fingerprint;

/// The prompt of a variation that brings none; OpenAI's take none.
const OF_A_VARIATION: &str = "a picture";

/// Body of `POST /v1/images/edits`, `multipart/form-data`; other members as in `POST /v1/images/generations`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a form, which is read part by part")]
pub struct EditRequest {
    /// The picture, a PNG, JPEG or WebP file. Without a mask, what of it is transparent is made anew, or all of it where
    /// nothing is.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// Where this picture of the same size is transparent, the other one is made anew.
    #[schema(value_type = Option<String>, format = Binary)]
    mask: Option<Vec<u8>>,
    /// What the picture should show.
    #[schema(min_length = 1, max_length = 1000, pattern = "\\S")]
    prompt: String,
    /// `owner/name`; absent: the hub's first model that begins with pictures.
    model: Option<String>,
    /// Pictures, 1 to 10.
    #[schema(minimum = 1, maximum = 10)]
    n: Option<u32>,
    /// `WIDTHxHEIGHT` that the model makes; absent or `auto`: the picture's own, or the model's.
    size: Option<String>,
    /// What the answer holds; absent: address and bytes.
    response_format: Option<ResponseFormat>,
    /// How much of the way from noise is gone, 0 to 1; this hub's own member.
    #[schema(minimum = 0, maximum = 1)]
    strength: Option<f32>,
    /// Seed of the first picture; this hub's own member.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    seed: Option<u64>,
    /// Denoising steps; this hub's own member.
    #[schema(minimum = 1)]
    num_inference_steps: Option<u32>,
}

/// Body of `POST /v1/images/variations`, `multipart/form-data`; other members as in `POST /v1/images/generations`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes a form, which is read part by part")]
pub struct VariationRequest {
    /// The picture, a PNG, JPEG or WebP file.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// What the pictures should show, which OpenAI does not take; absent: `a picture`.
    #[schema(min_length = 1, max_length = 1000, pattern = "\\S")]
    prompt: Option<String>,
    /// `owner/name`; absent: the hub's first model that begins with pictures.
    model: Option<String>,
    /// Pictures, 1 to 10.
    #[schema(minimum = 1, maximum = 10)]
    n: Option<u32>,
    /// `WIDTHxHEIGHT` that the model makes; absent or `auto`: the picture's own, or the model's.
    size: Option<String>,
    /// What the answer holds; absent: address and bytes.
    response_format: Option<ResponseFormat>,
    /// How much of the way from noise is gone, 0 to 1; this hub's own member.
    #[schema(minimum = 0, maximum = 1)]
    strength: Option<f32>,
    /// Seed of the first picture; this hub's own member.
    #[schema(maximum = 9_007_199_254_740_991u64)]
    seed: Option<u64>,
}

/// Make a picture anew, whole or where a mask is transparent, as the OpenAI images API does.
///
/// What lies outside of the mask stays as it is. The rest is as with `POST /v1/images/generations`; events are called
/// `image_edit.partial_image` and `image_edit.completed`.
#[utoipa::path(
    post,
    path = "/v1/images/edits",
    operation_id = "editImages",
    tag = "openai",
    request_body(content = EditRequest, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The pictures", content(
            (ImagesResponse = "application/json"),
            (StreamEvent = "text/event-stream"),
        )),
        (status = "default", description = "An error in OpenAI's form", body = ErrorBody),
    )
)]
pub async fn edit(
    State(hub): State<Hub>,
    visitor: Visitor,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OpenAiError> {
    from_here(&hub, &headers)?;
    let mut form = Form::read(request).await?;
    let image = form.required_file("image")?;
    let mask = form.file("mask")?;
    begin(Kind::Edit, &hub, visitor, &headers, form, image, mask).await
}

/// Make variations of a picture, as the OpenAI images API does: pictures that begin with it.
#[utoipa::path(
    post,
    path = "/v1/images/variations",
    operation_id = "varyImages",
    tag = "openai",
    request_body(content = VariationRequest, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "The pictures", body = ImagesResponse),
        (status = "default", description = "An error in OpenAI's form", body = ErrorBody),
    )
)]
pub async fn vary(
    State(hub): State<Hub>,
    visitor: Visitor,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, OpenAiError> {
    from_here(&hub, &headers)?;
    let mut form = Form::read(request).await?;
    let image = form.required_file("image")?;
    if form.file("mask")?.is_some() {
        let detail = "Unknown parameter: 'mask'.";
        return Err(OpenAiError::member("unknown_parameter", "mask", detail));
    }
    begin(Kind::Variation, &hub, visitor, &headers, form, image, None).await
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Edit,
    Variation,
}

/// What is told beside the members of [`ImagesRequest`].
#[derive(Serialize)]
struct Told<'a> {
    request: &'a ImagesRequest,
    strength: Option<f32>,
    image: String,
    mask: Option<String>,
}

async fn begin(
    kind: Kind,
    hub: &Hub,
    visitor: Visitor,
    headers: &HeaderMap,
    mut form: Form,
    image: Vec<u8>,
    mask: Option<Vec<u8>>,
) -> Result<Response, OpenAiError> {
    let texts = std::mem::take(&mut form.texts);
    let mut members = Members::of_form(texts, ImagesRequest::kind)?;
    if kind == Kind::Variation {
        members.or_text("prompt", OF_A_VARIATION);
    }
    let body = ImagesRequest::of(&mut members);
    let asked = members.number("strength");
    // Without effect.
    members.text("input_fidelity");
    members.end()?;

    let catalog = hub.catalog.now();
    let models = catalog.summaries();
    let model = body.model.clone().or_else(|| {
        let able = models.iter().find(|model| model.begins_with_pictures);
        able.or(models.first()).map(|model| model.id.clone())
    });
    let model = model.unwrap_or_default();
    let unknown = || Problem::from(RequestError::UnknownModel(model.chars().take(80).collect()));
    let summary = catalog.summary(&model).ok_or_else(unknown)?;
    let strength = strength(asked, summary).map_err(|error| {
        let field = match &error {
            RequestError::NoStart(_) => "model",
            _ => "strength",
        };
        Problem {
            field: Some(field.into()),
            ..error.into()
        }
    })?;

    let (route, events) = match kind {
        Kind::Edit => ("/v1/images/edits", "image_edit"),
        Kind::Variation => ("/v1/images/variations", "image_generation"),
    };
    let fingerprint = fingerprint(
        route,
        &Told {
            request: &body,
            strength: asked,
            image: sha256_hex(&image),
            mask: mask.as_deref().map(sha256_hex),
        },
    )?;
    let (image, of_image) = look(hub, "image", image).await?;
    let mask = match mask {
        Some(mask) => {
            let (mask, of_mask) = look(hub, "mask", mask).await?;
            fits(of_image, of_mask)?;
            Some(Mask::Given(Given::File(mask)))
        }
        None if kind == Kind::Edit && of_image.transparent => Some(Mask::Image),
        None => None,
    };
    let own = (of_image.width, of_image.height);
    let asked = body.size.as_deref().filter(|size| *size != "auto");
    let size = match asked {
        None if summary.makes(own.0, own.1) => own,
        asked => size(asked, Some(summary))?,
    };
    let plan = Plan::of(body, &catalog, model, size, fingerprint, events)?;
    let beginning = Beginning {
        image: Given::File(image),
        mask,
        mask_by: MaskBy::Transparency,
        strength,
        owner: visitor.owner.clone(),
        address: visitor.address(),
    };
    let key = idempotency_key(headers)?;
    answer(hub.clone(), visitor, plan, Some((beginning, form)), key).await
}

/// Whether a mask is one of that picture.
fn fits(image: Looked, mask: Looked) -> Result<(), OpenAiError> {
    if (image.width, image.height) != (mask.width, mask.height) {
        let detail = format!(
            "The mask has {} x {} pixels, the image {} x {}; they must be the same.",
            mask.width, mask.height, image.width, image.height
        );
        return Err(OpenAiError::member("invalid_value", "mask", detail));
    }
    if !mask.transparent {
        let detail = "The mask is nowhere transparent: nothing would be changed.";
        return Err(OpenAiError::member("invalid_value", "mask", detail));
    }
    Ok(())
}

async fn look(
    hub: &Hub,
    name: &'static str,
    file: Vec<u8>,
) -> Result<(Vec<u8>, Looked), OpenAiError> {
    hub.images.look(file).await.map_err(|mut problem| {
        problem.field = Some(name.into());
        match problem.code {
            ProblemCode::UnreadablePicture => OpenAiError::from(problem).with_code("invalid_image"),
            _ => problem.into(),
        }
    })
}
