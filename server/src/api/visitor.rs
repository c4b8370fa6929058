//! Who asks: the owner cookie and the address.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use protocol::Problem;

use super::Hub;
use super::error::internal;
use super::keys::Known;
use crate::images::{Client, OwnerId, new_owner, renewed, today};
use crate::jobs::Holder;
use crate::limits::{ApiKey, Asking, ClientKey, Network};

/// What is known of a client.
pub struct Visitor {
    /// From its API key or its cookie.
    pub owner: Option<OwnerId>,
    address: IpAddr,
    key: Option<Arc<ApiKey>>,
}

impl FromRequestParts<Hub> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Infallible> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Every listener of this program notes the peer; without one all count as a single client.
        let peer = connected.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        let key = parts.extensions.get::<Known>().map(|known| &known.0);
        Ok(Self {
            owner: key.map_or_else(|| owner(&parts.headers), |key| Some(key.owner())),
            address: hub.client_addresses.of(&parts.headers, peer),
            key: key.cloned(),
        })
    }
}

impl Visitor {
    /// Where the request came from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Where it comes from.
    pub fn network(&self) -> Network {
        self.address.into()
    }

    /// Whose requests this one counts with.
    pub fn key(&self) -> ClientKey {
        self.asking().client
    }

    /// Who asks for pictures.
    pub fn asking(&self) -> Asking {
        let client = match (&self.key, &self.owner) {
            (Some(key), _) => ClientKey::ApiKey(key.name.clone()),
            (None, Some(owner)) => ClientKey::Owner(owner.clone()),
            (None, None) => ClientKey::Network(self.network()),
        };
        Asking {
            client,
            network: self.key.is_none().then(|| self.network()),
            key: self.key.clone(),
        }
    }

    /// Whether it may follow and cancel a job: its owner may. Clients that came without a cookie, and perhaps keep none,
    /// may where they come from the same address and still have none.
    pub fn may_follow(&self, job: &Holder) -> bool {
        let same = || job.client == self.asking().client;
        match &job.owner {
            Some(owner) if self.owner.is_some() => self.owner.as_ref() == Some(owner),
            Some(_) => same(),
            None => job.client == ClientKey::Unknown || same(),
        }
    }

    /// The visitor as a client that may own pictures, and the `Set-Cookie` header that makes a new one so.
    pub fn client(self, hub: &Hub) -> Result<(Client, Option<HeaderValue>), Problem> {
        let (owner, cookie) = match self.owner {
            Some(owner) => (owner, None),
            None => {
                let (owner, cookie) = new_owner(hub.is_https()).map_err(internal)?;
                let cookie = HeaderValue::try_from(cookie).map_err(internal)?;
                (owner, Some(cookie))
            }
        };
        let client = Client {
            owner,
            address: self.address,
        };
        Ok((client, cookie))
    }
}

/// Adds the `Set-Cookie` header, if there is one to set.
pub fn set_cookie(headers: &mut HeaderMap, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
}

/// Sets the owner's cookie again where it is of yesterday or before, on what no shared cache keeps.
pub async fn renew_cookie(State(https): State<bool>, request: Request, next: Next) -> Response {
    let cookies = request.headers().get_all(header::COOKIE).iter();
    let renewed = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .find_map(|cookies| renewed(cookies, https, today()));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let caching = headers.get(header::CACHE_CONTROL);
    let shared = caching.is_some_and(|value| value.as_bytes().starts_with(b"public"));
    if let Some(cookie) = renewed.and_then(|cookie| HeaderValue::try_from(cookie).ok())
        && !shared
        && !headers.contains_key(header::SET_COOKIE)
    {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}

fn owner(headers: &HeaderMap) -> Option<OwnerId> {
    let mut all = headers.get_all(header::COOKIE).iter();
    all.find_map(|cookies| OwnerId::from_cookies(cookies.to_str().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn visitor(owner: Option<&str>, address: &str) -> Visitor {
        Visitor {
            owner: owner.map(OwnerId::of),
            address: address.parse().unwrap(),
            key: None,
        }
    }

    #[test]
    fn a_job_is_followed_by_whoever_asked_for_it() {
        let held = |owner: Option<&str>, client: ClientKey| Holder {
            owner: owner.map(OwnerId::of),
            client,
        };
        let ann = visitor(Some("ann"), "192.0.2.1");
        let bob = visitor(Some("bob"), "192.0.2.1");
        let bare = visitor(None, "192.0.2.1");
        let elsewhere = visitor(None, "192.0.2.2");
        for (job, followers) in [
            // Asked for with a cookie.
            (
                held(Some("ann"), ann.asking().client),
                [true, false, false, false],
            ),
            // The cookie came with the answer; the client may not have kept it.
            (
                held(Some("ann"), bare.asking().client),
                [true, false, true, false],
            ),
            // Of the OpenAI API.
            (
                held(None, bare.asking().client),
                [false, false, true, false],
            ),
            // Of an older version.
            (
                held(Some("ann"), ClientKey::Unknown),
                [true, false, false, false],
            ),
            (held(None, ClientKey::Unknown), [true, true, true, true]),
        ] {
            let may = [&ann, &bob, &bare, &elsewhere].map(|visitor| visitor.may_follow(&job));
            assert_eq!(may, followers, "{job:?}");
        }
    }
}
