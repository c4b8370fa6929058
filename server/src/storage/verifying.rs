//! `s3s-fs` with the checks of a real S3 store.
//!
//! `s3s-fs` 0.14 compares checksums only after the object is in place and tests `If-None-Match` without a
//! lock, so that a wrong body would stay, or overwrite a good one. Here both come before the write. It also leaves
//! the files that describe an object when that is deleted, and walks the whole bucket for every list.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use futures::TryStreamExt;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    Object, PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::embedded::BUCKET;
use super::ordered::OrderedKeys;

/// Largest object stored.
const MAX_OBJECT_BYTES: usize = 16 << 20;

/// Most keys of one list.
const MAX_KEYS: usize = 1000;

/// The operations that the hub uses, on a folder with one bucket.
#[derive(Debug)]
pub struct VerifyingStore {
    files: FileSystem,
    root: PathBuf,
    /// Held while an object is written or deleted.
    keys: Arc<Mutex<OrderedKeys>>,
}

impl VerifyingStore {
    /// Wraps the folder `root`, which `files` is opened on.
    pub fn new(files: FileSystem, root: &Path) -> Self {
        Self {
            files,
            root: root.to_owned(),
            keys: Arc::new(Mutex::new(OrderedKeys::new(root.join(BUCKET)))),
        }
    }

    /// Deletes the files that `s3s-fs` keeps beside an object.
    async fn delete_description(&self, bucket: &str, key: &str) {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for kind in ["metadata", "internal"] {
            let name = format!(
                ".bucket-{}.object-{}.{kind}.json",
                encode(bucket),
                encode(key)
            );
            if let Err(error) = tokio::fs::remove_file(self.root.join(name)).await
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, key, "the description of a deleted object stays");
            }
        }
    }
}

async fn collect(body: StreamingBlob, declared: Option<i64>) -> S3Result<Vec<u8>> {
    let mut body = body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body
        .try_next()
        .await
        .map_err(|_| s3_error!(IncompleteBody))?
    {
        if bytes.len() + chunk.len() > MAX_OBJECT_BYTES {
            return Err(s3_error!(EntityTooLarge));
        }
        bytes.extend_from_slice(&chunk);
    }
    if declared.is_some_and(|n| usize::try_from(n) != Ok(bytes.len())) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(bytes)
}

fn describe(bucket: &Path, key: String) -> std::io::Result<Object> {
    let metadata = std::fs::metadata(bucket.join(&key))?;
    Ok(Object {
        size: i64::try_from(metadata.len()).ok(),
        last_modified: Some(Timestamp::from(metadata.modified()?)),
        key: Some(key),
        ..Default::default()
    })
}

#[async_trait::async_trait]
impl S3 for VerifyingStore {
    async fn put_object(
        &self,
        mut req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let bytes = match req.input.body.take() {
            Some(body) => collect(body, req.input.content_length).await?,
            None => Vec::new(),
        };
        if let Some(expected) = &req.input.checksum_sha256
            && *expected != BASE64.encode(Sha256::digest(&bytes))
        {
            return Err(s3_error!(
                BadDigest,
                "the body does not have the SHA-256 of x-amz-checksum-sha256"
            ));
        }
        req.input.body = Some(StreamingBlob::from(s3s::Body::from(bytes)));
        let key = req.input.key.clone();
        let mut keys = self.keys.lock().await;
        let answer = self.files.put_object(req).await?;
        keys.added(&key);
        Ok(answer)
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        // The file and its ETag are two files: while a write puts both in place, neither is read.
        let _keys = self.keys.lock().await;
        self.files.get_object(req).await
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let _keys = self.keys.lock().await;
        self.files.head_object(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        let mut keys = self.keys.lock().await;
        let answer = self.files.delete_object(req).await?;
        self.delete_description(&bucket, &key).await;
        keys.removed(&key);
        Ok(answer)
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = req.input;
        if input.bucket != BUCKET {
            return Err(s3_error!(NoSuchBucket));
        }
        if input.delimiter.is_some() {
            return Err(s3_error!(NotImplemented, "lists have no delimiter here"));
        }
        let wanted = input
            .max_keys
            .map_or(MAX_KEYS, |n| usize::try_from(n).unwrap_or(0));
        let limit = wanted.min(MAX_KEYS);
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input
            .continuation_token
            .clone()
            .or_else(|| input.start_after.clone());
        let mut keys = Arc::clone(&self.keys).lock_owned().await;
        let bucket = self.root.join(BUCKET);
        let listing = tokio::task::spawn_blocking(move || {
            let (found, more) = keys.list(&prefix, after.as_deref(), limit)?;
            let objects: std::io::Result<Vec<Object>> = found
                .into_iter()
                .map(|key| describe(&bucket, key))
                .collect();
            Ok::<_, std::io::Error>((objects?, more))
        });
        let (contents, more) = listing
            .await
            .map_err(|e| s3_error!(e, InternalError))?
            .map_err(|e| s3_error!(e, InternalError))?;
        let last = contents.last().and_then(|object| object.key.clone());
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len()).ok(),
            max_keys: i32::try_from(limit).ok(),
            is_truncated: Some(more),
            next_continuation_token: last.filter(|_| more),
            contents: Some(contents),
            name: Some(input.bucket),
            prefix: input.prefix,
            start_after: input.start_after,
            continuation_token: input.continuation_token,
            ..Default::default()
        }))
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(req).await
    }
}
