//! Where pages and workers may connect to: their `Content-Security-Policy`.

use sha2::{Digest, Sha256};

use super::Assets;

/// The parameter of a worker's address that changes with the policy of scripts.
pub const TAG: &str = "policy";

/// What pages and their workers may ask for anything, beside this hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Origin of the picture store.
    pub storage_origin: String,
    /// Hosts that weights are fetched from, as sources of a policy.
    pub hosts: Vec<String>,
}

impl Connections {
    /// The policy of a page: everything from our own origin; pictures and uploads also from and to the store, weights also from the hosts.
    pub fn page(&self, nonce: Option<&str>) -> String {
        let (connect, storage_origin) = (self.connect(), &self.storage_origin);
        let nonce = nonce.map(|n| format!(" 'nonce-{n}'")).unwrap_or_default();
        format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{nonce}; style-src 'self'; worker-src 'self'; \
             img-src 'self' blob: data: {storage_origin}; {connect}; object-src 'none'; \
             base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
        )
    }

    /// The policy of a script, which binds it where it is the script of a worker: a worker that comes from the network obeys the policy of
    /// its own response, and not the page's.
    pub fn script(&self) -> String {
        format!(
            "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; {}; frame-ancestors 'none'",
            self.connect()
        )
    }

    /// 16 hex digits that change with [`Self::script`].
    pub fn tag(&self) -> String {
        hex::encode(&Sha256::digest(self.script())[..8])
    }

    /// The client files with workers of this policy. Browsers keep a script for ever with the policy that came with it, so another policy
    /// has another address.
    pub fn bind(&self, assets: &Assets) -> Assets {
        let tagged = |script: &str| format!("{script}?{TAG}={}", self.tag());
        Assets {
            worker_js: tagged(&assets.worker_js),
            cpu_worker_js: tagged(&assets.cpu_worker_js),
            ..assets.clone()
        }
    }

    fn connect(&self) -> String {
        let hosts: String = self.hosts.iter().map(|host| format!(" {host}")).collect();
        format!("connect-src 'self' {}{hosts}", self.storage_origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(hosts: &[&str]) -> Connections {
        Connections {
            storage_origin: "http://127.0.0.1:9000".to_owned(),
            hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        }
    }

    #[test]
    fn policy_names_store_and_nonce() {
        let policy = to(&[]).page(Some("abc"));
        assert!(policy.contains("connect-src 'self' http://127.0.0.1:9000;"));
        assert!(policy.contains("script-src 'self' 'wasm-unsafe-eval' 'nonce-abc';"));
        assert!(!policy.contains("unsafe-inline"));
        let policy = to(&["https://hub.example", "https://*.cdn.example"]).page(None);
        let expected =
            "connect-src 'self' http://127.0.0.1:9000 https://hub.example https://*.cdn.example;";
        assert!(policy.contains(expected), "{policy}");
        assert_eq!(policy.matches("hub.example").count(), 1);
    }

    /// What a worker may connect to is what its page may, under an address of its own.
    #[test]
    fn workers_connect_where_pages_do_and_other_hosts_have_another_address() {
        let (none, one) = (to(&[]), to(&["https://hub.example"]));
        for connections in [&none, &one] {
            let directive = |policy: String| {
                let parts = policy.split("; ").map(str::to_owned);
                parts
                    .filter(|part| part.starts_with("connect-src"))
                    .collect::<Vec<_>>()
            };
            let of_script = directive(connections.script());
            assert_eq!(of_script.len(), 1);
            assert_eq!(of_script, directive(connections.page(None)));
            assert!(!connections.script().contains("unsafe-inline"));
            assert!(!connections.script().contains("'unsafe-eval'"));
        }
        assert_ne!(none.tag(), one.tag());
        assert_eq!(one.tag(), to(&["https://hub.example"]).tag());
        let file = |name: &str| format!("/{name}-0");
        let assets = Assets {
            client_js: file("client.js"),
            client_wasm: file("client.wasm"),
            worker_js: file("worker.js"),
            worker_wasm: file("worker.wasm"),
            cpu_worker_js: file("cpu.js"),
            cpu_worker_wasm: file("cpu.wasm"),
            css: file("css"),
        };
        let bound = one.bind(&assets);
        let tag = one.tag();
        assert_eq!(bound.worker_js, format!("/worker.js-0?policy={tag}"));
        assert_eq!(bound.cpu_worker_js, format!("/cpu.js-0?policy={tag}"));
        assert_eq!(bound.client_js, assets.client_js);
        assert_eq!(bound.worker_wasm, assets.worker_wasm);
    }
}
