//! Handing jobs to workers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::Problem;

use super::super::queue::Claim;
use super::super::record::Claimed;
use super::super::redelivery::now_ms;
use super::claim::NatsClaim;
use super::dead::nak;
use super::order::Order;
use super::records::Found;
use super::{Shared, class, unavailable};

impl Shared {
    /// The consumer of a model's jobs.
    pub async fn consumer(&self, model: &str) -> Result<PullConsumer, Problem> {
        let mut consumers = self.consumers.lock().await;
        if let Some(consumer) = consumers.get(model) {
            return Ok(consumer.clone());
        }
        let config = Config {
            durable_name: Some(format!("worker-{}", class(model))),
            filter_subject: self.order_subject(model, "*"),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.options.ack_wait,
            // Attempts are counted in the record: a draining worker's does not count, and a job that was tried
            // often enough must come out once more to be failed.
            max_deliver: -1,
            max_ack_pending: 10_000,
            ..Config::default()
        };
        let consumer = self
            .queue
            .create_consumer(config)
            .await
            .map_err(|e| unavailable("creating a consumer", &e))?;
        consumers.insert(model.to_owned(), consumer.clone());
        Ok(consumer)
    }
}

pub async fn pull(
    queue: &Arc<Shared>,
    models: &[String],
    wait: Duration,
) -> Result<Option<Box<dyn Claim>>, Problem> {
    queue.connected()?;
    let mut consumers = Vec::new();
    for model in models {
        consumers.push(queue.consumer(model).await?);
    }
    if consumers.len() > 1 {
        for consumer in &consumers {
            if let Some(message) = fetch(consumer, None).await?
                && let Some(claim) = take(queue, message).await?
            {
                return Ok(Some(claim));
            }
        }
    }
    let mut fetches: FuturesUnordered<_> = consumers
        .into_iter()
        .map(|consumer| async move { fetch(&consumer, Some(wait)).await })
        .collect();
    let mut message = None;
    while message.is_none() {
        match fetches.next().await {
            Some(fetched) => message = fetched?,
            None => return Ok(None),
        }
    }
    if !fetches.is_empty() {
        // What the other requests still bring goes back at once.
        tokio::spawn(async move {
            while let Some(fetched) = fetches.next().await {
                if let Ok(Some(message)) = fetched
                    && let Err(error) = message.ack_with(AckKind::Nak(None)).await
                {
                    tracing::debug!(%error, "a job too many goes back when its time is up");
                }
            }
        });
    }
    match message {
        Some(message) => take(queue, message).await,
        None => Ok(None),
    }
}

/// One message; `wait` of `None` takes only what is there.
async fn fetch(
    consumer: &PullConsumer,
    wait: Option<Duration>,
) -> Result<Option<Message>, Problem> {
    let failed = |e: &dyn std::fmt::Display| unavailable("pulling a job", e);
    let messages = match wait {
        Some(wait) => {
            let batch = consumer.batch().max_messages(1).expires(wait);
            batch.messages().await.map_err(|e| failed(&e))?
        }
        None => {
            let batch = consumer.fetch().max_messages(1);
            batch.messages().await.map_err(|e| failed(&e))?
        }
    };
    let mut messages = std::pin::pin!(messages);
    match messages.next().await {
        Some(message) => message.map(Some).map_err(|e| failed(&e)),
        None => Ok(None),
    }
}

/// Makes a message a claim, settles it where there is nothing left to do, or leaves it to others.
async fn take(queue: &Arc<Shared>, message: Message) -> Result<Option<Box<dyn Claim>>, Problem> {
    let order = match Order::read(&message.payload) {
        Ok(order) => order,
        Err(unreadable) => {
            queue.leave_or_set_aside(&message, &unreadable).await;
            return Ok(None);
        }
    };
    let id = order.id.clone();
    // Listened to before the job is claimed, so that no wish to cancel it falls in between.
    let cancels = queue
        .client
        .subscribe(queue.cancel_subject(&id))
        .await
        .map_err(|e| unavailable("claiming a job", &e))?;
    let held = match queue.look(&id).await? {
        Found::Held(held) => *held,
        // It waited for longer than states are kept.
        Found::Missing => queue.restore(order).await?,
        Found::Unreadable(unreadable) => {
            queue.leave_or_set_aside(&message, &unreadable).await;
            return Ok(None);
        }
    };
    let mut held = Some(held);
    let mut claimed = Claimed::Ended;
    let now = now_ms();
    let changed = queue
        .change(&id, &mut held, |record| {
            let before = record.number;
            claimed = record.claim(now);
            record.number != before
        })
        .await?;
    let Some(held) = held else {
        return Ok(None);
    };
    if changed {
        queue.tell_state(&held.0).await;
    }
    match claimed {
        Claimed::Run => Ok(Some(Box::new(NatsClaim::new(
            Arc::clone(queue),
            message,
            held,
            cancels,
        )))),
        Claimed::Ended => {
            tracing::info!(id, status = ?held.0.view.status, "nothing left to do");
            settle(&message).await;
            Ok(None)
        }
        Claimed::NotYet(wait) => {
            nak(&message, wait).await;
            Ok(None)
        }
    }
}

/// Removes a message; one that stays is delivered again and finds its job ended.
pub async fn settle(message: &Message) {
    if let Err(error) = message.double_ack().await {
        tracing::warn!(%error, "the message of an ended job stays for now");
    }
}
