//! The catalogue against a stand-in of the hub and of arXiv that speaks their documented shapes.

mod cards;
mod lists;
mod measure;
mod troubles;

use std::time::Duration;

use protocol::{ModelCard, Provenance, Source, TroubleKind};
use serde_json::{Value, json};

use crate::hub::Hub;
use crate::renderers::stand_in::{Act, Seen, StandIn};

/// A hub of this project whose catalogue asks the stand-in.
pub async fn hub_asking(stand_in: &StandIn, extra: &[&str]) -> Hub {
    let mut options = vec![
        "--hub-url",
        &*stand_in.url,
        "--arxiv-url",
        &*stand_in.url,
        "--arxiv-interval-ms=0",
    ];
    if !extra
        .iter()
        .any(|option| option.starts_with("--catalog-deadline-ms"))
    {
        options.push("--catalog-deadline-ms=30000");
    }
    options.extend(extra);
    Hub::with(&options).await
}

/// The hub's answer on a model, as its API documents it; `more` replaces members.
pub fn model(id: &str, more: Value) -> Value {
    let (author, _) = id.split_once('/').unwrap();
    let mut model = json!({
        "_id": "638f", "id": id, "modelId": id, "author": author, "sha": "451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        "lastModified": "2024-09-07T16:20:30.000Z", "createdAt": "2024-08-30T10:00:00.000Z",
        "private": false, "gated": false, "disabled": false, "downloads": 2_345_678, "likes": 901,
        "pipeline_tag": "text-to-image", "library_name": "diffusers",
        "tags": ["diffusers", "safetensors", "text-to-image", "license:creativeml-openrail-m", "region:us"],
        "cardData": {"license": "creativeml-openrail-m", "inference": true},
        "siblings": [
            {"rfilename": "README.md", "size": 14461, "blobId": "1234"},
            {"rfilename": "unet/diffusion_pytorch_model.safetensors", "size": 3_438_167_534_u64,
             "lfs": {"sha256": "ae".repeat(32), "size": 3_438_167_534_u64, "pointerSize": 135}},
            {"rfilename": "vae/diffusion_pytorch_model.safetensors", "size": 334_643_276}
        ],
        "safetensors": {"parameters": {"F32": 859_520_964}, "total": 859_520_964}
    });
    for (name, value) in more.as_object().unwrap() {
        model[name] = value.clone();
    }
    model
}

/// The hub's answer on a paper.
pub fn paper(id: &str, title: &str, summary: &str, authors: &[&str]) -> Value {
    let authors: Vec<Value> = authors
        .iter()
        .map(|name| json!({"_id": "62", "name": name, "hidden": false}))
        .collect();
    json!({"id": id, "authors": authors, "publishedAt": "2022-07-26T01:42:07.000Z", "title": title, "summary": summary, "upvotes": 3})
}

/// arXiv's answer with one entry.
pub fn feed(id: &str, title: &str, summary: &str, authors: &[&str], doi: &str) -> String {
    let authors: String = authors
        .iter()
        .map(|name| format!("<author><name>{name}</name></author>"))
        .collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:arxiv="http://arxiv.org/schemas/atom">
  <title type="html">ArXiv Query: id_list={id}</title><id>http://arxiv.org/api/x</id>
  <entry><id>http://arxiv.org/abs/{id}v1</id><published>2022-07-26T01:42:07Z</published><title>{title}</title>
  <summary>{summary}</summary>{authors}<arxiv:doi>{doi}</arxiv:doi></entry>
</feed>"#
    )
}

pub fn atom(feed: &str) -> Act {
    Act::say(200, "application/atom+xml", feed)
}

/// What an unknown paper is answered with.
pub fn nothing() -> Act {
    Act::json(404, &json!({"error": "not found"}))
}

/// A stand-in with one model and no papers.
pub async fn one_model(id: &'static str, answer: Act) -> StandIn {
    StandIn::answering(move |seen: &Seen| {
        if seen.path == format!("/api/models/{id}") {
            answer.clone()
        } else {
            nothing()
        }
    })
    .await
}

pub fn of(card: &ModelCard, source: Source) -> &Provenance {
    card.provenance.iter().find(|p| p.source == source).unwrap()
}

pub fn kind(card: &ModelCard, source: Source) -> Option<TroubleKind> {
    of(card, source).trouble.as_ref().map(|t| t.kind)
}

/// Longer than any test takes.
pub const NEVER: Duration = Duration::from_secs(600);
