//! Writes that happen only where nobody else wrote in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use server::storage::{Condition, ETag, Put, Store, StoreSettings};

use crate::stores::Bucket;

const JSON: &str = "application/json";
const KEY: &str = "record/x.json";

async fn write(store: &Store, text: &str, condition: &Condition) -> Put {
    let put = store.put_if(KEY, text.into(), JSON, condition);
    put.await.unwrap()
}

async fn read(store: &Store) -> (String, ETag) {
    let (bytes, e_tag) = store.get_versioned(KEY, 1000).await.unwrap();
    (String::from_utf8(bytes).unwrap(), e_tag)
}

async fn obeys_conditions(store: &Store) {
    let Put::Written(first) = write(store, "1", &Condition::Absent).await else {
        panic!("the key is free");
    };
    assert_eq!(read(store).await, ("1".to_owned(), first.clone()));
    assert_eq!(write(store, "2", &Condition::Absent).await, Put::Conflict);
    let old = Condition::Unchanged(first.clone());
    let Put::Written(second) = write(store, "3", &old).await else {
        panic!("nothing changed in between");
    };
    assert_ne!(first, second);
    assert_eq!(write(store, "4", &old).await, Put::Conflict);
    assert_eq!(read(store).await, ("3".to_owned(), second.clone()));
    store.delete(KEY).await.unwrap();
    // Gone is changed, too; and nothing comes back.
    let gone = Condition::Unchanged(second);
    assert_eq!(write(store, "5", &gone).await, Put::Conflict);
    assert!(!store.exists(KEY).await.unwrap());
}

/// Counts to 80 by eight writers; every lost update would be missing at the end.
async fn loses_no_update(stores: [Store; 2]) {
    let _ = write(&stores[0], "0", &Condition::Absent).await;
    let writers = (0..8).map(|n| {
        let store = stores[n % 2].clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                loop {
                    let (text, e_tag) = read(&store).await;
                    let next = text.parse::<u32>().unwrap() + 1;
                    let unchanged = Condition::Unchanged(e_tag);
                    if write(&store, &next.to_string(), &unchanged).await != Put::Conflict {
                        break;
                    }
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(read(&stores[0]).await.0, "80");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_obeys_conditions() {
    let bucket = Bucket::embedded().await;
    let support = bucket.store().support().await.unwrap();
    assert!(support.absent && support.unchanged);
    obeys_conditions(&bucket.store()).await;
    loses_no_update([bucket.store(), bucket.store()]).await;
}

/// Of many who create one object, one does.
#[tokio::test(flavor = "multi_thread")]
async fn one_creator_wins() {
    let bucket = Bucket::embedded().await;
    let puts = (0..16).map(|n| {
        let store = bucket.store();
        tokio::spawn(async move { write(&store, &n.to_string(), &Condition::Absent).await })
    });
    let mut written = 0;
    for put in puts.collect::<Vec<_>>() {
        written += usize::from(put.await.unwrap() != Put::Conflict);
    }
    assert_eq!(written, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_store_obeys_conditions() {
    let moto = Bucket::moto().await;
    let support = moto.store().support().await.unwrap();
    assert!(support.absent && support.unchanged);
    obeys_conditions(&moto.store()).await;
}

/// Passes requests on to moto, which does not check signatures.
pub struct Meddler {
    to: String,
    http: reqwest::Client,
    /// Takes the conditions out, as a store does that does not know them.
    deaf: bool,
    /// Conditional writes whose answers are lost from now on.
    losing: AtomicUsize,
    /// Takes no objects, as a store does whose disk is full.
    full: AtomicBool,
}

impl Meddler {
    /// Fills the disk, or makes room on it.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    pub async fn start(moto: &Bucket, deaf: bool) -> (Arc<Self>, StoreSettings) {
        let meddler = Arc::new(Self {
            to: moto.settings().endpoint.clone().unwrap(),
            http: reqwest::Client::new(),
            deaf,
            losing: AtomicUsize::new(0),
            full: AtomicBool::new(false),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = StoreSettings {
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            ..moto.settings().clone()
        };
        let router = axum::Router::new()
            .fallback(pass)
            .with_state(Arc::clone(&meddler));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (meddler, settings)
    }
}

async fn pass(State(meddler): State<Arc<Meddler>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::PUT && meddler.full.load(Ordering::SeqCst) {
        // As MinIO answers.
        let said = "<Error><Code>XMinioStorageFull</Code><Message>no space</Message></Error>";
        let answer = Response::builder().status(507);
        return answer.body(Body::from(said)).unwrap();
    }
    let conditional = ["if-match", "if-none-match"].map(|name| {
        let there = parts.headers.contains_key(name);
        if meddler.deaf {
            parts.headers.remove(name);
        }
        there
    });
    let url = format!("{}{}", meddler.to, parts.uri);
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let sent = meddler
        .http
        .request(parts.method, url)
        .headers(parts.headers);
    let answer = sent.body(body).send().await.unwrap();
    let lose = |n: usize| n.checked_sub(1);
    if conditional.contains(&true)
        && meddler
            .losing
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose)
            .is_ok()
    {
        return Response::builder().status(502).body(Body::empty()).unwrap();
    }
    let mut passed = Response::builder().status(answer.status());
    *passed.headers_mut().unwrap() = answer.headers().clone();
    passed
        .body(Body::from(answer.bytes().await.unwrap()))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_conditions_is_written_to_in_turn() {
    let moto = Bucket::moto().await;
    let (_, settings) = Meddler::start(&moto, true).await;
    let stores = [(); 2].map(|()| Store::new(&settings).unwrap());
    let support = stores[0].support().await.unwrap();
    assert!(!support.absent && !support.unchanged, "{support:?}");
    obeys_conditions(&stores[0]).await;
    loses_no_update(stores).await;
}

/// The first attempt wrote; the second finds the first one's object.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_conflict() {
    let moto = Bucket::moto().await;
    let (meddler, settings) = Meddler::start(&moto, false).await;
    let store = Store::new(&settings).unwrap();
    assert!(store.support().await.unwrap().unchanged);
    let lose = |n| meddler.losing.store(n, Ordering::SeqCst);
    lose(1);
    let Put::Written(first) = write(&store, "1", &Condition::Absent).await else {
        panic!("it was this write's object");
    };
    lose(1);
    let unchanged = Condition::Unchanged(first);
    assert_ne!(write(&store, "2", &unchanged).await, Put::Conflict);
    assert_eq!(read(&store).await.0, "2");
    // Somebody else's object stays a conflict.
    lose(1);
    assert_eq!(write(&store, "3", &unchanged).await, Put::Conflict);
    lose(1);
    assert_eq!(write(&store, "4", &Condition::Absent).await, Put::Conflict);
    // An answer that never comes is an error, and no conflict.
    lose(2);
    let put = store.put_if("record/y.json", b"1".to_vec(), JSON, &Condition::Absent);
    let put = tokio::time::timeout(Duration::from_secs(30), put).await;
    assert!(put.unwrap().is_err());
}
