//! The models that run here, as the pages of the catalogue show them.

use protocol::{
    CreatorPage, License, LicenseUse, ModelCard, ModelPage, ModelQuery, ModelSummary, PaperRecord,
    Problem, ProblemCode, Provenance, Runs, RunsOn, Source,
};

use crate::catalog::Catalog;

/// The card of a model.
///
/// # Errors
/// [`ProblemCode::NotFound`].
pub fn card(catalog: &Catalog, id: &str) -> Result<ModelCard, Problem> {
    catalog
        .summary(id)
        .map(card_of)
        .ok_or_else(|| Problem::new(ProblemCode::NotFound, "there is no such model here"))
}

/// The models of a creator, all on one page.
///
/// # Errors
/// [`ProblemCode::NotFound`] for a creator of none.
pub fn creator(catalog: &Catalog, owner: &str) -> Result<CreatorPage, Problem> {
    let page = search(
        catalog,
        &ModelQuery {
            owner: Some(owner.to_owned()),
            ..ModelQuery::default()
        },
    );
    if page.items.is_empty() {
        return Err(Problem::new(
            ProblemCode::NotFound,
            "no model here is by this creator",
        ));
    }
    Ok(CreatorPage {
        owner: owner.to_owned(),
        items: page.items,
        ..CreatorPage::default()
    })
}

/// The models that pass the filters, all on one page.
pub fn search(catalog: &Catalog, query: &ModelQuery) -> ModelPage {
    let cards = catalog.summaries().iter().map(card_of).collect();
    ModelPage {
        items: passing(cards, query),
        ..ModelPage::default()
    }
}

fn passing(mut cards: Vec<ModelCard>, query: &ModelQuery) -> Vec<ModelCard> {
    let words = query.q.as_deref().unwrap_or_default().to_lowercase();
    cards.retain(|card| {
        let text = format!("{} {}", card.id, card.title).to_lowercase();
        let permits = card.license.as_ref().map(|license| license.permits);
        words.split_whitespace().all(|word| text.contains(word))
            && query
                .owner
                .as_ref()
                .is_none_or(|owner| *owner == card.owner)
            && query.runs.is_none_or(|place| match place {
                RunsOn::Browser => card.runs.browser,
                RunsOn::Server => card.runs.server,
            })
            && query
                .max_bytes
                .is_none_or(|most| card.total_bytes.is_some_and(|n| n <= most))
            && query
                .permits
                .is_none_or(|least| permits.is_some_and(|p| rank(p) >= rank(least)))
    });
    cards
}

/// More permission, higher rank.
fn rank(permits: LicenseUse) -> u8 {
    match permits {
        LicenseUse::Unknown => 0,
        LicenseUse::NonCommercial => 1,
        LicenseUse::Restricted => 2,
        LicenseUse::Any => 3,
    }
}

/// What a model that runs here says of itself.
fn card_of(model: &ModelSummary) -> ModelCard {
    let (owner, name) = model.id.split_once('/').unwrap_or(("", &model.id));
    let package = model.package_url.is_some();
    ModelCard {
        id: model.id.clone(),
        owner: owner.to_owned(),
        name: name.to_owned(),
        title: model.name.clone(),
        summary: Some(model.summary.clone()).filter(|text| !text.is_empty()),
        license: Some(License {
            id: model.license.clone(),
            name: model.license.clone(),
            url: None,
            permits: LicenseUse::Unknown,
            limits: None,
        })
        .filter(|license| !license.id.is_empty()),
        papers: model.paper.iter().map(PaperRecord::from).collect(),
        weights_digest: package.then(|| model.weights_digest.clone()),
        total_bytes: package.then_some(model.download_bytes),
        needs: package.then_some(model.needs),
        runs: Runs {
            browser: package,
            server: true,
        },
        runnable: Some(model.clone()),
        provenance: vec![Provenance {
            source: Source::Package,
            fetched_at: None,
            stale: false,
            trouble: None,
        }],
        ..ModelCard::default()
    }
}
