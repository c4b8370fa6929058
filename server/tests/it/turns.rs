//! Turns between clients, the same in both queues.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::StreamExt;
use protocol::{LimitName, ProblemCode};
use server::images::OwnerId;
use server::jobs::{JobEvent, JobKey, Queue, Role, Submission};
use server::limits::{Allowance, ClientKey};

use crate::hub::{GLYPH, resolved};
use crate::nats::Nats;
use crate::queue::{Kit, RETENTION, completed, pull, submission};

const ALLOWED: Allowance = Allowance {
    client: 16,
    network: 64,
};

fn owner(name: &str) -> ClientKey {
    ClientKey::Owner(OwnerId::of(name))
}

fn of(client: &str) -> Submission {
    Submission {
        client: owner(client),
        network: Some("192.0.2.1".parse().unwrap()),
        allowance: Some(ALLOWED),
        ..submission(client, None)
    }
}

async fn submit(kit: &Kit, client: &str) -> String {
    // Ids are ordered by milliseconds.
    tokio::time::sleep(Duration::from_millis(3)).await;
    kit.app.submit(of(client)).await.unwrap().id
}

async fn clients_take_turns_and_positions_tell_them(kit: Kit) {
    let mut ids = Vec::new();
    for client in ["ann", "ann", "ann", "bob", "bob"] {
        ids.push(submit(&kit, client).await);
    }
    // A replica may look at the line only a few times a second.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut positions = Vec::new();
    for id in &ids {
        positions.push(kit.other.get(id).await.unwrap().queue_position.unwrap());
    }
    assert_eq!(positions, [0, 2, 4, 1, 3]);
    assert_eq!(kit.app.unfinished().await.unwrap()[GLYPH], 5);

    let first = pull(&*kit.worker).await.unwrap();
    // A third client comes when one job is in hand: it is next but for those who waited already.
    let carla = submit(&kit, "carla").await;
    let mut made = vec![first.id().to_owned()];
    assert!(first.finish(completed()).await.unwrap());
    for _ in 0..5 {
        let claim = pull(&*kit.worker).await.unwrap();
        made.push(claim.id().to_owned());
        assert!(claim.finish(completed()).await.unwrap());
    }
    let wanted = [&ids[0], &ids[3], &carla, &ids[1], &ids[4], &ids[2]];
    assert_eq!(made.iter().collect::<Vec<_>>(), wanted);
}

async fn a_job_given_back_is_next(kit: Kit) {
    let first = submit(&kit, "ann").await;
    for _ in 0..3 {
        submit(&kit, "bob").await;
    }
    let claim = pull(&*kit.worker).await.unwrap();
    assert_eq!(claim.id(), first);
    claim
        .hand_back(server::jobs::HandBack::Draining)
        .await
        .unwrap();
    assert_eq!(pull(&*kit.worker).await.unwrap().id(), first);
}

async fn one_client_cannot_fill_the_queue(kit: Kit) {
    let mut accepted = 0;
    let refused = loop {
        match kit.app.submit(of("greedy")).await {
            Ok(_) => accepted += 1,
            Err(problem) => break problem,
        }
    };
    assert_eq!(refused.code, ProblemCode::RateLimited);
    assert_eq!(refused.limit, Some(LimitName::PicturesInFlight));
    assert!(refused.retry_after.is_some_and(|seconds| seconds >= 1));
    assert_eq!(accepted, 16);
    // 44 others of the same address, and one more than it may have.
    for n in 0..44 {
        kit.other.submit(of(&format!("other {n}"))).await.unwrap();
    }
    for n in 44..48 {
        kit.app.submit(of(&format!("other {n}"))).await.unwrap();
    }
    let refused = kit.app.submit(of("other 48")).await.unwrap_err();
    assert_eq!(refused.limit, Some(LimitName::PicturesInFlightOfAddress));
    let elsewhere = Submission {
        network: Some("192.0.2.2".parse().unwrap()),
        ..of("elsewhere")
    };
    kit.app.submit(elsewhere).await.unwrap();
}

fn several(count: u32, client: &str, key: &str) -> Vec<Submission> {
    (0..count)
        .map(|n| Submission {
            request: resolved("several", 100 + u64::from(n)),
            idempotency_key: Some(JobKey::new(&owner(client), key, Some(n))),
            network: None,
            ..of(client)
        })
        .collect()
}

