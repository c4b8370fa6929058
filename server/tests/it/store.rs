//! The embedded store, spoken to as a browser or an intruder would.

use reqwest::{Method, StatusCode};

use crate::hub::{Hub, picture, upload_request};

#[tokio::test]
async fn a_page_of_another_origin_may_use_its_presigned_url() {
    let hub = Hub::start().await;
    let ticket = hub.announce(&upload_request(&picture(2))).await;
    let preflight = hub
        .http
        .request(Method::OPTIONS, &ticket.url)
        .header("origin", &hub.url)
        .header("access-control-request-method", "PUT")
        .header(
            "access-control-request-headers",
            "content-type,if-none-match,x-amz-checksum-sha256",
        )
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(preflight.headers()["access-control-allow-origin"], "*");
    let allowed = preflight.headers()["access-control-allow-headers"]
        .to_str()
        .unwrap();
    for (name, _) in &ticket.headers {
        assert!(
            allowed.contains(name.as_str()),
            "{name} is not in {allowed}"
        );
    }
    assert!(
        preflight.headers()["access-control-allow-methods"]
            .to_str()
            .unwrap()
            .contains("PUT")
    );

    let mut put = hub.http.put(&ticket.url).header("origin", &hub.url);
    for (name, value) in &ticket.headers {
        put = put.header(name, value);
    }
    let answer = put.body(picture(2)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn without_a_signature_nothing_is_read_or_written() {
    let hub = Hub::start().await;
    let record = hub.save(picture(4)).await;
    let key = format!("img/{}/{}.png", &record.sha256[..2], record.sha256);
    let origin = hub.storage_origin();
    for (method, path) in [
        (Method::GET, format!("/demo-hub/{key}")),
        (Method::GET, "/demo-hub?list-type=2".to_owned()),
        (Method::PUT, "/demo-hub/gallery/forged.json".to_owned()),
        (Method::DELETE, format!("/demo-hub/{key}")),
    ] {
        let response = hub
            .http
            .request(method.clone(), format!("{origin}{path}"))
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }
    assert_eq!(hub.listed().await.len(), 1);
}

#[tokio::test]
async fn a_signature_is_good_for_its_request_alone() {
    let hub = Hub::start().await;
    let bytes = picture(6);
    let ticket = hub.announce(&upload_request(&bytes)).await;
    let send = async |url: String, skip: &str, method: Method| {
        let mut request = hub.http.request(method, url);
        for (name, value) in ticket.headers.iter().filter(|(name, _)| name != skip) {
            request = request.header(name, value);
        }
        request.body(bytes.clone()).send().await.unwrap().status()
    };
    for name in ["content-type", "if-none-match", "x-amz-checksum-sha256"] {
        let status = send(ticket.url.clone(), name, Method::PUT).await;
        assert!(status.is_client_error(), "without {name}: {status}");
    }
    let other_key = ticket.url.replacen("/img/", "/gallery/", 1);
    assert_eq!(
        send(other_key, "", Method::PUT).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        send(ticket.url.clone(), "", Method::DELETE).await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        send(ticket.url.clone(), "", Method::PUT).await,
        StatusCode::OK
    );
}
