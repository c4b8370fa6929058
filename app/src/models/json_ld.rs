//! What the pages tell machines, as JSON-LD in the vocabulary of schema.org.
//!
//! Written by the server only: a crawler reads what was served, and the client stays small.

use leptos::prelude::*;
use protocol::{CreatorPage, ModelCard};

/// A block of JSON-LD; nothing reads one that the client makes.
#[component]
pub(super) fn JsonLd(
    /// The block's text.
    json: String,
) -> impl IntoView {
    view! { <script type="application/ld+json" inner_html=json></script> }
}

/// A model, its base paper and its sample picture.
pub(super) fn model(card: &ModelCard, origin: &str) -> String {
    #[cfg(feature = "ssr")]
    return text::written(&text::model(card, origin));
    #[cfg(not(feature = "ssr"))]
    {
        let _ = (card, origin);
        String::new()
    }
}

/// A creator's list of models.
pub(super) fn creator(page: &CreatorPage, origin: &str) -> String {
    #[cfg(feature = "ssr")]
    return text::written(&text::creator(page, origin));
    #[cfg(not(feature = "ssr"))]
    {
        let _ = (page, origin);
        String::new()
    }
}

#[cfg(feature = "ssr")]
mod text {
    use protocol::{CreatorPage, ModelCard, PaperRecord};
    use serde_json::{Map, Value, json};

    use crate::format::encode;
    use crate::parts::absolute;

    /// JSON that no text can end early or turn into markup: `<`, `>` and `&` are written as escapes.
    pub(super) fn written(value: &Value) -> String {
        value
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    }

    pub(super) fn model(card: &ModelCard, origin: &str) -> Value {
        known(json!({
            "@context": "https://schema.org",
            "@type": "SoftwareApplication",
            "applicationCategory": "Text-to-image model",
            "operatingSystem": "Web browser with WebGPU",
            "@id": address(card, origin),
            "url": address(card, origin),
            "identifier": card.id,
            "name": card.title,
            "description": card.summary,
            "creator": {
                "@type": "Organization",
                "name": card.owner,
                "url": format!("{origin}/creators/{}", encode(&card.owner)),
            },
            "license": card.license.as_ref().map(|l| l.url.clone().unwrap_or_else(|| l.id.clone())),
            "keywords": (!card.tags.is_empty()).then(|| card.tags.join(", ")),
            "sameAs": card.hub_url,
            "image": card.sample.as_ref().map(|s| absolute(origin, &s.url)),
            "citation": card.papers.iter().map(paper).collect::<Vec<_>>(),
        }))
    }

    pub(super) fn creator(page: &CreatorPage, origin: &str) -> Value {
        let items: Vec<Value> = page
            .items
            .iter()
            .zip(1..)
            .map(|(card, position)| {
                json!({
                    "@type": "ListItem",
                    "position": position,
                    "url": address(card, origin),
                    "name": card.title,
                })
            })
            .collect();
        known(json!({
            "@context": "https://schema.org",
            "@type": "ProfilePage",
            "mainEntity": known(json!({
                "@type": "Organization",
                "name": page.owner,
                "sameAs": page.hub_url,
            })),
            "hasPart": { "@type": "ItemList", "itemListElement": items },
        }))
    }

    fn paper(paper: &PaperRecord) -> Value {
        let authors: Vec<Value> = paper
            .authors
            .iter()
            .map(|author| json!({ "@type": "Person", "name": author.name }))
            .collect();
        let identifiers: Vec<String> = paper
            .arxiv_id
            .iter()
            .map(|id| format!("arXiv:{id}"))
            .chain(paper.doi.iter().map(|doi| format!("doi:{doi}")))
            .collect();
        known(json!({
            "@type": "ScholarlyArticle",
            "headline": paper.title,
            "abstract": paper.abstract_text,
            "author": authors,
            "datePublished": paper.published,
            "identifier": identifiers,
            "url": paper.url,
        }))
    }

    fn address(card: &ModelCard, origin: &str) -> String {
        format!(
            "{origin}/models/{}/{}",
            encode(&card.owner),
            encode(&card.name)
        )
    }

    /// Leaves out what is not known.
    fn known(value: Value) -> Value {
        let Value::Object(members) = value else {
            return value;
        };
        let members: Map<String, Value> = members
            .into_iter()
            .filter(|(_, v)| !v.is_null() && v.as_array().is_none_or(|list| !list.is_empty()))
            .collect();
        Value::Object(members)
    }

    #[cfg(test)]
    mod tests {
        #![allow(clippy::unwrap_used)]
        use protocol::Author;

        use super::*;

        #[test]
        fn hostile_text_cannot_leave_the_block() {
            let hostile = "</script><script>alert(1)</script><!-- & \u{2028} \"";
            let card = ModelCard {
                id: "a/b".into(),
                owner: "a".into(),
                name: "b".into(),
                title: hostile.into(),
                papers: vec![PaperRecord {
                    title: Some(hostile.into()),
                    abstract_text: Some(hostile.into()),
                    authors: vec![Author::named(hostile)],
                    ..PaperRecord::of_arxiv("2209.03003")
                }],
                ..ModelCard::default()
            };
            let text = written(&model(&card, "https://hub.example"));
            assert!(!text.contains(['<', '>', '&']), "{text}");
            // Escaped, not changed.
            let read: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read["name"], hostile);
            assert_eq!(read["citation"][0]["abstract"], hostile);
            assert_eq!(read["citation"][0]["author"][0]["name"], hostile);
        }

        #[test]
        fn what_is_not_known_is_left_out() {
            let card = ModelCard {
                id: "a/b".into(),
                owner: "a".into(),
                name: "b".into(),
                title: "b".into(),
                ..ModelCard::default()
            };
            let value = model(&card, "https://hub.example");
            assert_eq!(value["url"], "https://hub.example/models/a/b");
            for absent in ["license", "citation", "image", "sameAs", "description"] {
                assert!(value.get(absent).is_none(), "{absent}");
            }
        }
    }
}
