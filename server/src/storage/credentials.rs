//! Key pair of the store that the server runs itself.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::config::Secret;

/// File in the data folder that holds the key pair.
pub const FILE: &str = "s3-credentials.json";

/// A random key pair, made once per data folder.
#[derive(Debug)]
pub struct KeyPair {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    access_key_id: String,
    secret_access_key: String,
}

/// Reads the key pair from the data folder, or makes one and writes it readable by its owner alone.
///
/// # Errors
/// When the file cannot be read, parsed or written.
pub fn load_or_create(data: &Path) -> anyhow::Result<KeyPair> {
    let path = data.join(FILE);
    let stored = match std::fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json).with_context(|| {
            format!(
                "{} is damaged; delete it to get a new key pair",
                path.display()
            )
        })?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => create(&path)?,
        Err(e) => return Err(e).with_context(|| format!("reading {}", path.display())),
    };
    Ok(KeyPair {
        access_key_id: stored.access_key_id,
        secret_access_key: Secret::new(stored.secret_access_key),
    })
}

fn create(path: &Path) -> anyhow::Result<Stored> {
    let stored = Stored {
        access_key_id: format!("HUB{}", hex::encode_upper(crate::random::bytes::<8>()?)),
        secret_access_key: hex::encode(crate::random::bytes::<32>()?),
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options
        .open(path)
        .with_context(|| format!("creating {}", path.display()))?;
    file.write_all(&serde_json::to_vec_pretty(&stored)?)?;
    file.sync_all()?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(dir.path()).unwrap();
        let second = load_or_create(dir.path()).unwrap();
        assert_eq!(first.access_key_id, second.access_key_id);
        assert_eq!(
            first.secret_access_key.expose(),
            second.secret_access_key.expose()
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(dir.path().join(FILE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"{").unwrap();
        assert!(load_or_create(dir.path()).is_err());
    }
}