async fn several_pictures_are_taken_in_whole_or_not_at_all(kit: Kit) {
    let unfinished = async || {
        let all = kit.other.unfinished().await.unwrap();
        all.get(GLYPH).copied().unwrap_or_default()
    };
    let first = kit.app.submit_all(several(6, "ann", "k")).await.unwrap();
    let seeds: Vec<u64> = first.iter().map(|job| job.seed).collect();
    assert_eq!(seeds, [100, 101, 102, 103, 104, 105]);
    let refused = kit.other.submit_all(several(3, "bob", "k")).await;
    assert_eq!(refused.unwrap_err().code, ProblemCode::QueueFull);
    assert_eq!(unfinished().await, 6);
    // The same again is the same again, full or not; the refused key is free.
    let again = kit.other.submit_all(several(6, "ann", "k")).await.unwrap();
    assert_eq!(again, first);
    let bobs = kit.other.submit_all(several(2, "bob", "k")).await.unwrap();
    assert_eq!(unfinished().await, 8);
    for job in first.iter().chain(&bobs) {
        kit.app.cancel(&job.id).await.unwrap();
    }
    assert_eq!(unfinished().await, 0);
    // A repeated request whose job was cancelled is answered as before.
    assert_eq!(
        kit.app.submit_all(several(2, "bob", "k")).await.unwrap(),
        bobs
    );
    assert_eq!(unfinished().await, 0);

    // Two at once for the places of one: nothing is left of what is refused.
    let both = tokio::join!(
        kit.app.submit_all(several(5, "ann", "l")),
        kit.other.submit_all(several(5, "bob", "l"))
    );
    let accepted = [both.0, both.1]
        .iter()
        .filter(|taken| taken.is_ok())
        .count();
    assert!(accepted <= 1);
    assert_eq!(unfinished().await, 5 * accepted);
}

async fn keys_of_different_clients_never_meet(kit: Kit) {
    let keyed = |client: &str, key: &str, picture, told: u8| Submission {
        idempotency_key: Some(JobKey::new(&owner(client), key, picture)),
        fingerprint: [told; 32],
        ..of(client)
    };
    let ann = kit.app.submit(keyed("ann", "k", None, 1)).await.unwrap();
    let bob = kit.other.submit(keyed("bob", "k", None, 1)).await.unwrap();
    assert_ne!(ann.id, bob.id);
    kit.app.submit(keyed("carla", "k", None, 2)).await.unwrap();
    kit.app.submit(keyed("ann", "k#0", None, 2)).await.unwrap();
    kit.app.submit(keyed("ann", "k", Some(0), 2)).await.unwrap();
    let refused = kit.other.submit(keyed("ann", "k", None, 2)).await;
    assert_eq!(refused.unwrap_err().code, ProblemCode::IdempotencyKeyReused);
    let known = async |client: &str, told: u8| {
        let key = JobKey::new(&owner(client), "k", None);
        kit.other.known(&key, &[told; 32]).await
    };
    assert_eq!(known("ann", 1).await.unwrap(), Some(ann.clone()));
    assert_eq!(known("bob", 1).await.unwrap(), Some(bob));
    assert_eq!(known("dora", 1).await.unwrap(), None);
    assert_eq!(
        known("ann", 2).await.unwrap_err().code,
        ProblemCode::IdempotencyKeyReused
    );
    let holder = kit.other.holder(&ann.id).await.unwrap();
    assert_eq!(holder.client, owner("ann"));
}

/// Time of one picture of the drill's renderer.
const PICTURE: Duration = Duration::from_millis(40);
/// Pictures that the polite client has made, one after the other.
const POLITE: usize = 8;

