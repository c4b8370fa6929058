//! A model as the hub describes it.

use protocol::{ComponentSize, Gated};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::text::{self, plain};
use super::{components, papers};

/// Most tags that are read.
const MAX_TAGS: usize = 100;
/// Tags that only repeat other members, or say nothing about the model.
const REPEATED: [&str; 8] = [
    "arxiv:",
    "license:",
    "region:",
    "doi:",
    "base_model:",
    "dataset:",
    "diffusers:",
    "endpoints_",
];

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HubModel {
    /// Creator.
    pub owner: String,
    /// Name without the creator.
    pub name: String,
    /// Last change, milliseconds since the Unix epoch.
    pub last_modified: Option<u64>,
    /// Whether an agreement is asked for.
    pub gated: Option<Gated>,
    /// Downloads in the last 30 days.
    pub downloads: Option<u64>,
    /// Likes.
    pub likes: Option<u64>,
    /// Tags, those that other members say left out.
    pub tags: Vec<String>,
    /// Licence as stated.
    pub license: Option<HubLicense>,
    /// arXiv identifiers of its papers, in the order of the tags, which says nothing.
    pub papers: Vec<String>,
    /// Parts and sizes, where the files' sizes were asked for.
    pub components: Vec<ComponentSize>,
}

/// A licence as the hub states it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HubLicense {
    /// The hub's identifier.
    pub id: String,
    /// Name, where the identifier is `other`.
    pub name: Option<String>,
    /// Address of the text, or path in the model's folder.
    pub link: Option<String>,
}

/// A file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// Path in the model's folder.
    pub path: String,
    /// Bytes.
    pub bytes: Option<u64>,
    /// SHA-256 (hex) of a large file.
    pub sha256: Option<String>,
}

impl HubModel {
    /// Reads an element of a list or the answer on one model; nothing where the identifier is missing.
    pub fn read(json: &Value) -> Option<Self> {
        let id = json.get("id").or_else(|| json.get("modelId"))?.as_str()?;
        let (owner, name) = id.split_once('/')?;
        if !super::is_name(owner) || !super::is_name(name) {
            return None;
        }
        let number = |name: &str| json.get(name).and_then(Value::as_u64);
        let tags: Vec<&str> = strings(json.get("tags")).collect();
        let shown = |tag: &&&str| !REPEATED.iter().any(|prefix| starts_with(tag, prefix));
        Some(Self {
            owner: owner.to_owned(),
            name: name.to_owned(),
            last_modified: json
                .get("lastModified")
                .and_then(Value::as_str)
                .and_then(text::time_ms),
            gated: match json.get("gated") {
                Some(Value::Bool(false)) => Some(Gated::Open),
                Some(Value::String(kind)) if kind == "auto" => Some(Gated::Automatic),
                Some(Value::String(kind)) if kind == "manual" => Some(Gated::Manual),
                _ => None,
            },
            downloads: number("downloads"),
            likes: number("likes"),
            license: license(json, &tags),
            papers: papers::tagged(&tags),
            components: components::of(&files(json)),
            tags: tags
                .iter()
                .filter(shown)
                .filter_map(|tag| plain(tag, text::NAME))
                .take(MAX_TAGS)
                .collect(),
        })
    }
}

