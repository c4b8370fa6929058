//! Options of where browsers fetch weights.

use std::str::FromStr;

use clap::{Args, ValueEnum};

/// Options of packages whose weights lie on the hub as well.
#[derive(Args, Clone, Debug)]
pub struct WeightsConfig {
    /// Which address of weights browsers try first, of packages that were added with `--from-hub`; what it does not give, the other one
    /// does.
    #[arg(long, env = "DEMO_HUB_WEIGHTS_FIRST", value_enum, default_value_t = WeightsFirst::Hub)]
    pub weights_first: WeightsFirst,

    /// Hosts that the hub's addresses lead on to, with commas between them: pages allow connections to the hub and to these, once a package
    /// names the hub.
    #[arg(
        long,
        env = "DEMO_HUB_WEIGHTS_HOSTS",
        value_delimiter = ',',
        default_value = "https://*.hf.co,https://*.huggingface.co"
    )]
    pub weights_hosts: Vec<HostSource>,
}

/// Which address comes first.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsFirst {
    /// The model's on the hub.
    Hub,
    /// This server's.
    Host,
}

/// A host of a Content-Security-Policy: `https://host`, `https://*.host`, either with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSource(String);

impl HostSource {
    /// As it stands in the policy.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let host = rest.map(|rest| rest.strip_prefix("*.").unwrap_or(rest));
        let sound = host.is_some_and(|host| {
            let (name, port) = host.split_once(':').unwrap_or((host, "443"));
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
            let named = !name.is_empty() && !name.starts_with('.') && name.bytes().all(plain);
            named && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{text:?} is no host such as https://*.example.org"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_host() {
        for good in [
            "https://*.hf.co",
            "https://cdn.example",
            "http://127.0.0.1:9000",
        ] {
            assert_eq!(good.parse(), Ok(HostSource(good.to_owned())));
        }
        for bad in [
            "",
            "*",
            "https:",
            "https://",
            "https://*",
            "cdn.example",
            "https://a b",
            "https://a;script-src *",
            "https://a/path",
            "https://a:0",
            "https://a:x",
            "https://*.*.a",
            "data:",
            "'unsafe-inline'",
        ] {
            assert!(bad.parse::<HostSource>().is_err(), "{bad}");
        }
    }
}
