//! Who asks: the owner cookie and the address.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use protocol::Problem;

use super::Hub;
use super::error::internal;
use crate::images::{Client, OwnerId, new_owner};
use crate::limits::{ClientKey, Network};

/// What is known of a client.
pub struct Visitor {
    /// From its cookie.
    pub owner: Option<OwnerId>,
    address: Option<IpAddr>,
}

impl FromRequestParts<Hub> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, hub: &Hub) -> Result<Self, Infallible> {
        let connected = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = match &hub.client_address_header {
            Some(name) => forwarded(&parts.headers, name),
            None => connected.map(|connected| connected.0.ip()),
        };
        Ok(Self {
            owner: owner(&parts.headers),
            address,
        })
    }
}

impl Visitor {
    /// Whose requests this one counts with.
    pub fn key(&self) -> ClientKey {
        match (&self.owner, self.network()) {
            (Some(owner), _) => ClientKey::Owner(owner.clone()),
            (None, Some(network)) => ClientKey::Network(network),
            (None, None) => ClientKey::Unknown,
        }
    }

    /// Where it comes from, where that is known.
    pub fn network(&self) -> Option<Network> {
        self.address.map(Network::from)
    }

    /// The visitor as a client that may own pictures, and the `Set-Cookie` header that makes a new one so.
    pub fn client(self, hub: &Hub) -> Result<(Client, Option<HeaderValue>), Problem> {
        let (owner, cookie) = match self.owner {
            Some(owner) => (owner, None),
            None => {
                let secure = hub.public_url.starts_with("https://");
                let (owner, cookie) = new_owner(secure).map_err(internal)?;
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

fn owner(headers: &HeaderMap) -> Option<OwnerId> {
    let mut all = headers.get_all(header::COOKIE).iter();
    all.find_map(|cookies| OwnerId::from_cookies(cookies.to_str().ok()?))
}

/// The last address of the list is the one that the proxy in front added; those before it are anybody's claim.
fn forwarded(headers: &HeaderMap, name: &str) -> Option<IpAddr> {
    let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_proxys_own_word_counts() {
        let mut headers = HeaderMap::new();
        headers.append(
            "x-forwarded-for",
            HeaderValue::from_static("1.1.1.1, 2.2.2.2"),
        );
        headers.append(
            "x-forwarded-for",
            HeaderValue::from_static("3.3.3.3, 10.0.0.7"),
        );
        let found = forwarded(&headers, "x-forwarded-for");
        assert_eq!(found, Some(IpAddr::from([10, 0, 0, 7])));
        assert_eq!(forwarded(&headers, "x-real-ip"), None);
    }
}
