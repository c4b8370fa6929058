//! What a model that is not here yet would take, by the bits of its weights.

use leptos::prelude::*;
use protocol::{KnownWeights, LowMemoryNeeds, ModelNeeds};

use crate::format;

/// A row: what it is called and what it says of weights.
type Row = (&'static str, fn(&KnownWeights) -> Option<u64>);

const ROWS: [Row; 5] = [
    ("Download", |weights| Some(weights.bytes)),
    ("GPU memory, all parts", |weights| {
        Some(weights.needs.memory_bytes)
    }),
    ("One part at a time", |weights| {
        low_memory(&weights.needs, |needs| needs.one_at_a_time)
    }),
    ("Layers streamed", |weights| {
        low_memory(&weights.needs, |needs| needs.streamed)
    }),
    ("Largest buffer", |weights| {
        Some(weights.needs.max_buffer_size)
    }),
];

fn low_memory(needs: &ModelNeeds, of: fn(&ModelNeeds) -> Option<LowMemoryNeeds>) -> Option<u64> {
    of(needs).map(|needs| needs.memory_bytes)
}

/// A table of what is downloaded and what a GPU holds; nothing where it was not counted.
#[component]
pub(super) fn Takes(weights: Vec<KnownWeights>) -> impl IntoView {
    (!weights.is_empty()).then(|| {
        let heads = weights.iter().map(|weights| {
            let name = match &*weights.kind {
                "f16" => "16 bits",
                kind => kind,
            };
            view! { <th scope="col">{name.to_owned()}</th> }
        });
        let heads = heads.collect_view();
        let rows = ROWS.into_iter().map(|(name, of)| {
            let cells = weights.iter().map(|weights| {
                let said = of(weights).map_or("–".to_owned(), format::size);
                view! { <td>{said}</td> }
            });
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    {cells.collect_view()}
                </tr>
            }
        });
        view! {
            <div class="table-wrap" role="region" aria-label="What it takes" tabindex="0">
                <table class="times takes">
                    <caption>"What it takes"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Weights in"</th>
                            {heads}
                        </tr>
                    </thead>
                    <tbody>{rows.collect_view()}</tbody>
                </table>
            </div>
        }
        .into_any()
    })
}
