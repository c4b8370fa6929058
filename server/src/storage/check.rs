//! Whether a bucket is fit for the hub.

use std::time::Duration;

use super::{Audience, ObjectClaim, PROBE_PREFIX, Result, StorageError, Store, setup, unavailable};

/// How a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The hub copes with it.
    Note,
    /// Pictures cannot be stored, or not from browsers.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it matters.
    pub verdict: Verdict,
    /// A sentence.
    pub detail: String,
}

impl Finding {
    fn new(what: &'static str, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            what,
            verdict,
            detail: detail.into(),
        }
    }
}

/// Tries everything that the hub needs of a store. `origin`: where the pages come from.
pub async fn inspect(store: &Store, origin: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bucket = store.check().await;
    let usable = bucket.is_ok();
    findings.push(finding("bucket", bucket.map(|()| "it is there")));
    if !usable {
        return findings;
    }
    findings.push(finding(
        "objects",
        objects(store)
            .await
            .map(|()| "they are written, read, listed and deleted"),
    ));
    findings.extend(enforced(store).await);
    findings.push(match preflight(store, origin).await {
        Ok(None) => Finding::new(
            "cross-origin uploads",
            Verdict::Good,
            format!("allowed from {origin}"),
        ),
        Ok(Some(why)) => Finding::new(
            "cross-origin uploads",
            Verdict::Bad,
            format!("{why}; `demo-hub storage setup` sets the rule"),
        ),
        Err(error) => Finding::new("cross-origin uploads", Verdict::Bad, error.to_string()),
    });
    findings.push(match setup::unexpiring(store).await {
        Ok(Some(missing)) if missing.is_empty() => {
            Finding::new("lifecycle", Verdict::Good, "unfinished uploads expire")
        }
        Ok(Some(missing)) => Finding::new(
            "lifecycle",
            Verdict::Note,
            format!(
                "no rule for {}: only the hub's hourly sweep removes them; `demo-hub storage setup` sets one",
                missing.join(", ")
            ),
        ),
        Ok(None) => Finding::new(
            "lifecycle",
            Verdict::Note,
            "the store has no such rules: only the hub's hourly sweep removes unfinished uploads",
        ),
        Err(error) => Finding::new("lifecycle", Verdict::Note, error.to_string()),
    });
    findings
}

fn finding(what: &'static str, result: Result<&'static str>) -> Finding {
    match result {
        Ok(detail) => Finding::new(what, Verdict::Good, detail),
        Err(error) => Finding::new(what, Verdict::Bad, error.to_string()),
    }
}

async fn objects(store: &Store) -> Result<()> {
    let name = crate::random::bytes::<12>().map_err(|e| unavailable("check", e))?;
    let key = format!("{PROBE_PREFIX}{}", hex::encode(name));
    store.put_json(&key, b"{}".to_vec()).await?;
    if store.get(&key, 2).await? != b"{}" {
        return Err(unavailable("GetObject", "other bytes than were written"));
    }
    let (before, _) = store.list(&key, None, 2).await?;
    let (after, _) = store.list(PROBE_PREFIX, Some(key.clone()), 1000).await?;
    if before != [key.clone()] || after.contains(&key) {
        return Err(unavailable(
            "ListObjectsV2",
            "prefix or start-after is not obeyed",
        ));
    }
    store.delete(&key).await?;
    match store.get(&key, 2).await {
        Err(StorageError::NotFound(_)) => Ok(()),
        _ => Err(unavailable("DeleteObject", "the object is still there")),
    }
}

async fn enforced(store: &Store) -> Vec<Finding> {
    let support = match store.support().await {
        Ok(support) => support,
        Err(error) => {
            return vec![Finding::new(
                "presigned uploads",
                Verdict::Bad,
                error.to_string(),
            )];
        }
    };
    let say = |what, holds: bool, good: &str, otherwise: &str| {
        let verdict = if holds { Verdict::Good } else { Verdict::Note };
        Finding::new(what, verdict, if holds { good } else { otherwise })
    };
    vec![
        say(
            "signatures",
            support.signature,
            "a forged one is refused",
            "they are not checked: anybody who reaches the store can write to it",
        ),
        say(
            "checksums",
            support.checksum,
            "another body than announced is refused",
            "they are not checked: uploads go to a place of their own until the hub has checked them",
        ),
        say(
            "conditional writes",
            support.conditional_put,
            "an object is not replaced",
            "not enforced: a second upload to one address replaces the first",
        ),
        say(
            "changes of records",
            support.absent && support.unchanged,
            "a change made in between is noticed (If-Match, If-None-Match)",
            "a change made in between is noticed by one process alone: let no second one write to the bucket",
        ),
    ]
}

/// What keeps a page of `origin` from uploading, as a browser's preflight request finds it.
async fn preflight(store: &Store, origin: &str) -> Result<Option<String>> {
    let claim = ObjectClaim {
        key: &format!("{PROBE_PREFIX}preflight"),
        bytes: 1,
        content_type: protocol::PNG_MIME,
        sha256: [0; 32],
        only_new: true,
    };
    let presigned = store
        .presign_put(&claim, Audience::Public, Duration::from_secs(60))
        .await?;
    let names: Vec<&str> = presigned
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let answer = store
        .http()
        .request(reqwest::Method::OPTIONS, &presigned.url)
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", names.join(","))
        .send()
        .await
        .map_err(|e| unavailable("preflight", e.without_url()))?;
    if !answer.status().is_success() {
        return Ok(Some(format!(
            "a preflight request gives {}",
            answer.status()
        )));
    }
    let header = |name: &str| {
        let value = answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_ascii_lowercase()
    };
    let lists = |list: &str, item: &str| {
        list.split(',')
            .any(|listed| [item, "*"].contains(&listed.trim()))
    };
    if !lists(
        &header("access-control-allow-origin"),
        &origin.to_ascii_lowercase(),
    ) {
        return Ok(Some(format!("pages from {origin} are not allowed")));
    }
    if !lists(&header("access-control-allow-methods"), "put") {
        return Ok(Some("PUT is not allowed".to_owned()));
    }
    let allowed = header("access-control-allow-headers");
    let refused = names.iter().find(|name| !lists(&allowed, name));
    Ok(refused.map(|name| format!("the header {name} is not allowed")))
}
