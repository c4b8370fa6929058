//! Saving a picture: one made here by ticket, presigned PUT with progress and commit; one that the server made and
//! keeps by asking it to keep it for good.

use protocol::{
    ImageChange, ImageRecord, PNG_MIME, Problem, UploadRequest, UploadTicket, Visibility,
};
use web_sys::Blob;

use super::outbox;
use crate::browser::{api, is_online, upload::put};
use crate::format::encode;
use crate::runs::picture::Picture;
use crate::runs::run::{Finished, Kept, MadeHere};
use crate::saving::{Outbox, Saving};

/// Saves a picture, or keeps it in `outbox` until there is a network; `show` hears how that goes, also later.
pub(crate) async fn save(
    done: Finished,
    unlisted: bool,
    outbox: Outbox,
    show: impl Fn(Saving) + Clone + 'static,
) {
    if let Some(kept) = done.kept {
        show(Saving::Committing);
        show(match keep(&kept, unlisted).await {
            Ok(permalink) => Saving::Saved(permalink),
            Err(problem) => Saving::Failed(problem),
        });
        return;
    }
    let (Some(made_here), Picture::Here(png)) = (done.made_here, done.picture) else {
        return;
    };
    show(Saving::Uploading {
        sent: 0,
        total: png.file().size() as u64,
    });
    let end = match send(made_here.clone(), png.file(), unlisted, &show).await {
        Ok(permalink) => Saving::Saved(permalink),
        Err(problem)
            if api::is_unreachable(&problem) || (!is_online() && outbox::may_pass(&problem)) =>
        {
            let later = show.clone();
            match outbox::queue(outbox, made_here, unlisted, png.file(), later).await {
                Ok(()) => Saving::Waiting,
                Err(_) => Saving::Failed(problem),
            }
        }
        Err(problem) => Saving::Failed(problem),
    };
    show(end);
}

/// Keeps for good what the server made, and gives its permanent link.
async fn keep(kept: &Kept, unlisted: bool) -> Result<String, Problem> {
    let change = ImageChange {
        visibility: if unlisted {
            Visibility::Unlisted
        } else {
            Visibility::Listed
        },
    };
    let url = format!("/api/v1/images/{}", encode(&kept.id));
    let record: ImageRecord = api::patch(&url, &change).await?;
    Ok(record.permalink)
}

/// Sends a picture and gives its permanent link.
pub(super) async fn send(
    made_here: MadeHere,
    png: &Blob,
    unlisted: bool,
    show: &(impl Fn(Saving) + Clone + 'static),
) -> Result<String, Problem> {
    let request = UploadRequest {
        sha256: made_here.sha256,
        bytes: png.size() as u64,
        content_type: PNG_MIME.to_owned(),
        recipe: made_here.recipe,
        unlisted,
        visibility: None,
    };
    let ticket: UploadTicket = api::post("/api/v1/uploads", &request).await?;
    if !ticket.already_stored {
        let show = show.clone();
        let told = move |sent, total| show(Saving::Uploading { sent, total });
        put(&ticket, png, told).await?;
    }
    show(Saving::Committing);
    let url = format!("/api/v1/uploads/{}/commit", ticket.id);
    let record: ImageRecord = api::post(&url, &serde_json::json!({})).await?;
    Ok(record.permalink)
}
