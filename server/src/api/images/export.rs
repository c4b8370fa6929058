//! A zip of the client's own pictures, made while it is sent.

mod zip;

use std::io;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use protocol::Problem;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Hub;
use crate::api::visitor::Visitor;
use crate::images::Entry;
use zip::Zip;

/// Pieces that wait for a slow client; the largest is a picture.
const WAITING: usize = 2;

/// A zip of the client's own pictures, unlisted ones included: a PNG and its record for each.
#[utoipa::path(
    get,
    path = "/api/v1/images/export",
    operation_id = "exportImages",
    tag = "images",
    responses(
        (status = 200, description = "A zip", body = Vec<u8>, content_type = "application/zip"),
        super::ApiError,
    )
)]
pub async fn export(State(hub): State<Hub>, visitor: Visitor) -> Response {
    let (pieces, body) = mpsc::channel(WAITING);
    match visitor.owner {
        Some(owner) => archive(hub.images.export(owner), pieces),
        None => archive(futures::stream::empty(), pieces),
    }
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"demo-hub-pictures.zip\"",
        ),
        (header::CACHE_CONTROL, "private, no-store"),
        (header::VARY, "cookie"),
    ];
    (headers, Body::from_stream(ReceiverStream::new(body))).into_response()
}

/// Writes the archive in the background. A failure breaks the transfer off, so that nobody takes it for whole.
fn archive(
    entries: impl Stream<Item = Result<Entry, Problem>> + Send + 'static,
    pieces: mpsc::Sender<io::Result<Bytes>>,
) {
    tokio::spawn(async move {
        if let Err(error) = write(entries, &pieces).await {
            tracing::warn!(%error, "an export broke off");
            // Where the client has left, that is the reason.
            let _ = pieces.send(Err(error)).await;
        }
    });
}

async fn write(
    entries: impl Stream<Item = Result<Entry, Problem>> + Send,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let send = async |bytes: Vec<u8>| {
        let sent = pieces.send(Ok(bytes.into())).await;
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    };
    let mut entries = std::pin::pin!(entries);
    let mut zip = Zip::new();
    while let Some(entry) = entries.next().await {
        let Entry { record, png } = entry.map_err(io::Error::other)?;
        let json = serde_json::to_vec_pretty(&record)?;
        for (kind, bytes) in [("png", png), ("json", json)] {
            let header = zip.entry(&format!("{}.{kind}", record.id), &bytes);
            send(header.ok_or_else(|| io::Error::other("a file is too long"))?).await?;
            send(bytes).await?;
        }
    }
    send(zip.end()).await
}
