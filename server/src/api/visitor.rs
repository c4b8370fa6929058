//! Who asks: the owner cookie and the address.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use protocol::Problem;

use super::Hub;
use super::error::internal;
use crate::images::{Client, OwnerId, new_owner, renewed, today};
use crate::limits::{ClientKey, Network};

/// What is known of a client.
pub struct Visitor {
    /// From its cookie.
    pub owner: Option<OwnerId>,
    address: IpAddr,
}

impl FromRequestParts<Hub> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Infallible> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Every listener of this program notes the peer; without one all count as a single client.
        let peer = connected.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
        Ok(Self {
            owner: owner(&parts.headers),
            address: hub.client_addresses.of(&parts.headers, peer),
        })
    }
}

impl Visitor {
    /// Where the request came from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whose requests this one counts with.
    pub fn key(&self) -> ClientKey {
        match &self.owner {
            Some(owner) => ClientKey::Owner(owner.clone()),
            None => ClientKey::Network(self.network()),
        }
    }

    /// Where it comes from.
    pub fn network(&self) -> Network {
        self.address.into()
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
