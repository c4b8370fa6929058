//! The arXiv API: Atom feeds (<https://info.arxiv.org/help/api/user-manual.html>).

use protocol::TroubleKind;
use quick_xml::NsReader;
use quick_xml::events::{BytesRef, Event};
use quick_xml::name::{Namespace, ResolveResult};
use serde::{Deserialize, Serialize};

use super::text::{self, arxiv_id, plain};
use super::upstream::{Failure, Upstream};

const ATOM: &[u8] = b"http://www.w3.org/2005/Atom";
const ARXIV: &[u8] = b"http://arxiv.org/schemas/atom";
/// Most authors that are read of one paper.
const MAX_AUTHORS: usize = 10_000;

/// A paper as arXiv has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArxivPaper {
    /// Identifier without a version.
    pub id: String,
    /// Title.
    pub title: Option<String>,
    /// Abstract.
    pub abstract_text: Option<String>,
    /// Authors in order.
    pub authors: Vec<String>,
    /// DOI, if the authors gave one.
    pub doi: Option<String>,
    /// Day of the first version.
    pub published: Option<String>,
}

/// Asks for papers by their identifiers, all in one request. arXiv refuses a request for one identifier in it that it never
/// gave: then halves of it are asked for, until the bad one is alone.
///
/// # Errors
/// Why there is no answer.
pub async fn papers(arxiv: &Upstream, ids: &[String]) -> Result<Vec<ArxivPaper>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![ids];
    while let Some(ids) = open.pop() {
        let refused = match ask(arxiv, ids).await {
            Ok(feed) => {
                let refused = feed.is_refusal && feed.papers.is_empty();
                found.extend(feed.papers);
                refused
            }
            Err(failure) if failure.bad_request => true,
            Err(failure) => return Err(failure),
        };
        if refused && ids.len() > 1 {
            let (first, second) = ids.split_at(ids.len() / 2);
            open.extend([second, first]);
        } else if refused {
            tracing::info!(?ids, "arXiv does not take this for an identifier");
        }
    }
    Ok(found)
}

/// What a feed holds.
#[derive(Debug, Default, PartialEq)]
struct Feed {
    papers: Vec<ArxivPaper>,
    /// Whether an entry says that something is wrong with the request.
    is_refusal: bool,
}

async fn ask(arxiv: &Upstream, ids: &[String]) -> Result<Feed, Failure> {
    let mut url = arxiv.address(&["api", "query"]);
    url.query_pairs_mut()
        .append_pair("id_list", &ids.join(","))
        .append_pair("max_results", &ids.len().to_string());
    let answer = arxiv.get(url, "application/atom+xml").await?;
    read(&answer.body).map_err(|problem| match problem {
        Problem::Throttled => Failure::new(
            TroubleKind::RateLimited,
            format!("{} asked to be left alone for a while", arxiv.host()),
        ),
        Problem::Xml(error) => {
            tracing::info!(%error, "an answer of arXiv is not readable");
            let detail = format!("{} sent something else than an Atom feed", arxiv.host());
            Failure::new(TroubleKind::Malformed, detail)
        }
    })
}

enum Problem {
    /// Said in plain text with status 200.
    Throttled,
    Xml(String),
}

impl<E: std::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::Xml(error.to_string())
    }
}

fn read(feed: &[u8]) -> Result<Feed, Problem> {
    if feed.trim_ascii_start().starts_with(b"Rate exceeded") {
        return Err(Problem::Throttled);
    }
    let mut reader = NsReader::from_reader(feed);
    let mut path: Vec<&'static str> = Vec::new();
    let (mut papers, mut paper, mut text) = (Vec::new(), ArxivPaper::default(), String::new());
    let (mut is_feed, mut is_refusal) = (false, false);
    loop {
        match reader.read_resolved_event()? {
            (namespace, Event::Start(start)) => {
                text.clear();
                let element = element(namespace, start.local_name().as_ref());
                path.push(element);
                match path[..] {
                    ["feed"] => is_feed = true,
                    ["feed", "entry"] => paper = ArxivPaper::default(),
                    _ => {}
                }
            }
            (_, Event::Text(part)) => text.push_str(&part.decode()?),
            (_, Event::CData(part)) => text.push_str(&part.decode()?),
            (_, Event::GeneralRef(reference)) => push_reference(&mut text, &reference)?,
            (_, Event::End(_)) => {
                match path[..] {
                    ["feed", "entry"] => papers.extend(finished(std::mem::take(&mut paper))),
                    ["feed", "entry", field] => {
                        is_refusal |= field == "id" && text.contains("/api/errors");
                        set(&mut paper, field, &text);
                    }
                    ["feed", "entry", "author", "name"] if paper.authors.len() < MAX_AUTHORS => {
                        paper.authors.extend(plain(&text, text::NAME));
                    }
                    _ => {}
                }
                path.pop();
                text.clear();
            }
            (_, Event::Eof) => break,
            _ => {}
        }
    }
    if !is_feed || !path.is_empty() {
        return Err(Problem::Xml("it is no complete feed".to_owned()));
    }
    Ok(Feed { papers, is_refusal })
}

