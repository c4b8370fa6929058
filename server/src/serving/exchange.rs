//! Requests and answers between a connection and the router.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use bytes::Bytes;
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use tower::{Service, ServiceExt};

use super::answer::{Answer, InHand};
use super::body::{Leftover, RequestBody, Rest};
use super::limits::Limits;
use super::vitals::Vitals;

/// Largest rest of a body that is read so that the connection can be used again, in bytes.
const SMALL_REST: u64 = 64 << 10;
/// Longest wait for it.
const REST_TIME: Duration = Duration::from_secs(5);

/// The service of one connection.
#[derive(Clone)]
pub struct Exchange {
    router: Router,
    peer: SocketAddr,
    limits: Limits,
    vitals: Arc<Vitals>,
}

impl Exchange {
    /// Of a connection from `peer`.
    pub fn new(router: Router, peer: SocketAddr, limits: Limits, vitals: Arc<Vitals>) -> Self {
        Self {
            router,
            peer,
            limits,
            vitals,
        }
    }
}

impl<B> Service<Request<B>> for Exchange
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let multiplexed = request.version() == Version::HTTP_2;
        let expects = request.headers().contains_key(header::EXPECT);
        let in_hand = InHand::begin(&self.vitals, multiplexed);
        let (parts, body) = request.into_parts();
        let names_host = parts.version != Version::HTTP_11 || names_one_host(&parts.headers);
        let (body, rest) = RequestBody::new(body, self.limits.body);
        let mut request = Request::from_parts(parts, Body::new(body));
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let (router, vitals) = (self.router.clone(), Arc::clone(&self.vitals));
        Box::pin(async move {
            let mut response = if names_host {
                router.oneshot(request).await?
            } else {
                without_host()
            };
            if !multiplexed {
                settle(&rest, expects, &mut response, &vitals);
            }
            Ok(response.map(|body| Answer::new(body, in_hand)))
        })
    }
}

/// Whether the headers name the host that is asked, once and as a name that can be one; RFC 9112, 3.2.
fn names_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    // An address without a host is asked for with an empty one.
    let host = host.as_bytes();
    host.is_empty() || (Authority::try_from(host).is_ok() && !host.contains(&b'@'))
}

fn without_host() -> Response<Body> {
    let mut response = Response::new(Body::from("the request does not name one host\n"));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// Sees to what a handler left of the body, so that the client gets the answer although it may still be writing.
fn settle<B>(rest: &Rest<B>, expects: bool, response: &mut Response<Body>, vitals: &Vitals)
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
{
    match rest.take() {
        Leftover::Taken | Leftover::Nothing => return,
        Leftover::Rest(mut body) => {
            let small = body.size_hint().upper().is_some_and(|n| n <= SMALL_REST);
            if small && !expects {
                tokio::spawn(tokio::time::timeout(REST_TIME, async move {
                    while let Some(Ok(_)) = body.frame().await {}
                }));
                return;
            }
        }
        Leftover::Late => {}
    }
    vitals.left_unread();
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}
