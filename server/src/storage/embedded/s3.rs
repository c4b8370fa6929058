//! The S3 operations that the hub and tools for backups use, on one bucket.

#[macro_use]
mod answers;
mod conditions;
mod lists;

use std::time::SystemTime;

use s3s::dto::{
    Bucket, Checksum, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput,
    DeleteObjectsOutput, DeletedObject, ETagCondition, Error, GetBucketLocationInput,
    GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput,
    HeadObjectInput, HeadObjectOutput, ListBucketsInput, ListBucketsOutput, ListObjectsInput,
    ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, PutObjectInput, PutObjectOutput,
    StreamingBlob,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use self::answers::{e_tag, length};
use super::BUCKET;
use super::entry::Headers;
use super::error::{Failure, Mismatch};
use super::incoming::Announced;
use super::list::Query;
use super::objects::Objects;
use super::writer::Conditions;

/// Most keys of one list, and of one deletion.
const MAX_KEYS: usize = 1000;
/// Seconds after which a sender to a full disk may try again.
const FULL_RETRY_SECONDS: u16 = 60;

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    pub objects: Objects,
}

impl From<Failure> for S3Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Precondition => s3_error!(PreconditionFailed),
            Failure::Missing => s3_error!(NoSuchKey),
            Failure::Mismatch(Mismatch::TooLarge) => s3_error!(EntityTooLarge),
            Failure::Mismatch(Mismatch::Length) => s3_error!(IncompleteBody),
            Failure::Mismatch(mismatch @ Mismatch::Checksum) => {
                Self::with_message(S3ErrorCode::BadDigest, mismatch.to_string())
            }
            Failure::Mismatch(mismatch @ Mismatch::MalformedChecksum) => {
                Self::with_message(S3ErrorCode::InvalidDigest, mismatch.to_string())
            }
            Failure::Full => {
                tracing::warn!("an object was refused: the disk of the picture store is full");
                let mut error = Self::with_message(
                    S3ErrorCode::Custom("StorageFull".into()),
                    "the disk of this store is full",
                );
                error.set_status_code(http::StatusCode::INSUFFICIENT_STORAGE);
                let retry = http::HeaderValue::from(FULL_RETRY_SECONDS);
                error.set_headers([(http::header::RETRY_AFTER, retry)].into_iter().collect());
                error
            }
            Failure::Broken(reason) => {
                tracing::error!(reason, "the picture store failed");
                s3_error!(ServiceUnavailable, "the store's disk failed")
            }
        }
    }
}

fn check_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET {
        return Ok(());
    }
    Err(s3_error!(NoSuchBucket))
}

fn trailing(headers: Option<TrailingHeaders>) -> Checksum {
    let Some(headers) = headers.and_then(|headers| headers.take()) else {
        return Checksum::default();
    };
    let text = |name: &str| {
        let value = headers.get(format!("x-amz-checksum-{name}"))?;
        value.to_str().ok().map(str::to_owned)
    };
    Checksum {
        checksum_crc32: text("crc32"),
        checksum_crc32c: text("crc32c"),
        checksum_crc64nvme: text("crc64nvme"),
        checksum_sha1: text("sha1"),
        checksum_sha256: text("sha256"),
        ..Checksum::default()
    }
}

