//! What the visitor sees of the studio.

mod drop;
mod form;
mod loras;
mod options;
mod result;
mod start;
mod times;
mod transfer;

pub(crate) use transfer::TransferControls;

use leptos::prelude::*;
use protocol::ModelSummary;

/// Form beside result.
#[component]
pub(crate) fn StudioView(
    /// The runnable models, the default one first.
    models: Vec<ModelSummary>,
) -> impl IntoView {
    let models = StoredValue::new(models);
    view! {
        <div class="studio">
            <form::Form models />
            <result::ResultPane models />
        </div>
    }
}
