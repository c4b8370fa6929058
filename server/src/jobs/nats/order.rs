//! The message that stands for an unfinished job.

use protocol::{GenerationRequest, Resume};
use serde::{Deserialize, Serialize};

use super::super::format::{self, Unreadable};
use super::super::record::JobRecord;
use super::super::start::JobStart;
use super::records::is_job_id;
use crate::images::Keeping;
use crate::limits::{ClientKey, Network};

/// What a worker needs to know of a job, even if its state was forgotten.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    #[serde(default = "format::first")]
    format: u32,
    /// Id of the job: a key of the bucket and a token of subjects.
    pub id: String,
    request: GenerationRequest,
    /// Steps of the request.
    #[serde(skip)]
    steps: u32,
    #[serde(default)]
    keeping: Keeping,
    #[serde(default, deserialize_with = "format::or_default")]
    client: ClientKey,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "format::or_default"
    )]
    network: Option<Network>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resume: Option<Resume>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<JobStart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl Order {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(payload: &[u8]) -> Result<Self, Unreadable> {
        let order: Self = format::read(payload)?;
        let damaged = |what: &str| Unreadable::Damaged(what.to_owned());
        if !is_job_id(&order.id) {
            return Err(damaged("its id is no job's"));
        }
        let request = &order.request;
        let (Some(_), Some(steps)) = (request.seed, request.num_inference_steps) else {
            return Err(damaged("its request was not resolved"));
        };
        Ok(Self { steps, ..order })
    }

    /// The state of the job before anything happened to it.
    pub fn into_record(self) -> JobRecord {
        JobRecord {
            client: self.client,
            network: self.network,
            key: self.key,
            ..JobRecord::new(self.id, self.request, self.steps, self.keeping, self.resume)
                .beginning_with(self.start)
        }
    }
}

impl From<&JobRecord> for Order {
    fn from(record: &JobRecord) -> Self {
        Self {
            format: record.format.max(format::FORMAT),
            id: record.view.id.clone(),
            request: record.view.request.clone(),
            steps: record.view.progress.total_steps,
            keeping: record.keeping.clone(),
            client: record.client.clone(),
            network: record.network,
            resume: record.resume.clone(),
            start: record.start.clone(),
            key: record.key.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use protocol::{JobStatus, MaskBy};
    use serde_json::{Value, json};

    use super::*;
    use crate::images::Input;
    use crate::jobs::format::{FORMAT, NEWEST, WITH_START};

    const ID: &str = "7hqv5ya1rg3bg0n9f2t";

    /// As the version before the first numbered format wrote it.
    fn first() -> Value {
        let id = crate::images::ImageId::new().unwrap().to_string();
        assert_eq!(id.len(), ID.len());
        json!({
            "id": id,
            "request": {
                "model": "demo-hub/glyph", "prompt": "red apple", "negative_prompt": "",
                "seed": 7, "num_inference_steps": 8, "guidance_scale": 1.5,
            },
            "keeping": { "unlisted": true },
            "resume": { "step": 3, "shape": [1, 1, 2], "latents": "AAAAAA==" },
        })
    }

    fn read(order: &Value) -> Result<Order, Unreadable> {
        Order::read(order.to_string().as_bytes())
    }

    #[test]
    fn orders_of_other_versions_are_read() {
        let order = read(&first()).unwrap();
        assert_eq!(order.format, 1);
        let record = order.into_record();
        assert_eq!(record.view.status, JobStatus::Queued);
        assert_eq!(record.view.request.seed, Some(7));
        assert_eq!(record.resume.unwrap().step, 3);
        assert_eq!(record.client, ClientKey::Unknown);

        let mut newer = first();
        newer["format"] = json!(FORMAT);
        newer["added_later"] = json!([1]);
        newer["request"]["added_later"] = json!("x");
        newer["resume"]["added_later"] = json!("x");
        newer["client"] = json!("guild:of-painters");
        let record = read(&newer).unwrap().into_record();
        assert_eq!(record.view.request.prompt, "red apple");
        assert_eq!(record.client, ClientKey::Unknown);
    }

    #[test]
    fn an_order_is_the_whole_job() {
        let mut record = read(&first()).unwrap().into_record();
        record.key = Some("abc".into());
        let written = serde_json::to_vec(&Order::from(&record)).unwrap();
        assert_eq!(Order::read(&written).unwrap().into_record(), record);
    }

    /// A worker that knows no pictures to begin with must not take such a job for one from noise.
    #[test]
    fn orders_that_begin_with_a_picture_are_of_a_newer_format() {
        let input = |id: &str| Input {
            id: id.to_owned(),
            sha256: "0f".repeat(32),
        };
        let start = JobStart {
            image: input("a"),
            strength: 0.5,
            mask: Some(input("b")),
            mask_by: MaskBy::Transparency,
        };
        let record = read(&first()).unwrap().into_record();
        let record = record.beginning_with(Some(start.clone()));
        let order = Order::from(&record);
        assert_eq!((order.format, WITH_START), (3, 3));
        // Four of eight steps.
        assert_eq!(record.view.progress.total_steps, 4);
        let written = serde_json::to_vec(&order).unwrap();
        let again = Order::read(&written).unwrap().into_record();
        assert_eq!(again, record);
        assert_eq!(start.inputs().collect::<Vec<_>>(), ["a", "b"]);
        let plain = Order::from(&read(&first()).unwrap().into_record());
        assert_eq!(plain.format, FORMAT);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_what_is_newer() {
        let mut newer = first();
        newer["format"] = json!(NEWEST + 1);
        assert_eq!(read(&newer).unwrap_err(), Unreadable::Newer(NEWEST + 1));
        let mut hostile = first();
        hostile["id"] = json!(">");
        let mut lacking = first();
        lacking["request"] = json!({});
        let mut open = first();
        open["request"]["num_inference_steps"] = json!(null);
        for damaged in [hostile, lacking, open, json!({}), json!("x"), json!(null)] {
            let error = read(&damaged).unwrap_err();
            assert!(matches!(error, Unreadable::Damaged(_)), "{damaged}");
        }
        assert!(Order::read(b"\xff\x00").is_err());
    }
}
