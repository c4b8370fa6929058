//! A zip of the client's own pictures, made while it is sent.

mod pieces;
mod running;

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use protocol::Problem;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Hub;
use crate::api::error::ApiResult;
use crate::api::visitor::Visitor;
use crate::images::Entry;
use pieces::Pieces;
pub use running::Exports;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Pieces that wait for a slow client.
const WAITING: usize = 2;
/// Largest piece, in bytes.
const PIECE: usize = 64 << 10;

/// A zip of the client's own pictures, unlisted ones included: a PNG and its record for each. One at a time.
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
pub async fn export(
    State(hub): State<Hub>,
    visitor: Visitor,
    method: Method,
) -> ApiResult<Response> {
    let body = if method == Method::HEAD {
        // Its length is known only to those who read it.
        Body::from_stream(futures::stream::empty::<io::Result<Bytes>>())
    } else {
        let (pieces, body) = mpsc::channel(WAITING);
        match &visitor.owner {
            Some(owner) => {
                let running = hub.exports.begin(owner, visitor.network())?;
                let room = hub.exports.room();
                archive(hub.images.export(owner.clone(), room), pieces, running);
            }
            None => archive(futures::stream::empty(), pieces, ()),
        }
        Body::from_stream(ReceiverStream::new(body))
    };
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"demo-hub-pictures.zip\"",
        ),
        (header::CACHE_CONTROL, "private, no-store"),
        (header::VARY, "cookie"),
    ];
    Ok((headers, body).into_response())
}

/// Writes the archive in the background, and drops `running` at its end. A failure breaks the transfer off, so that
/// nobody takes it for whole.
fn archive(
    entries: impl Stream<Item = Result<Entry, Problem>> + Send + 'static,
    pieces: mpsc::Sender<io::Result<Bytes>>,
    running: impl Send + 'static,
) {
    tokio::spawn(async move {
        let _running = running;
        if let Err(error) = write(entries, &pieces).await {
            tracing::warn!(%error, "an export broke off");
            // Where the client has left, that is the reason.
            let _ = pieces.send(Err(error)).await;
        }
    });
}

async fn write(
    entries: impl Stream<Item = Result<Entry, Problem>> + Send,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let send = async |bytes: Vec<u8>| {
        // Copies, so that what waits at a slow client keeps no picture in memory.
        for piece in bytes.chunks(PIECE) {
            let sent = to.send(Ok(Bytes::copy_from_slice(piece))).await;
            sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok::<_, io::Error>(())
    };
    let mut entries = std::pin::pin!(entries);
    let pieces = Pieces::default();
    let mut zip = ZipWriter::new(pieces.clone());
    // PNG is compressed already.
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    while let Some(entry) = entries.next().await {
        let Entry { record, png, room } = entry.map_err(io::Error::other)?;
        let json = serde_json::to_vec_pretty(&record)?;
        for (kind, bytes) in [("png", png), ("json", json)] {
            let before = pieces.end();
            // Completes the file before, whose header is written over with its length and checksum.
            zip.start_file(format!("{}.{kind}", record.id), stored)?;
            send(pieces.take(before)).await?;
            zip.write_all(&bytes)?;
        }
        // The record waits in memory for the next picture, the picture does not.
        drop(room);
    }
    zip.finish()?;
    send(pieces.take(u64::MAX)).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::process::Command;

    use super::*;

    /// What Python's `zipfile`, which checks every CRC, says of an archive.
    fn python(archive: &[u8]) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(archive).unwrap();
        let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); \
             print(z.testzip(), [(i.filename, len(z.read(i)), i.flag_bits & 8) for i in z.infolist()])";
        let output = Command::new("python3")
            .args(["-c", script])
            .arg(file.path())
            .output();
        let output = output.unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{complaint}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn record(id: &str) -> String {
        format!(
            r#"{{"id": "{id}", "sha256": "", "url": "", "permalink": "", "created_at": 0, "bytes": 0,
                 "width": 0, "height": 0, "recipe": {{"request": {{"model": "", "prompt": "é"}}, "weights_digest": "",
                 "scheduler": "", "backend": "", "adapter": "", "place": "server", "duration_ms": 0}}}}"#
        )
    }

    async fn exported(pngs: &[&[u8]]) -> Vec<u8> {
        let entries: Vec<_> = (pngs.iter().enumerate())
            .map(|(i, png)| {
                Ok(Entry {
                    record: serde_json::from_str(&record(&i.to_string())).unwrap(),
                    png: png.to_vec(),
                    room: std::sync::Arc::new(tokio::sync::Semaphore::new(1))
                        .try_acquire_owned()
                        .unwrap(),
                })
            })
            .collect();
        let (sender, mut receiver) = mpsc::channel(WAITING);
        archive(futures::stream::iter(entries), sender, ());
        let mut out = Vec::new();
        while let Some(piece) = receiver.recv().await {
            out.extend(piece.unwrap());
        }
        out
    }

    /// Forty clients that read nothing of pictures of 8 MiB: how much of them is in memory at most.
    #[tokio::test]
    async fn what_nobody_reads_takes_little_memory() {
        const MEBIBYTE: u64 = 1 << 20;
        let exports = Exports::default();
        let alive = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let mut bodies = Vec::new();
        for _ in 0..40 {
            let (sender, receiver) = mpsc::channel(WAITING);
            let (room, alive) = (exports.room(), alive.clone());
            let entries = futures::stream::unfold(0, move |n| {
                let (room, alive) = (room.clone(), alive.clone());
                async move {
                    let room = room.take(8 * MEBIBYTE).await.unwrap();
                    alive.fetch_add(8, std::sync::atomic::Ordering::SeqCst);
                    let record = serde_json::from_str(&record(&n.to_string())).unwrap();
                    let png = vec![0; 8 << 20];
                    Some((Ok(Entry { record, png, room }), n + 1))
                }
            });
            archive(entries, sender, ());
            bodies.push(receiver);
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let mebibytes = alive.load(std::sync::atomic::Ordering::SeqCst);
        assert!((8..=16).contains(&mebibytes), "{mebibytes}");
        // One that leaves makes room for the next.
        bodies.remove(0);
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert!(alive.load(std::sync::atomic::Ordering::SeqCst) > mebibytes);
    }

    #[tokio::test]
    async fn python_reads_it_and_every_header_has_its_length() {
        assert_eq!(python(&exported(&[]).await), "None []");
        let archive = exported(&[b"\0PK\x05\x06", b""]).await;
        let listed = python(&archive);
        for expected in [
            "None [('0.png', 5, 0), ('0.json', ",
            "('1.png', 0, 0), ('1.json', ",
        ] {
            assert!(listed.contains(expected), "{listed}");
        }
    }
}
