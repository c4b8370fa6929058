//! The papers of a model: which of its tags are any, and which one it comes from.
//!
//! The hub makes a tag of every arXiv address in a model's README, so templates of READMEs and mentions in passing leave
//! theirs, in no order that means anything.

use protocol::PaperRecord;
use serde::{Deserialize, Serialize};

use super::super::text::{self, arxiv_id, plain};

/// Most papers of a model.
const MAX_PAPERS: usize = 10;
/// Most entries of a bibliography that are read.
const MAX_ENTRIES: usize = 50;
/// Papers that templates of READMEs link to, whatever the model is.
const BOILERPLATE: [&str; 3] = [
    // "Quantifying the Carbon Emissions of Machine Learning": the hub's template, for the calculator.
    "1910.09700",
    // "Model Cards for Model Reporting": templates after it.
    "1810.03993",
    // "Datasheets for Datasets": templates of data sets, copied into models'.
    "1803.09010",
];

/// Whether the paper is in templates, and no paper of the model.
pub fn is_boilerplate(arxiv_id: &str) -> bool {
    BOILERPLATE.contains(&arxiv_id)
}

/// The papers that tags name, each once; a tag that names none costs no other its place.
pub(super) fn tagged(tags: &[&str]) -> Vec<String> {
    let mut known: Vec<String> = Vec::new();
    for tag in tags {
        let id = tag
            .split_once(':')
            .filter(|(kind, _)| kind.eq_ignore_ascii_case("arxiv"))
            .and_then(|(_, id)| address_id(id));
        if let Some(id) = id.filter(|id| !is_boilerplate(id))
            && known.len() < MAX_PAPERS
            && !known.iter().any(|other| other == id)
        {
            known.push(id.to_owned());
        }
    }
    known
}

/// The identifier in what people write for one: an address, the name of a file.
fn address_id(text: &str) -> Option<&str> {
    let text = text.trim();
    let text = ["/abs/", "/pdf/"]
        .iter()
        .find_map(|mark| Some(text.split_once(mark)?.1))
        .unwrap_or(text);
    arxiv_id(text.strip_suffix(".pdf").unwrap_or(text))
}

/// What a README asks to be cited by: the entries of its BibTeX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citations {
    /// arXiv identifiers in them.
    pub arxiv: Vec<String>,
    /// Their titles, letters and digits alone, lower case.
    pub titles: Vec<String>,
}

impl Citations {
    /// Reads a README.
    pub fn read(markdown: &str) -> Self {
        let mut found = Self::default();
        for entry in entries(markdown).take(MAX_ENTRIES) {
            let words = entry.split(|c: char| !(c.is_ascii_alphanumeric() || "./-".contains(c)));
            let ids = words.filter_map(|word| address_id(word.trim_matches(['.', '/', '-'])));
            found.arxiv.extend(ids.map(str::to_owned));
            found
                .titles
                .extend(title(entry).map(letters).filter(|title| !title.is_empty()));
        }
        found
    }

    /// Marks the one paper that is cited, and puts it first. Several that are cited are no evidence for any.
    pub fn mark(&self, papers: &mut [PaperRecord]) {
        let is_cited = |paper: &PaperRecord| {
            let id = paper.arxiv_id.as_ref();
            let title = paper.title.as_deref().map(letters);
            id.is_some_and(|id| self.arxiv.contains(id))
                || title.is_some_and(|title| self.titles.contains(&title))
        };
        let mut cited = (0..papers.len()).filter(|&index| is_cited(&papers[index]));
        if let (Some(index), None) = (cited.next(), cited.next()) {
            papers[index].base = true;
            papers[..=index].rotate_right(1);
        }
    }
}

/// The insides of `@kind{…}`, braces balanced.
fn entries(markdown: &str) -> impl Iterator<Item = &str> {
    markdown.split('@').skip(1).filter_map(|rest| {
        let (kind, body) = rest.split_once('{')?;
        let is_kind =
            !kind.trim().is_empty() && kind.trim().bytes().all(|b| b.is_ascii_alphabetic());
        is_kind.then(|| balanced(body))
    })
}

