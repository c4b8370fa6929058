//! A picture to begin with on its way to the server.

use js_sys::Uint8Array;
use protocol::{InputRequest, PictureRef, Problem, ProblemCode, StartRequest, UploadTicket};
use sha2::{Digest, Sha256};

use crate::browser::{api, blob::blob, text, upload::put};
use crate::runs::start::Chosen;

/// Sends the picture ahead of the request that names it.
pub(super) async fn send(chosen: &Chosen, strength: f32) -> Result<StartRequest, Problem> {
    let request = InputRequest {
        sha256: hex::encode(Sha256::digest(&*chosen.bytes)),
        bytes: chosen.bytes.len() as u64,
        content_type: chosen.kind.to_owned(),
    };
    let ticket: UploadTicket = api::post("/api/v1/inputs", &request).await?;
    let bytes = Uint8Array::from(chosen.bytes.as_slice());
    let file = blob(&bytes, chosen.kind)
        .map_err(|error| Problem::new(ProblemCode::Internal, text(&error)))?;
    put(&ticket, &file, |_, _| {}).await.map_err(|problem| {
        let hint = "The picture to begin with did not reach the server: try again.";
        Problem {
            title: "The picture was not made".into(),
            ..problem.with_hint(hint)
        }
    })?;
    Ok(StartRequest {
        image: PictureRef::Input(ticket.id),
        strength: Some(strength),
        mask: None,
        mask_by: None,
    })
}
