//! Uploads that are wrong by malice or accident, tried over HTTP against every store.
//!
//! `cargo test -p server --test it hostile -- --nocapture` prints the table.

use protocol::{ImageRecord, ProblemCode, UploadTicket};
use reqwest::{Method, Response, StatusCode};
use server::images::OwnerId;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::hub::{
    Hub, OWNER, STRANGER, assert_problem, json, picture, png_of, size, upload_request,
};
use crate::stores::{Bucket, keys, keys_of};

/// What became of one attempt.
struct Row {
    attempt: &'static str,
    put: String,
    outcome: String,
}

struct Site {
    bucket: Bucket,
    hub: Hub,
    rows: Vec<Row>,
    /// What must be listed in the end.
    good: Vec<ImageRecord>,
}

impl Site {
    fn note(&mut self, attempt: &'static str, put: StatusCode, outcome: impl ToString) {
        self.rows.push(Row {
            attempt,
            put: put.as_u16().to_string(),
            outcome: outcome.to_string(),
        });
    }

    /// Announces `announced`, sends `sent` (changed headers replace the ticket's), commits: nothing may be listed.
    async fn refused(
        &mut self,
        attempt: &'static str,
        announced: &[u8],
        sent: Vec<u8>,
        header: Option<(&str, &str)>,
    ) {
        let mut ticket = self.hub.announce(&upload_request(announced)).await;
        if let Some((name, value)) = header {
            ticket.headers.retain(|(known, _)| known != name);
            ticket.headers.push((name.to_owned(), value.to_owned()));
        }
        let put = self.hub.put(&ticket, sent).await.status();
        let code = refused_code(self.hub.commit(&ticket.id).await).await;
        let expected = if put.is_success() {
            ProblemCode::UploadMismatch
        } else {
            ProblemCode::UploadMissing
        };
        assert_eq!(code, expected, "{attempt} on {}", self.bucket.name);
        self.note(attempt, put, code.name());
    }

    async fn commit(&self, ticket: &UploadTicket) -> ImageRecord {
        json(self.hub.commit(&ticket.id).await).await
    }

    /// The bytes behind the public address of a picture.
    async fn opened(&self, record: &ImageRecord) -> Vec<u8> {
        opened(&self.hub, record).await
    }
}

/// The bytes behind the public address of a picture.
pub async fn opened(hub: &Hub, record: &ImageRecord) -> Vec<u8> {
    let redirect = hub.get(&record.url).await;
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    let location = redirect.headers()["location"].to_str().unwrap();
    let answer = hub.http.get(location).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.bytes().await.unwrap().to_vec()
}

async fn refused_code(response: Response) -> ProblemCode {
    let text = response.text().await.unwrap();
    let problem: protocol::Problem = serde_json::from_str(&text).expect(&text);
    problem.code
}

/// 64 million pixels in some 60 kilobytes.
fn bomb() -> Vec<u8> {
    let side = 8000;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&vec![0; (side * side) as usize])
        .unwrap();
    writer.finish().unwrap();
    out
}

/// A picture with bytes behind the zlib stream of its pixels: in the same chunk, or in one more.
fn with_pixels_and(good: &[u8], more: &[u8], in_one_more: bool) -> Vec<u8> {
    let kind = good.windows(4).position(|w| w == b"IDAT").unwrap();
    let length = u32::from_be_bytes(good[kind - 4..kind].try_into().unwrap()) as usize;
    let stream = &good[kind + 4..kind + 4 + length];
    let chunk = |data: &[u8]| {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        let mut crc = flate2::Crc::new();
        crc.update(b"IDAT");
        crc.update(data);
        [&length[..], b"IDAT", data, &crc.sum().to_be_bytes()].concat()
    };
    let pixels = if in_one_more {
        [chunk(stream), chunk(more)].concat()
    } else {
        chunk(&[stream, more].concat())
    };
    [&good[..kind - 4], &pixels, &good[kind + 4 + length + 4..]].concat()
}

