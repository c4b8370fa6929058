//! Papers and their authors.

use serde::{Deserialize, Serialize};

use super::Source;
use crate::model::Paper;

/// A paper as far as it is known. One that only its identifier is known of has no title.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaperRecord {
    /// arXiv identifier without a version, such as `2209.03003` or `hep-th/9901001`.
    #[serde(default)]
    pub arxiv_id: Option<String>,
    /// DOI, such as `10.1109/CVPR52688.2022.01042`.
    #[serde(default)]
    pub doi: Option<String>,
    /// Title.
    #[serde(default)]
    pub title: Option<String>,
    /// Abstract: plain text.
    #[serde(default, rename = "abstract")]
    pub abstract_text: Option<String>,
    /// All authors in the paper's order.
    #[serde(default)]
    pub authors: Vec<Author>,
    /// Page of the paper: at arXiv, else its DOI.
    #[serde(default)]
    pub url: Option<String>,
    /// Day of the first version, `YYYY-MM-DD`.
    #[serde(default)]
    pub published: Option<String>,
    /// Who gave title, authors and abstract; absent: nobody yet.
    #[serde(default)]
    pub source: Option<Source>,
    /// Whether the model is known to come from it: the package says so, or the model's own text asks to be cited by it.
    #[serde(default)]
    pub base: bool,
}

/// An author.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Author {
    /// As the paper has it.
    pub name: String,
    /// Account on the hub that the author claimed the paper with.
    #[serde(default)]
    pub hub_user: Option<String>,
}

impl Author {
    /// An author without an account.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            hub_user: None,
        }
    }
}

impl PaperRecord {
    /// A paper that only its arXiv identifier is known of.
    pub fn of_arxiv(id: &str) -> Self {
        Self {
            arxiv_id: Some(id.to_owned()),
            url: Some(format!("https://arxiv.org/abs/{id}")),
            ..Self::default()
        }
    }
}

impl From<&Paper> for PaperRecord {
    fn from(paper: &Paper) -> Self {
        Self {
            title: Some(paper.title.clone()),
            abstract_text: Some(paper.abstract_text.clone()),
            authors: paper.authors.iter().map(Author::named).collect(),
            source: Some(Source::Package),
            base: true,
            ..Self::of_arxiv(&paper.arxiv)
        }
    }
}
