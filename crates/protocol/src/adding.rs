//! Adding models of a hub to this one: what was found out about a model, and how far its addition is.
//!
//! | route | answer |
//! |---|---|
//! | `GET /api/v1/operator/look?id=&revision=` | [`ModelLook`] |
//! | `GET /api/v1/operator/additions` | `[`[`Addition`]`]`, the newest first |
//! | `POST /api/v1/operator/additions`, an [`AdditionRequest`] | [`Addition`] |
//! | `GET /api/v1/operator/additions/{id}` and `…/events` | [`Addition`], once or at every change |
//! | `DELETE /api/v1/operator/additions/{id}` | cancels it, or forgets one that has ended |

use serde::{Deserialize, Serialize};

use crate::catalog::{Gated, License};
use crate::model::ModelNeeds;
use crate::problem::Problem;

/// Most components that a request names.
pub const MAX_COMPONENTS: usize = 16;

/// How the weights of a package are kept.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WeightsKind {
    /// As their author has them.
    #[default]
    Kept,
    /// 16 bits.
    F16,
    /// Eight bits in blocks.
    Int8,
    /// Four bits in blocks.
    Int4,
}

impl WeightsKind {
    /// Every kind, that with the most bits first.
    pub const ALL: [Self; 4] = [Self::Kept, Self::F16, Self::Int8, Self::Int4];

    /// The kind as `models add --weights` and JSON name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::F16 => "f16",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How the weights of one component are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ComponentWeights {
    /// Its folder, such as `text_encoder`.
    pub component: String,
    /// How.
    pub kind: WeightsKind,
}

/// A model that is to be added, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AdditionRequest {
    /// `owner/name` on the hub; `owner/name@revision` and an address of the model's page are understood.
    pub id: String,
    /// Commit, tag or branch; absent: the newest of the main branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How weights are kept where `component_weights` does not say it.
    #[serde(default)]
    pub weights: WeightsKind,
    /// How weights of single components are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub component_weights: Vec<ComponentWeights>,
    /// Folders of the components to take; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// Licence of the weights, where the hub states none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// What is known of a model of the hub before anything large is fetched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelLook {
    /// `owner/name`.
    pub id: String,
    /// The commit that was looked at.
    pub revision: String,
    /// Class of the pipeline; absent: it could not be read.
    #[serde(default)]
    pub pipeline: Option<String>,
    /// Licence of the weights; absent: not stated.
    #[serde(default)]
    pub license: Option<License>,
    /// Whether the hub asks for an agreement before it gives the files out.
    #[serde(default)]
    pub gated: Option<Gated>,
    /// The model's page on the hub.
    pub hub_url: String,
    /// What would be fetched, in the pipeline's order.
    #[serde(default)]
    pub components: Vec<LookedComponent>,
    /// Bytes of all that would be fetched, as far as the hub tells them.
    #[serde(default)]
    pub download_bytes: u64,
    /// Bytes that are free where packages lie.
    #[serde(default)]
    pub free_bytes: u64,
    /// What a package takes, by how its weights are kept; empty: that cannot be told before it is fetched.
    #[serde(default)]
    pub choices: Vec<LookedChoice>,
    /// What the person who adds it should know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why it cannot be added here; absent: nothing is known against it.
    #[serde(default)]
    pub refusal: Option<String>,
    /// Whether a package with its id is here already.
    #[serde(default)]
    pub is_here: bool,
}

/// A component of a model that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LookedComponent {
    /// Its folder.
    pub name: String,
    /// Class of the network; absent: it is a graph.
    #[serde(default)]
    pub class: Option<String>,
    /// Paths of the files of its weights.
    #[serde(default)]
    pub files: Vec<String>,
    /// Their bytes, as far as the hub tells them.
    #[serde(default)]
    pub bytes: u64,
    /// Whether the model can do without it.
    #[serde(default)]
    pub optional: bool,
}

/// A package with weights of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LookedChoice {
    /// How its weights are kept.
    pub weights: WeightsKind,
    /// Bytes of its files: what a visitor downloads.
    pub package_bytes: u64,
    /// Bytes that have to be free while it is added, the download among them.
    pub disk_bytes: u64,
    /// What a visitor's GPU must offer.
    pub needs: ModelNeeds,
}

/// What is done at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdditionStage {
    /// Its description and small files are read.
    Looking,
    /// Its weights are fetched.
    Downloading,
    /// Its graphs are built.
    Building,
    /// The package is written.
    Writing,
    /// Weights are made smaller while it is.
    Shrinking,
    /// A trial picture is made.
    Trying,
    /// One that a newer version added.
    #[serde(other)]
    Other,
}

/// How much of a model was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fetched {
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes that are known to be wanted.
    pub total_bytes: u64,
    /// Bytes that come in a second; absent: none do.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// Seconds until all are here, at that speed.
    #[serde(default)]
    pub seconds_left: Option<u64>,
}

/// Where an addition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AdditionStatus {
    /// Others are before it, or the hub starts.
    Waiting,
    /// It is worked on.
    Running,
    /// It will end within a moment.
    Cancelling,
    /// The model is here.
    Done,
    /// It is not; `reason` says why.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl AdditionStatus {
    /// Whether nothing more becomes of it by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// A model that is, was or could not be added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Addition {
    /// Its name among the additions.
    pub id: String,
    /// What was asked for.
    pub request: AdditionRequest,
    /// Where it is.
    pub status: AdditionStatus,
    /// What is done now, or was done last.
    #[serde(default)]
    pub stage: Option<AdditionStage>,
    /// How much was fetched.
    #[serde(default)]
    pub fetched: Option<Fetched>,
    /// The last sentence that was said about it.
    #[serde(default)]
    pub note: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub reason: Option<String>,
    /// When it was asked for, milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When it ended.
    #[serde(default)]
    pub ended_at: Option<u64>,
}

/// What the page /models/add shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddingPage {
    /// Whether who asks is the operator; everything else is there for them alone.
    pub signed_in: bool,
    /// The model that is looked at, or why it is not; absent: none is asked for.
    pub look: Option<Result<ModelLook, Problem>>,
    /// The additions, the newest first.
    pub additions: Vec<Addition>,
    /// The packages that are here.
    pub packages: Vec<PackageHere>,
}

/// A package that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageHere {
    /// `owner/name`.
    pub id: String,
    /// Human name.
    pub name: String,
    /// Bytes of its files.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds_are_named_as_they_are_written() {
        for kind in WeightsKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.name());
            assert_eq!(WeightsKind::named(kind.name()), Some(kind));
        }
        assert_eq!(WeightsKind::named("int3"), None);
    }

    /// What a newer version writes into the folder that replicas share.
    #[test]
    fn stages_of_newer_versions_are_read() {
        let stage: AdditionStage = serde_json::from_str("\"polishing\"").unwrap();
        assert_eq!(stage, AdditionStage::Other);
    }
}
