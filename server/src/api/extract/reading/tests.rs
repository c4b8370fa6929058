#![allow(clippy::unwrap_used, clippy::panic)]

use protocol::{GalleryQuery, ImageChange, JobRequest, ReportRequest, UploadRequest};
use serde_json::{Value, json as value};

use super::*;

/// A body that is read.
fn job() -> Value {
    value!({
        "model": "a/b", "prompt": "x", "negative_prompt": "", "seed": 1, "num_inference_steps": 2,
        "guidance_scale": 1.5, "resume": {"step": 1, "shape": [1, 2, 2], "latents": "AAAAAAAAAAA=", "registers": ["AAAAAAAAAAA="]},
    })
}

fn upload() -> Value {
    let mut request = job();
    request.as_object_mut().unwrap().remove("resume");
    value!({
        "sha256": "0", "bytes": 1, "content_type": "image/png", "unlisted": false, "visibility": "private",
        "recipe": {
            "request": request, "weights_digest": "", "scheduler": "", "backend": "", "adapter": "",
            "place": "browser", "duration_ms": 1,
        },
    })
}

fn field<T: DeserializeOwned>(body: &Value) -> Option<String> {
    let problem = json::<T>(body.to_string().as_bytes()).err()?;
    assert_eq!(problem.code, ProblemCode::MalformedRequest);
    Some(
        problem
            .field
            .map_or_else(|| format!("none: {}", problem.detail), String::from),
    )
}

/// Paths of all members, those of objects in objects too.
fn members(of: &Value, before: &str) -> Vec<String> {
    let Value::Object(all) = of else {
        return Vec::new();
    };
    all.iter()
        .flat_map(|(name, member)| {
            let path = format!("{before}{name}");
            let mut paths = members(member, &format!("{path}."));
            paths.push(path);
            paths
        })
        .collect()
}

fn put(body: &mut Value, path: &str, new: Option<Value>) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let at = if parent.is_empty() {
        body
    } else {
        body.pointer_mut(&format!("/{}", parent.replace('.', "/")))
            .unwrap()
    };
    match new {
        Some(new) => at[name] = new,
        None => {
            at.as_object_mut().unwrap().remove(name);
        }
    }
}

/// Puts a value of every other type in the place of each member in turn.
fn every_member_is_named<T: DeserializeOwned>(good: &Value, needed: &[&str]) {
    assert_eq!(field::<T>(good), None);
    let paths = members(good, "");
    for path in &paths {
        let place = format!("/{}", path.replace('.', "/"));
        let right = good.pointer(&place).unwrap();
        for wrong in [
            value!("x"),
            value!(-1),
            value!(1.5),
            value!(true),
            value!([9]),
            value!({"z": 1}),
        ] {
            let same = std::mem::discriminant(right) == std::mem::discriminant(&wrong);
            if same && (right.is_string() || right.is_boolean() || right.is_f64()) {
                continue;
            }
            let mut body = good.clone();
            put(&mut body, path, Some(wrong.clone()));
            let found = field::<T>(&body);
            // A number in a decimal's place is one; an object in an object's place has a member that nobody knows.
            if right.is_f64() && wrong.is_number() {
                continue;
            }
            let found = found.unwrap_or_else(|| panic!("{path}: {wrong} was taken"));
            assert!(
                found == *path
                    || found.starts_with(&format!("{path}."))
                    || found.starts_with(&format!("{path}[")),
                "{path}: {wrong} gave {found}"
            );
        }
        let mut body = good.clone();
        put(&mut body, path, None);
        let missing = needed.contains(&path.as_str()).then(|| path.clone());
        assert_eq!(field::<T>(&body), missing, "without {path}");
        if right.is_object() {
            let mut body = good.clone();
            put(&mut body, &format!("{path}.surprise"), Some(value!(1)));
            assert_eq!(field::<T>(&body), Some(format!("{path}.surprise")));
        }
    }
    let mut body = good.clone();
    body["surprise"] = value!(1);
    assert_eq!(field::<T>(&body), Some("surprise".to_owned()));
    let text = good.to_string();
    let twice = format!("{{{},{}", &text[1..text.len() - 1], &text[1..]);
    let problem = json::<T>(twice.as_bytes()).err().unwrap();
    assert!(problem.field.is_some(), "{}", problem.detail);
}

#[test]
fn every_wrong_member_of_every_body_is_named() {
    let job_needs = [
        "model",
        "prompt",
        "resume.step",
        "resume.shape",
        "resume.latents",
    ];
    every_member_is_named::<JobRequest>(&job(), &job_needs);
    let upload_needs = [
        "sha256",
        "bytes",
        "content_type",
        "recipe",
        "recipe.request",
        "recipe.request.model",
        "recipe.request.prompt",
        "recipe.weights_digest",
        "recipe.scheduler",
        "recipe.backend",
        "recipe.adapter",
        "recipe.place",
        "recipe.duration_ms",
    ];
    every_member_is_named::<UploadRequest>(&upload(), &upload_needs);
    let report = value!({"reason": "spam", "comment": "x"});
    every_member_is_named::<ReportRequest>(&report, &["reason"]);
    every_member_is_named::<ImageChange>(&value!({"visibility": "private"}), &["visibility"]);
    let unlisted = value!({"unlisted": "yes"});
    assert_eq!(field::<ImageChange>(&unlisted), Some("unlisted".to_owned()));
}

#[test]
fn what_is_no_object_has_no_member() {
    for text in [
        "{",
        "[",
        "",
        "[1]",
        "\"x\"",
        "5",
        "null",
        "{5: 1}",
        "[\"spam\", \"x\"]",
    ] {
        for problem in [
            json::<ReportRequest>(text.as_bytes()).unwrap_err(),
            json::<JobRequest>(text.as_bytes()).unwrap_err(),
            json::<UploadRequest>(text.as_bytes()).unwrap_err(),
            json::<ImageChange>(text.as_bytes()).unwrap_err(),
        ] {
            assert_eq!(problem.code, ProblemCode::MalformedRequest);
            assert_eq!(problem.field, None, "{text}: {}", problem.detail);
        }
    }
    let more = json::<ReportRequest>(br#"{"reason": "spam"} x"#).unwrap_err();
    assert_eq!(more.field, None);
    let long = format!("{{\"{}\": 1}}", "n".repeat(5_000));
    let problem = json::<ReportRequest>(long.as_bytes()).unwrap_err();
    assert!(problem.field.unwrap().len() <= MAX_NAME && problem.detail.len() <= MAX_DETAIL);
}

#[test]
fn a_wrong_parameter_is_named() {
    assert_eq!(query::<GalleryQuery>("limit=5").unwrap().limit, Some(5));
    for (text, field) in [
        ("limit=abc", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=5&limit=6", "limit"),
        ("mine=perhaps", "mine"),
        ("colour=red", "colour"),
    ] {
        let problem = query::<GalleryQuery>(text).unwrap_err();
        assert_eq!(
            problem.field.as_deref(),
            Some(field),
            "{text}: {}",
            problem.detail
        );
    }
}
