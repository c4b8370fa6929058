//! What happens to a job, told on core subjects and healed from the bucket.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use protocol::{JobPreview, JobStatus, Problem};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;

use super::super::queue::{JobEvent, JobEvents, no_such_job};
use super::super::record::JobRecord;
use super::records::is_job_id;
use super::{Shared, unavailable};

/// How often the position of a queued job is looked at.
const POSITION: Duration = Duration::from_millis(500);
/// How often the bucket is read, in case an event was lost.
const HEAL: Duration = Duration::from_secs(2);
/// Events that a slow reader may lag behind.
const BUFFER: usize = 16;

/// An event on the wire.
#[derive(Serialize, Deserialize)]
enum Told {
    State(Box<JobRecord>),
    Preview(JobPreview),
}

impl Shared {
    /// Tells whoever follows the job; those who miss it read the bucket.
    pub async fn tell_state(&self, record: &JobRecord) {
        if record.view.status.is_final()
            && let Some(key) = &record.key
            && let Err(problem) = self.touch(&self.keys, key, Duration::ZERO).await
        {
            tracing::debug!(%problem, "the key of an ended job expires early");
        }
        self.tell(&record.view.id, &Told::State(Box::new(record.clone())))
            .await;
    }

    /// Tells whoever follows the job what it looks like.
    pub async fn tell_preview(&self, id: &str, preview: JobPreview) {
        self.tell(id, &Told::Preview(preview)).await;
    }

    async fn tell(&self, id: &str, told: &Told) {
        match serde_json::to_vec(told) {
            Ok(json) => self.publish(self.events_subject(id), json).await,
            Err(error) => tracing::error!(%error, id, "event"),
        }
    }

    /// Sends on a core subject: nobody may be listening.
    pub async fn publish(&self, subject: String, payload: Vec<u8>) {
        if let Err(error) = self.client.publish(subject, payload.into()).await {
            tracing::debug!(%error, "not published");
        }
    }
}

struct Follower {
    queue: Arc<Shared>,
    record: JobRecord,
    position: Option<u32>,
    out: mpsc::Sender<JobEvent>,
}

pub async fn follow(queue: Arc<Shared>, id: &str) -> Result<JobEvents, Problem> {
    queue.connected()?;
    if !is_job_id(id) {
        return Err(no_such_job());
    }
    // Subscribed before the state is read, so that nothing falls in between.
    let mut told = queue
        .client
        .subscribe(queue.events_subject(id))
        .await
        .map_err(|e| unavailable("following a job", &e))?;
    queue
        .client
        .flush()
        .await
        .map_err(|e| unavailable("following a job", &e))?;
    let (record, _) = queue.load_or_restore(id).await?.ok_or_else(no_such_job)?;
    let (out, events) = mpsc::channel(BUFFER);
    let mut follower = Follower {
        queue,
        record,
        position: None,
        out,
    };
    tokio::spawn(async move {
        let mut tick = interval(POSITION);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset();
        let mut healed = Instant::now();
        let mut going = follower.show().await;
        while going {
            going = tokio::select! {
                message = told.next() => match message {
                    Some(message) => follower.hear(&message.payload).await,
                    None => false,
                },
                _ = tick.tick() => {
                    if healed.elapsed() >= HEAL {
                        healed = Instant::now();
                        follower.heal().await
                    } else {
                        follower.look().await
                    }
                }
                () = follower.out.closed() => false,
            };
        }
    });
    Ok(Box::pin(ReceiverStream::new(events)))
}

impl Follower {
    /// Passes the state on; `false` when nothing will follow.
    async fn show(&mut self) -> bool {
        let view = self.queue.shown(&self.record).await;
        self.position = view.queue_position;
        let ended = view.status.is_final();
        let event = JobEvent::State {
            number: self.record.number,
            view: Box::new(view),
        };
        self.out.send(event).await.is_ok() && !ended
    }

    async fn hear(&mut self, payload: &[u8]) -> bool {
        match serde_json::from_slice(payload) {
            Ok(Told::State(record)) => self.take(*record).await,
            Ok(Told::Preview(preview)) => {
                // A preview is worth no wait.
                let _ = self.out.try_send(JobEvent::Preview(preview));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "unreadable event");
                true
            }
        }
    }

    async fn take(&mut self, record: JobRecord) -> bool {
        if record.number <= self.record.number {
            return true;
        }
        self.record = record;
        self.show().await
    }

    async fn heal(&mut self) -> bool {
        match self.queue.load(&self.record.view.id).await {
            Ok(Some((record, _))) if record.number > self.record.number => self.take(record).await,
            Ok(Some(_)) | Err(_) => self.look().await,
            Ok(None) => false,
        }
    }

    /// Passes a changed position on.
    async fn look(&mut self) -> bool {
        if self.record.view.status != JobStatus::Queued {
            return true;
        }
        let position = self.queue.shown(&self.record).await.queue_position;
        position == self.position || self.show().await
    }
}
