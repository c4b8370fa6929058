//! Handing jobs to workers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use futures::StreamExt;
use protocol::Problem;
use tokio::time::{Instant, timeout_at};

use super::super::claim::Claim;
use super::super::record::Claimed;
use super::super::redelivery::now_ms;
use super::claim::NatsClaim;
use super::dead::nak;
use super::order::Order;
use super::orders::{self, Lane};
use super::records::Found;
use super::{Shared, class, unavailable};

/// How often a worker that waits looks again: an order that was given back, or whose worker died, tells nobody.
const POLL: Duration = Duration::from_secs(1);
/// Orders of one lane in a row with nothing to do that are passed over before the next lane is looked at.
const PASSED_OVER: usize = 8;

/// How long a request for what is there stays with the server: where two workers ask for the last one at once, it would
/// keep the second request for the next order to come (NATS 2.9).
const FETCH: Duration = Duration::from_millis(100);

impl Shared {
    /// The consumer of a lane of a model's orders.
    pub async fn consumer(&self, model: &str, lane: Lane) -> Result<PullConsumer, Problem> {
        let key = (class(model), lane);
        let mut consumers = self.consumers.lock().await;
        if let Some(consumer) = consumers.get(&key) {
            return Ok(consumer.clone());
        }
        let config = Config {
            durable_name: Some(lane.consumer(&key.0)),
            filter_subject: orders::filter(&self.options.prefix, &key.0, lane),
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
        consumers.insert(key, consumer.clone());
        Ok(consumer)
    }

    /// Wakes workers of this process when an order arrives, for as long as the queue is used.
    pub async fn watch_arrivals(self: &Arc<Self>) -> anyhow::Result<()> {
        let mut arrivals = self.client.subscribe(self.arrived_subject()).await?;
        let queue = Arc::downgrade(self);
        tokio::spawn(async move {
            while arrivals.next().await.is_some() {
                let Some(queue) = queue.upgrade() else { return };
                queue.arrived.notify_waiters();
            }
        });
        Ok(())
    }
}

pub async fn pull(
    queue: &Arc<Shared>,
    models: &[String],
    wait: Duration,
) -> Result<Option<Box<dyn Claim>>, Problem> {
    queue.connected()?;
    let deadline = Instant::now() + wait;
    loop {
        // Registered before the look, so that an order that comes right after it wakes this call.
        let mut woken = std::pin::pin!(queue.arrived.notified());
        woken.as_mut().enable();
        for model in models {
            if let Some(claim) = next(queue, model).await? {
                return Ok(Some(claim));
            }
        }
        let look = deadline.min(Instant::now() + POLL);
        if timeout_at(look, woken).await.is_err() && Instant::now() >= deadline {
            return Ok(None);
        }
    }
}

/// The job of a model whose turn it is. Orders that others are at are not handed out, so that lanes are tried one after
/// the other.
async fn next(queue: &Arc<Shared>, model: &str) -> Result<Option<Box<dyn Claim>>, Problem> {
    let mut lanes = Vec::new();
    for order in queue.orders(Some(model)).await? {
        if !lanes.contains(&order.lane) {
            lanes.push(order.lane);
        }
    }
    for lane in lanes {
        let consumer = queue.consumer(model, lane).await?;
        for _ in 0..PASSED_OVER {
            let Some(message) = fetch(&consumer).await? else {
                break;
            };
            if let Some(claim) = take(queue, message).await? {
                return Ok(Some(claim));
            }
        }
    }
    Ok(None)
}

/// A message, if one is there.
async fn fetch(consumer: &PullConsumer) -> Result<Option<Message>, Problem> {
    let failed = |e: &dyn std::fmt::Display| unavailable("pulling a job", e);
    let batch = consumer.fetch().max_messages(1).expires(FETCH);
    let messages = batch.messages().await.map_err(|e| failed(&e))?;
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
        Found::Missing => queue.restore(order, &message.subject).await?,
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
    if let (Claimed::Run, Some(turn)) = (claimed, held.0.turn) {
        queue.note_turn(&held.0.view.request.model, turn).await;
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
