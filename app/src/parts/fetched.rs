//! A page that stands or falls with one answer of the server.

use leptos::prelude::*;
use protocol::{Problem, ProblemCode};

use super::NotFound;
use crate::parts::ProblemNote;
use crate::response::set_status;

/// What `show` makes of the answer once it is there; else that there is no such thing, or the problem, with the HTTP
/// status of each. Meanwhile `waiting` is said.
pub(crate) fn fetched<T>(
    answer: Resource<Result<T, Problem>>,
    waiting: &'static str,
    show: fn(T) -> AnyView,
) -> impl IntoView
where
    T: Clone + Send + Sync + 'static,
{
    view! {
        <Suspense fallback=move || {
            view! {
                <main id="main" class="page">
                    <p class="waiting">{waiting}</p>
                </main>
            }
        }>
            {move || Suspend::new(async move {
                match answer.await {
                    Ok(found) => show(found),
                    Err(problem) if matches!(
                        problem.code,
                        ProblemCode::NotFound | ProblemCode::UnknownModel
                    ) => view! { <NotFound /> }.into_any(),
                    Err(problem) => {
                        set_status(problem.status);
                        view! {
                            <main id="main" class="page">
                                <ProblemNote problem />
                            </main>
                        }
                            .into_any()
                    }
                }
            })}
        </Suspense>
    }
}