/// Keys go into XML, which has no place for control characters.
fn check_key(key: &str) -> S3Result<()> {
    if key.chars().any(char::is_control) {
        return Err(s3_error!(
            InvalidArgument,
            "keys have no control characters here"
        ));
    }
    Ok(())
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        check_key(&input.key)?;
        let announced = Announced {
            bytes: input.content_length.and_then(|n| u64::try_from(n).ok()),
            md5: input.content_md5,
            checksums: Checksum {
                checksum_crc32: input.checksum_crc32,
                checksum_crc32c: input.checksum_crc32c,
                checksum_crc64nvme: input.checksum_crc64nvme,
                checksum_sha1: input.checksum_sha1,
                checksum_sha256: input.checksum_sha256,
                ..Checksum::default()
            },
        };
        let headers = Headers {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_disposition: input.content_disposition,
            content_language: input.content_language,
            cache_control: input.cache_control,
            metadata: input.metadata.unwrap_or_default(),
        };
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
        };
        let body = input.body.unwrap_or_else(|| s3s::Body::empty().into());
        let trailing = || trailing(req.trailing_headers);
        let put = self
            .objects
            .put(input.key, headers, announced, conditions, body, trailing);
        let entry = put.await?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(e_tag(&entry)),
            checksum_sha256: entry.sha256,
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let found = self.objects.read(input.key).await?;
        let (entry, content) = found.ok_or_else(|| s3_error!(NoSuchKey))?;
        read_conditions!(input).check(&entry)?;
        let range = match &input.range {
            Some(range) => range.check(entry.bytes)?,
            None => 0..entry.bytes,
        };
        let content_range = input
            .range
            .map(|_| format!("bytes {}-{}/{}", range.start, range.end - 1, entry.bytes));
        let whole = range == (0..entry.bytes);
        Ok(S3Response::new(GetObjectOutput {
            content_length: length(range.end - range.start),
            content_range,
            checksum_sha256: entry.sha256.clone().filter(|_| whole),
            body: Some(StreamingBlob::wrap(content.part(range))),
            ..described!(GetObjectOutput, entry)
        }))
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let found = self.objects.find_sound(input.key).await?;
        let entry = found.ok_or_else(|| s3_error!(NoSuchKey))?;
        read_conditions!(input).check(&entry)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: length(entry.bytes),
            checksum_sha256: entry.sha256.clone(),
            ..described!(HeadObjectOutput, entry)
        }))
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let conditions = Conditions {
            if_match: input.if_match,
            if_none_match: None,
        };
        self.objects.delete(input.key, conditions).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let input = req.input;
        check_bucket(&input.bucket)?;
        let quiet = input.delete.quiet.unwrap_or(false);
        if input.delete.objects.len() > MAX_KEYS {
            return Err(s3_error!(MalformedXML));
        }
        let deletions = input.delete.objects.into_iter().map(|object| async move {
            let conditions = Conditions {
                if_match: object.e_tag.map(ETagCondition::ETag),
                if_none_match: None,
            };
            let done = self.objects.delete(object.key.clone(), conditions).await;
            (object.key, done)
        });
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for (key, done) in futures::future::join_all(deletions).await {
            match done.map_err(S3Error::from) {
                Ok(()) => deleted.push(DeletedObject {
                    key: Some(key),
                    ..Default::default()
                }),
                Err(error) => errors.push(Error {
                    key: Some(key),
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    version_id: None,
                }),
            }
        }
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: Some(deleted).filter(|_| !quiet),
            errors: Some(errors),
            ..Default::default()
        }))
    }

    async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        check_bucket(&req.input.bucket)?;
        let listed = lists::first_version(&self.objects, req.input).await?;
        Ok(S3Response::new(listed))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        check_bucket(&req.input.bucket)?;
        let listed = lists::second_version(&self.objects, req.input).await?;
        Ok(S3Response::new(listed))
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        check_bucket(&req.input.bucket)?;
        // The index answers.
        let query = Query {
            limit: 1,
            ..Query::default()
        };
        self.objects.list(query).await?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        check_bucket(&req.input.bucket)?;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn list_buckets(
        &self,
        _: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        Ok(S3Response::new(ListBucketsOutput {
            buckets: Some(vec![Bucket {
                name: Some(BUCKET.to_owned()),
                creation_date: Some(SystemTime::UNIX_EPOCH.into()),
                bucket_region: None,
            }]),
            ..Default::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn failures_have_statuses_that_clients_understand() {
        for (failure, status) in [
            (Failure::Full, 507),
            (Failure::Precondition, 412),
            (Failure::Missing, 404),
            (Failure::Broken("x".into()), 503),
            (Failure::Mismatch(Mismatch::TooLarge), 400),
            (Failure::Mismatch(Mismatch::Length), 400),
            (Failure::Mismatch(Mismatch::Checksum), 400),
            (Failure::Mismatch(Mismatch::MalformedChecksum), 400),
        ] {
            let said = failure.to_string();
            let full = matches!(failure, Failure::Full);
            let answer = S3Error::from(failure).to_http_response().unwrap();
            assert_eq!(answer.status().as_u16(), status, "{said}");
            assert_eq!(answer.headers().contains_key("retry-after"), full, "{said}");
        }
    }
}
