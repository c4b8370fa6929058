//! The embedded store as S3 clients find it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier};
use protocol::ImageRecord;
use server::storage::StoreSettings;

use crate::hostile::opened;
use crate::hub::{Folders, Hub, json, models_dir, picture};
use crate::stores::Bucket;

const BUCKET: &str = "demo-hub";
/// Larger than what the index holds.
const LARGE: usize = 200_000;

/// A client as other programs set it up: with checksums behind the body.
fn client(settings: &StoreSettings) -> Client {
    let credentials = Credentials::new(
        &settings.access_key_id,
        settings.secret_access_key.expose(),
        None,
        None,
        "test",
    );
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .endpoint_url(settings.endpoint.clone().unwrap())
        .force_path_style(true);
    Client::from_conf(config.build())
}

fn status<E>(error: &SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> u16 {
    error.raw_response().unwrap().status().as_u16()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

async fn put(client: &Client, key: &str, body: Vec<u8>) -> String {
    let put = client.put_object().bucket(BUCKET).key(key);
    let put = put.body(ByteStream::from(body)).send().await.unwrap();
    put.e_tag.unwrap()
}

/// Files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// RFC 9110, 14.2: parts, and what cannot be satisfied; small and large.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_objects_are_read() {
    let bucket = Bucket::embedded().await;
    let client = client(bucket.settings());
    for length in [1000, LARGE] {
        let whole = bytes(length);
        put(&client, "part", whole.clone()).await;
        for (range, start, end) in [
            ("bytes=0-0".to_owned(), 0, 1),
            ("bytes=10-99".to_owned(), 10, 100),
            (format!("bytes={}-", length - 7), length - 7, length),
            ("bytes=-5".to_owned(), length - 5, length),
            ("bytes=5-999999999".to_owned(), 5, length),
            ("bytes=-999999999".to_owned(), 0, length),
        ] {
            let get = client.get_object().bucket(BUCKET).key("part").range(&range);
            let part = get.send().await.unwrap();
            let said = part.content_range.unwrap();
            assert_eq!(
                said,
                format!("bytes {start}-{}/{length}", end - 1),
                "{range}"
            );
            let found = part.body.collect().await.unwrap().to_vec();
            assert!(found == whole[start..end], "{range} of {length}");
        }
        let get = client.get_object().bucket(BUCKET).key("part");
        let beyond = get.range(format!("bytes={length}-")).send().await;
        assert_eq!(status(&beyond.unwrap_err()), 416);
    }
}

/// RFC 9110, 13.1; the ETag is the MD5, as S3's documentation has it for single uploads.
#[tokio::test(flavor = "multi_thread")]
async fn reading_obeys_conditions() {
    let bucket = Bucket::embedded().await;
    let client = client(bucket.settings());
    let e_tag = put(&client, "x", b"abc".to_vec()).await;
    // RFC 1321, A.5.
    assert_eq!(e_tag, "\"900150983cd24fb0d6963f7d28e17f72\"");
    let get = || client.get_object().bucket(BUCKET).key("x");
    let head = || client.head_object().bucket(BUCKET).key("x");
    let unchanged = get().if_none_match(&e_tag).send().await.unwrap_err();
    assert_eq!(status(&unchanged), 304);
    let known = unchanged.raw_response().unwrap().headers().get("etag");
    assert_eq!(known, Some(e_tag.as_str()));
    assert_eq!(
        status(&head().if_none_match(&e_tag).send().await.unwrap_err()),
        304
    );
    assert!(get().if_none_match("\"0\"").send().await.is_ok());
    assert!(get().if_match(&e_tag).send().await.is_ok());
    assert_eq!(
        status(&get().if_match("\"0\"").send().await.unwrap_err()),
        412
    );
    let modified = head().send().await.unwrap().last_modified.unwrap();
    let since = get().if_modified_since(modified).send().await;
    assert_eq!(status(&since.unwrap_err()), 304);
    let earlier = aws_sdk_s3::primitives::DateTime::from_secs(modified.secs() - 1);
    assert!(get().if_modified_since(earlier).send().await.is_ok());
    assert_eq!(
        status(&get().if_unmodified_since(earlier).send().await.unwrap_err()),
        412
    );
    assert!(get().if_unmodified_since(modified).send().await.is_ok());
}

/// Small and large bodies alike; nothing of a refused one stays.
#[tokio::test(flavor = "multi_thread")]
async fn only_whole_bodies_are_taken() {
    let hub = Hub::start().await;
    let bucket = Bucket::of(&hub);
    let client = client(&bucket);
    for length in [0, 1, 65_536, 65_537, LARGE, 16 << 20] {
        put(&client, "whole", bytes(length)).await;
        let get = client.get_object().bucket(BUCKET).key("whole");
        let found = get.send().await.unwrap().body.collect().await.unwrap();
        assert!(found.to_vec() == bytes(length), "{length}");
    }
    let before = files(&hub.data().join("store"));
    // Of another object.
    let sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    for length in [1000, LARGE] {
        let put = || {
            let put = client.put_object().bucket(BUCKET).key("refused");
            put.body(ByteStream::from(bytes(length)))
        };
        let wrong = put().checksum_sha256(sha256).send().await.unwrap_err();
        assert_eq!(wrong.code(), Some("BadDigest"));
        let wrong = put().content_md5("kAFQmDzST7DWlj99KOF/cg==").send().await;
        assert_eq!(wrong.unwrap_err().code(), Some("BadDigest"));
        let wrong = put().content_md5("no base64").send().await.unwrap_err();
        assert_eq!(wrong.code(), Some("InvalidDigest"));
    }
    let large = client.put_object().bucket(BUCKET).key("refused");
    let large = large.body(ByteStream::from(bytes((16 << 20) + 1))).send();
    assert_eq!(large.await.unwrap_err().code(), Some("EntityTooLarge"));
    let head = client.head_object().bucket(BUCKET).key("refused");
    assert_eq!(status(&head.send().await.unwrap_err()), 404);
    assert_eq!(files(&hub.data().join("store")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_grouped_and_paged() {
    let bucket = Bucket::embedded().await;
    let client = client(bucket.settings());
    let keys = [
        "a/1", "a/2", "a-b", "b", "c/d/1", "c/d/2", "c/e", "ü +%&<", "z",
    ];
    for key in keys {
        put(&client, key, b"x".to_vec()).await;
    }
    let list = || client.list_objects_v2().bucket(BUCKET);
    for limit in [1, 2, 3, 100] {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let page = list().delimiter("/").max_keys(limit);
            let page = page.set_continuation_token(token).send().await.unwrap();
            let objects = page.contents().iter().map(|object| object.key().unwrap());
            let groups = page.common_prefixes().iter().map(|p| p.prefix().unwrap());
            let mut both: Vec<String> = objects.chain(groups).map(str::to_owned).collect();
            both.sort();
            assert!(both.len() <= limit as usize && page.key_count() == Some(both.len() as i32));
            found.extend(both);
            token = page.next_continuation_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(found, ["a-b", "a/", "b", "c/", "z", "ü +%&<"], "{limit}");
    }
    let after = list()
        .prefix("c/")
        .start_after("c/d/1")
        .send()
        .await
        .unwrap();
    let found: Vec<_> = after.contents().iter().map(|o| o.key().unwrap()).collect();
    assert_eq!(found, ["c/d/2", "c/e"]);
    assert_eq!(after.contents()[0].size(), Some(1));
    let encoded = list().prefix("ü").encoding_type(EncodingType::Url).send();
    let encoded = encoded.await.unwrap();
    assert_eq!(encoded.contents()[0].key(), Some("%C3%BC%20%2B%25%26%3C"));
    let bad = list().continuation_token("!").send().await.unwrap_err();
    assert_eq!(status(&bad), 400);

    let these = ["a/1", "z", "not there"].map(|key| {
        let object = ObjectIdentifier::builder().key(key).build();
        object.unwrap()
    });
    let these = Delete::builder().set_objects(Some(these.to_vec())).build();
    let deleted = client
        .delete_objects()
        .bucket(BUCKET)
        .delete(these.unwrap());
    let deleted = deleted.send().await.unwrap();
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (3, 0));
    let left = list().send().await.unwrap();
    assert_eq!(left.key_count(), Some(keys.len() as i32 - 2));
}

/// Amazon's API reference of `ListObjects`: `NextMarker` is there with a delimiter alone, and names a key or a group;
/// without one the last key is the next marker.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_version_of_lists_is_spoken_too() {
    let bucket = Bucket::embedded().await;
    let client = client(bucket.settings());
    for key in ["a/1", "a/2", "a-b", "b", "c/d/1", "c/e", "ü +%&<", "z"] {
        put(&client, key, b"x".to_vec()).await;
    }
    let list = || client.list_objects().bucket(BUCKET);
    for (delimiter, expected) in [
        (Some("/"), vec!["a-b", "a/", "b", "c/", "z", "ü +%&<"]),
        (
            None,
            vec!["a-b", "a/1", "a/2", "b", "c/d/1", "c/e", "z", "ü +%&<"],
        ),
    ] {
        for limit in [1, 2, 3, 100] {
            let (mut found, mut marker) = (Vec::new(), None);
            loop {
                let page = list().set_delimiter(delimiter.map(str::to_owned));
                let page = page.max_keys(limit).set_marker(marker.clone());
                let page = page.send().await.unwrap();
                assert_eq!(page.max_keys(), Some(limit));
                assert_eq!(
                    page.marker().unwrap_or_default(),
                    marker.unwrap_or_default()
                );
                let objects = page.contents().iter().map(|object| object.key().unwrap());
                let groups = page.common_prefixes().iter().map(|p| p.prefix().unwrap());
                let mut both: Vec<String> = objects.chain(groups).map(str::to_owned).collect();
                both.sort();
                assert!(both.len() <= limit as usize);
                let last = both.last().cloned();
                found.extend(both);
                if page.is_truncated() != Some(true) {
                    assert_eq!(page.next_marker(), None);
                    break;
                }
                match delimiter {
                    Some(_) => assert_eq!(page.next_marker(), last.as_deref()),
                    None => assert_eq!(page.next_marker(), None),
                }
                marker = last;
            }
            assert_eq!(found, expected, "{delimiter:?} {limit}");
        }
    }
    let keys =
        async |asked: aws_sdk_s3::operation::list_objects::builders::ListObjectsFluentBuilder| {
            let page = asked.send().await.unwrap();
            let keys = page.contents().iter().map(|object| object.key().unwrap());
            keys.map(str::to_owned).collect::<Vec<_>>()
        };
    // The marker need not be there.
    assert_eq!(keys(list().prefix("c/").marker("c/d/9")).await, ["c/e"]);
    assert_eq!(keys(list().max_keys(0)).await, [""; 0]);
    assert_eq!(keys(list().prefix("none")).await, [""; 0]);
    let page = list().max_keys(0).send().await.unwrap();
    assert_eq!(page.is_truncated(), Some(false));
    let page = list().max_keys(5_000).send().await.unwrap();
    assert_eq!(page.max_keys(), Some(1_000));
    assert_eq!(page.contents()[0].size(), Some(1));
    assert!(page.contents()[0].e_tag().is_some() && page.contents()[0].last_modified().is_some());
    // What cannot stand in XML, and what is asked for that way.
    let encoded = list().encoding_type(EncodingType::Url).delimiter("/");
    let encoded = encoded
        .prefix("")
        .marker("ü")
        .max_keys(1)
        .send()
        .await
        .unwrap();
    assert_eq!(encoded.contents()[0].key(), Some("%C3%BC%20%2B%25%26%3C"));
    assert_eq!(encoded.marker(), Some("%C3%BC"));
    for bad in [list().max_keys(-1), list().encoding_type("base64".into())] {
        assert_eq!(status(&bad.send().await.unwrap_err()), 400);
    }
    for bad in [
        client.list_objects_v2().bucket(BUCKET).max_keys(-1),
        client
            .list_objects_v2()
            .bucket(BUCKET)
            .encoding_type("base64".into()),
    ] {
        assert_eq!(status(&bad.send().await.unwrap_err()), 400);
    }
    let elsewhere = client.list_objects().bucket("elsewhere").send().await;
    assert_eq!(elsewhere.unwrap_err().code(), Some("NoSuchBucket"));
}

/// A picture with its thumbnail, its record and its markers.
#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_few_files() {
    let hub = Hub::start().await;
    let before = files(&hub.data().join("store")).len();
    for n in 0..20 {
        hub.save(picture(n)).await;
    }
    let after = files(&hub.data().join("store")).len();
    println!("{before} files in an empty store, {after} with 20 pictures");
    assert!(after - before <= 2 * 20);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        if item.path().is_dir() {
            copy(&item.path(), &to);
        } else {
            std::fs::copy(item.path(), to).unwrap();
        }
    }
}

