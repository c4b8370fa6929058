//! Takes over the folder of the hub's first versions, which `s3s-fs` wrote: a file per object under its key in the
//! bucket's folder, and two files of JSON beside the bucket that describe it.
//!
//! The old folder is only read, and moved aside once all is taken over; a crash before that begins again, and finds
//! what was done.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::crypto::{Checksum as _, Md5};
use serde::Deserialize;

use super::BUCKET;
use super::entry::{Entry, FORMAT, Headers, millis};
use super::incoming::MAX_SMALL_BYTES;
use super::objects::Objects;
use super::writer::Body;

/// Objects of one commit.
const GROUP: usize = 256;

/// What was taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Objects that are new, or newer than the store's own.
    pub objects: usize,
    /// Objects that the store has already.
    pub known: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What `s3s-fs` writes about an object.
#[derive(Default, Deserialize)]
struct Described {
    user_metadata: Option<HashMap<String, String>>,
    content_encoding: Option<String>,
    content_type: Option<String>,
    content_disposition: Option<String>,
    content_language: Option<String>,
    cache_control: Option<String>,
}

/// Takes over `old`, if it is there, and moves it aside.
///
/// # Errors
/// A sentence when something cannot be read or written. Nothing is lost then.
pub fn run(objects: &Objects, old: &Path) -> anyhow::Result<Option<Imported>> {
    let bucket = old.join(BUCKET);
    if !bucket.is_dir() {
        return Ok(None);
    }
    tracing::info!(folder = %old.display(), "taking over the pictures of an earlier version");
    let mut keys = Vec::new();
    walk(&bucket, "", &mut keys).with_context(|| format!("reading {}", bucket.display()))?;
    let mut imported = Imported::default();
    for (n, group) in keys.chunks(GROUP).enumerate() {
        take_over(objects, old, group, &mut imported)?;
        if n % 16 == 15 {
            tracing::info!(
                done = (n + 1) * GROUP,
                of = keys.len(),
                "objects taken over"
            );
        }
    }
    let aside = move_aside(old)?;
    tracing::info!(
        objects = imported.objects,
        known = imported.known,
        bytes = imported.bytes,
        old = %aside.display(),
        "all pictures are in the new store; the old folder may be deleted"
    );
    Ok(Some(imported))
}

fn walk(folder: &Path, prefix: &str, keys: &mut Vec<String>) -> io::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        // Names that are no text are nobody's keys.
        let Ok(name) = item.file_name().into_string() else {
            continue;
        };
        let key = format!("{prefix}{name}");
        if item.file_type()?.is_dir() {
            walk(&item.path(), &format!("{key}/"), keys)?;
        } else {
            keys.push(key);
        }
    }
    Ok(())
}

fn take_over(
    objects: &Objects,
    old: &Path,
    keys: &[String],
    imported: &mut Imported,
) -> anyhow::Result<()> {
    let mut group = Vec::new();
    for key in keys {
        let path = old.join(BUCKET).join(key);
        let of = || format!("reading {}", path.display());
        let metadata = std::fs::metadata(&path).with_context(of)?;
        let modified_at = millis(metadata.modified().unwrap_or_else(|_| SystemTime::now()));
        let known = objects.index.find(key, false)?;
        if known.is_some_and(|known| known.entry.modified_at >= modified_at) {
            imported.known += 1;
            continue;
        }
        let (md5, small) = read(&path).with_context(of)?;
        let body = match small {
            Some(bytes) => Body::Small(bytes),
            None => Body::File(objects.files.adopt(&path)?),
        };
        let described = describe(old, key);
        let entry = Entry {
            format: FORMAT,
            bytes: metadata.len(),
            md5,
            modified_at,
            file: body.file().map(|file| file.name().to_owned()),
            sha256: None,
            headers: Headers {
                content_type: described.content_type,
                content_encoding: described.content_encoding,
                content_disposition: described.content_disposition,
                content_language: described.content_language,
                cache_control: described.cache_control,
                metadata: described.user_metadata.unwrap_or_default(),
            },
        };
        imported.objects += 1;
        imported.bytes += entry.bytes;
        group.push((key, entry, body));
    }
    if group.is_empty() {
        return Ok(());
    }
    let changed = objects.index.change(|changes| {
        for (key, entry, body) in &group {
            let bytes = match body {
                Body::Small(bytes) => Some(bytes.as_slice()),
                Body::File(_) => None,
            };
            changes.put(key, entry, bytes)?;
        }
        Ok(())
    });
    // After an error it is unknown whether they are referred to; the next start finds out.
    for (_, _, body) in group {
        if let Body::File(file) = body {
            file.keep();
        }
    }
    Ok(changed?)
}

/// MD5 in hexadecimal, and the bytes of a small file.
fn read(path: &Path) -> io::Result<(String, Option<Vec<u8>>)> {
    let mut file = File::open(path)?;
    let (mut md5, mut small) = (Md5::new(), Some(Vec::new()));
    let mut buffer = vec![0; 128 << 10];
    loop {
        let n = file.read(&mut buffer)?;
        let part = buffer.get(..n).unwrap_or_default();
        if part.is_empty() {
            return Ok((hex::encode(md5.finalize()), small));
        }
        md5.update(part);
        small = small.filter(|bytes| bytes.len() + n <= MAX_SMALL_BYTES);
        if let Some(bytes) = &mut small {
            bytes.extend_from_slice(part);
        }
    }
}

/// What is known of an object; where that is missing or damaged, its bytes count all the same.
fn describe(old: &Path, key: &str) -> Described {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let name = format!(
        ".bucket-{}.object-{}.metadata.json",
        encode(BUCKET),
        encode(key)
    );
    let Ok(json) = std::fs::read(old.join(name)) else {
        return Described::default();
    };
    serde_json::from_slice(&json).unwrap_or_else(|error| {
        tracing::warn!(%error, key, "the description of an object is damaged; its bytes are taken over");
        Described::default()
    })
}

fn move_aside(old: &Path) -> anyhow::Result<PathBuf> {
    for n in 1.. {
        let aside = old.with_file_name(format!("s3-imported-{n}"));
        if aside.try_exists()? {
            continue;
        }
        std::fs::rename(old, &aside)
            .with_context(|| format!("moving {} to {}", old.display(), aside.display()))?;
        return Ok(aside);
    }
    anyhow::bail!("no name is free beside {}", old.display())
}
