//! Signing in and out.

use leptos::prelude::*;

/// The form that takes the token.
#[component]
pub(super) fn SignIn(
    /// The model that was asked for, to be looked at afterwards.
    id: String,
) -> impl IntoView {
    view! {
        <form class="panel sign-in" method="post" action="/operator/sign-in" data-testid="sign-in">
            <input type="hidden" name="id" value=id />
            <div class="field">
                <label for="token">"Operator's token"</label>
                <input
                    id="token"
                    name="token"
                    type="password"
                    autocomplete="current-password"
                    required
                    aria-describedby="token-note"
                />
                <p class="note" id="token-note">
                    "The hub was started with it, as --admin-token. It is sent once; this browser keeps a session of twelve hours."
                </p>
            </div>
            <button class="button primary" type="submit">
                "Sign in"
            </button>
        </form>
    }
    .into_any()
}

/// The button that ends the session.
#[component]
pub(super) fn SignOut() -> impl IntoView {
    view! {
        <form method="post" action="/operator/sign-out">
            <button class="button quiet" type="submit" data-testid="sign-out">
                "Sign out"
            </button>
        </form>
    }
    .into_any()
}
