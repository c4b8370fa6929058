//! By which names the hub may be asked. A page of another site can have its own name resolve to this machine (DNS
//! rebinding) and would then be of the hub's origin to a browser; the name in `Host` stays that site's.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use protocol::{Problem, ProblemCode};

use crate::api::ApiError;

/// Ends of names that no site of the internet has (RFC 6762, RFC 8375, ICANN's resolution on `.internal`).
const PRIVATE: [&str; 4] = [".local", ".internal", ".home.arpa", ".lan"];
/// What supervisors ask, by whatever name they reach the process.
const FOR_SUPERVISORS: [&str; 2] = ["/healthz", "/readyz"];

/// The names that are accepted.
#[derive(Clone, Debug)]
pub struct Hosts(Arc<Rule>);

#[derive(Debug)]
enum Rule {
    /// Nobody said by which name the hub is reached, and it listens to the network.
    Any,
    /// This machine's own names and these.
    OnThisMachine(Vec<String>),
    /// These, addresses, and names that only a private network has.
    Known(Vec<String>),
}

impl Hosts {
    /// Of a hub at `public_url`, if that is known, which listens on `listen`; `further` names come on top.
    ///
    /// # Errors
    /// A sentence if the URL is none.
    pub fn new(
        public_url: Option<&str>,
        listen: IpAddr,
        further: &[String],
    ) -> anyhow::Result<Self> {
        let mut names: Vec<String> = Vec::new();
        for name in further.iter().filter(|name| !name.trim().is_empty()) {
            let host = host_of(name.trim());
            names.push(host.ok_or_else(|| anyhow::anyhow!("--hosts: {name:?} is no host name"))?);
        }
        let nothing_said = names.is_empty();
        let public = public_url.map(|url| {
            let uri: Option<Uri> = url.parse().ok();
            uri.and_then(|uri| host_of(uri.authority()?.as_str()))
                .ok_or_else(|| anyhow::anyhow!("--public-url: {url:?} names no host"))
        });
        names.extend(public.transpose()?);
        Ok(Self(Arc::new(match public_url {
            Some(_) => Rule::Known(names),
            None if listen.is_loopback() => Rule::OnThisMachine(names),
            None if nothing_said => Rule::Any,
            None => Rule::Known(names),
        })))
    }

    /// Whether every name is accepted.
    pub fn is_open(&self) -> bool {
        matches!(*self.0, Rule::Any)
    }

    fn accepts(&self, host: &str) -> bool {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let own = match address {
            Some(address) => address.to_canonical().is_loopback(),
            None => host == "localhost" || host.ends_with(".localhost"),
        };
        let named = |names: &[String]| names.iter().any(|name| name == host);
        own || match &*self.0 {
            Rule::Any => true,
            Rule::OnThisMachine(names) => named(names),
            Rule::Known(names) => {
                let private = !host.contains('.') || PRIVATE.iter().any(|end| host.ends_with(end));
                address.is_some() || private || named(names)
            }
        }
    }
}

/// The host of `host:port` in lower case, without the root's dot.
fn host_of(authority: &str) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host();
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// What a request calls the hub: an absolute address wins over the header (RFC 9112, 3.2.2).
fn asked(uri: &Uri, headers: &HeaderMap) -> Result<Option<String>, ()> {
    if let Some(authority) = uri.authority() {
        return host_of(authority.as_str()).map(Some).ok_or(());
    }
    let mut values = headers.get_all(header::HOST).iter();
    let Some(value) = values.next() else {
        // A program that speaks HTTP/1.0; others always say, see `serving`.
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(());
    }
    let text = value.to_str().map_err(|_| ())?;
    host_of(text).map(Some).ok_or(())
}

/// Refuses requests for other names.
pub async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    if FOR_SUPERVISORS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let detail = match asked(request.uri(), request.headers()) {
        Ok(None) => return next.run(request).await,
        Ok(Some(host)) if hosts.accepts(&host) => return next.run(request).await,
        Ok(Some(host)) => {
            let host: String = host.chars().take(80).collect();
            tracing::warn!(%host, "a request for another name; --hosts takes further ones");
            format!("this hub is not known as {host}")
        }
        Err(()) => "the request does not name one host".to_owned(),
    };
    ApiError(
        Problem::new(ProblemCode::MisdirectedRequest, detail).with_hint(
            "Use the hub's own address; whoever runs it can add names with DEMO_HUB_HOSTS.",
        ),
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn accepted(public_url: Option<&str>, listen: &str, further: &[&str], host: &str) -> bool {
        let further: Vec<String> = further.iter().map(|name| (*name).to_owned()).collect();
        let hosts = Hosts::new(public_url, listen.parse().unwrap(), &further).unwrap();
        host_of(host).is_some_and(|host| hosts.accepts(&host))
    }

    #[test]
    fn a_hub_on_a_laptop_is_only_there_for_the_laptop() {
        let on_loopback = |host: &str| accepted(None, "127.0.0.1", &[], host);
        for host in [
            "localhost:3000",
            "LOCALHOST",
            "hub.localhost",
            "localhost.",
            "127.0.0.1:3000",
            "127.8.0.1",
            "[::1]:3000",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(on_loopback(host), "{host}");
        }
        for host in [
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "notlocalhost",
            "192.168.1.7",
            "a@localhost",
            "",
            "[::1",
        ] {
            assert!(!on_loopback(host), "{host}");
        }
        assert!(accepted(None, "::1", &["hub.example"], "hub.example:80"));
    }

    #[test]
    fn a_hub_with_a_name_takes_it_addresses_and_private_names() {
        for (host, expected) in [
            ("hub.example", true),
            ("HUB.example:443", true),
            ("mirror.example", true),
            ("app:3000", true),
            ("lab-7.local", true),
            ("10.0.0.7:3000", true),
            ("[2001:db8::1]", true),
            ("localhost", true),
            ("evil.example", false),
            ("hub.example.evil.example", false),
            ("evilhub.example", false),
        ] {
            let further = ["mirror.example:8443"];
            let url = Some("https://hub.example/");
            assert_eq!(accepted(url, "0.0.0.0", &further, host), expected, "{host}");
        }
    }

    #[test]
    fn a_lab_host_whose_name_nobody_gave_is_reached_by_any() {
        assert!(accepted(None, "0.0.0.0", &[], "lab.university.example"));
        assert!(!accepted(None, "0.0.0.0", &["lab.example"], "evil.example"));
        let mistaken = Hosts::new(Some("hub.example/x y"), [0, 0, 0, 0].into(), &[]);
        assert!(mistaken.is_err());
    }
}
