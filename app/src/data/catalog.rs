//! The catalogue's filters as they stand in addresses.

use protocol::{LicenseUse, ModelQuery, RunsOn};

use crate::format::encode;

/// Largest sizes to choose from, in bytes.
pub const SIZES: [(u64, &str); 4] = [
    (100_000_000, "Up to 100 MB"),
    (1_000_000_000, "Up to 1 GB"),
    (5_000_000_000, "Up to 5 GB"),
    (20_000_000_000, "Up to 20 GB"),
];

/// What licences are to permit, by the address's value.
pub const PERMITS: [(LicenseUse, &str, &str); 3] = [
    (LicenseUse::Any, "any", "Any use"),
    (
        LicenseUse::Restricted,
        "restricted",
        "Commercial, with limits",
    ),
    (
        LicenseUse::NonCommercial,
        "non_commercial",
        "Non-commercial or more",
    ),
];

/// Places to run, by the address's value.
pub const RUNS: [(RunsOn, &str, &str); 2] = [
    (RunsOn::Browser, "browser", "In my browser"),
    (RunsOn::Server, "server", "On this server"),
];

/// The filters of a page's query, `get` giving the value of a parameter; what is not understood narrows nothing.
pub fn from_query(get: impl Fn(&str) -> Option<String>) -> ModelQuery {
    let text = |name: &str| {
        get(name)
            .map(|v| v.trim().to_owned())
            .filter(|v| !v.is_empty())
    };
    ModelQuery {
        q: text("q").map(|q| q.chars().take(100).collect()),
        owner: text("owner"),
        runs: text("runs").and_then(|v| RUNS.into_iter().find(|r| r.1 == v).map(|r| r.0)),
        license: text("license"),
        permits: text("permits").and_then(|v| PERMITS.into_iter().find(|p| p.1 == v).map(|p| p.0)),
        max_bytes: text("max_bytes").and_then(|v| v.parse().ok()),
        max_buffer_size: None,
        limit: None,
        cursor: text("cursor"),
    }
}

/// The query string of these filters, without the question mark; the same for pages and for the API.
pub fn to_query(query: &ModelQuery) -> String {
    let runs = query
        .runs
        .and_then(|v| RUNS.into_iter().find(|r| r.0 == v).map(|r| r.1.to_owned()));
    let permits = query.permits.and_then(|v| {
        PERMITS
            .into_iter()
            .find(|p| p.0 == v)
            .map(|p| p.1.to_owned())
    });
    [
        ("q", query.q.clone()),
        ("owner", query.owner.clone()),
        ("runs", runs),
        ("license", query.license.clone()),
        ("permits", permits),
        ("max_bytes", query.max_bytes.map(|v| v.to_string())),
        (
            "max_buffer_size",
            query.max_buffer_size.map(|v| v.to_string()),
        ),
        ("limit", query.limit.map(|v| v.to_string())),
        ("cursor", query.cursor.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{name}={}", encode(&value?))))
    .collect::<Vec<_>>()
    .join("&")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::link::tests::query;

    #[test]
    fn filters_survive_the_address() {
        let pairs = [
            ("q", "stable <diffusion>"),
            ("runs", "browser"),
            ("permits", "restricted"),
            ("max_bytes", "1000000000"),
            ("cursor", "a/b="),
        ];
        let filters = from_query(query(&pairs));
        assert_eq!(filters.runs, Some(RunsOn::Browser));
        assert_eq!(filters.permits, Some(LicenseUse::Restricted));
        assert_eq!(
            to_query(&filters),
            "q=stable%20%3Cdiffusion%3E&runs=browser&permits=restricted&max_bytes=1000000000&cursor=a%2Fb%3D"
        );
    }

    #[test]
    fn nonsense_narrows_nothing() {
        let pairs = [
            ("q", "  "),
            ("runs", "moon"),
            ("permits", "'"),
            ("max_bytes", "-1"),
        ];
        assert_eq!(from_query(query(&pairs)), ModelQuery::default());
        assert_eq!(to_query(&ModelQuery::default()), "");
    }

    #[test]
    fn long_searches_are_cut() {
        let long = "é".repeat(500);
        let filters = from_query(query(&[("q", &long)]));
        assert_eq!(filters.q.map(|q| q.chars().count()), Some(100));
    }

    /// The names are those that the API reads.
    #[test]
    fn values_are_those_of_the_protocol() {
        for (value, name, _) in RUNS {
            assert_eq!(serde_json::to_value(value).ok(), Some(name.into()));
        }
        for (value, name, _) in PERMITS {
            assert_eq!(serde_json::to_value(value).ok(), Some(name.into()));
        }
    }
}
