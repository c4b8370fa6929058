//! Signatures of presigned requests, checked by botocore's signer.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use server::config::Secret;
use server::storage::{Audience, ObjectClaim, Store, StoreSettings};

use crate::stores::python;

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

fn settings(endpoint: Option<&str>, path_style: bool) -> StoreSettings {
    StoreSettings {
        endpoint: endpoint.map(str::to_owned),
        public_endpoint: None,
        bucket: "examplebucket".into(),
        region: "eu-central-1".into(),
        access_key_id: KEY.into(),
        secret_access_key: Secret::new(SECRET),
        path_style,
    }
}

fn run(requests: &[Value]) -> (bool, Vec<String>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3/presigned.py");
    let mut child = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python with botocore; `cargo xtask test server` installs it");
    let given = json!({
        "access_key_id": KEY, "secret_access_key": SECRET, "region": "eu-central-1",
        "requests": requests,
    });
    let mut input = child.stdin.take().unwrap();
    input.write_all(given.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (
        output.status.success(),
        lines.lines().map(str::to_owned).collect(),
    )
}

async fn requests() -> Vec<Value> {
    let mut requests = Vec::new();
    for (endpoint, path_style) in [
        (Some("http://127.0.0.1:9000"), true),
        (Some("https://store.example"), true),
        (None, false),
    ] {
        let store = Store::new(&settings(endpoint, path_style)).unwrap();
        for only_new in [true, false] {
            let claim = ObjectClaim {
                key: "img/0f/0f.png",
                bytes: 1234,
                content_type: "image/png",
                sha256: [7; 32],
                only_new,
            };
            let put = store
                .presign_put(&claim, Audience::Public, Duration::from_secs(300))
                .await
                .unwrap();
            let mut headers = put.headers;
            // The sender's HTTP library adds it.
            headers.push(("content-length".into(), "1234".into()));
            requests.push(json!({"method": "PUT", "url": put.url, "headers": headers}));
        }
        for save_as in [None, Some("red apple.png")] {
            let url = store
                .presign_get("img/0f/0f.png", "image/png", save_as)
                .await
                .unwrap();
            requests.push(json!({"method": "GET", "url": url, "headers": []}));
        }
    }
    requests
}

#[tokio::test]
async fn botocore_signs_the_same() {
    let requests = requests().await;
    assert_eq!(requests.len(), 12);
    for request in requests.iter().filter(|request| request["method"] == "PUT") {
        let url = request["url"].as_str().unwrap();
        for name in [
            "content-length",
            "content-type",
            "x-amz-checksum-sha256",
            "host",
        ] {
            assert!(url.contains(name), "{name} is not signed: {url}");
        }
    }
    let (all_good, verdicts) = run(&requests);
    assert!(all_good, "{verdicts:#?}");
    assert_eq!(verdicts, vec!["ok"; requests.len()]);
}

#[tokio::test]
async fn the_check_finds_what_was_changed() {
    let put = requests().await.remove(0);
    let changed = |name: &str, value: &str| {
        let mut request = put.clone();
        for header in request["headers"].as_array_mut().unwrap() {
            if header[0] == name {
                header[1] = value.into();
            }
        }
        request
    };
    let mut other_key = put.clone();
    other_key["url"] = put["url"]
        .as_str()
        .unwrap()
        .replacen("/img/", "/gallery/", 1)
        .into();
    let mut other_method = put.clone();
    other_method["method"] = "DELETE".into();
    let forged = [
        changed("content-length", "1235"),
        changed("content-type", "text/html"),
        changed("if-none-match", "x"),
        other_key,
        other_method,
    ];
    let (all_good, verdicts) = run(&forged);
    assert!(!all_good);
    assert_eq!(verdicts.len(), forged.len());
    assert!(
        verdicts.iter().all(|v| v.starts_with("signature")),
        "{verdicts:#?}"
    );
}
