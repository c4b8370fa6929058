//! Citing a paper.

use protocol::PaperRecord;

/// A BibTeX entry; nothing for a paper without title or authors.
pub fn entry(paper: &PaperRecord) -> Option<String> {
    let title = paper.title.as_deref()?;
    if paper.authors.is_empty() {
        return None;
    }
    let year = year(paper);
    let authors: Vec<String> = paper.authors.iter().map(|a| tex(&a.name)).collect();
    let mut fields = vec![
        // The second pair of braces keeps the capitals.
        ("title", format!("{{{}}}", tex(title))),
        ("author", authors.join(" and ")),
    ];
    let mut field = |name, value: Option<String>| {
        if let Some(value) = value {
            fields.push((name, value));
        }
    };
    field("year", year.clone());
    field("eprint", paper.arxiv_id.clone());
    field(
        "archivePrefix",
        paper.arxiv_id.as_ref().map(|_| "arXiv".to_owned()),
    );
    field("doi", paper.doi.clone());
    field("url", paper.url.clone());
    let key = key(&paper.authors[0].name, year.as_deref(), title);
    let lines: Vec<String> = fields
        .into_iter()
        .map(|(name, value)| format!("  {name} = {{{value}}},"))
        .collect();
    Some(format!("@misc{{{key},\n{}\n}}", lines.join("\n")))
}

/// Year of the first version; arXiv's identifiers since 2007 begin with it.
fn year(paper: &PaperRecord) -> Option<String> {
    let digits = |text: &str| text.len() >= 4 && text.bytes().take(4).all(|b| b.is_ascii_digit());
    if let Some(day) = paper.published.as_deref().filter(|day| digits(day)) {
        return Some(day.chars().take(4).collect());
    }
    let id = paper.arxiv_id.as_deref()?;
    (digits(id) && id.as_bytes().get(4) == Some(&b'.')).then(|| format!("20{}", &id[..2]))
}

/// `liu2022flow`: family name, year, first word of the title.
fn key(author: &str, year: Option<&str>, title: &str) -> String {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase()
    };
    let family = plain(author.split_whitespace().last().unwrap_or_default());
    let small = ["a", "an", "the", "on", "of", "in"];
    let word = title
        .split_whitespace()
        .map(plain)
        .find(|word| !word.is_empty() && !small.contains(&word.as_str()))
        .unwrap_or_default();
    let key = format!("{family}{}{word}", year.unwrap_or_default());
    if key.is_empty() {
        "paper".to_owned()
    } else {
        key
    }
}

/// Text with TeX's special characters spelled out, on one line.
fn tex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use protocol::Author;

    use super::*;

    fn paper() -> PaperRecord {
        PaperRecord {
            title: Some("Flow Straight and Fast: {Learning}".into()),
            authors: ["Xingchao Liu", "Chengyue Gong"].map(Author::named).into(),
            doi: Some("10.48550/arXiv.2209.03003".into()),
            ..PaperRecord::of_arxiv("2209.03003")
        }
    }

    #[test]
    fn an_entry_has_what_is_known() {
        assert_eq!(
            entry(&paper()).as_deref(),
            Some(
                "@misc{liu2022flow,\n  \
                 title = {{Flow Straight and Fast: \\{Learning\\}}},\n  \
                 author = {Xingchao Liu and Chengyue Gong},\n  \
                 year = {2022},\n  \
                 eprint = {2209.03003},\n  \
                 archivePrefix = {arXiv},\n  \
                 doi = {10.48550/arXiv.2209.03003},\n  \
                 url = {https://arxiv.org/abs/2209.03003},\n}"
            )
        );
    }

    #[test]
    fn nothing_is_made_up() {
        assert_eq!(entry(&PaperRecord::of_arxiv("2209.03003")), None);
        let nobody = PaperRecord {
            authors: Vec::new(),
            ..paper()
        };
        assert_eq!(entry(&nobody), None);
        let old = PaperRecord {
            doi: None,
            ..PaperRecord {
                arxiv_id: Some("hep-th/9901001".into()),
                published: None,
                ..paper()
            }
        };
        assert!(!entry(&old).unwrap_or_default().contains("year"));
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = PaperRecord {
            title: Some("}\n@article{x, \\input{/etc/passwd} 100% & <b>".into()),
            ..paper()
        };
        let entry = entry(&hostile).unwrap_or_default();
        assert!(entry.contains("\\}"), "{entry}");
        assert!(entry.contains("\\textbackslash{}input\\{/etc/passwd\\} 100\\% \\& <b>"));
        assert_eq!(entry.matches('\n').count(), paper_lines());
    }

    fn paper_lines() -> usize {
        entry(&paper()).unwrap_or_default().matches('\n').count()
    }
}
