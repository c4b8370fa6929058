//! Figures for docs/performance.md: what the embedded store takes in.
//!
//! `cargo test --release -p server --test it measure_store -- --ignored --nocapture`

use std::path::Path;
use std::time::Instant;

use futures::StreamExt;
use server::storage::Store;

use crate::hub::{Hub, picture};
use crate::stores::Bucket;

/// Uploads at the same time.
const AT_ONCE: usize = 32;

fn files(folder: &Path) -> usize {
    let items = std::fs::read_dir(folder).unwrap();
    let count = |path: &Path| if path.is_dir() { files(path) } else { 1 };
    items.map(|item| count(&item.unwrap().path())).sum()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn uploads_a_second() {
    let hub = Hub::with(&["--uploads-per-hour=100000"]).await;
    let store = Store::new(&Bucket::of(&hub)).unwrap();
    for (objects, bytes) in [(2000, 500), (1000, 20_000), (500, 150_000)] {
        let before = Instant::now();
        let puts = futures::stream::iter(0..objects).for_each_concurrent(AT_ONCE, |n| {
            let store = store.clone();
            async move {
                let key = format!("measured/{bytes}/{n}");
                store
                    .put(&key, vec![n as u8; bytes], "image/png")
                    .await
                    .unwrap();
            }
        });
        puts.await;
        let rate = f64::from(objects) / before.elapsed().as_secs_f64();
        println!("{objects} objects of {bytes} bytes, {AT_ONCE} at a time: {rate:.0} a second");
    }
    let (before, pictures) = (files(hub.data()), 100);
    let started = Instant::now();
    let saves = futures::stream::iter(0..pictures).for_each_concurrent(8, |n| {
        let hub = &hub;
        async move {
            hub.save(picture(n)).await;
        }
    });
    saves.await;
    let rate = f64::from(pictures) / started.elapsed().as_secs_f64();
    let each = (files(hub.data()) - before) as f64 / f64::from(pictures);
    println!(
        "{pictures} pictures announced, sent and committed, 8 at a time: {rate:.1} a second, {each} files each"
    );
}
