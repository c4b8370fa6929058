//! Whether an announced upload may be made at all.

use protocol::{PNG_MIME, Problem, ProblemCode, RunsOn, UploadRequest};

use super::{Images, most_bytes};

/// Longest text of a recipe field that the sender words freely, in bytes.
const MAX_LABEL_BYTES: usize = 200;

impl Images {
    /// Checks type, size and recipe, a browser's being only a claim, and fills the request's defaults in.
    pub(super) fn check(
        &self,
        mut request: UploadRequest,
        made: RunsOn,
    ) -> Result<UploadRequest, Problem> {
        if request.content_type != PNG_MIME {
            return Err(Problem::new(
                ProblemCode::UnsupportedType,
                format!("only {PNG_MIME} is stored"),
            ));
        }
        if !protocol::is_sha256_hex(&request.sha256) {
            return Err(malformed("sha256 is not 64 lower-case hex digits"));
        }
        let most = most_bytes(&request.recipe);
        if request.bytes == 0 || request.bytes > most {
            return Err(malformed(format!(
                "bytes is {}; 1 to {most} are accepted",
                request.bytes
            )));
        }
        let recipe = &mut request.recipe;
        if recipe.place != made {
            let place = made.name();
            return Err(malformed(format!("recipe.place must be {place:?} here")));
        }
        for (name, text) in [
            ("scheduler", &recipe.scheduler),
            ("backend", &recipe.backend),
            ("adapter", &recipe.adapter),
        ] {
            if text.len() > MAX_LABEL_BYTES {
                return Err(malformed(format!(
                    "recipe.{name} is longer than {MAX_LABEL_BYTES} bytes"
                )));
            }
        }
        let Some(seed) = recipe.request.seed else {
            return Err(malformed("recipe.request.seed is missing"));
        };
        let catalog = self.catalog.now();
        // Before the request: an earlier version of the model may have taken what this one refuses.
        if let Some(model) = catalog.summary(&recipe.request.model) {
            if made == RunsOn::Browser && model.package_url.is_none() {
                return Err(malformed("this model has no package for browsers"));
            }
            if model.weights_digest != recipe.weights_digest {
                return Err(malformed("recipe.weights_digest is not that of this model")
                    .with_hint(
                        "The model was updated: reload the page and make the picture again.",
                    ));
            }
        }
        recipe.request = catalog.resolve(recipe.request.clone(), seed)?.into();
        catalog.check_upscaler(recipe)?;
        if let Some(start) = &recipe.start {
            let digests = std::iter::once(&start.sha256).chain(&start.mask_sha256);
            if !digests
                .into_iter()
                .all(|digest| protocol::is_sha256_hex(digest))
            {
                return Err(malformed(
                    "a digest of recipe.start is not 64 lower-case hex digits",
                ));
            }
            if let Some(model) = catalog.summary(&recipe.request.model) {
                protocol::start::strength(Some(start.strength), model)?;
            }
        }
        Ok(request)
    }
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemCode::MalformedRequest, detail)
}