fn starts_with(tag: &str, prefix: &str) -> bool {
    tag.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn license(json: &Value, tags: &[&str]) -> Option<HubLicense> {
    let card = json.get("cardData").unwrap_or(&Value::Null);
    let text = |name: &str| plain(card.get(name)?.as_str()?, text::NAME);
    let stated = match card.get("license") {
        Some(Value::String(id)) => plain(id, text::NAME),
        // Several licences are a list; they hold together.
        Some(list @ Value::Array(_)) => {
            let ids: Vec<String> = strings(Some(list))
                .filter_map(|id| plain(id, text::NAME))
                .take(8)
                .collect();
            (!ids.is_empty()).then(|| ids.join(" AND "))
        }
        _ => None,
    };
    let tagged = || {
        tags.iter()
            .find_map(|tag| plain(tag.strip_prefix("license:")?, text::NAME))
    };
    Some(HubLicense {
        id: stated.or_else(tagged)?,
        name: text("license_name"),
        link: text("license_link"),
    })
}

/// Its files, sizes and digests where the hub tells them (`blobs=true`).
pub fn files(json: &Value) -> Vec<HubFile> {
    let siblings = json.get("siblings").and_then(Value::as_array);
    let file = |sibling: &Value| {
        let lfs = |name: &str| sibling.get("lfs")?.get(name);
        let sha256 = lfs("sha256").and_then(Value::as_str);
        Some(HubFile {
            path: sibling.get("rfilename")?.as_str()?.to_owned(),
            bytes: sibling
                .get("size")
                .and_then(Value::as_u64)
                .or_else(|| lfs("size")?.as_u64()),
            sha256: sha256
                .filter(|s| protocol::is_sha256_hex(s))
                .map(str::to_owned),
        })
    };
    siblings.into_iter().flatten().filter_map(file).collect()
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = list.and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_model_is_read() {
        let model = HubModel::read(&json!({
            "_id": "6398", "id": "maker/model-1", "author": "maker", "private": false, "disabled": false,
            "lastModified": "2024-09-07T16:20:30.000Z", "gated": "auto", "downloads": 12, "likes": 3,
            "pipeline_tag": "text-to-image", "newMember": {"x": 1},
            "tags": ["diffusers", "arxiv:2207.12598", "arxiv:2207.12598", "arxiv:nonsense", "license:mit", null, 7, "region:us"],
            "cardData": {"license": "other", "license_name": "maker-license", "license_link": "LICENSE.md"},
            "siblings": [{"rfilename": "unet/model.onnx", "size": 5}]
        }))
        .unwrap();
        assert_eq!((&*model.owner, &*model.name), ("maker", "model-1"));
        assert_eq!(model.last_modified, Some(1_725_726_030_000));
        assert_eq!(model.gated, Some(Gated::Automatic));
        assert_eq!((model.downloads, model.likes), (Some(12), Some(3)));
        assert_eq!(model.tags, ["diffusers"]);
        assert_eq!(model.papers, ["2207.12598"]);
        let license = model.license.unwrap();
        assert_eq!(
            (&*license.id, license.name.as_deref()),
            ("other", Some("maker-license"))
        );
        assert_eq!(model.components.len(), 1);
    }

    #[test]
    fn nulls_and_other_types_are_unknown() {
        let model = HubModel::read(&json!({
            "id": "maker/model", "lastModified": null, "gated": null, "downloads": "many", "likes": -1,
            "tags": null, "cardData": null, "siblings": {"a": 1}
        }));
        let expected = HubModel {
            owner: "maker".into(),
            name: "model".into(),
            ..HubModel::default()
        };
        assert_eq!(model, Some(expected));
        for id in [
            json!(null),
            json!("gpt2"),
            json!("a/b/c"),
            json!("../x"),
            json!("a/<b>"),
        ] {
            assert_eq!(HubModel::read(&json!({ "id": id })), None, "{id}");
        }
        assert_eq!(HubModel::read(&json!(["a"])), None);
    }

    #[test]
    fn several_licences_hold_together() {
        let read = |json| HubModel::read(&json).unwrap().license.map(|l| l.id);
        let list = json!({"id": "a/b", "cardData": {"license": ["mit", null, "cc-by-4.0"]}});
        assert_eq!(read(list).as_deref(), Some("mit AND cc-by-4.0"));
        let tag = json!({"id": "a/b", "tags": ["license:openrail"]});
        assert_eq!(read(tag).as_deref(), Some("openrail"));
        assert_eq!(read(json!({"id": "a/b"})), None);
    }
}
