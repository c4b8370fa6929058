//! What the operator does with pictures, and what visitors tell the operator.

use clap::Parser;
use protocol::{ImageRecord, JobStatus, ProblemCode, UploadTicket};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::config::{Cli, Command};
use server::images::command;

use crate::hub::{Hub, STRANGER, assert_problem, json as read, picture, request, upload_request};
use crate::stores::Bucket;

/// `demo-hub images …` or `demo-hub reports …` on the store of a running hub.
async fn run(bucket: &Bucket, arguments: &[&str]) -> anyhow::Result<String> {
    let mut out = Vec::new();
    match bucket.command(arguments) {
        Command::Images(config) => command::images(config.command, &mut out).await?,
        Command::Reports(config) => command::reports(config.command, &mut out).await?,
        _ => unreachable!(),
    }
    Ok(String::from_utf8(out)?)
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn theirs(hub: &Hub, bytes: Vec<u8>) -> ImageRecord {
    let stranger = hub.with_cookie(Some(STRANGER));
    let announced = stranger
        .post("/api/v1/uploads", &upload_request(&bytes))
        .await;
    let ticket: UploadTicket = read(announced).await;
    hub.put(&ticket, bytes).await;
    let path = format!("/api/v1/uploads/{}/commit", ticket.id);
    read(stranger.send(Method::POST, &path).await).await
}

async fn is_down(hub: &Hub, record: &ImageRecord) {
    let path = format!("/api/v1/images/{}", record.id);
    for cookie in [Some(crate::hub::OWNER), Some(STRANGER), None] {
        let client = hub.with_cookie(cookie);
        assert_problem(
            client.send(Method::GET, &path).await,
            ProblemCode::Withdrawn,
        )
        .await;
        for bytes in [&record.url, record.thumbnail_url()] {
            let answer = client.send(Method::GET, bytes).await.status();
            assert!(
                [StatusCode::GONE, StatusCode::NOT_FOUND].contains(&answer),
                "{answer}"
            );
        }
        let page = client.send(Method::GET, &record.permalink).await.status();
        assert_eq!(page, StatusCode::GONE);
    }
    assert!(hub.listed().await.is_empty());
    assert!(hub.own().await.iter().all(|own| own.id != record.id));
    let again = hub.patch(&record.id, json!({"visibility": "listed"})).await;
    assert_problem(again, ProblemCode::Withdrawn).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_picture_is_gone_for_everybody_and_can_come_back() {
    for bucket in [Bucket::embedded().await, Bucket::moto().await] {
        let hub = bucket.hub(&[]).await;
        let record = hub.save(picture(1)).await;
        let same = theirs(&hub, picture(1)).await;
        let waiting = hub.announce(&upload_request(&picture(1))).await;
        let hide = [
            "images",
            "hide",
            &record.id,
            "--reason",
            "a complaint",
            "--json",
        ];
        let out = run(&bucket, &hide).await.unwrap();
        let down = lines(&out)[0]["pictures"].as_array().unwrap().len();
        assert_eq!(down, 2, "every record of the same bytes");
        is_down(&hub, &record).await;
        is_down(&hub, &same).await;
        // The bytes are not taken again: announced before, or anew.
        let commit = hub.commit(&waiting.id).await;
        assert!(commit.status().is_client_error(), "{}", commit.status());
        let refused = hub
            .post("/api/v1/uploads", &upload_request(&picture(1)))
            .await;
        assert_problem(refused, ProblemCode::ImageRefused).await;
        let shown = run(&bucket, &["images", "show", &record.sha256, "--json"])
            .await
            .unwrap();
        for seen in lines(&shown) {
            assert_eq!(
                (&seen["state"], &seen["denied"]),
                (&json!("hidden"), &json!(true))
            );
        }
        bucket.sweep().await;

        run(&bucket, &["images", "unhide", &record.sha256])
            .await
            .unwrap();
        assert_eq!(hub.listed().await.len(), 2);
        assert_eq!(crate::hostile::opened(&hub, &record).await, picture(1));
        hub.save(picture(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_picture_leaves_nothing_and_stays_out() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let store = bucket.store();
    let record = hub.save(picture(1)).await;
    let address = format!("https://hub.example{}", record.permalink);
    let out = run(&bucket, &["images", "remove", &address]).await.unwrap();
    assert!(
        out.starts_with("1 removed") && out.contains(&record.id),
        "{out}"
    );
    is_down(&hub, &record).await;
    let png = format!("img/{}/{}.png", &record.sha256[..2], record.sha256);
    assert!(!store.exists(&png).await.unwrap());
    assert_problem(hub.commit(&record.id).await, ProblemCode::Withdrawn).await;
    bucket.sweep().await;
    let left = crate::stores::keys(&store).await;
    assert_eq!(
        left.into_iter().collect::<Vec<_>>(),
        [format!("denied/{}.json", record.sha256)]
    );
    let refused = hub
        .post("/api/v1/uploads", &upload_request(&picture(1)))
        .await;
    assert_problem(refused, ProblemCode::ImageRefused).await;
    // Bytes that were never here can be refused too.
    let sha256 = "ab".repeat(32);
    let out = run(&bucket, &["images", "remove", &sha256]).await.unwrap();
    assert!(out.starts_with("0 removed"), "{out}");
    for nothing in ["0000000000000000000", "not-an-id"] {
        let line = ["demo-hub", "images", "hide", nothing];
        let parsed = Cli::try_parse_from(line).is_ok();
        assert_eq!(parsed, nothing != "not-an-id");
    }
    let missing = run(&bucket, &["images", "show", "0000000000000000000"]).await;
    assert!(missing.is_err());
}

/// A worker that makes what was taken down makes it for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_does_not_save_what_is_refused() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let made = async || {
        let job = hub.submit(&request("red apple", 1)).await;
        hub.wait(&job.id, |view| view.status.is_final()).await
    };
    let first = made().await;
    assert_eq!(first.status, JobStatus::Completed);
    let record: ImageRecord = read(hub.get(&format!("/api/v1/images/{}", first.id)).await).await;
    run(&bucket, &["images", "remove", &record.sha256])
        .await
        .unwrap();
    // Its duration is in the file: the same bytes come only from the same file.
    let store = bucket.store();
    let denied = store
        .exists(&format!("denied/{}.json", record.sha256))
        .await
        .unwrap();
    assert!(denied);
    let images = crate::stores::images(bucket.store());
    let bytes = picture(3);
    let sha256 = server::images::verify::sha256_hex(&bytes);
    run(&bucket, &["images", "remove", &sha256]).await.unwrap();
    let mut recipe = crate::hub::recipe();
    recipe.place = protocol::RunsOn::Server;
    let id = server::images::ImageId::new().unwrap();
    let keeping = server::images::Keeping::default();
    let refused = images.save(id, bytes, recipe, keeping).await.unwrap_err();
    assert_eq!(refused.code, ProblemCode::ImageRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_filters() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let (a, b) = (hub.save(picture(1)).await, theirs(&hub, picture(2)).await);
    hub.patch(&a.id, json!({"visibility": "private"})).await;
    let owner = server::images::OwnerId::from_cookies(STRANGER)
        .unwrap()
        .to_string();
    for (filter, expected) in [
        (vec![], vec![&b.id, &a.id]),
        (vec!["--state", "private"], vec![&a.id]),
        (vec!["--owner", &owner], vec![&b.id]),
        (vec!["--prompt", "RED"], vec![&b.id, &a.id]),
        (vec!["--prompt", "green"], vec![]),
        (
            vec!["--model", "demo-hub/glyph", "--limit", "1"],
            vec![&b.id],
        ),
        (vec!["--model", "no/such"], vec![]),
        (vec!["--state", "hidden"], vec![]),
    ] {
        let mut arguments = vec!["images", "list", "--json"];
        arguments.extend(&filter);
        let out = run(&bucket, &arguments).await.unwrap();
        let ids: Vec<String> = lines(&out)
            .iter()
            .map(|seen| seen["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_reaches_the_servers_own_store() {
    let hub = Hub::start().await;
    let record = hub.save(picture(1)).await;
    let listen = hub
        .storage_origin()
        .strip_prefix("http://")
        .unwrap()
        .to_owned();
    let data = hub.data().to_str().unwrap().to_owned();
    let line = [
        "demo-hub",
        "images",
        "hide",
        &record.id,
        "--data",
        &data,
        "--s3-listen",
        &listen,
    ];
    let Command::Images(config) = Cli::parse_from(line).command else {
        unreachable!()
    };
    command::images(config.command, &mut Vec::new())
        .await
        .unwrap();
    is_down(&hub, &record).await;
    // Without a running server too.
    let folders = hub.stop().await;
    let line = [
        "demo-hub",
        "images",
        "unhide",
        &record.id,
        "--data",
        &data,
        "--s3-listen=127.0.0.1:0",
    ];
    let Command::Images(config) = Cli::parse_from(line).command else {
        unreachable!()
    };
    command::images(config.command, &mut Vec::new())
        .await
        .unwrap();
    let hub = Hub::over(folders, &[]).await;
    assert_eq!(hub.listed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_reach_the_operator_once_a_client() {
    let bucket = Bucket::embedded().await;
    let hub = bucket.hub(&[]).await;
    let record = hub.save(picture(1)).await;
    let path = format!("/api/v1/images/{}/reports", record.id);
    let report = json!({"reason": "copyright", "comment": "mine\u{1b}[2J"});
    for cookie in [Some(STRANGER), Some(STRANGER), None, None] {
        let answer = hub.with_cookie(cookie).post(&path, &report).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
    }
    for wrong in [
        json!({}),
        json!({"reason": "dull"}),
        json!({"reason": "other", "email": "a@b"}),
        json!({"reason": "other", "comment": "x".repeat(1001)}),
    ] {
        assert_problem(hub.post(&path, &wrong).await, ProblemCode::MalformedRequest).await;
    }
    let nothing = hub
        .post("/api/v1/images/0000000000000000000/reports", &report)
        .await;
    assert_problem(nothing, ProblemCode::NotFound).await;

    let listed = run(&bucket, &["reports", "list", "--json"]).await.unwrap();
    let listed = lines(&listed);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], record.id.as_str());
    assert_eq!(listed[0]["reports"].as_array().unwrap().len(), 2);
    // Nothing in the store says who it was.
    let store = bucket.store();
    let stranger = server::images::OwnerId::from_cookies(STRANGER)
        .unwrap()
        .to_string();
    for key in crate::stores::keys(&store).await {
        if key.starts_with("report/") {
            let text = String::from_utf8(store.get(&key, 1 << 16).await.unwrap()).unwrap();
            let told = format!("{key} {text}");
            assert!(
                !told.contains(&stranger) && !told.contains("127.0.0.1"),
                "{told}"
            );
        }
    }
    let shown = run(&bucket, &["reports", "show", &record.id])
        .await
        .unwrap();
    assert!(
        shown.contains("copyright  mine") && !shown.contains('\u{1b}'),
        "{shown:?}"
    );
    let resolved = run(&bucket, &["reports", "resolve", &record.id])
        .await
        .unwrap();
    assert_eq!(resolved, "2 resolved\n");
    // Said again by the same client, it stays resolved.
    hub.with_cookie(Some(STRANGER)).post(&path, &report).await;
    assert_eq!(run(&bucket, &["reports", "list"]).await.unwrap(), "");
    assert!(
        run(&bucket, &["reports", "resolve", &record.id])
            .await
            .is_err()
    );

    // One client cannot fill the queue.
    let mut refused = 0;
    for _ in 0..40 {
        let answer = hub.with_cookie(Some(STRANGER)).post(&path, &report).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
            refused += 1;
        }
    }
    assert!(refused >= 15, "{refused}");
}
