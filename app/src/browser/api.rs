//! Calls to the hub's API from the browser; every failure becomes a [`Problem`].

use gloo_net::http::{Request, Response};
use protocol::{Problem, ProblemCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// `GET`.
pub(crate) async fn get<T: DeserializeOwned>(url: &str) -> Result<T, Problem> {
    let response = Request::get(url).send().await.map_err(unreachable)?;
    read(response).await
}

/// `POST` of a JSON body.
pub(crate) async fn post<T: DeserializeOwned>(
    url: &str,
    body: &impl Serialize,
) -> Result<T, Problem> {
    let request = Request::post(url).json(body).map_err(unreadable)?;
    read(request.send().await.map_err(unreachable)?).await
}

/// `POST` of a JSON body that counts once however often it is sent with the same `Idempotency-Key`: 32 hexadecimal digits,
/// which also name the trace that the server may keep of it (W3C Trace Context).
pub(crate) async fn post_once<T: DeserializeOwned>(
    url: &str,
    key: &str,
    body: &impl Serialize,
) -> Result<T, Problem> {
    let request = Request::post(url)
        .header("idempotency-key", key)
        .header(
            "traceparent",
            &format!("00-{key}-{}-00", key.get(..16).unwrap_or_default()),
        )
        .json(body)
        .map_err(unreadable)?;
    read(request.send().await.map_err(unreachable)?).await
}

/// `POST` of a JSON body whose answer is not looked at.
pub(crate) async fn post_unread(url: &str, body: &impl Serialize) -> Result<(), Problem> {
    let request = Request::post(url).json(body).map_err(unreadable)?;
    let response = request.send().await.map_err(unreachable)?;
    if response.ok() {
        Ok(())
    } else {
        Err(problem(response).await)
    }
}

/// `PATCH` with a JSON body.
pub(crate) async fn patch<T: DeserializeOwned>(
    url: &str,
    body: &impl Serialize,
) -> Result<T, Problem> {
    let request = Request::patch(url).json(body).map_err(unreadable)?;
    read(request.send().await.map_err(unreachable)?).await
}

/// `DELETE`; the answer's body is not looked at.
pub(crate) async fn delete(url: &str) -> Result<(), Problem> {
    let response = Request::delete(url).send().await.map_err(unreachable)?;
    if response.ok() {
        Ok(())
    } else {
        Err(problem(response).await)
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Problem> {
    if response.ok() {
        response.json().await.map_err(unreadable)
    } else {
        Err(problem(response).await)
    }
}

async fn problem(response: Response) -> Problem {
    let status = response.status();
    match response.json::<Problem>().await {
        Ok(problem) => problem,
        Err(_) => Problem {
            status,
            ..Problem::new(
                ProblemCode::Internal,
                format!("the server answered with HTTP status {status}"),
            )
        },
    }
}

/// Whether there was no answer at all.
pub(crate) fn is_unreachable(problem: &Problem) -> bool {
    problem.status == 0
}

fn unreachable(error: gloo_net::Error) -> Problem {
    Problem {
        title: "The server could not be reached".into(),
        status: 0,
        ..Problem::new(ProblemCode::Internal, error.to_string())
            .with_hint("Check your connection and try again.")
    }
}

fn unreadable(error: gloo_net::Error) -> Problem {
    Problem {
        title: "The server's answer could not be read".into(),
        ..Problem::new(ProblemCode::Internal, error.to_string())
            .with_hint("Reload the page and try again.")
    }
}
