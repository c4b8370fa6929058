//! `POST /v1/images/edits` and `/v1/images/variations`. The official clients' forms are sent by `cargo xtask test server`.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::ImageRecord;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use server::images::verify::sha256_hex;

use super::{MODEL, Models, clear_on_the_right, left, mask_file, start_file, start_pixels};
use crate::hub::{Hub, json as read, pixels};

const BOUNDARY: &str = "8f5c1b2a";

/// A form as RFC 7578 has it: name, file name and bytes of each part.
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map_or(String::new(), |file| {
            format!("; filename=\"{file}\"\r\nContent-Type: image/png")
        });
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    out
}

async fn send(hub: &Hub, path: &str, body: Vec<u8>) -> Response {
    let request = hub.http.post(format!("{}/v1/images/{path}", hub.url));
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = request.header("content-type", kind);
    request.body(body).send().await.unwrap()
}

/// Sends files and texts, those of every request included.
async fn ask(hub: &Hub, path: &str, files: &[(&str, &[u8])], texts: &[(&str, &str)]) -> Response {
    let mut parts = vec![
        ("model", None, MODEL.as_bytes()),
        ("seed", None, b"3"),
        ("num_inference_steps", None, b"4"),
    ];
    parts.extend(
        texts
            .iter()
            .map(|(name, text)| (*name, None, text.as_bytes())),
    );
    parts.extend(
        files
            .iter()
            .map(|(name, file)| (*name, Some("x.png"), *file)),
    );
    // The last one of a name counts in these tests alone; the hub refuses it.
    let mut seen = HashSet::new();
    let mut kept: Vec<_> = parts
        .into_iter()
        .rev()
        .filter(|(name, file, _)| file.is_some() || seen.insert(*name))
        .collect();
    kept.reverse();
    send(hub, path, form(&kept)).await
}

async fn made(answer: Response) -> Vec<Vec<u8>> {
    let answer: Value = read(answer).await;
    let images = answer["data"].as_array().unwrap().iter();
    let files = images.map(|image| STANDARD.decode(image["b64_json"].as_str().unwrap()));
    files.map(|file| pixels(&file.unwrap())).collect()
}

