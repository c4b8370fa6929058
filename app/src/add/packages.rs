//! The packages that are here, and how one is removed.

use leptos::prelude::*;
use protocol::PackageHere;

use crate::format;

#[component]
pub(super) fn Packages(packages: Vec<PackageHere>) -> impl IntoView {
    if packages.is_empty() {
        return ().into_any();
    }
    let rows = packages.into_iter().map(|package| {
        let PackageHere { id, name, bytes } = package;
        let label = format!("Remove {name}");
        view! {
            <li class="stored-model" data-testid="package">
                <div>
                    <p class="stored-name">
                        <a href=format!("/models/{id}") rel="external">
                            {name.clone()}
                        </a>
                    </p>
                    <p class="note">{id.clone()} " · " {format::amount(bytes)}</p>
                </div>
                <details class="remove">
                    <summary class="button quiet" aria-label=label>
                        "Remove"
                    </summary>
                    <form method="post" action="/operator/remove">
                        <input type="hidden" name="id" value=id />
                        <p class="note">
                            "Its files are deleted. Pictures that were made with it stay; jobs that wait for it wait until it is here again."
                        </p>
                        <button class="button danger" type="submit">
                            {format!("Remove {name} for good")}
                        </button>
                    </form>
                </details>
            </li>
        }
    });
    view! {
        <section aria-labelledby="packages-title" class="packages">
            <h2 id="packages-title">"On this hub"</h2>
            <ul class="stored">{rows.collect_view()}</ul>
        </section>
    }
    .into_any()
}
