//! A full disk refuses what is new, keeps what is there, and takes in again once there is room.

#![allow(clippy::unwrap_used, clippy::panic)]

use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::ETagCondition;

use super::PowerDisk;
use super::cut::{open, put, read};
use crate::storage::embedded::error::Failure;
use crate::storage::embedded::objects::Objects;
use crate::storage::embedded::writer::Conditions;

const MIB: u64 = 1 << 20;

/// Stores objects of `bytes` until one is refused; how many were not.
async fn fill(objects: &Objects, prefix: &str, bytes: usize) -> usize {
    for n in 0..2000 {
        let key = format!("{prefix}/{n}");
        match put(objects, &key, &vec![n as u8; bytes], Conditions::default()).await {
            Ok(()) => {}
            Err(Failure::Full) => return n,
            Err(other) => panic!("{key}: {other}"),
        }
    }
    panic!("the disk is never full");
}

async fn all_there(objects: &Objects, prefix: &str, count: usize, bytes: usize) {
    for n in 0..count {
        let found = read(objects, &format!("{prefix}/{n}")).await;
        assert_eq!(found, Some(vec![n as u8; bytes]), "{prefix}/{n}");
    }
    assert_eq!(read(objects, &format!("{prefix}/{count}")).await, None);
}

/// As long as the system tells the truth, deletions have the reserve.
#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_is_for_deletions() {
    let disk = PowerDisk::default();
    disk.limit(Some(40 * MIB), false);
    let objects = open(&disk).unwrap();
    let large = fill(&objects, "large", 1_000_000).await;
    assert!((20..40).contains(&large), "{large}");
    // A small one still fits or not; either way it is answered as it is.
    let small = fill(&objects, "small", 50_000).await;
    all_there(&objects, "large", large, 1_000_000).await;
    all_there(&objects, "small", small, 50_000).await;
    assert!(!objects.room().is_there());
    for n in 0..large {
        let deleted = objects.delete(format!("large/{n}"), Conditions::default());
        deleted.await.unwrap();
    }
    assert!(objects.room().is_there());
    put(
        &objects,
        "large/again",
        &[7; 1_000_000],
        Conditions::default(),
    )
    .await
    .unwrap();
}

/// Small objects lie in the index, which keeps its length when they go: what comes next takes their place. And what a
/// deletion writes before it deletes is written on a full disk, too.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_small_objects_make_room_for_others() {
    let disk = PowerDisk::default();
    disk.limit(Some(5 * MIB), false);
    let objects = open(&disk).unwrap();
    let count = fill(&objects, "small", 60_000).await;
    assert!(count > 20, "{count}");
    put(&objects, "marker", b"", Conditions::default())
        .await
        .unwrap();
    for n in 0..count / 2 {
        let key = format!("small/{n}");
        let e_tag = md5(&vec![n as u8; 60_000]);
        let unchanged = Conditions {
            if_match: ETagCondition::parse_http_header(format!("\"{e_tag}\"").as_bytes()).ok(),
            if_none_match: None,
        };
        put(&objects, &key, b"tombstone", unchanged).await.unwrap();
        objects.delete(key, Conditions::default()).await.unwrap();
    }
    assert!(objects.room().is_there());
    let again = fill(&objects, "again", 60_000).await;
    assert!(
        again >= count / 8,
        "{again} after {} of {count} were deleted",
        count / 2
    );
    all_there(&objects, "again", again, 60_000).await;
    for n in count / 2..count {
        let found = read(&objects, &format!("small/{n}")).await;
        assert_eq!(found, Some(vec![n as u8; 60_000]), "small/{n}");
    }
    // The rest of the reserve is still there for the next deletions.
    for n in 0..again {
        let deleted = objects.delete(format!("again/{n}"), Conditions::default());
        deleted.await.unwrap();
    }
}

fn md5(bytes: &[u8]) -> String {
    let mut md5 = Md5::new();
    md5.update(bytes);
    hex::encode(md5.finalize())
}

/// Others fill the disk in between: writes fail halfway.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_unexpectedly_loses_nothing() {
    for (bytes, room) in [(1_000_000, 4 * MIB), (50_000, MIB), (5_000, MIB)] {
        let disk = PowerDisk::default();
        let objects = open(&disk).unwrap();
        let put_one = |key: &'static str| {
            let objects = objects.clone();
            async move { put(&objects, key, b"first", Conditions::default()).await }
        };
        put_one("first").await.unwrap();
        disk.limit(Some(disk.used() + room), true);
        let count = fill(&objects, "x", bytes).await;
        all_there(&objects, "x", count, bytes).await;
        assert_eq!(
            read(&objects, "first").await.as_deref(),
            Some(&b"first"[..])
        );
        // Again and again: the store stays readable.
        for _ in 0..3 {
            let again = put(&objects, "y", &vec![1; bytes], Conditions::default()).await;
            assert!(matches!(again, Ok(()) | Err(Failure::Full)), "{again:?}");
        }
        all_there(&objects, "x", count, bytes).await;
        disk.limit(None, false);
        put(&objects, "y", &vec![2; bytes], Conditions::default())
            .await
            .unwrap();
        assert_eq!(read(&objects, "y").await, Some(vec![2; bytes]));
        // What was answered outlasts a power cut, too.
        let after = open(&disk.after_cut(None)).unwrap();
        all_there(&after, "x", count, bytes).await;
        assert_eq!(read(&after, "y").await, Some(vec![2; bytes]));
    }
}
