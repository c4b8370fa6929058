//! Messages that no worker could read: kept apart, for an operator or a version that can.

use std::sync::Arc;

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{AckKind, Message};
use protocol::{JobStatus, Problem, ProblemCode};

use super::super::format::Unreadable;
use super::super::queue::{DeadOrder, Outcome};
use super::super::redelivery::now_ms;
use super::pull::settle;
use super::records::{Found, is_job_id};
use super::{Shared, unavailable};

/// Header of a kept message that says why it is there.
const REASON: &str = "Demo-Hub-Reason";
/// Messages kept at most; more stay in the queue.
const KEPT: i64 = 10_000;
/// Longest reason, in characters.
const REASON_CHARS: usize = 300;

impl Shared {
    fn dead_stream(&self) -> String {
        format!("{}-dead", self.options.prefix)
    }

    /// Leaves a message that cannot be read here to other workers; after a number of deliveries, sets it aside.
    pub async fn leave_or_set_aside(self: &Arc<Self>, message: &Message, why: &Unreadable) {
        let deliveries = message.info().map_or(1, |info| info.delivered);
        let subject = message.subject.as_str();
        metrics::counter!("demo_hub_unreadable_orders_total").increment(1);
        let patience = &self.options.unreadable;
        if deliveries < patience.deliveries {
            let number = u32::try_from(deliveries).unwrap_or(1);
            let pause = patience.pauses.pause(number, crate::random::fraction());
            tracing::warn!(subject, %why, deliveries, ?pause, "an order that this version cannot read is left to others");
            return nak(message, pause).await;
        }
        match self.set_aside(message, why).await {
            Ok(()) => {
                tracing::error!(subject, %why, deliveries, "an order that nobody could read is set aside: `demo-hub jobs dead` lists it");
                metrics::counter!("demo_hub_dead_orders_total", "queue" => "nats").increment(1);
                self.fail_unread(subject).await;
                settle(message).await;
            }
            Err(problem) => {
                tracing::error!(subject, %problem, "an unreadable order could not be set aside and stays");
                nak(message, patience.pauses.longest).await;
            }
        }
    }

    /// Copies a message to the stream of dead ones; done when it is there.
    async fn set_aside(&self, message: &Message, why: &Unreadable) -> Result<(), Problem> {
        let failed = |e: &dyn std::fmt::Display| unavailable("setting an order aside", e);
        let stream = Config {
            name: self.dead_stream(),
            subjects: vec![format!("{}.dead.>", self.options.prefix)],
            max_messages: KEPT,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: self.options.replicas,
            ..Config::default()
        };
        let created = self.context.get_or_create_stream(stream).await;
        created.map_err(|e| failed(&e))?;
        let queued = format!("{}.queue.", self.options.prefix);
        let place = message.subject.strip_prefix(&queued).unwrap_or("unknown");
        let sequence = message.info().map_or(0, |info| info.stream_sequence);
        // Header values are single lines.
        let reason: String = why
            .to_string()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(REASON_CHARS)
            .collect();
        let copy = PublishMessage::build()
            .payload(message.payload.clone())
            .header(REASON, reason.as_str())
            .message_id(format!("dead-{sequence}"));
        let subject = format!("{}.dead.{place}", self.options.prefix);
        let sent = self.context.send_publish(subject, copy).await;
        sent.map_err(|e| failed(&e))?
            .await
            .map_err(|e| failed(&e))?;
        Ok(())
    }

    /// Tells whoever waits for the job, where its state can be read, that it will not be made.
    async fn fail_unread(self: &Arc<Self>, subject: &str) {
        let id = subject.rsplit('.').next().unwrap_or_default();
        if !is_job_id(id) {
            return;
        }
        let Ok(Found::Held(held)) = self.look(id).await else {
            return;
        };
        let mut held = Some(*held);
        let problem = Problem::new(
            ProblemCode::Internal,
            "no worker of this hub could read the job, which another version wrote; it was set aside",
        )
        .with_hint("Send the request again.");
        let ended = self
            .change(id, &mut held, |record| {
                let open = !record.view.status.is_final();
                record.end(Outcome::Failed(problem.clone()), now_ms());
                open
            })
            .await;
        match (ended, held) {
            (Ok(true), Some((record, _))) => self.tell_state(&record).await,
            (Ok(_), _) => {}
            (Err(problem), _) => tracing::warn!(%problem, id, "the job stays queued"),
        }
    }

    /// What was set aside, oldest first.
    pub async fn dead(&self) -> Result<Vec<DeadOrder>, Problem> {
        let failed = |e: &dyn std::fmt::Display| unavailable("listing dead orders", e);
        let Ok(mut stream) = self.context.get_stream(self.dead_stream()).await else {
            return Ok(Vec::new());
        };
        let state = stream.info().await.map_err(|e| failed(&e))?.state.clone();
        let mut dead = Vec::new();
        for sequence in state.first_sequence..=state.last_sequence {
            // One that was removed by hand leaves a gap.
            let Ok(message) = stream.get_raw_message(sequence).await else {
                continue;
            };
            let nanoseconds = message.time.unix_timestamp_nanos();
            dead.push(DeadOrder {
                id: message
                    .subject
                    .rsplit('.')
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                at: u64::try_from(nanoseconds / 1_000_000).unwrap_or_default(),
                reason: message
                    .headers
                    .get(REASON)
                    .map(|reason| reason.as_str().to_owned())
                    .unwrap_or_default(),
                bytes: message.payload.len(),
            });
        }
        Ok(dead)
    }
}

impl Shared {
    /// Puts what was set aside back into the queue; how many.
    pub async fn retry_dead(&self) -> Result<usize, Problem> {
        let failed = |e: &dyn std::fmt::Display| unavailable("putting orders back", e);
        let Ok(mut stream) = self.context.get_stream(self.dead_stream()).await else {
            return Ok(0);
        };
        let state = stream.info().await.map_err(|e| failed(&e))?.state.clone();
        let kept = format!("{}.dead.", self.options.prefix);
        let mut count = 0;
        for sequence in state.first_sequence..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(sequence).await else {
                continue;
            };
            let Some(place) = message.subject.strip_prefix(&kept) else {
                continue;
            };
            // Its state says that it failed; without one it is made anew from the order.
            let id = place.rsplit('.').next().unwrap_or_default();
            if let Found::Held(held) = self.look(id).await?
                && held.0.view.status == JobStatus::Failed
            {
                self.jobs.purge(id).await.map_err(|e| failed(&e))?;
            }
            let subject = format!("{}.queue.{place}", self.options.prefix);
            let sent = self.context.publish(subject, message.payload).await;
            sent.map_err(|e| failed(&e))?
                .await
                .map_err(|e| failed(&e))?;
            stream
                .delete_message(sequence)
                .await
                .map_err(|e| failed(&e))?;
            count += 1;
        }
        Ok(count)
    }
}

/// Gives a message back, to be delivered again after `pause`.
pub async fn nak(message: &Message, pause: std::time::Duration) {
    if let Err(error) = message.ack_with(AckKind::Nak(Some(pause))).await {
        tracing::debug!(%error, "goes back when its time is up");
    }
}
