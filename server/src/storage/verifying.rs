//! `s3s-fs` with the checks of a real S3 store.
//!
//! `s3s-fs` 0.14 compares checksums only after the object is in place and tests `If-None-Match` without a
//! lock, so that a wrong body would stay, or overwrite a good one. Here both come before the write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::TryStreamExt;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, GetObjectInput, GetObjectOutput, HeadBucketInput,
    HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
    PutObjectInput, PutObjectOutput, StreamingBlob,
};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

/// Largest object stored.
const MAX_OBJECT_BYTES: usize = 16 << 20;

/// The operations that the hub uses, on a folder.
#[derive(Debug)]
pub struct VerifyingStore {
    files: FileSystem,
    writes: Mutex<()>,
}

impl VerifyingStore {
    /// Wraps a folder.
    pub fn new(files: FileSystem) -> Self {
        Self {
            files,
            writes: Mutex::new(()),
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

#[async_trait::async_trait]
impl S3 for VerifyingStore {
    async fn put_object(
        &self,
        mut req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let Some(body) = req.input.body.take() else {
            return Err(s3_error!(IncompleteBody));
        };
        let bytes = collect(body, req.input.content_length).await?;
        if let Some(expected) = &req.input.checksum_sha256
            && *expected != BASE64.encode(Sha256::digest(&bytes))
        {
            return Err(s3_error!(
                BadDigest,
                "the body does not have the SHA-256 of x-amz-checksum-sha256"
            ));
        }
        req.input.body = Some(StreamingBlob::from(s3s::Body::from(bytes)));
        let _one_writer = self.writes.lock().await;
        self.files.put_object(req).await
    }

    async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.files.get_object(req).await
    }

    async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.files.head_object(req).await
    }

    async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _one_writer = self.writes.lock().await;
        self.files.delete_object(req).await
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(req).await
    }

    async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(req).await
    }
}
