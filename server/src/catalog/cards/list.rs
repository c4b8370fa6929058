//! Lists of models: those that run here, then the hub's.

use protocol::catalog::{DEFAULT_PAGE, MAX_PAGE};
use protocol::{KnownModel, ModelCard, ModelPage, ModelQuery, Problem, ProblemCode, RunsOn};
use tokio::time::Instant;

use super::super::hub::{HubQuery, is_name};
use super::super::licenses;
use super::Inner;

/// Most characters of a search.
const MAX_WORDS: usize = 100;
/// Most characters of a licence's identifier.
const MAX_LICENSE: usize = 80;
/// Most characters of a cursor.
const MAX_CURSOR: usize = 1100;

/// Where a page begins.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// At this one of the models that run here.
    Here(usize),
    /// On the hub, at its cursor.
    Hub(Option<String>),
}

impl Start {
    fn parse(cursor: Option<&str>) -> Option<Self> {
        let Some(cursor) = cursor else {
            return Some(Self::Here(0));
        };
        if cursor.len() > MAX_CURSOR {
            return None;
        }
        match cursor.split_at_checked(1)? {
            ("l", offset) => Some(Self::Here(offset.parse().ok()?)),
            ("h", "") => Some(Self::Hub(None)),
            ("h", cursor) => Some(Self::Hub(Some(cursor.to_owned()))),
            _ => None,
        }
    }
}

pub(super) async fn page(inner: &Inner, query: &ModelQuery) -> Result<ModelPage, Problem> {
    let deadline = Instant::now() + inner.deadline;
    let (limit, start) = check(query)?;
    let mut page = ModelPage::default();
    let local = inner.local();
    let start_of_all = start == Start::Here(0);
    let (offset, cursor) = match start {
        Start::Here(offset) => (Some(offset), None),
        Start::Hub(cursor) => (None, cursor),
    };
    if start_of_all && concerns_hub(query) {
        let is_here = |known: &KnownModel| local.iter().any(|local| local.is_of(&known.id));
        page.known = inner.catalog.now().known().matching(query, is_here);
    }
    if let Some(offset) = offset {
        let here: Vec<&ModelCard> = local
            .iter()
            .map(|local| &local.card)
            .filter(|card| fits(card, query))
            .collect();
        let end = offset.saturating_add(limit).min(here.len());
        let shown = here.get(offset..end).unwrap_or_default();
        page.items.extend(shown.iter().map(|card| (*card).clone()));
        if end < here.len() {
            page.next_cursor = Some(format!("l{end}"));
            return Ok(page);
        }
    }
    let Some(ask) = inner.ask.as_ref().filter(|_| concerns_hub(query)) else {
        return Ok(page);
    };
    let room = limit - page.items.len();
    if room == 0 {
        page.next_cursor = Some("h".to_owned());
        return Ok(page);
    }
    let asked = HubQuery {
        author: query.owner.clone(),
        search: words(query).map(str::to_owned),
        license: query.license.clone(),
        limit: u32::try_from(room).unwrap_or(MAX_PAGE),
        cursor,
    };
    let (list, provenance) = ask.list(asked, deadline).await;
    page.provenance.push(provenance);
    if let Some(list) = list.value {
        let is_here = |card: &ModelCard| local.iter().any(|local| local.is_of(&card.id));
        let found = list.models.iter().map(|model| ask.listed(model));
        page.items
            .extend(found.filter(|card| !is_here(card) && fits_license(card, query)));
        page.next_cursor = list.cursor.as_ref().map(|cursor| format!("h{cursor}"));
    }
    Ok(page)
}

fn check(query: &ModelQuery) -> Result<(usize, Start), Problem> {
    let wrong = |field: &str, detail: String| Problem {
        field: Some(field.into()),
        ..Problem::new(ProblemCode::OutOfRange, detail)
    };
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(wrong(
            "limit",
            format!("limit is {limit}; 1 to {MAX_PAGE} are possible"),
        ));
    }
    if words(query).is_some_and(|q| q.chars().count() > MAX_WORDS) {
        return Err(wrong(
            "q",
            format!("q has more than {MAX_WORDS} characters"),
        ));
    }
    if query
        .license
        .as_ref()
        .is_some_and(|id| id.chars().count() > MAX_LICENSE)
    {
        return Err(wrong(
            "license",
            format!("license has more than {MAX_LICENSE} characters"),
        ));
    }
    if query.owner.as_ref().is_some_and(|owner| !is_name(owner)) {
        return Err(wrong("owner", "owner is no creator's name".to_owned()));
    }
    let start = Start::parse(query.cursor.as_deref()).ok_or_else(|| {
        Problem::new(
            ProblemCode::MalformedRequest,
            "the cursor is none of this list's",
        )
    })?;
    Ok((limit as usize, start))
}

fn words(query: &ModelQuery) -> Option<&str> {
    query.q.as_deref().map(str::trim).filter(|q| !q.is_empty())
}

/// Models of the hub neither run here nor tell in a list what they need.
fn concerns_hub(query: &ModelQuery) -> bool {
    query.runs.is_none() && query.max_bytes.is_none() && query.max_buffer_size.is_none()
}

fn fits(card: &ModelCard, query: &ModelQuery) -> bool {
    let text = format!("{} {}", card.id, card.title).to_lowercase();
    let needs_at_most = |offered: u64| {
        card.needs.is_some_and(|needs| {
            needs
                .max_buffer_size
                .max(needs.max_storage_buffer_binding_size)
                <= offered
        })
    };
    words(query).is_none_or(|q| {
        q.to_lowercase()
            .split_whitespace()
            .all(|word| text.contains(word))
    }) && query
        .owner
        .as_ref()
        .is_none_or(|owner| card.owner == *owner)
        && query.runs.is_none_or(|place| match place {
            RunsOn::Browser => card.runs.browser,
            RunsOn::Server => card.runs.server,
        })
        && query
            .max_bytes
            .is_none_or(|max| card.total_bytes.is_some_and(|bytes| bytes <= max))
        && query.max_buffer_size.is_none_or(needs_at_most)
        && fits_license(card, query)
}

fn fits_license(card: &ModelCard, query: &ModelQuery) -> bool {
    let license = card.license.as_ref();
    query
        .license
        .as_ref()
        .is_none_or(|id| license.is_some_and(|l| licenses::names(l, id)))
        && query
            .permits
            .is_none_or(|wanted| license.is_some_and(|l| licenses::permits(l, wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read() {
        let start = |cursor| Start::parse(Some(cursor));
        assert_eq!(Start::parse(None), Some(Start::Here(0)));
        assert_eq!(start("l24"), Some(Start::Here(24)));
        assert_eq!(start("h"), Some(Start::Hub(None)));
        assert_eq!(start("heyJf=="), Some(Start::Hub(Some("eyJf==".into()))));
        for cursor in ["", "x", "l", "l-1", "l99999999999999999999", "é"] {
            assert_eq!(start(cursor), None, "{cursor}");
        }
        assert_eq!(start(&"h".repeat(MAX_CURSOR + 1)), None);
    }
}
