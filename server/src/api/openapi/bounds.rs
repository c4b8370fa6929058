//! What the server enforces beyond the types of a request, and what an answer offers to do next: bounds, patterns and
//! links of the document, in one place and with the constants that the checks use.

use protocol::{
    INPUT_MIMES, MAX_COMPONENTS, MAX_INPUT_BYTES, MAX_PROMPT_CHARS, MAX_SEED, PNG_MIME,
    UpscaleFactor,
};
use serde_json::{Map, Value, json};

use crate::api::jobs::MAX_KEY_BYTES;
use crate::images::{MAX_LARGER_BYTES, MAX_PAGE};

/// `owner/name`.
const MODEL: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}$";
/// Longest `q` of a search for models, and longest licence in it, in characters.
const SEARCH: (u32, u32) = (100, 80);

/// Adds them to the document.
///
/// # Errors
/// The place in the document that is not there (any more).
pub fn declare(document: &mut Value) -> Result<(), String> {
    for schema in ["GenerationRequest", "ImagesRequest"] {
        let prompt = json!({"minLength": 1, "maxLength": MAX_PROMPT_CHARS, "pattern": "\\S"});
        for (name, bounds) in [
            ("prompt", prompt),
            ("negative_prompt", json!({"maxLength": MAX_PROMPT_CHARS})),
            ("seed", json!({"maximum": MAX_SEED})),
            ("num_inference_steps", json!({"minimum": 1})),
            ("guidance_scale", json!({"minimum": 0})),
        ] {
            property(document, schema, name, bounds)?;
        }
    }
    let mut factors: Vec<Value> = UpscaleFactor::ALL
        .map(|factor| factor.times().into())
        .into();
    factors.push(Value::Null);
    let factors = json!({"enum": factors});
    property(document, "GenerationRequest", "upscale", factors)?;
    // Null stands for what is not said.
    for (name, accepted) in [
        ("output_format", json!(["png", null])),
        ("background", json!(["auto", "opaque", null])),
    ] {
        property(document, "ImagesRequest", name, json!({"enum": accepted}))?;
    }
    let closed = json!({"additionalProperties": false});
    merge(document, "/components/schemas/ImagesRequest", closed)?;

    for (name, bounds) in [
        ("sha256", json!({"pattern": "^[0-9a-f]{64}$"})),
        ("bytes", json!({"minimum": 1, "maximum": MAX_LARGER_BYTES})),
        ("content_type", json!({"enum": [PNG_MIME]})),
    ] {
        property(document, "UploadRequest", name, bounds)?;
    }
    for (name, bounds) in [
        ("sha256", json!({"pattern": "^[0-9a-f]{64}$"})),
        ("bytes", json!({"minimum": 1, "maximum": MAX_INPUT_BYTES})),
        ("content_type", json!({"enum": INPUT_MIMES})),
    ] {
        property(document, "InputRequest", name, bounds)?;
    }
    let share = json!({"minimum": 0, "maximum": 1});
    property(document, "StartRequest", "strength", share)?;
    for (name, bounds) in [
        ("shape", json!({"minItems": 3, "maxItems": 3})),
        ("latents", json!({"pattern": "^[A-Za-z0-9+/]*={0,2}$"})),
    ] {
        property(document, "Resume", name, bounds)?;
    }
    // A pair; not all that reads documents knows lists whose places have types of their own.
    let text = json!({"type": "string"});
    let pair = json!({"type": "array", "items": text, "minItems": 2, "maxItems": 2});
    let headers = json!({"items": pair});
    property(document, "UploadTicket", "headers", headers)?;
    additions(document)?;
    change_of_an_image(document)?;
    parameters(document)?;
    events(document)?;
    links(document)
}

