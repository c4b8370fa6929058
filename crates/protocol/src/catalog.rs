//! The catalogue: models with their papers, people, licence and what they need.
//!
//! | route | answer |
//! |---|---|
//! | `GET /api/v1/models` | `[`[`ModelSummary`]`]`: the models that run here, as the request form needs them |
//! | `GET /api/v1/models/search?`[`ModelQuery`] | [`ModelPage`]: the models that run here first, then the hub's |
//! | `GET /api/v1/models/{owner}/{name}` | [`ModelCard`] of a model here or on the hub |
//! | `GET /api/v1/creators/{owner}/models?limit=&cursor=` | [`CreatorPage`] |
//!
//! What is not known is absent, never guessed: an `Option` that is `None`, an empty list, and a [`Provenance`] that says
//! when its source last answered and why it does not now. Every text of a hub is plain text, whatever it looks like.

mod known;
mod license;
mod paper;
mod query;

pub use known::{KnownModel, KnownWeights, Prospect};
pub use license::{License, LicenseUse};
pub use paper::{Author, PaperRecord};
pub use query::{DEFAULT_PAGE, MAX_PAGE, ModelQuery};

use serde::{Deserialize, Serialize};

use crate::model::{ModelNeeds, ModelSummary};

/// Everything that is known about a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelCard {
    /// `owner/name`.
    pub id: String,
    /// Part of `id` before the slash: the creator.
    pub owner: String,
    /// Part of `id` after the slash.
    pub name: String,
    /// Human name; the same as `name` where the model has no other.
    pub title: String,
    /// One sentence for lists.
    #[serde(default)]
    pub summary: Option<String>,
    /// Licence of the weights; absent: not stated.
    #[serde(default)]
    pub license: Option<License>,
    /// Papers that the model names, the base paper first; empty: it names none.
    #[serde(default)]
    pub papers: Vec<PaperRecord>,
    /// The hub's tags, those that other members say left out.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Downloads from the hub in the last 30 days.
    #[serde(default)]
    pub downloads: Option<u64>,
    /// Likes on the hub.
    #[serde(default)]
    pub likes: Option<u64>,
    /// Last change on the hub, milliseconds since the Unix epoch.
    #[serde(default)]
    pub last_modified: Option<u64>,
    /// Whether the hub asks for an agreement before it gives the files out.
    #[serde(default)]
    pub gated: Option<Gated>,
    /// SHA-256 (hex) of the package's manifest, which names the digest of every weight file.
    #[serde(default)]
    pub weights_digest: Option<String>,
    /// Its parts and their sizes; empty: not known.
    #[serde(default)]
    pub components: Vec<ComponentSize>,
    /// Bytes of all parts together; for a model that browsers run, what they download.
    #[serde(default)]
    pub total_bytes: Option<u64>,
    /// What a GPU must offer; absent: not known, or no package.
    #[serde(default)]
    pub needs: Option<ModelNeeds>,
    /// Where it runs on this hub.
    #[serde(default)]
    pub runs: Runs,
    /// What the request form needs, if it runs on this hub.
    #[serde(default)]
    pub runnable: Option<ModelSummary>,
    /// A picture that this model made.
    #[serde(default)]
    pub sample: Option<SamplePicture>,
    /// The model's page on the hub, if it is there.
    #[serde(default)]
    pub hub_url: Option<String>,
    /// The commit of its author's files that the package was made of; absent: not known, or no package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Its author's files that the package holds as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<AuthorsFile>,
    /// What is known of a model that this hub could hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Box<KnownModel>>,
    /// Where the facts come from, the package or catalogue of this hub first.
    #[serde(default)]
    pub provenance: Vec<Provenance>,
}

/// A file that is byte for byte its author's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthorsFile {
    /// Its name in the package: the author's folder and name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 (hex), the one that the hub states.
    pub sha256: String,
}

/// Whether the files are given out freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Gated {
    /// Yes.
    Open,
    /// After signing in and agreeing.
    Automatic,
    /// After the authors have said yes.
    Manual,
}