async fn wrong_bytes(site: &mut Site) {
    let good = picture(1);
    let mut other = good.clone();
    let last = other.len() - 20;
    other[last] ^= 1;
    site.refused("wrong hash", &good, other, None).await;
    let longer = [picture(2), vec![0; 10]].concat();
    site.refused("wrong size: longer", &picture(2), longer, None)
        .await;
    let shorter = picture(3)[..100].to_vec();
    site.refused("wrong size: shorter", &picture(3), shorter, None)
        .await;
    let html = b"<html><script>alert(1)</script>".to_vec();
    site.refused("HTML with PNG suffix", &html, html.clone(), None)
        .await;
    let zip = [picture(4), b"PK\x05\x06".to_vec(), vec![0; 18]].concat();
    site.refused("polyglot: PNG and zip", &zip, zip.clone(), None)
        .await;
    let archive = [
        b"PK\x03\x04".to_vec(),
        vec![7; 2000],
        b"PK\x05\x06".to_vec(),
    ]
    .concat();
    for (attempt, in_one_more) in [
        ("polyglot: zip behind the pixels", false),
        ("polyglot: zip in one more IDAT", true),
    ] {
        let bytes = with_pixels_and(&picture(8), &archive, in_one_more);
        site.refused(attempt, &bytes, bytes.clone(), None).await;
    }
    let end = picture(5)[picture(5).len() - 12..].to_vec();
    let page = [picture(5), b"<script>alert(1)</script>".to_vec(), end].concat();
    site.refused(
        "polyglot: script between two ends",
        &page,
        page.clone(),
        None,
    )
    .await;
    let bomb = bomb();
    assert!(bomb.len() < 100_000);
    site.refused("decompression bomb", &bomb, bomb.clone(), None)
        .await;
    let [width, height] = size();
    let large = png_of(width + 1, height, 6);
    site.refused("another size than the model's", &large, large.clone(), None)
        .await;
}

/// The object's type is the store's business; what is served has the hub's.
async fn other_type(site: &mut Site) {
    let bytes = picture(10);
    let mut ticket = site.hub.announce(&upload_request(&bytes)).await;
    for (name, value) in &mut ticket.headers {
        if name == "content-type" {
            *value = "text/html".to_owned();
        }
    }
    let put = site.hub.put(&ticket, bytes.clone()).await.status();
    if put.is_success() {
        let record = site.commit(&ticket).await;
        let redirect = site.hub.get(&record.url).await;
        let location = redirect.headers()["location"].to_str().unwrap();
        let served = site.hub.http.get(location).send().await.unwrap();
        assert_eq!(served.headers()["content-type"], "image/png");
        site.note("other type", put, "listed, served as image/png");
        site.good.push(record);
    } else {
        let code = refused_code(site.hub.commit(&ticket.id).await).await;
        assert_eq!(code, ProblemCode::UploadMissing);
        site.note("other type", put, code.name());
    }
}

async fn replayed_url(site: &mut Site) {
    let bytes = picture(11);
    let ticket = site.hub.announce(&upload_request(&bytes)).await;
    site.hub.put(&ticket, bytes.clone()).await;
    let record = site.commit(&ticket).await;
    let mut other = bytes.clone();
    other[60] ^= 1;
    let replayed = site.hub.put(&ticket, other).await.status();
    assert_eq!(
        site.opened(&record).await,
        bytes,
        "the listed picture was replaced"
    );
    assert_eq!(site.commit(&ticket).await, record);
    site.note(
        "replayed URL, other bytes",
        replayed,
        "listed once, unharmed",
    );
    let again = site.hub.put(&ticket, bytes).await.status();
    site.note("replayed URL, same bytes", again, "listed once, unharmed");
    site.good.push(record);
}