/// The folder of a hub of the version before, as it lay on the disk.
fn old_folder(folders: &Folders) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/old-folder");
    copy(&fixture, &folders.data.path().join("s3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pictures_of_an_earlier_version_are_taken_over() {
    let folders = Folders::new();
    old_folder(&folders);
    let data = folders.data.path().to_owned();
    // An object without a description, and a large one.
    std::fs::write(data.join("s3/demo-hub/large"), bytes(LARGE)).unwrap();
    let old: Vec<PathBuf> = files(&data.join("s3/demo-hub"));
    let hub = Hub::over(folders, &[]).await;
    let records = hub.listed().await;
    let mine: protocol::GalleryPage = json(hub.get("/api/v1/images?mine=true").await).await;
    assert_eq!((records.len(), mine.items.len()), (1, 2));
    for record in &mine.items {
        check(&hub, record).await;
    }
    let settings = Bucket::of(&hub);
    let s3 = client(&settings);
    let large = s3.get_object().bucket(BUCKET).key("large").send().await;
    let large = large.unwrap().body.collect().await.unwrap().to_vec();
    assert!(large == bytes(LARGE));
    let list = s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    assert_eq!(list.contents().len(), old.len());
    let mut keys = list.contents().iter().map(|object| object.key().unwrap());
    let key = keys.find(|key| key.ends_with(".png")).unwrap();
    let head = s3.head_object().bucket(BUCKET).key(key).send().await;
    assert_eq!(head.unwrap().content_type(), Some("image/png"));
    assert!(!data.join("s3").exists());
    assert_eq!(files(&data.join("s3-imported-1/demo-hub")).len(), old.len());

    // Somebody went back to the old version, made changes there, and comes again.
    let changed = hub.stop().await;
    old_folder(&changed);
    let bucket = data.join("s3/demo-hub");
    std::fs::write(bucket.join("large"), b"changed").unwrap();
    std::fs::write(bucket.join("new"), b"new").unwrap();
    let hub = Hub::over(changed, &[]).await;
    let settings = Bucket::of(&hub);
    let s3 = client(&settings);
    for (key, expected) in [("large", &b"changed"[..]), ("new", b"new")] {
        let found = s3.get_object().bucket(BUCKET).key(key).send().await;
        let found = found.unwrap().body.collect().await.unwrap().to_vec();
        assert_eq!(found, expected, "{key}");
    }
    for record in &mine.items {
        check(&hub, record).await;
    }
    assert!(data.join("s3-imported-2").exists());
}

async fn check(hub: &Hub, record: &ImageRecord) {
    let png = opened(hub, record).await;
    assert_eq!(server::images::verify::sha256_hex(&png), record.sha256);
    assert_eq!(hub.get(record.thumbnail_url()).await.status(), 200);
    assert_eq!(hub.get(&record.permalink).await.status(), 200);
}

/// An index that is gone is not replaced by an empty one.
#[tokio::test(flavor = "multi_thread")]
async fn files_without_their_index_stop_the_start() {
    let hub = Hub::start().await;
    put(&client(&Bucket::of(&hub)), "large", bytes(LARGE)).await;
    let folders = hub.stop().await;
    let store = folders.data.path().join("store");
    let index = std::fs::read(store.join("index.redb")).unwrap();
    std::fs::remove_file(store.join("index.redb")).unwrap();
    let error = server::start(folders.config(&[])).await.err().unwrap();
    assert!(
        format!("{error:#}").contains("index.redb is missing"),
        "{error:#}"
    );
    assert_eq!(files(&store).len(), 1, "nothing is removed");
    std::fs::write(store.join("index.redb"), index).unwrap();
    let hub = Hub::over(folders, &[]).await;
    let get = client(&Bucket::of(&hub));
    assert!(
        get.get_object()
            .bucket(BUCKET)
            .key("large")
            .send()
            .await
            .is_ok()
    );
}

/// The probe at start has requests refused on purpose; that is no error.
#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_start_logs_no_error() {
    let folders = Folders::new();
    let mut server = Command::new(env!("CARGO_BIN_EXE_demo-hub"))
        .args(["serve", "--listen=127.0.0.1:0", "--s3-listen=127.0.0.1:0"])
        .args(["--renderer=cpu", "--embedded-worker=false"])
        .arg("--models-dir")
        .arg(models_dir())
        .arg("--data")
        .arg(folders.data.path())
        .arg("--site-dir")
        .arg(folders.site())
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut log = Vec::new();
    for line in lines {
        log.push(line.unwrap());
        if log
            .iter()
            .any(|line| line.contains("what the picture store enforces"))
        {
            break;
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let enforces = log.last().unwrap();
    assert!(
        enforces.contains("direct") && enforces.contains("if_match=true"),
        "{log:#?}"
    );
    let bad = |line: &&String| line.contains("ERROR") || line.contains("WARN");
    assert_eq!(log.iter().find(bad), None);
}