/// A part of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ComponentSize {
    /// Such as `text_encoder`, `unet` or `vae_decoder`.
    pub name: String,
    /// Bytes of its files.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Element type of most of its weights, such as `float16`.
    #[serde(default)]
    pub dtype: Option<String>,
    /// How its weights were made smaller; absent: they are as their author has them, as far as is known.
    #[serde(default)]
    pub smaller: Option<SmallerWeights>,
}

/// Weights that were given fewer bits when they were packed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SmallerWeights {
    /// `f16`, `int8` or `int4`.
    pub kind: String,
    /// Bytes that they have in their author's files.
    pub bytes_before: u64,
    /// Mean square of the differences, of 255, between a picture made with them, all others being the author's, and the same picture made
    /// with the author's alone; absent: it was not measured.
    #[serde(default)]
    pub mean_square_error: Option<f64>,
}

/// The peak signal-to-noise ratio of bytes with this mean square of differences, in words.
pub fn psnr(mean_square_error: f64) -> String {
    if mean_square_error > 0.0 {
        let ratio = 10.0 * (255.0 * 255.0 / mean_square_error).log10();
        format!("PSNR {ratio:.1} dB")
    } else {
        "no difference".to_owned()
    }
}

/// Where a model runs on this hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Runs {
    /// There is a package for browsers; whether it fits this visitor's GPU, its needs tell.
    pub browser: bool,
    /// The server or an endpoint behind it makes its pictures.
    pub server: bool,
}

/// A picture that a model made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SamplePicture {
    /// Address of the picture.
    pub url: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// What was asked for; absent: not recorded.
    #[serde(default)]
    pub prompt: Option<String>,
    /// `/i/{id}`, if the picture is in the gallery.
    #[serde(default)]
    pub permalink: Option<String>,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The model's package, or this hub's own catalogue file.
    Package,
    /// The Hugging Face Hub.
    Hub,
    /// arXiv.
    Arxiv,
}

/// Where facts come from, and how fresh they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Provenance {
    /// Who said it.
    pub source: Source,
    /// Last successful fetch, milliseconds since the Unix epoch; absent: never. Always absent for [`Source::Package`].
    #[serde(default)]
    pub fetched_at: Option<u64>,
    /// The facts are older than they should be, because the source did not answer since.
    #[serde(default)]
    pub stale: bool,
    /// Why the source's answer is missing or old.
    #[serde(default)]
    pub trouble: Option<Trouble>,
}

/// Why a source gave nothing, or nothing new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Trouble {
    /// For programs.
    pub kind: TroubleKind,
    /// For people: one sentence.
    pub detail: String,
}

/// Kinds of [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// This hub is set up not to ask.
    Disabled,
    /// No connection.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// It does not know the model, paper or creator.
    NotFound,
    /// It wants an agreement or a token first.
    Forbidden,
    /// It asked to be left alone for a while.
    RateLimited,
    /// It failed.
    UpstreamFailed,
    /// Its answer is not what its interface promises.
    Malformed,
    /// Its answer is larger than is read here.
    TooLarge,
}

/// One page of models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelPage {
    /// Models of this page. Those that do not run here have no papers' titles, sizes or needs: their cards have.
    pub items: Vec<ModelCard>,
    /// On the first page: models that people ask for and that this hub could hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<KnownModel>,
    /// Cursor of the next page, absent on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// Sources of this page.
    #[serde(default)]
    pub provenance: Vec<Provenance>,
}

/// One page of a creator's models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatorPage {
    /// The creator.
    pub owner: String,
    /// The creator's page on the hub; absent for those that are only here.
    #[serde(default)]
    pub hub_url: Option<String>,
    /// Their models, as in [`ModelPage`].
    pub items: Vec<ModelCard>,
    /// Cursor of the next page, absent on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
    /// Sources of this page.
    #[serde(default)]
    pub provenance: Vec<Provenance>,
}
