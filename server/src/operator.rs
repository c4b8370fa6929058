//! Who looks after this hub by its pages and its API: signing in, and adding models.
//!
//! Without `--admin-token` there is no operator, and nothing of this is there.

pub mod additions;
mod attempts;
mod looks;
mod named;
mod origin;
mod session;
mod tool;

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, Method, header};
use protocol::{AdditionRequest, LimitName, ModelLook, Problem, ProblemCode};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::config::{HubConfig, Secret};
use crate::network::Network;

use additions::Additions;
use attempts::Attempts;
use looks::Looks;
use session::Sessions;

pub use named::read as read_request;
pub use session::{LEAST_TOKEN, SESSION_SECONDS};
pub use tool::Tool;

/// The operator's side of a hub.
pub struct Operator {
    sessions: Sessions,
    attempts: Attempts,
    looks: Looks,
    additions: Arc<Additions>,
    tool: Arc<Tool>,
    /// Origin of the hub as visitors see it.
    public_url: String,
}

impl Operator {
    /// Sets it up; models are added from now on, until `stop`.
    ///
    /// # Errors
    /// When the token is too short, or the program's own file is not found.
    pub fn start(
        token: &Secret,
        models_dir: &std::path::Path,
        hub: &HubConfig,
        public_url: &str,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let sessions = Sessions::new(token)?;
        let tool = Arc::new(Tool::new(models_dir, hub)?);
        let additions = Arc::new(Additions::new(models_dir, Arc::clone(&tool)));
        tokio::spawn(Arc::clone(&additions).work(stop));
        Ok(Self {
            sessions,
            attempts: Attempts::default(),
            looks: Looks::new(Arc::clone(&tool)),
            additions,
            tool,
            public_url: public_url.to_owned(),
        })
    }

    /// The additions.
    pub fn additions(&self) -> &Arc<Additions> {
        &self.additions
    }

    /// Signs in with the token: the `Set-Cookie` header of a session. `secure`: the hub is reached by HTTPS.
    ///
    /// # Errors
    /// For another token, and for whoever tried too many.
    pub fn sign_in(
        &self,
        token: &str,
        from: Network,
        headers: &HeaderMap,
        secure: bool,
    ) -> Result<String, Problem> {
        self.is_own_page(headers)?;
        self.check(token, from)?;
        tracing::info!("the operator signed in");
        self.sessions.begin(secure).map_err(|error| {
            tracing::error!("a session could not be begun: {error:#}");
            Problem::new(ProblemCode::Internal, "the session could not be begun")
        })
    }

    /// The `Set-Cookie` header that ends a session.
    pub fn sign_out(secure: bool) -> String {
        session::ended(secure)
    }

    /// Whether these cookies are those of a session.
    pub fn is_session(&self, cookies: &str) -> bool {
        self.sessions.holds(cookies, session::now())
    }

    /// Lets a request in that carries the token or a session; one that changes something by a session has to come from the hub's own
    /// pages.
    ///
    /// # Errors
    /// For everybody else.
    pub fn let_in(
        &self,
        method: &Method,
        headers: &HeaderMap,
        from: Network,
    ) -> Result<(), Problem> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let token = value.to_str().unwrap_or_default();
            let (scheme, token) = token.split_once(' ').unwrap_or_default();
            if scheme.eq_ignore_ascii_case("bearer") {
                return self.check(token.trim(), from);
            }
        }
        let mut cookies = headers.get_all(header::COOKIE).iter();
        if !cookies.any(|cookies| cookies.to_str().is_ok_and(|text| self.is_session(text))) {
            return Err(not_signed_in());
        }
        if matches!(*method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        self.is_own_page(headers)
    }

    fn is_own_page(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if origin::is_own(headers, &self.public_url) {
            return Ok(());
        }
        let detail = "the request does not come from a page of this hub";
        Err(Problem::new(ProblemCode::ForeignOrigin, detail)
            .with_hint("Use the hub's own page, or send the token as Authorization: Bearer."))
    }

    fn check(&self, token: &str, from: Network) -> Result<(), Problem> {
        let now = Instant::now();
        if let Some(wait) = self.attempts.wait(from, now) {
            let mut problem = Problem::new(
                ProblemCode::RateLimited,
                "too many wrong tokens were sent from this address",
            )
            .with_limit(LimitName::WrongTokensOfAddress)
            .with_hint("Wait, then send the token that the hub was started with.");
            problem.retry_after = Some(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).max(1));
            return Err(problem);
        }
        if self.sessions.is_token(token) {
            return Ok(());
        }
        self.attempts.failed(from, now);
        tracing::warn!("a wrong operator's token was sent");
        Err(not_signed_in())
    }

    /// What is known of a model of the hub.
    ///
    /// # Errors
    /// When the hub does not tell.
    pub async fn look(
        &self,
        request: &AdditionRequest,
        catalog: &Catalog,
    ) -> Result<ModelLook, Problem> {
        let mut look = self.looks.look(request).await?;
        // What is remembered may be older than the package.
        look.is_here = catalog.summary(&look.id).is_some();
        Ok(look)
    }

    /// Removes a package.
    ///
    /// # Errors
    /// A sentence on why it stays.
    pub async fn remove(&self, id: &str) -> Result<(), Problem> {
        self.tool.remove(id).await
    }
}

fn not_signed_in() -> Problem {
    Problem::new(
        ProblemCode::NotSignedIn,
        "this is for the operator of the hub",
    )
    .with_hint("Sign in on /models/add, or send the token as Authorization: Bearer.")
}
