//! What other sites show of a permalink: Open Graph (ogp.me) and Twitter cards.

use leptos::prelude::*;
use leptos_meta::{Link, Meta, Title};
use protocol::ImageRecord;

use super::{alt, place};
use crate::data;
use crate::parts::absolute;

/// Narrowest picture that a large card is shown for; smaller ones would be blurred up to it.
const LARGE_CARD: u32 = 300;

#[component]
pub(super) fn Card(record: ImageRecord) -> impl IntoView {
    let origin = data::origin();
    let request = &record.recipe.request;
    let summary = format!("Made with {} {}.", request.model, place(&record));
    let alt = alt(&record);
    let card = if record.width >= LARGE_CARD {
        "summary_large_image"
    } else {
        "summary"
    };
    let permalink = format!("{origin}{}", record.permalink);
    let image = absolute(&origin, &record.url);
    let hidden = record
        .unlisted
        .then(|| view! { <Meta name="robots" content="noindex" /> });
    view! {
        <Title text=request.prompt.clone() />
        <Meta name="description" content=summary.clone() />
        {hidden}
        <Meta property="og:type" content="website" />
        <Meta property="og:site_name" content="Demo Hub" />
        <Meta property="og:title" content=request.prompt.clone() />
        <Meta property="og:description" content=summary />
        <Meta property="og:url" content=permalink.clone() />
        <Meta property="og:image" content=image />
        <Meta property="og:image:type" content=protocol::PNG_MIME />
        <Meta property="og:image:width" content=record.width.to_string() />
        <Meta property="og:image:height" content=record.height.to_string() />
        <Meta property="og:image:alt" content=alt.clone() />
        <Meta name="twitter:card" content=card />
        <Meta name="twitter:image:alt" content=alt />
        <Link rel="canonical" href=permalink />
        <Link
            rel="alternate"
            type_="application/json"
            href=format!("/api/v1/images/{}", record.id)
        />
    }
    .into_any()
}
