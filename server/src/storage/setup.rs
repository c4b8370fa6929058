//! Making a bucket ready: cross-origin uploads, and expiry of what was never committed.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, CorsConfiguration, CorsRule,
    ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};

use super::{Result, Store, failed, unavailable};

/// Names of the hub's own rules begin with this; others are left alone.
const OWN: &str = "demo-hub-";
/// Prefixes of objects that are only needed for a while, and the days that they are kept. The sweep of the hub is
/// quicker; the rules are for the time when no hub runs.
const EXPIRING: [(&str, i32); 4] = [
    ("pending/", 2),
    ("incoming/", 2),
    ("removing/", 2),
    ("probe/", 2),
];
/// Headers that browsers send with a presigned PUT.
const UPLOAD_HEADERS: [&str; 3] = ["content-type", "if-none-match", "x-amz-checksum-sha256"];

/// What became of one part of the set-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// It is as it should be now.
    Done,
    /// It was so before.
    AlreadyThere,
    /// The store does not know it.
    Unsupported,
}

/// What the set-up did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The bucket.
    pub bucket: Part,
    /// Uploads from pages of the hub's origin.
    pub cors: Part,
    /// Expiry of unfinished uploads.
    pub lifecycle: Part,
}

/// Creates the bucket where it is missing, and sets the hub's CORS and lifecycle rules. `origin`: where the pages
/// come from, or `*`.
///
/// # Errors
/// [`super::StorageError::Unavailable`] for refusals other than "not supported".
pub async fn prepare(store: &Store, origin: &str) -> Result<Prepared> {
    Ok(Prepared {
        bucket: bucket(store).await?,
        cors: cors(store, origin).await?,
        lifecycle: lifecycle(store).await?,
    })
}

async fn bucket(store: &Store) -> Result<Part> {
    let head = store.internal.head_bucket().bucket(&store.bucket).send();
    match head.await {
        Ok(_) => return Ok(Part::AlreadyThere),
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(failed("HeadBucket", &error)),
    }
    let create = store.internal.create_bucket().bucket(&store.bucket);
    create
        .send()
        .await
        .map_err(|e| failed("CreateBucket", &e))?;
    Ok(Part::Done)
}

fn is_missing(error: &SdkError<HeadBucketError, aws_sdk_s3::config::http::HttpResponse>) -> bool {
    error
        .raw_response()
        .is_some_and(|r| r.status().as_u16() == 404)
}

async fn cors(store: &Store, origin: &str) -> Result<Part> {
    let known = store.internal.get_bucket_cors().bucket(&store.bucket);
    let mut rules = match known.send().await {
        Ok(known) => known.cors_rules.unwrap_or_default(),
        Err(error) if error.code() == Some("NoSuchCORSConfiguration") => Vec::new(),
        Err(error) if is_unsupported(&error) => return Ok(Part::Unsupported),
        Err(error) => return Err(failed("GetBucketCors", &error)),
    };
    rules.retain(|rule| !is_own(rule.id()));
    let mut rule = CorsRule::builder()
        .id(format!("{OWN}pages"))
        .allowed_origins(origin)
        .expose_headers("etag")
        .max_age_seconds(3600);
    for method in ["PUT", "GET", "HEAD"] {
        rule = rule.allowed_methods(method);
    }
    for header in UPLOAD_HEADERS {
        rule = rule.allowed_headers(header);
    }
    rules.push(rule.build().map_err(|e| unavailable("PutBucketCors", e))?);
    let configuration = CorsConfiguration::builder()
        .set_cors_rules(Some(rules))
        .build();
    let configuration = configuration.map_err(|e| unavailable("PutBucketCors", e))?;
    let put = store
        .internal
        .put_bucket_cors()
        .bucket(&store.bucket)
        .cors_configuration(configuration);
    done("PutBucketCors", put.send().await)
}

async fn lifecycle(store: &Store) -> Result<Part> {
    let mut rules = match rules(store).await? {
        Some(rules) => rules,
        None => return Ok(Part::Unsupported),
    };
    rules.retain(|rule| !is_own(rule.id()));
    for (prefix, days) in EXPIRING {
        let rule = LifecycleRule::builder()
            .id(format!("{OWN}{}", prefix.trim_end_matches('/')))
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
            .expiration(LifecycleExpiration::builder().days(days).build())
            .build();
        rules.push(rule.map_err(|e| unavailable("PutBucketLifecycleConfiguration", e))?);
    }
    let multipart = AbortIncompleteMultipartUpload::builder().days_after_initiation(2);
    let rule = LifecycleRule::builder()
        .id(format!("{OWN}multipart"))
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(multipart.build())
        .build();
    rules.push(rule.map_err(|e| unavailable("PutBucketLifecycleConfiguration", e))?);
    let configuration = BucketLifecycleConfiguration::builder()
        .set_rules(Some(rules))
        .build()
        .map_err(|e| unavailable("PutBucketLifecycleConfiguration", e))?;
    let put = store
        .internal
        .put_bucket_lifecycle_configuration()
        .bucket(&store.bucket)
        .lifecycle_configuration(configuration);
    done("PutBucketLifecycleConfiguration", put.send().await)
}

/// The bucket's lifecycle rules; `None` where the store has no such thing.
async fn rules(store: &Store) -> Result<Option<Vec<LifecycleRule>>> {
    let get = store
        .internal
        .get_bucket_lifecycle_configuration()
        .bucket(&store.bucket);
    match get.send().await {
        Ok(known) => Ok(Some(known.rules.unwrap_or_default())),
        Err(error) if error.code() == Some("NoSuchLifecycleConfiguration") => Ok(Some(Vec::new())),
        Err(error) if is_unsupported(&error) => Ok(None),
        Err(error) => Err(failed("GetBucketLifecycleConfiguration", &error)),
    }
}

/// Prefixes that no enabled rule expires; `None` where the store has no lifecycle rules.
pub(super) async fn unexpiring(store: &Store) -> Result<Option<Vec<&'static str>>> {
    let Some(rules) = rules(store).await? else {
        return Ok(None);
    };
    let covers = |rule: &LifecycleRule, prefix: &str| {
        let filter = rule.filter().and_then(|filter| filter.prefix());
        *rule.status() == ExpirationStatus::Enabled
            && rule.expiration().and_then(|e| e.days()).is_some()
            && filter.is_some_and(|covered| !covered.is_empty() && prefix.starts_with(covered))
    };
    let missing = EXPIRING.iter().map(|(prefix, _)| *prefix);
    Ok(Some(
        missing
            .filter(|prefix| !rules.iter().any(|r| covers(r, prefix)))
            .collect(),
    ))
}

fn is_own(id: Option<&str>) -> bool {
    id.is_some_and(|id| id.starts_with(OWN))
}

fn is_unsupported<E: ProvideErrorMetadata>(
    error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> bool {
    let status = error.raw_response().map(|r| r.status().as_u16());
    matches!(status, Some(405 | 501)) || error.code() == Some("NotImplemented")
}

fn done<T, E: ProvideErrorMetadata>(
    operation: &'static str,
    answer: std::result::Result<T, SdkError<E, aws_sdk_s3::config::http::HttpResponse>>,
) -> Result<Part> {
    match answer {
        Ok(_) => Ok(Part::Done),
        Err(error) if is_unsupported(&error) => Ok(Part::Unsupported),
        Err(error) => Err(failed(operation, &error)),
    }
}