async fn expired_url(site: &mut Site) {
    let hub = site.bucket.hub(&["--upload-expiry-seconds=1"]).await;
    let ticket = hub.announce(&upload_request(&picture(12))).await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    let put = hub.put(&ticket, picture(12)).await.status();
    site.note("expired URL", put, "nothing listed");
}

async fn other_client(site: &mut Site) {
    let bytes = picture(13);
    let ticket = site.hub.announce(&upload_request(&bytes)).await;
    let put = site.hub.put(&ticket, bytes).await.status();
    let path = format!("/api/v1/uploads/{}/commit", ticket.id);
    for cookie in [Some(STRANGER), None] {
        let other = site.hub.with_cookie(cookie);
        assert_problem(other.send(Method::POST, &path).await, ProblemCode::NotOwner).await;
    }
    let record = site.commit(&ticket).await;
    let other = site.hub.with_cookie(Some(STRANGER));
    assert_problem(other.send(Method::POST, &path).await, ProblemCode::NotOwner).await;
    site.note(
        "other client's commit",
        put,
        "not_owner; the owner's is listed",
    );
    site.good.push(record);
}

async fn two_at_once(site: &mut Site) {
    let bytes = picture(14);
    let request = upload_request(&bytes);
    let second = site.bucket.hub(&[]).await;
    let (a, b) = tokio::join!(site.hub.announce(&request), second.announce(&request));
    let (first_put, second_put) = tokio::join!(
        site.hub.put(&a, bytes.clone()),
        second.put(&b, bytes.clone())
    );
    for put in [&first_put, &second_put] {
        let accepted = [StatusCode::OK, StatusCode::PRECONDITION_FAILED];
        assert!(accepted.contains(&put.status()), "{}", put.status());
    }
    let (a, b) = tokio::join!(site.hub.commit(&a.id), second.commit(&b.id));
    let (a, b): (ImageRecord, ImageRecord) = (json(a).await, json(b).await);
    assert_eq!(a.sha256, b.sha256);
    assert_ne!(a.id, b.id);
    assert_eq!(site.opened(&b).await, bytes);
    // The bytes stay as long as one record shows them.
    let path = format!("/api/v1/images/{}", a.id);
    assert_eq!(
        site.hub.send(Method::DELETE, &path).await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(site.opened(&b).await, bytes);
    let put = first_put.status().max(second_put.status());
    site.note("two clients at once", put, "two records, one picture");
    site.good.push(b);
}

/// The connection breaks in the middle of the body.
async fn cut_off(site: &mut Site) {
    let bytes = picture(15);
    let ticket = site.hub.announce(&upload_request(&bytes)).await;
    let url: reqwest::Url = ticket.url.parse().unwrap();
    let address = format!(
        "{}:{}",
        url.host_str().unwrap(),
        url.port_or_known_default().unwrap()
    );
    let mut head = format!(
        "PUT {}?{} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n",
        url.path(),
        url.query().unwrap(),
        bytes.len()
    );
    for (name, value) in &ticket.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut connection = TcpStream::connect(&address).await.unwrap();
    connection
        .write_all(format!("{head}\r\n").as_bytes())
        .await
        .unwrap();
    connection
        .write_all(&bytes[..bytes.len() / 2])
        .await
        .unwrap();
    connection.shutdown().await.unwrap();
    drop(connection);
    let code = refused_code(site.hub.commit(&ticket.id).await).await;
    assert!(
        [ProblemCode::UploadMissing, ProblemCode::UploadMismatch].contains(&code),
        "{code:?}"
    );
    // The same upload succeeds with the next attempt.
    let mut put = site.hub.put(&ticket, bytes.clone()).await.status();
    if put == StatusCode::PRECONDITION_FAILED {
        // The store took the stump after all: the commit removes it.
        let code = refused_code(site.hub.commit(&ticket.id).await).await;
        assert_eq!(code, ProblemCode::UploadMismatch);
        put = site.hub.put(&ticket, bytes).await.status();
    }
    let record = site.commit(&ticket).await;
    site.note(
        "cut off mid-upload, sent again",
        put,
        format!("{}, then listed", code.name()),
    );
    site.good.push(record);
}

async fn store_down(site: &mut Site) {
    let switch = site.bucket.behind_a_switch().await;
    let hub = site.bucket.hub_at(&switch.endpoint, &[]).await;
    let bytes = picture(16);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    switch.turn(false);
    let mut sending = hub.http.put(&ticket.url);
    for (name, value) in &ticket.headers {
        sending = sending.header(name, value);
    }
    assert!(sending.body(bytes.clone()).send().await.is_err());
    let away = ProblemCode::StorageUnavailable;
    assert_problem(hub.commit(&ticket.id).await, away).await;
    switch.turn(true);
    let put = hub.put(&ticket, bytes).await.status();
    switch.turn(false);
    assert_problem(hub.commit(&ticket.id).await, away).await;
    switch.turn(true);
    let record: ImageRecord = json(hub.commit(&ticket.id).await).await;
    site.note(
        "store down before and after the PUT",
        put,
        "storage_unavailable, then listed",
    );
    site.good.push(record);
}

async fn commit_twice(site: &mut Site) {
    let bytes = picture(17);
    let ticket = site.hub.announce(&upload_request(&bytes)).await;
    let put = site.hub.put(&ticket, bytes).await.status();
    let (first, second) = tokio::join!(site.hub.commit(&ticket.id), site.hub.commit(&ticket.id));
    let first: ImageRecord = json(first).await;
    assert_eq!(first, json(second).await);
    assert_eq!(first, site.commit(&ticket).await);
    site.note("commit twice, at once and later", put, "listed once");
    site.good.push(first);
}

async fn everything_against(bucket: Bucket) {
    let name = bucket.name;
    let hub = bucket.hub(&[]).await;
    let mut site = Site {
        bucket,
        hub,
        rows: Vec::new(),
        good: Vec::new(),
    };
    wrong_bytes(&mut site).await;
    other_type(&mut site).await;
    replayed_url(&mut site).await;
    expired_url(&mut site).await;
    other_client(&mut site).await;
    two_at_once(&mut site).await;
    cut_off(&mut site).await;
    store_down(&mut site).await;
    commit_twice(&mut site).await;

    println!("\n| {name}: attempt | PUT | then |\n|---|---|---|");
    for row in &site.rows {
        println!("| {} | {} | {} |", row.attempt, row.put, row.outcome);
    }
    let mut listed: Vec<String> = site.hub.listed().await.into_iter().map(|r| r.id).collect();
    let mut good: Vec<String> = site.good.iter().map(|r| r.id.clone()).collect();
    listed.sort();
    good.sort();
    assert_eq!(listed, good, "{name}");

    let swept = site.bucket.sweep().await;
    println!("{name}: {swept:?}");
    let owner = OwnerId::from_cookies(OWNER).unwrap().to_string();
    let expected = site
        .good
        .iter()
        .flat_map(|record| keys_of(record, &owner))
        .collect();
    assert_eq!(keys(&site.bucket.store()).await, expected, "{name}");
    for record in &site.good {
        let bytes = site.opened(record).await;
        assert_eq!(server::images::verify::sha256_hex(&bytes), record.sha256);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_uploads_to_the_embedded_store() {
    let bucket = Bucket::embedded().await;
    assert!(bucket.store().support().await.unwrap().direct());
    everything_against(bucket).await;
}

/// It checks neither signatures nor checksums: everything depends on the hub.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_uploads_to_moto() {
    let bucket = Bucket::moto().await;
    let support = bucket.store().support().await.unwrap();
    assert!(!support.direct() && support.conditional_put, "{support:?}");
    everything_against(bucket).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_uploads_to_a_store_elsewhere() {
    if let Some(bucket) = Bucket::elsewhere().await {
        everything_against(bucket).await;
    }
}