/// `text` up to the brace that closes it, or all of it.
fn balanced(text: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return &text[..at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    text
}

/// The value of an entry's `title`.
fn title(entry: &str) -> Option<&str> {
    let lower = entry.to_ascii_lowercase();
    let (at, _) = lower.match_indices("title").find(|(at, word)| {
        let is_name = !lower[..*at].ends_with(|c: char| c.is_ascii_alphabetic());
        is_name && lower[at + word.len()..].trim_start().starts_with('=')
    })?;
    let value = entry[at..].split_once('=')?.1.trim_start();
    match value.chars().next()? {
        '{' => Some(balanced(&value[1..])),
        '"' => value[1..].split('"').next(),
        _ => None,
    }
}

/// Letters and digits alone, lower case: titles differ in braces, dashes and breaks.
fn letters(title: &str) -> String {
    let title = plain(title, text::TITLE).unwrap_or_default();
    let kept = title.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_templates_and_nonsense_cost_no_paper_its_place() {
        let mut tags = vec![
            "arxiv:1910.09700",
            "arxiv:1810.03993",
            "arxiv:1803.09010v1",
            "arxiv:2213.00001",
            "arxiv:nonsense",
        ];
        tags.extend([
            "arxiv:2307.01952v2",
            "arxiv:2307.01952",
            "arXiv:hep-th/9901001",
            "arxiv: https://arxiv.org/abs/2112.10752v2 ",
            "arxiv:2209.03003.pdf",
        ]);
        assert_eq!(
            tagged(&tags),
            ["2307.01952", "hep-th/9901001", "2112.10752", "2209.03003"]
        );
        let many: Vec<String> = (1..=30).map(|i| format!("arxiv:2307.{i:05}")).collect();
        let twice: Vec<&str> = many.iter().flat_map(|tag| [&**tag, &**tag]).collect();
        assert_eq!(tagged(&twice).len(), MAX_PAPERS);
    }

    fn papers() -> Vec<PaperRecord> {
        let titled = |id, title: &str| PaperRecord {
            title: Some(title.into()),
            ..PaperRecord::of_arxiv(id)
        };
        vec![
            titled("2207.12598", "Classifier-Free Diffusion Guidance"),
            titled(
                "2112.10752",
                "High-Resolution Image Synthesis with Latent Diffusion Models",
            ),
            PaperRecord::of_arxiv("hep-th/9901001"),
        ]
    }

    fn base(readme: &str) -> Option<String> {
        let mut papers = papers();
        Citations::read(readme).mark(&mut papers);
        assert_eq!(papers.len(), 3);
        assert!(papers[1..].iter().all(|paper| !paper.base));
        papers[0].clone().arxiv_id.filter(|_| papers[0].base)
    }

    #[test]
    fn the_one_paper_that_is_to_be_cited_is_the_base() {
        let by_title = "# Citation\n```bibtex\n@InProceedings{Rombach_2022_CVPR,\n  author = {R. Rombach},\n  booktitle = {CVPR},\n  title = {{High-Resolution} Image\n    Synthesis With Latent Diffusion Models},\n}\n```";
        assert_eq!(base(by_title).as_deref(), Some("2112.10752"));
        let by_id = "see arXiv:2112.10752. @misc{x, eprint={2207.12598v1}, archivePrefix={arXiv}}";
        assert_eq!(base(by_id).as_deref(), Some("2207.12598"));
        let by_address = "@article{x, title=\"No\", journal = {arXiv preprint}, url={https://arxiv.org/abs/hep-th/9901001}}";
        assert_eq!(base(by_address).as_deref(), Some("hep-th/9901001"));
    }

    #[test]
    fn mentions_are_no_evidence_and_two_are_none() {
        for readme in [
            "",
            "Based on https://arxiv.org/abs/2112.10752 and mail@{x} arXiv:2207.12598",
            "@misc{a, eprint={2112.10752}} @misc{b, eprint={2207.12598}}",
            "@misc{a, eprint={1910.09700}}",
            "@misc{{{{{ title = {",
            "@misc{a, title = ü}",
        ] {
            assert_eq!(base(readme), None, "{readme}");
        }
    }
}