async fn refused(answer: Response, code: &str, param: Value) -> String {
    let status = answer.status();
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let error = &body["error"];
    assert_eq!(
        (error["code"].as_str(), &error["param"]),
        (Some(code), &param),
        "{error}"
    );
    assert!(status.is_client_error(), "{status}");
    error["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn transparent_parts_are_made_anew_and_the_rest_stays() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&[])).await;
    let (start, clear) = (start_file(), clear_on_the_right());
    let prompt = ("prompt", "red apple");

    let files = [("image", &start[..]), ("mask", &clear)];
    let masked = ask(&hub, "edits", &files, &[prompt, ("n", "2")]).await;
    let masked = made(masked).await;
    assert_eq!(masked.len(), 2);
    for picture in &masked {
        assert_eq!(left(picture), left(&start_pixels()));
        assert_ne!(*picture, start_pixels());
    }
    assert_ne!(masked[0], masked[1]);
    // Without a mask the picture's own transparency counts; a list of one picture is one.
    let own = ask(&hub, "edits", &[("image[]", &clear)], &[prompt]).await;
    assert!(made(own).await[0] == masked[0]);
    // And without any, all of it.
    let whole = ask(&hub, "edits", &[("image", &start)], &[prompt]).await;
    let whole = made(whole).await;
    assert_ne!(left(&whole[0]), left(&start_pixels()));

    let newest = hub.records().await.remove(0).id;
    let newest: ImageRecord = read(hub.get(&format!("/api/v1/images/{newest}")).await).await;
    let of = newest.recipe.start.unwrap();
    assert_eq!((of.sha256, of.mask_sha256), (sha256_hex(&start), None));
    assert!((of.strength - 0.8).abs() < 1e-6);

    // Variations need no words, and begin with the whole picture.
    let texts = [("n", "2"), ("strength", "0.5"), ("size", "auto")];
    let varied = made(ask(&hub, "variations", &[("image", &clear)], &texts).await).await;
    assert_eq!(varied.len(), 2);
    assert_ne!(left(&varied[0]), left(&start_pixels()));
    assert_ne!(varied[0], varied[1]);
    let streamed = [prompt, ("stream", "true")];
    let answer = ask(&hub, "edits", &[("image", &start)], &streamed).await;
    let text = answer.text().await.unwrap();
    assert!(text.contains("event: image_edit.completed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_edited_is_named() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&["--embedded-worker=false"])).await;
    let (start, clear, opaque) = (start_file(), clear_on_the_right(), mask_file());
    let small = {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, 2, 1);
        encoder.set_color(png::ColorType::Rgba);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[0; 8]).unwrap();
        writer.finish().unwrap();
        out
    };
    let prompt = ("prompt", "red apple");
    let image = ("image", &start[..]);
    type Case<'a> = (
        &'a [(&'a str, &'a [u8])],
        &'a [(&'a str, &'a str)],
        &'a str,
        Value,
    );
    let cases: &[Case<'_>] = &[
        (&[], &[prompt], "missing_required_parameter", json!("image")),
        (&[image, image], &[prompt], "invalid_value", json!("image")),
        (&[image], &[], "missing_required_parameter", json!("prompt")),
        (
            &[image],
            &[("prompt", " ")],
            "empty_prompt",
            json!("prompt"),
        ),
        (
            &[("image", b"GIF89a")],
            &[prompt],
            "invalid_image",
            json!("image"),
        ),
        (
            &[("image", b"")],
            &[prompt],
            "invalid_image",
            json!("image"),
        ),
        (
            &[image, ("mask", b"x")],
            &[prompt],
            "invalid_image",
            json!("mask"),
        ),
        (
            &[image, ("mask", &opaque)],
            &[prompt],
            "invalid_value",
            json!("mask"),
        ),
        (
            &[image, ("mask", &small)],
            &[prompt],
            "invalid_value",
            json!("mask"),
        ),
        (&[image], &[prompt, ("n", "11")], "out_of_range", json!("n")),
        (
            &[image],
            &[prompt, ("n", "two")],
            "invalid_type",
            json!("n"),
        ),
        (
            &[image],
            &[prompt, ("size", "9x9")],
            "invalid_value",
            json!("size"),
        ),
        (
            &[image],
            &[prompt, ("strength", "2")],
            "out_of_range",
            json!("strength"),
        ),
        (
            &[image],
            &[prompt, ("colour", "red")],
            "unknown_parameter",
            json!("colour"),
        ),
        (
            &[image],
            &[prompt, ("model", "demo-hub/glyph")],
            "out_of_range",
            json!("model"),
        ),
        (
            &[image],
            &[prompt, ("model", "a/b")],
            "model_not_found",
            json!("model"),
        ),
    ];
    for (files, texts, code, param) in cases {
        refused(ask(&hub, "edits", files, texts).await, code, param.clone()).await;
    }
    let masked = [image, ("mask", &clear)];
    let answer = ask(&hub, "variations", &masked, &[]).await;
    refused(answer, "unknown_parameter", json!("mask")).await;
    let twice = form(&[
        ("image", Some("x.png"), &start),
        ("prompt", None, b"a"),
        ("prompt", None, b"b"),
    ]);
    refused(
        send(&hub, "edits", twice).await,
        "invalid_value",
        json!("prompt"),
    )
    .await;

    let answer = hub
        .post("/v1/images/edits", &json!({ "prompt": "x" }))
        .await;
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    refused(answer, "unsupported_type", json!(null)).await;
    let cut = form(&[("image", Some("x.png"), &start)]);
    let answer = send(&hub, "edits", cut[..cut.len() / 2].to_vec()).await;
    refused(answer, "malformed_request", json!(null)).await;
    let huge = vec![0; (16 << 20) + 1];
    let answer = ask(&hub, "edits", &[("image", &huge)], &[prompt]).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let long = "x".repeat(70_000);
    let answer = ask(&hub, "edits", &[image], &[("prompt", &long)]).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Nothing of all that was kept.
    let kept = crate::stores::keys(&hub.store()).await;
    assert!(
        !kept.iter().any(|key| key.starts_with("input/")),
        "{kept:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_send_no_forms() {
    let models = Models::new();
    let hub = Hub::with(&models.with(&["--api-origins", "https://allowed.example"])).await;
    let body = form(&[("image", Some("x.png"), &start_file())]);
    for (origin, site, allowed) in [
        ("https://allowed.example", "cross-site", true),
        ("https://evil.example", "cross-site", false),
        ("null", "cross-site", false),
        (&*hub.url, "same-origin", true),
    ] {
        let request = hub.http.post(format!("{}/v1/images/edits", hub.url));
        let request = request
            .header(
                "content-type",
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header("origin", origin)
            .header("sec-fetch-site", site);
        let answer = request.body(body.clone()).send().await.unwrap();
        let code = if allowed {
            "missing_required_parameter"
        } else {
            "malformed_request"
        };
        let param = if allowed {
            json!("prompt")
        } else {
            json!(null)
        };
        refused(answer, code, param).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_taken_whole_or_not_at_all() {
    let models = Models::new();
    let options = ["--embedded-worker=false", "--pictures-in-flight=3"];
    let hub = Hub::with(&models.with(&options)).await;
    let start = start_file();
    let texts = [("prompt", "red apple"), ("n", "4")];
    let answer = ask(&hub, "edits", &[("image", &start)], &texts).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let queue: Value = read(hub.get("/api/v1/queue").await).await;
    let models = queue["models"].as_array().unwrap();
    assert!(
        models.iter().all(|model| model["unfinished"] == 0),
        "{queue}"
    );
}
