//! The body of an upload on its way in: checked, small ones in memory, larger ones on disk.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{Stream, TryStreamExt};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::Checksum;

use super::error::{Failure, Mismatch};
use super::files::{Files, Temporary};
use super::writer::Body;

/// Largest object that is kept in the index.
pub const MAX_SMALL_BYTES: usize = 64 << 10;
/// Largest object stored.
pub const MAX_OBJECT_BYTES: u64 = 16 << 20;
/// Bytes that are collected before they are written to a file.
const CHUNK_BYTES: usize = 256 << 10;

/// What was announced of a body.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// Length in bytes.
    pub bytes: Option<u64>,
    /// MD5 in Base64.
    pub md5: Option<String>,
    /// Further checksums in Base64.
    pub checksums: Checksum,
}

/// A body that is as announced.
pub struct Arrived {
    pub body: Unplaced,
    pub bytes: u64,
    /// In hexadecimal.
    pub md5: String,
    /// In Base64, where one was announced.
    pub sha256: Option<String>,
}

/// A checked body that does not yet outlast a power cut.
pub enum Unplaced {
    Small(Vec<u8>),
    File(Temporary),
}

impl Unplaced {
    /// Gives a file its place.
    pub fn place(self) -> Result<Body, Failure> {
        match self {
            Self::Small(bytes) => Ok(Body::Small(bytes)),
            Self::File(file) => Ok(Body::File(file.place()?)),
        }
    }
}

/// Takes in a body. `trailing` gives checksums that came behind it.
pub async fn receive<B, E>(
    files: Arc<Files>,
    announced: Announced,
    body: impl Stream<Item = Result<B, E>>,
    trailing: impl FnOnce() -> Checksum,
) -> Result<Arrived, Failure>
where
    B: AsRef<[u8]>,
{
    if announced
        .bytes
        .is_some_and(|bytes| bytes > MAX_OBJECT_BYTES)
    {
        return Err(Failure::Mismatch(Mismatch::TooLarge));
    }
    let mut md5 = Md5::new();
    // Checksums that come behind the body are known only then.
    let mut hasher = ChecksumHasher {
        crc32: Some(Default::default()),
        crc32c: Some(Default::default()),
        sha1: Some(Default::default()),
        sha256: Some(Default::default()),
        crc64nvme: Some(Default::default()),
    };
    let (mut bytes, mut waiting, mut file) = (0u64, Vec::new(), None::<Temporary>);
    let mut body = std::pin::pin!(body);
    let broken = |_| Failure::Mismatch(Mismatch::Length);
    while let Some(chunk) = body.try_next().await.map_err(broken)? {
        let chunk = chunk.as_ref();
        bytes += chunk.len() as u64;
        if bytes > MAX_OBJECT_BYTES {
            return Err(Failure::Mismatch(Mismatch::TooLarge));
        }
        md5.update(chunk);
        hasher.update(chunk);
        waiting.extend_from_slice(chunk);
        if waiting.len() > MAX_SMALL_BYTES && (file.is_none() || waiting.len() >= CHUNK_BYTES) {
            let part = std::mem::take(&mut waiting);
            file = Some(append(Arc::clone(&files), file, part).await?);
        }
    }
    if announced.bytes.is_some_and(|announced| announced != bytes) {
        return Err(Failure::Mismatch(Mismatch::Length));
    }
    let md5 = md5.finalize();
    if let Some(announced) = &announced.md5 {
        compare(announced, &BASE64.encode(md5))?;
    }
    let found = hasher.finalize();
    let trailing = trailing();
    let sha256 = announced.checksums.checksum_sha256.clone();
    let sha256 = sha256.or_else(|| trailing.checksum_sha256.clone());
    for checksums in [announced.checksums, trailing] {
        for (announced, found) in [
            (checksums.checksum_crc32, &found.checksum_crc32),
            (checksums.checksum_crc32c, &found.checksum_crc32c),
            (checksums.checksum_crc64nvme, &found.checksum_crc64nvme),
            (checksums.checksum_sha1, &found.checksum_sha1),
            (checksums.checksum_sha256, &found.checksum_sha256),
        ] {
            if let Some(announced) = announced {
                compare(&announced, found.as_deref().unwrap_or_default())?;
            }
        }
    }
    let body = match file {
        Some(file) if waiting.is_empty() => Unplaced::File(file),
        Some(file) => Unplaced::File(append(files, Some(file), waiting).await?),
        None => Unplaced::Small(waiting),
    };
    Ok(Arrived {
        body,
        bytes,
        md5: hex::encode(md5),
        sha256,
    })
}

fn compare(announced: &str, found: &str) -> Result<(), Failure> {
    if announced == found {
        return Ok(());
    }
    let readable = BASE64.decode(announced).is_ok();
    Err(Failure::Mismatch(if readable {
        Mismatch::Checksum
    } else {
        Mismatch::MalformedChecksum
    }))
}

async fn append(
    files: Arc<Files>,
    file: Option<Temporary>,
    part: Vec<u8>,
) -> Result<Temporary, Failure> {
    blocking(move || {
        let mut file = match file {
            Some(file) => file,
            None => files.create()?,
        };
        file.write(&part)?;
        Ok(file)
    })
    .await
}

/// Runs what waits for the disk away from the event loop.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Failure::Broken(e.to_string()))?
}