/// One greedy client at full speed, a polite one, one worker. Counts decide; times are printed.
async fn a_polite_client_waits_for_the_job_in_hand_alone(kit: Kit) {
    let started: Arc<Mutex<Vec<String>>> = Arc::default();
    let (log, queue) = (Arc::clone(&started), Arc::clone(&kit.worker));
    let worker = tokio::spawn(async move {
        while let Some(claim) = pull(&*queue).await {
            log.lock().unwrap().push(claim.id().to_owned());
            tokio::time::sleep(PICTURE).await;
            claim.finish(completed()).await.unwrap();
        }
    });
    let alone = polite(&kit, &started).await;
    let queue = Arc::clone(&kit.other);
    let greedy = tokio::spawn(async move {
        loop {
            if queue.submit(of("greedy")).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    while kit.app.unfinished().await.unwrap().get(GLYPH) < Some(&16) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let beside = polite(&kit, &started).await;
    greedy.abort();
    worker.abort();
    let (alone_ms, alone_others) = median(alone);
    let (beside_ms, beside_others) = median(beside);
    println!(
        "load drill: alone {alone_ms} ms and {alone_others} others' pictures before its own, beside a greedy client \
         {beside_ms} ms and {beside_others}; allowed {} ms",
        2 * alone_ms + PICTURE.as_millis()
    );
    assert_eq!(alone_others, 0);
    // One may be taken while the request is on its way.
    assert!(beside_others <= 1, "{beside_others}");
    assert!(beside_ms <= 2 * alone_ms + 4 * PICTURE.as_millis());
}

/// Milliseconds from request to picture, and pictures of others that were begun in between, of each picture.
async fn polite(kit: &Kit, started: &Mutex<Vec<String>>) -> Vec<(u128, usize)> {
    let mut waits = Vec::new();
    for _ in 0..POLITE {
        let before = started.lock().unwrap().len();
        let asked = Instant::now();
        let id = kit.app.submit(of("polite")).await.unwrap().id;
        let mut events = kit.app.events(&id).await.unwrap();
        while let Some(event) = events.next().await {
            if let JobEvent::State { view, .. } = event
                && view.status.is_final()
            {
                break;
            }
        }
        let waited = asked.elapsed().as_millis();
        let begun = started.lock().unwrap();
        let own = begun.iter().position(|other| *other == id).unwrap();
        waits.push((waited, own - before));
    }
    waits
}

fn median(mut waits: Vec<(u128, usize)>) -> (u128, usize) {
    waits.sort_unstable();
    let middle = waits[waits.len() / 2].0;
    let most = waits.iter().map(|(_, others)| *others).max();
    (middle, most.unwrap())
}

macro_rules! both_queues {
    ($($test:ident with room for $capacity:literal,)*) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Kit::embedded($capacity, super::RETENTION).await).await;
            })*
        }
        mod nats {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Kit::nats($capacity, super::RETENTION).await).await;
            })*
        }
    };
}

both_queues! {
    clients_take_turns_and_positions_tell_them with room for 16,
    a_job_given_back_is_next with room for 16,
    one_client_cannot_fill_the_queue with room for 128,
    several_pictures_are_taken_in_whole_or_not_at_all with room for 8,
    keys_of_different_clients_never_meet with room for 16,
    a_polite_client_waits_for_the_job_in_hand_alone with room for 128,
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_an_older_version_are_worked_on_first() {
    let nats = Nats::start();
    let app = nats.queue(8, Role::App).await;
    let worker = nats.queue(8, Role::Worker).await;
    let new = app.submit(of("ann")).await.unwrap().id;
    let old = server::images::ImageId::new().unwrap().to_string();
    let order = serde_json::json!({ "id": old, "request": protocol::GenerationRequest::from(submission("old", None).request) });
    let client = async_nats::connect(nats.url()).await.unwrap();
    let subject = format!("test.queue.demo-hub=2Fglyph.{old}");
    client
        .publish(subject, order.to_string().into())
        .await
        .unwrap();
    client.flush().await.unwrap();
    while app.unfinished().await.unwrap()[GLYPH] < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let claim = pull(&worker).await.unwrap();
    assert_eq!(claim.id(), old);
    assert_eq!(claim.request().prompt, "old");
    assert!(claim.finish(completed()).await.unwrap());
    assert_eq!(pull(&worker).await.unwrap().id(), new);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_count_together() {
    use server::limits::Ledger;
    use server::limits::ledger::{Entry, Period};
    let nats = Nats::start();
    let one = nats.queue(8, Role::App).await;
    let other = nats.queue(8, Role::App).await;
    let now = std::time::SystemTime::now();
    let entry = Entry::at(now, "a".to_owned(), Period::Day);
    let adding = (0..10).map(|n| {
        let (queue, entry) = (if n % 2 == 0 { &one } else { &other }, &entry);
        async move { queue.add(entry, 1, 6).await.unwrap() }
    });
    let added = futures::future::join_all(adding).await;
    assert_eq!(added.iter().filter(|added| **added).count(), 6);
    one.take_off(&entry, 2).await;
    assert!(!other.add(&entry, 3, 6).await.unwrap());
    assert!(other.add(&entry, 2, 6).await.unwrap());
}