/// What names of models, revisions and components are made of, and how an operator is known.
fn additions(document: &mut Value) -> Result<(), String> {
    let plain = json!({"pattern": "^[A-Za-z0-9._+-]{1,128}$"});
    property(document, "ComponentWeights", "component", plain.clone())?;
    for (name, bounds) in [
        ("id", json!({"pattern": MODEL})),
        ("revision", json!({"pattern": "^[A-Za-z0-9._+/-]{0,128}$"})),
        ("license", json!({"pattern": "^[A-Za-z0-9._+-]{0,128}$"})),
        (
            "components",
            json!({"items": {"type": "string", "pattern": plain["pattern"]}, "maxItems": MAX_COMPONENTS}),
        ),
        ("component_weights", json!({"maxItems": MAX_COMPONENTS})),
    ] {
        property(document, "AdditionRequest", name, bounds)?;
    }
    let bearer =
        json!({"type": "http", "scheme": "bearer", "description": "What `--admin-token` says"});
    let schemes = json!({"securitySchemes": {"operator": bearer}});
    merge(document, "/components", schemes)
}

/// One of two members, which say the same.
fn change_of_an_image(document: &mut Value) -> Result<(), String> {
    let one = |name: &str, of: Value| {
        json!({
            "type": "object",
            "required": [name],
            "properties": {name: of},
            "additionalProperties": false,
        })
    };
    let schema = object(document, "/components/schemas/ImageChange")?;
    for word in ["type", "required", "properties"] {
        schema.remove(word);
    }
    let visibility = json!({"$ref": "#/components/schemas/Visibility"});
    let forms = json!([
        one("visibility", visibility),
        one("unlisted", json!({"type": "boolean"})),
    ]);
    schema.insert("oneOf".to_owned(), forms);
    Ok(())
}

fn parameters(document: &mut Value) -> Result<(), String> {
    const IMAGES: &str = "/api/v1/images";
    const SEARCH_MODELS: &str = "/api/v1/models/search";
    const OF_CREATOR: &str = "/api/v1/creators/{owner}/models";
    const JOBS: &str = "/api/v1/jobs";
    const LOOK: &str = "/api/v1/operator/look";
    let page = json!({"minimum": 1, "maximum": MAX_PAGE});
    let id = json!({"pattern": "^[0-9a-hjkmnp-tv-z]{19}$"});
    let place = json!({"pattern": "^(l[0-9]{1,9}|h.*)$", "maxLength": 500});
    let name = json!({"pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,95}$"});
    let bytes = json!({"maximum": u64::MAX});
    let key = json!({"minLength": 1, "maxLength": MAX_KEY_BYTES, "pattern": "^[ -~]+$"});
    for (path, method, parameter, bounds) in [
        (IMAGES, "get", "limit", &page),
        (IMAGES, "get", "cursor", &id),
        (SEARCH_MODELS, "get", "limit", &page),
        (SEARCH_MODELS, "get", "cursor", &place),
        (SEARCH_MODELS, "get", "q", &json!({"maxLength": SEARCH.0})),
        (
            SEARCH_MODELS,
            "get",
            "license",
            &json!({"maxLength": SEARCH.1}),
        ),
        (SEARCH_MODELS, "get", "owner", &name),
        (SEARCH_MODELS, "get", "max_bytes", &bytes),
        (SEARCH_MODELS, "get", "max_buffer_size", &bytes),
        (OF_CREATOR, "get", "limit", &page),
        (OF_CREATOR, "get", "cursor", &place),
        (JOBS, "post", "Idempotency-Key", &key),
        (LOOK, "get", "id", &json!({"pattern": MODEL})),
        (
            LOOK,
            "get",
            "revision",
            &json!({"pattern": "^[A-Za-z0-9._+/-]{0,128}$"}),
        ),
    ] {
        let operation = object(document, &operation(path, method))?;
        let all = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        let found = all.and_then(|all| all.iter_mut().find(|p| p["name"] == parameter));
        let schema = found.and_then(|found| found.get_mut("schema")?.as_object_mut());
        let schema = schema.ok_or_else(|| format!("{method} {path} has no {parameter}"))?;
        extend(schema, bounds.clone());
    }
    Ok(())
}

