//! The forms of the page /models/add, as browsers send them with and without scripts. Each leads back to the page.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use protocol::{AdditionRequest, ComponentWeights, Problem, ProblemCode, WeightsKind};
use url::form_urlencoded;

use crate::api::operator::{SignedIn, named};
use crate::api::{ApiError, Hub, Visitor};
use crate::operator::Operator;

/// The page.
const PAGE: &str = "/models/add";
/// Largest form, in bytes.
const MAX_FORM: usize = 16 << 10;
/// What the names of fields begin with that say how the weights of a component are kept.
const WEIGHTS_OF: &str = "weights-of-";
/// The same of fields that say that a component is left out.
const WITHOUT: &str = "without-";
/// The same of fields that name every component, for what remains where one is left out.
const COMPONENT: &str = "component";

/// The routes of a hub with an operator.
pub fn routes(hub: Hub) -> Router {
    Router::new()
        .route("/operator/sign-in", post(sign_in))
        .route("/operator/sign-out", post(sign_out))
        .route("/operator/additions", post(add))
        .route("/operator/additions/{id}/{act}", post(act))
        .route("/operator/remove", post(remove))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .method_not_allowed_fallback(crate::api::method_not_allowed)
        .with_state(hub)
}

/// The fields of a form, in their order.
struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Problem> {
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            let detail = "the body is not marked as a form";
            return Err(Problem::new(ProblemCode::UnsupportedType, detail));
        }
        Ok(Self(form_urlencoded::parse(body).into_owned().collect()))
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The model that a form adds.
    fn request(&self) -> Result<AdditionRequest, Problem> {
        let kind = |name: &str| {
            WeightsKind::named(name).ok_or_else(|| {
                Problem::new(ProblemCode::OutOfRange, "there is no such kind of weights")
            })
        };
        let mut component_weights = Vec::new();
        for (name, value) in &self.0 {
            if let Some(component) = name.strip_prefix(WEIGHTS_OF)
                && !value.is_empty()
            {
                component_weights.push(ComponentWeights {
                    component: component.to_owned(),
                    kind: kind(value)?,
                });
            }
        }
        let without = |component: &str| self.get(&format!("{WITHOUT}{component}")).is_some();
        let components = self.0.iter().filter(|(name, _)| name == COMPONENT);
        let components = components.map(|(_, component)| component.clone());
        let (left_out, kept): (Vec<String>, Vec<String>) =
            components.partition(|component| without(component));
        component_weights.retain(|own| !left_out.contains(&own.component));
        Ok(AdditionRequest {
            id: self.get("id").unwrap_or_default().to_owned(),
            revision: self.get("revision").map(str::to_owned),
            weights: self
                .get("weights")
                .map(kind)
                .transpose()?
                .unwrap_or_default(),
            component_weights,
            components: if left_out.is_empty() {
                Vec::new()
            } else {
                kept
            },
            license: self.get("license").map(str::to_owned),
        })
    }
}

async fn sign_in(
    State(hub): State<Hub>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(operator) = &hub.operator else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let fields = match Fields::read(&headers, &body) {
        Ok(fields) => fields,
        Err(problem) => return ApiError(problem).into_response(),
    };
    let id = fields.get("id").filter(|id| !id.is_empty());
    let token = fields.get("token").unwrap_or_default().trim();
    match operator.sign_in(token, visitor.network(), &headers, hub.is_https()) {
        Ok(cookie) => with_cookie(back(id, None), cookie),
        Err(problem) => back(id, Some(&problem)),
    }
}

async fn sign_out(State(hub): State<Hub>, _: SignedIn) -> Response {
    with_cookie(back(None, None), Operator::sign_out(hub.is_https()))
}

async fn add(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = match Fields::read(&headers, &body) {
        Ok(fields) => fields,
        Err(problem) => return ApiError(problem).into_response(),
    };
    let asked = match fields.request() {
        Ok(request) => operator.additions().ask(request, &hub.catalog.now()).await,
        Err(problem) => Err(problem),
    };
    match asked {
        Ok(_) => back(None, None),
        Err(problem) => back(fields.get("id"), Some(&problem)),
    }
}

async fn act(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
    Path((id, act)): Path<(String, String)>,
) -> Response {
    let additions = operator.additions();
    let done = match (named(&id), &*act) {
        (Ok(id), "cancel") => additions.cancel(id).await,
        (Ok(id), "again") => additions.again(id, &hub.catalog.now()).await,
        (Ok(_), _) => return StatusCode::NOT_FOUND.into_response(),
        (Err(problem), _) => Err(problem),
    };
    back(None, done.err().as_ref())
}

async fn remove(
    SignedIn(operator): SignedIn,
    State(hub): State<Hub>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = match Fields::read(&headers, &body) {
        Ok(fields) => fields,
        Err(problem) => return ApiError(problem).into_response(),
    };
    let id = fields.get("id").unwrap_or_default();
    let removed = match hub.catalog.now().get(id) {
        Some(_) => operator.remove(id).await,
        None => Err(Problem::new(ProblemCode::UnknownModel, "it is not here")),
    };
    back(None, removed.err().as_ref())
}

/// To the page, where it says what went wrong.
fn back(id: Option<&str>, problem: Option<&Problem>) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(id) = id {
        query.append_pair("id", id);
    }
    if let Some(problem) = problem {
        query.append_pair("problem", &problem.code.name());
    }
    let query = query.finish();
    let address = match query.is_empty() {
        true => PAGE.to_owned(),
        false => format!("{PAGE}?{query}"),
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(address) = HeaderValue::try_from(address) {
        headers.insert(header::LOCATION, address);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn with_cookie(mut response: Response, cookie: String) -> Response {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(form: &str) -> Result<AdditionRequest, Problem> {
        Fields(
            form_urlencoded::parse(form.as_bytes())
                .into_owned()
                .collect(),
        )
        .request()
    }

    #[test]
    fn a_form_says_what_is_added_and_how() {
        let plain = request(
            "id=a%2Fb&revision=main&weights=int8&component=unet&component=vae&weights-of-unet=&weights-of-vae=f16",
        );
        let plain = plain.unwrap();
        assert_eq!(
            (&*plain.id, plain.revision.as_deref()),
            ("a/b", Some("main"))
        );
        assert_eq!(plain.weights, WeightsKind::Int8);
        let own = ComponentWeights {
            component: "vae".to_owned(),
            kind: WeightsKind::F16,
        };
        assert_eq!(plain.component_weights, [own]);
        assert!(plain.components.is_empty());
        let less = request(
            "id=a%2Fb&component=unet&component=t5&component=vae&without-t5=on&weights-of-t5=int4",
        );
        let less = less.unwrap();
        assert_eq!(less.components, ["unet", "vae"]);
        assert!(less.component_weights.is_empty());
        assert!(request("id=a%2Fb&weights=int3").is_err());
    }
}
