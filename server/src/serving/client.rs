//! A client's address: the peer's, or what the proxies in front say.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU8;

use axum::http::{HeaderMap, HeaderName, header};

/// How clients' addresses are told.
#[derive(Clone, Debug)]
pub struct ClientAddresses {
    header: Option<HeaderName>,
    hops: NonZeroU8,
}

impl ClientAddresses {
    /// `header`: the one in which `hops` proxies each name whom they were asked by; absent: clients connect directly.
    /// `forwarded` is read as RFC 7239 has it, every other as a list of addresses.
    pub fn new(header: Option<HeaderName>, hops: NonZeroU8) -> Self {
        Self { header, hops }
    }

    /// The client's address. Of the list, the entry counts that the outermost of the trusted proxies added: those before
    /// it are anybody's claim. Where that entry is missing or is no address, the client is whoever connected.
    pub fn of(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let told = self.header.as_ref().and_then(|name| {
            let values: Vec<_> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            let list = values.join(",");
            let structured = *name == header::FORWARDED;
            let entries = if structured {
                split(&list, ',')
            } else {
                list.split(',').collect()
            };
            let at = entries.len().checked_sub(self.hops.get().into())?;
            let entry = entries.get(at)?;
            node(if structured {
                forwarded_for(entry)?
            } else {
                entry
            })
        });
        told.unwrap_or(peer).to_canonical()
    }
}

/// The parts of a list, without the separators within quotes (RFC 9110, 5.6.4).
fn split(list: &str, separator: char) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(|c| {
        if escaped {
            escaped = false;
            return false;
        }
        match c {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == separator && !quoted,
        }
        false
    })
    .map(str::trim)
    .collect()
}

/// The value of `for` in an element of `Forwarded` (RFC 7239, 4).
fn forwarded_for(element: &str) -> Option<&str> {
    split(element, ';').into_iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.trim())
    })
}

/// The address of a node (RFC 7239, 6): with or without port, brackets and quotes. `unknown` and names that hide an
/// address have none.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
        .trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_follows = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_follows
            .then(|| address.parse::<Ipv6Addr>().ok())?
            .map(IpAddr::V6);
    }
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let (address, port) = text.split_once(':')?;
    is_port(port).then(|| address.parse().ok())?.map(IpAddr::V4)
}

/// A port, or a name that hides one.
fn is_port(text: &str) -> bool {
    let hidden = text.strip_prefix('_').is_some_and(|name| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    hidden || (text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::http::HeaderValue;

    const PEER: &str = "198.51.100.7";

    fn told(name: &'static str, hops: u8, values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let addresses = ClientAddresses::new(
            Some(HeaderName::from_static(name)),
            NonZeroU8::new(hops).unwrap(),
        );
        addresses.of(&headers, PEER.parse().unwrap()).to_string()
    }

    #[test]
    fn only_the_proxys_own_word_counts() {
        let list = ["1.1.1.1, 2.2.2.2", "3.3.3.3, 10.0.0.7"];
        for (hops, expected) in [(1, "10.0.0.7"), (2, "3.3.3.3"), (4, "1.1.1.1"), (5, PEER)] {
            assert_eq!(told("x-forwarded-for", hops, &list), expected, "{hops}");
        }
        let direct = ClientAddresses::new(None, NonZeroU8::MIN);
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        let peer: IpAddr = PEER.parse().unwrap();
        assert_eq!(direct.of(&headers, peer), peer);
    }

    /// Forms that proxies write: Azure adds ports, RFC 7239 brackets and hidden names.
    #[test]
    fn an_address_is_read_in_every_form_and_nothing_else_is_one() {
        for (value, expected) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9 ", "203.0.113.9"),
            ("203.0.113.9:4711", "203.0.113.9"),
            ("203.0.113.9:_port", "203.0.113.9"),
            ("\"203.0.113.9:4711\"", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("[::ffff:203.0.113.9]:80", "203.0.113.9"),
            ("unknown", PEER),
            ("_hidden", PEER),
            ("", PEER),
            ("203.0.113.9,", PEER),
            ("203.0.113.9:99999", PEER),
            ("203.0.113.9:x", PEER),
            ("203.0.113", PEER),
            ("[203.0.113.9]:1", PEER),
            ("[2001:db8::1", PEER),
            ("[2001:db8::1]x", PEER),
            ("fe80::1%eth0", PEER),
            ("proxy.example", PEER),
            ("é", PEER),
            ("é, 203.0.113.9", "203.0.113.9"),
            ("\", 203.0.113.9", "203.0.113.9"),
        ] {
            assert_eq!(told("x-forwarded-for", 1, &[value]), expected, "{value}");
        }
        assert_eq!(told("x-forwarded-for", 1, &[]), PEER);
        assert_eq!(told("x-forwarded-for", 1, &["1.1.1.1", "unknown"]), PEER);
    }

    /// Examples of RFC 7239, 4 and 6, and what could trick a reader of them.
    #[test]
    fn forwarded_is_read_as_its_rfc_has_it() {
        for (value, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("by=203.0.113.43;FOR = 192.0.2.60", "192.0.2.60"),
            ("for=\"_mdn\"", PEER),
            ("for=unknown", PEER),
            ("proto=https", PEER),
            ("192.0.2.60", PEER),
            ("for=192.0.2.1;host=\"a, for=192.0.2.2\"", "192.0.2.1"),
            ("for=192.0.2.1;host=\"a\\\", for=192.0.2.2\"", "192.0.2.1"),
        ] {
            assert_eq!(told("forwarded", 1, &[value]), expected, "{value}");
        }
        let two = ["for=192.0.2.43", "for=\"198.51.100.17:80\";by=_x"];
        assert_eq!(told("forwarded", 2, &two), "192.0.2.43");
    }
}