/// A server-sent event is an object of its fields; the JSON is in `data`.
fn events(document: &mut Value) -> Result<(), String> {
    let schema = |names: Value, data: Value| {
        json!({
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"enum": names},
                "id": {"type": "string"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": data,
                },
            },
        })
    };
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let of_jobs = json!({"oneOf": [reference("JobView"), reference("JobPreview")]});
    let additions = json!({"type": "array", "items": reference("Addition")});
    let of_images = json!([
        "image_generation.partial_image",
        "image_generation.completed",
        "error"
    ]);
    let of_edits = json!(["image_edit.partial_image", "image_edit.completed", "error"]);
    for (path, method, events) in [
        (
            "/api/v1/jobs/{id}/events",
            "get",
            schema(json!(["state", "preview"]), of_jobs),
        ),
        (
            "/api/v1/operator/additions/events",
            "get",
            schema(json!(["additions"]), additions),
        ),
        (
            "/v1/images/generations",
            "post",
            schema(of_images, reference("StreamEvent")),
        ),
        (
            "/v1/images/edits",
            "post",
            schema(of_edits, reference("StreamEvent")),
        ),
    ] {
        let answer = format!(
            "{}/responses/200/content/text~1event-stream",
            operation(path, method)
        );
        object(document, &answer)?.insert("schema".to_owned(), events);
    }
    Ok(())
}

/// The id of an answer leads to what can be done with what it names.
fn links(document: &mut Value) -> Result<(), String> {
    let of_image = ["getImage", "changeImage", "deleteImage"];
    let of_job = ["getJob", "followJob", "cancelJob"];
    for (path, method, status, operations) in [
        ("/api/v1/jobs", "post", "202", &of_job[..]),
        (
            "/api/v1/operator/additions",
            "post",
            "202",
            &["getAddition", "cancelAddition"][..],
        ),
        ("/api/v1/uploads", "post", "201", &["commitUpload"][..]),
        ("/api/v1/inputs", "post", "201", &["deleteInput"][..]),
        ("/api/v1/uploads/{id}/commit", "post", "200", &of_image[..]),
        ("/api/v1/images/{id}", "get", "200", &of_image[..]),
    ] {
        let links: Map<String, Value> = operations
            .iter()
            .map(|operation| {
                let link = json!({
                    "operationId": operation,
                    "parameters": {"id": "$response.body#/id"},
                });
                ((*operation).to_owned(), link)
            })
            .collect();
        let answer = format!("{}/responses/{status}", operation(path, method));
        object(document, &answer)?.insert("links".to_owned(), links.into());
    }
    Ok(())
}

fn operation(path: &str, method: &str) -> String {
    format!("/paths/{}/{method}", path.replace('/', "~1"))
}

fn property(document: &mut Value, schema: &str, name: &str, bounds: Value) -> Result<(), String> {
    let place = format!("/components/schemas/{schema}/properties/{name}");
    merge(document, &place, bounds)
}

fn merge(document: &mut Value, place: &str, more: Value) -> Result<(), String> {
    extend(object(document, place)?, more);
    Ok(())
}

fn extend(object: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        object.extend(more);
    }
}

fn object<'a>(document: &'a mut Value, place: &str) -> Result<&'a mut Map<String, Value>, String> {
    document
        .pointer_mut(place)
        .and_then(Value::as_object_mut)
        .ok_or_else(|| format!("the document has no {place}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_place_is_there() {
        let document = crate::api::open_routes().into_openapi();
        let mut document = serde_json::to_value(document).unwrap();
        declare(&mut document).unwrap();
        let limit = "/paths/~1api~1v1~1images/get/parameters/1/schema/maximum";
        assert_eq!(document.pointer(limit), Some(&json!(60)));
    }
}
