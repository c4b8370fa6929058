//! What everybody can do with a picture.

use leptos::prelude::*;
use protocol::ImageRecord;

use super::option;
use crate::create::link;
use crate::format::encode;
use crate::parts::CopyButton;
use crate::{data, format};

#[component]
pub(super) fn Actions(record: ImageRecord) -> impl IntoView {
    let request = &record.recipe.request;
    let file = format!(
        "{}-{}.png",
        format::slug(&request.prompt),
        option(request.seed)
    );
    let again = link::link(request);
    // The store's address is of another origin, where the attribute `download` is not honoured.
    let download = format!("{}?download={}", record.url, encode(&file));
    let permalink = record.permalink.clone();
    let recipe = png_recipe::a1111::write(&record.recipe, record.width, record.height);
    view! {
        <div class="actions picture-actions">
            <a class="button" data-testid="use-settings" href=again>
                "Use these settings"
            </a>
            <a class="button quiet" data-testid="download" rel="external" href=download download=file>
                "Download PNG"
            </a>
            <CopyButton
                label="Copy link"
                text=move || format!("{}{permalink}", data::origin())
            />
            <CopyButton label="Copy recipe" text=move || recipe.clone() />
        </div>
    }
    .into_any()
}
