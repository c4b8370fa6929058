//! From a checked request to jobs in the queue.

use std::net::IpAddr;

use axum::http::HeaderMap;
use protocol::{JobCreated, MaskBy, Problem, ProblemCode, RequestError, StartRequest};

use crate::api::Hub;
use crate::api::visitor::Visitor;
use crate::images::{Given, OwnerId};
use crate::jobs::{JobStart, Submission};
use crate::limits::Asking;

/// Longest `Idempotency-Key`, in bytes.
pub const MAX_KEY_BYTES: usize = 200;

/// The `Idempotency-Key` of a request.
///
/// # Errors
/// [`ProblemCode::MalformedRequest`] where it is none.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            ProblemCode::MalformedRequest,
            format!("Idempotency-Key is not 1 to {MAX_KEY_BYTES} ASCII characters"),
        )),
    }
}

/// What of a picture is made anew.
pub enum Mask {
    /// What another one says.
    Given(Given),
    /// What the picture says itself.
    Image,
}

/// What a request begins with, before its pictures are looked for.
pub struct Beginning {
    /// The picture.
    pub image: Given,
    /// What of it is made anew, if not all.
    pub mask: Option<Mask>,
    /// How the mask is read.
    pub mask_by: MaskBy,
    /// How much of the way from noise is gone.
    pub strength: f32,
    /// Whose pictures may be used.
    pub owner: Option<OwnerId>,
    /// Where the request comes from.
    pub address: IpAddr,
}

impl Beginning {
    /// What `visitor` names.
    ///
    /// # Errors
    /// Those of [`StartRequest::check`]; [`ProblemCode::UnknownModel`].
    pub fn named(
        start: StartRequest,
        hub: &Hub,
        model: &str,
        visitor: &Visitor,
    ) -> Result<Self, Problem> {
        let unknown = || RequestError::UnknownModel(model.chars().take(80).collect());
        let catalog = hub.catalog.now();
        let model = catalog.summary(model).ok_or_else(unknown)?;
        let strength = start.check(model)?;
        Ok(Self {
            image: Given::Named(start.image),
            mask: start.mask.map(|mask| Mask::Given(Given::Named(mask))),
            mask_by: start.mask_by.unwrap_or_default(),
            strength,
            owner: visitor.owner.clone(),
            address: visitor.address(),
        })
    }

    /// Looks the pictures up, or stores them.
    async fn find(self, hub: &Hub) -> Result<JobStart, Problem> {
        let of = |field: &'static str| {
            move |problem: Problem| Problem {
                field: Some(problem.field.clone().unwrap_or_else(|| field.into())),
                ..problem
            }
        };
        let (owner, address) = (self.owner.as_ref(), self.address);
        let image = hub.images.input(self.image, owner, address).await;
        let image = image.map_err(of("start.image"))?;
        let mask = match self.mask {
            Some(Mask::Image) => Some(image.clone()),
            Some(Mask::Given(mask)) => {
                let mask = hub.images.input(mask, owner, address).await;
                Some(mask.map_err(of("start.mask"))?)
            }
            None => None,
        };
        Ok(JobStart {
            image,
            strength: self.strength,
            mask,
            mask_by: self.mask_by,
        })
    }
}

/// Takes the jobs of one request in, all or none. A request that repeats an earlier one gets that one's jobs, whatever
/// has become of them, and costs nothing.
///
/// # Errors
/// As [`crate::images::Images::input`], [`crate::images::Images::check_room`], [`crate::limits::Limits::take`] and [`crate::jobs::Queue::submit_all`].
pub async fn submit(
    hub: &Hub,
    asking: &Asking,
    mut submissions: Vec<Submission>,
    beginning: Option<Beginning>,
) -> Result<Vec<JobCreated>, Problem> {
    if let Some(known) = known(hub, &submissions).await? {
        return Ok(known);
    }
    let Some(first) = submissions.first() else {
        return Ok(Vec::new());
    };
    let pictures = u32::try_from(submissions.len()).unwrap_or(u32::MAX);
    // Three bytes a pixel: a picture that is no smaller than it was drawn.
    let pixels = u64::from(first.request.width) * u64::from(first.request.height);
    let bytes = pixels.saturating_mul(3).saturating_mul(pictures.into());
    hub.images.check_room(bytes).await?;
    let taken = hub
        .limits
        .take(asking, &first.request.model, pictures)
        .await?;
    // After the limits: whoever may have no more pictures stores nothing either.
    let submitted = async {
        if let Some(beginning) = beginning {
            let start = beginning.find(hub).await?;
            for submission in &mut submissions {
                submission.start = Some(start.clone());
            }
        }
        hub.queue.submit_all(submissions).await
    };
    match submitted.await {
        Ok(created) => Ok(created),
        Err(problem) => {
            taken.give_back().await;
            Err(problem)
        }
    }
}

/// The jobs of an earlier request, if all are known.
async fn known(hub: &Hub, submissions: &[Submission]) -> Result<Option<Vec<JobCreated>>, Problem> {
    let mut jobs = Vec::new();
    for submission in submissions {
        let Some(key) = &submission.idempotency_key else {
            return Ok(None);
        };
        match hub.queue.known(key, &submission.fingerprint).await? {
            Some(job) => jobs.push(job),
            None => return Ok(None),
        }
    }
    Ok(Some(jobs))
}
