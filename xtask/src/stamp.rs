//! Knowing whether something built is still up to date: a hash over what it was made from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// SHA-256 in hex.
pub fn hex_sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Hash over the names and contents of files, and of all files in folders, in a fixed order.
pub fn hash_tree(root: &Path, paths: &[&str], extra: &[&str]) -> Result<String> {
    let mut files = Vec::new();
    for path in paths {
        collect(&root.join(path), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .to_string_lossy()
            .into_owned();
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    for text in extra {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    Ok(hex::encode(hash.finalize()))
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("reading {}", path.display()))? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standard() {
        assert_eq!(
            hex_sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_tree_changes_with_names_contents_and_extras() {
        let folder = tempfile::tempdir().unwrap();
        let hash = |extra: &str| hash_tree(folder.path(), &["src"], &[extra]).unwrap();
        fs::create_dir_all(folder.path().join("src/inner")).unwrap();
        fs::write(folder.path().join("src/inner/a.rs"), "one").unwrap();
        let first = hash("");
        assert_eq!(hash(""), first);
        assert_ne!(hash("release"), first);
        fs::write(folder.path().join("src/inner/a.rs"), "two").unwrap();
        let second = hash("");
        assert_ne!(second, first);
        fs::rename(
            folder.path().join("src/inner/a.rs"),
            folder.path().join("src/inner/b.rs"),
        )
        .unwrap();
        assert_ne!(hash(""), second);
        assert!(hash_tree(folder.path(), &["absent"], &[]).is_err());
    }
}