/// The elements that are read, by their names in their namespaces; "" for others.
fn element(namespace: ResolveResult<'_>, local: &[u8]) -> &'static str {
    let ResolveResult::Bound(Namespace(namespace)) = namespace else {
        return "";
    };
    let names: &[&str] = match namespace {
        ATOM => &[
            "feed",
            "entry",
            "id",
            "title",
            "summary",
            "published",
            "author",
            "name",
        ],
        ARXIV => &["doi"],
        _ => &[],
    };
    names
        .iter()
        .find(|name| name.as_bytes() == local)
        .copied()
        .unwrap_or_default()
}

fn push_reference(text: &mut String, reference: &BytesRef<'_>) -> Result<(), Problem> {
    if let Some(character) = reference.resolve_char_ref()? {
        text.push(character);
    } else if let Some(known) = quick_xml::escape::resolve_predefined_entity(&reference.decode()?) {
        text.push_str(known);
    }
    Ok(())
}

fn set(paper: &mut ArxivPaper, field: &str, text: &str) {
    match field {
        "id" => {
            let id = text.rsplit_once("/abs/").map_or("", |(_, id)| id.trim());
            paper.id = arxiv_id(id).unwrap_or_default().to_owned();
        }
        "title" => paper.title = plain(text, text::TITLE),
        "summary" => paper.abstract_text = plain(text, text::ABSTRACT),
        "published" => paper.published = text::day(text.trim()),
        "doi" => paper.doi = plain(text, text::NAME),
        _ => {}
    }
}

/// An error is an entry with another kind of identifier.
fn finished(paper: ArxivPaper) -> Option<ArxivPaper> {
    (!paper.id.is_empty() && paper.title.is_some()).then_some(paper)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn papers(feed: &str) -> Option<Vec<ArxivPaper>> {
        read(feed.as_bytes()).ok().map(|feed| feed.papers)
    }

    /// The shape of the manual's example, with what makes it hard: line breaks, references, markup, a DOI.
    #[test]
    fn a_feed_is_read() {
        let feed = r#"<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <link href="http://arxiv.org/api/query?id_list=x" rel="self" type="application/atom+xml"/>
  <title type="html">ArXiv Query: id_list=x</title>
  <id>http://arxiv.org/api/x</id>
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">1</opensearch:totalResults>
  <entry>
    <id>http://arxiv.org/abs/hep-ex/0307015v2</id>
    <updated>2003-07-08T13:46:39-04:00</updated>
    <published>2003-07-07T13:46:39-04:00</published>
    <title>Multi-Electron Production at
 High Transverse Momenta</title>
    <summary>  Masses &lt;b&gt;above&lt;/b&gt; 100&#160;GeV,
  <![CDATA[<script>]]> &amp; more. </summary>
    <author><name>H1 Collaboration</name><arxiv:affiliation xmlns:arxiv="http://arxiv.org/schemas/atom">DESY</arxiv:affiliation></author>
    <author><name>A. N. Other</name></author>
    <arxiv:doi xmlns:arxiv="http://arxiv.org/schemas/atom">10.1140/epjc/s2003-01326-x</arxiv:doi>
    <other:title xmlns:other="urn:x">not this</other:title>
  </entry>
</feed>"#;
        let paper = papers(feed).unwrap().remove(0);
        assert_eq!(paper.id, "hep-ex/0307015");
        assert_eq!(
            paper.title.unwrap(),
            "Multi-Electron Production at High Transverse Momenta"
        );
        assert_eq!(
            paper.abstract_text.unwrap(),
            "Masses <b>above</b> 100 GeV, <script> & more."
        );
        assert_eq!(paper.authors, ["H1 Collaboration", "A. N. Other"]);
        assert_eq!(paper.doi.as_deref(), Some("10.1140/epjc/s2003-01326-x"));
        assert_eq!(paper.published.as_deref(), Some("2003-07-07"));
    }

    #[test]
    fn errors_are_no_papers() {
        let error = r#"<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_x</id>
            <title>Error</title><summary>incorrect id format for x</summary></entry></feed>"#;
        assert_eq!(papers(error), Some(Vec::new()));
        assert!(read(error.as_bytes()).is_ok_and(|feed| feed.is_refusal));
        assert!(matches!(read(b"Rate exceeded.\n"), Err(Problem::Throttled)));
        let cut_off = r#"<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2209.03003v1</id>"#;
        for text in [
            cut_off,
            "<html><body>Bad gateway</body></html>",
            "",
            "{}",
            "<feed><a></b>",
        ] {
            assert_eq!(papers(text), None, "{text}");
        }
    }

    #[test]
    fn entities_do_not_expand() {
        let bomb = r#"<!DOCTYPE f [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
            <feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2209.03003v1</id><title>x &b; y</title></entry></feed>"#;
        assert_eq!(papers(bomb).unwrap()[0].title.as_deref(), Some("x y"));
    }
}
