//! `demo-hub storage setup|check|sweep`, and what start-up finds out.

use protocol::ImageRecord;
use server::config::Command;
use server::storage::check::{Verdict, inspect};
use server::storage::{Store, command, setup};

use crate::hub::{json, picture, upload_request};
use crate::stores::{Bucket, keys, sweep};

async fn run(bucket: &Bucket, action: &[&str]) -> (anyhow::Result<()>, String) {
    let words: Vec<&str> = ["storage"].iter().chain(action).copied().collect();
    let Command::Storage(storage) = bucket.command(&words) else {
        unreachable!()
    };
    let mut out = Vec::new();
    let result = command::run(storage, &mut out).await;
    (result, String::from_utf8(out).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_bucket_is_made_ready() {
    let moto = Bucket::moto().await;
    let mut settings = moto.settings().clone();
    settings.bucket = "brand-new".into();
    let store = Store::new(&settings).unwrap();
    let before = inspect(&store, "https://hub.example").await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].verdict, Verdict::Bad, "{before:?}");

    setup::prepare(&store, "https://hub.example").await.unwrap();
    let again = setup::prepare(&store, "https://hub.example").await.unwrap();
    assert_eq!(again.bucket, setup::Part::AlreadyThere);
    let verdict = |findings: &[server::storage::check::Finding], what: &str| {
        findings.iter().find(|f| f.what == what).unwrap().verdict
    };
    let found = inspect(&store, "https://hub.example").await;
    for what in [
        "bucket",
        "objects",
        "conditional writes",
        "cross-origin uploads",
        "lifecycle",
    ] {
        assert_eq!(verdict(&found, what), Verdict::Good, "{what}: {found:#?}");
    }
    for what in ["signatures", "checksums"] {
        assert_eq!(verdict(&found, what), Verdict::Note, "{what}: {found:#?}");
    }
    let elsewhere = inspect(&store, "https://other.example").await;
    assert_eq!(
        verdict(&elsewhere, "cross-origin uploads"),
        Verdict::Bad,
        "{elsewhere:#?}"
    );
    assert!(
        keys(&store).await.is_empty(),
        "the checks leave nothing behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_what_they_found() {
    let moto = Bucket::moto().await;
    let (result, text) = run(&moto, &["setup"]).await;
    result.unwrap();
    assert_eq!(
        text,
        "bucket: was there\ncross-origin uploads: set\nlifecycle: set\n"
    );
    let (result, text) = run(&moto, &["check", "--public-url", "https://hub.example"]).await;
    result.unwrap();
    assert!(text.contains("ok   cross-origin uploads"), "{text}");

    let embedded = Bucket::embedded().await;
    let (result, text) = run(&embedded, &["check", "--public-url", "https://hub.example"]).await;
    result.unwrap();
    for line in [
        "ok   signatures",
        "ok   checksums",
        "ok   conditional writes",
        "note lifecycle",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let (result, text) = run(&embedded, &["setup"]).await;
    result.unwrap();
    assert!(
        text.contains("lifecycle: not supported by this store"),
        "{text}"
    );

    let mut away = embedded.settings().clone();
    away.endpoint = Some("http://127.0.0.1:9".into());
    let found = inspect(&Store::new(&away).unwrap(), "*").await;
    assert_eq!(found[0].verdict, Verdict::Bad);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_spares_what_is_young_or_needed() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let listed = hub.save(picture(1)).await;
    let bytes = picture(2);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    hub.put(&ticket, bytes).await;
    let before = keys(&bucket.store()).await;
    let (result, text) = run(&bucket, &["sweep"]).await;
    result.unwrap();
    assert!(text.contains("\"records\":1,\"uploads\":0"), "{text}");
    assert_eq!(keys(&bucket.store()).await, before);
    let second: ImageRecord = json(hub.commit(&ticket.id).await).await;
    sweep(bucket.store()).await;
    for record in [listed, second] {
        assert_eq!(
            crate::hostile::opened(&hub, &record).await.len() as u64,
            record.bytes
        );
    }
}

/// Records of the hub's first version have neither markers nor references.
#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_writes_what_old_records_lack() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let record = hub.save(picture(1)).await;
    let store = bucket.store();
    let before = keys(&store).await;
    for key in &before {
        if ["model/", "creator/", "own/", "ref/"]
            .iter()
            .any(|prefix| key.starts_with(prefix))
        {
            store.delete(key).await.unwrap();
        }
    }
    let repaired = sweep(store.clone()).await.repaired;
    assert_eq!(repaired, 2, "the reference, and the markers");
    assert_eq!(keys(&store).await, before);
    assert_eq!(
        crate::hostile::opened(&hub, &record).await.len() as u64,
        record.bytes
    );
}
