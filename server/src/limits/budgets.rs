//! Pictures an hour and a day.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use protocol::{LimitName, Problem, ProblemCode};
use sha2::{Digest, Sha256};

use super::ledger::{Entry, Ledger, Period};
use super::{ApiKey, ApiKeys, ClientKey, Network};

/// Clients behind one address: it may have as many times as much as one of them.
const CLIENTS_PER_NETWORK: u32 = 4;

/// How many pictures a client may have made here; an address four times as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLimits {
    /// That wait or are being made.
    pub in_flight: NonZeroU32,
    /// That are accepted in an hour.
    pub per_hour: NonZeroU32,
}

/// How many unfinished jobs may be one client's, and those of all clients of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Of the client.
    pub client: u32,
    /// Of its network.
    pub network: u32,
}

/// Who asks for pictures.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Whose requests these count with.
    pub client: ClientKey,
    /// Where the client is; absent: not known, or it has an API key, whose limits are its own.
    pub network: Option<Network>,
    /// Its API key, if it sent one.
    pub key: Option<Arc<ApiKey>>,
}

/// A hosted endpoint's budget.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EndpointBudget {
    name: String,
    per_day: u64,
}

/// What clients may have made here, and what they had.
pub struct Limits {
    pictures: PictureLimits,
    keys: ApiKeys,
    /// By model.
    endpoints: HashMap<String, EndpointBudget>,
    ledger: Arc<dyn Ledger>,
}

/// Pictures that were counted, until the queue has them.
#[must_use]
pub struct Taken {
    ledger: Arc<dyn Ledger>,
    entries: Vec<Entry>,
    amount: u64,
}

impl Taken {
    /// Takes them off again: they were not accepted.
    pub async fn give_back(self) {
        for entry in &self.entries {
            self.ledger.take_off(entry, self.amount).await;
        }
    }
}

impl Limits {
    /// Limits that `ledger` counts for.
    pub fn new(pictures: PictureLimits, keys: ApiKeys, ledger: Arc<dyn Ledger>) -> Self {
        Self {
            pictures,
            keys,
            endpoints: HashMap::new(),
            ledger,
        }
    }

    /// Limits what an endpoint makes of these models in a day.
    #[must_use]
    pub fn with_endpoint(
        mut self,
        name: &str,
        models: impl IntoIterator<Item = String>,
        per_day: Option<NonZeroU32>,
    ) -> Self {
        if let Some(per_day) = per_day {
            self.endpoints.extend(models.into_iter().map(|model| {
                let budget = EndpointBudget {
                    name: name.to_owned(),
                    per_day: per_day.get().into(),
                };
                (model, budget)
            }));
        }
        self
    }

    /// The API keys that are known.
    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// How many unfinished pictures a client may have.
    pub fn allowance(&self, asking: &Asking) -> Allowance {
        let own = asking.key.as_ref().and_then(|key| key.pictures_in_flight);
        let client = own.unwrap_or(self.pictures.in_flight).get();
        Allowance {
            client,
            network: client.saturating_mul(CLIENTS_PER_NETWORK),
        }
    }

    /// Counts `pictures` of `model`, all or none.
    ///
    /// # Errors
    /// [`ProblemCode::RateLimited`] with the limit's name and `retry_after`; what the ledger reports.
    pub async fn take(
        &self,
        asking: &Asking,
        model: &str,
        pictures: u32,
    ) -> Result<Taken, Problem> {
        let now = SystemTime::now();
        let mut taken = Taken {
            ledger: Arc::clone(&self.ledger),
            entries: Vec::new(),
            amount: pictures.into(),
        };
        for (account, period, limit, name) in self.counts(asking, model) {
            let entry = Entry::at(now, account, period);
            match self.ledger.add(&entry, taken.amount, limit).await {
                Ok(true) => taken.entries.push(entry),
                Ok(false) => {
                    taken.give_back().await;
                    return Err(spent(name, limit, &entry, now));
                }
                Err(problem) => {
                    taken.give_back().await;
                    return Err(problem);
                }
            }
        }
        Ok(taken)
    }

    /// Account, period, limit and the limit's name.
    fn counts(&self, asking: &Asking, model: &str) -> Vec<(String, Period, u64, LimitName)> {
        let key = asking.key.as_ref();
        let per_hour = key
            .and_then(|key| key.pictures_per_hour)
            .unwrap_or(self.pictures.per_hour)
            .get();
        let client = asking.client.token();
        let mut counts = vec![(
            client.clone(),
            Period::Hour,
            u64::from(per_hour),
            LimitName::PicturesPerHour,
        )];
        if let Some(network) = &asking.network {
            counts.push((
                format!("net-{}", network.token()),
                Period::Hour,
                u64::from(per_hour) * u64::from(CLIENTS_PER_NETWORK),
                LimitName::PicturesPerHourOfAddress,
            ));
        }
        if let Some(per_day) = key.and_then(|key| key.pictures_per_day) {
            counts.push((
                client,
                Period::Day,
                per_day.get().into(),
                LimitName::PicturesPerDay,
            ));
        }
        if let Some(endpoint) = self.endpoints.get(model) {
            // Any text may name an endpoint.
            let name = hex::encode(&Sha256::digest(&endpoint.name)[..8]);
            counts.push((
                format!("endpoint-{name}"),
                Period::Day,
                endpoint.per_day,
                LimitName::EndpointPicturesPerDay,
            ));
        }
        counts
    }
}

fn spent(name: LimitName, limit: u64, entry: &Entry, now: SystemTime) -> Problem {
    let (whose, period) = match (name, entry.period) {
        (LimitName::EndpointPicturesPerDay, _) => ("of this model's endpoint", "day"),
        (LimitName::PicturesPerHourOfAddress, _) => ("from this address", "hour"),
        (_, Period::Hour) => ("from this client", "hour"),
        (_, Period::Day) => ("from this client", "day"),
    };
    let mut problem = Problem::new(
        ProblemCode::RateLimited,
        format!("more than {limit} pictures {whose} in this {period}"),
    )
    .with_hint("Try again later, or make the picture in your browser.")
    .with_limit(name);
    let seconds = entry.left(now).as_secs().saturating_add(1);
    problem.retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
    problem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::MemoryLedger;
    use super::*;
    use crate::images::OwnerId;

    fn number(value: u32) -> NonZeroU32 {
        NonZeroU32::new(value).unwrap()
    }

    fn limits() -> Limits {
        let pictures = PictureLimits {
            in_flight: number(3),
            per_hour: number(5),
        };
        Limits::new(
            pictures,
            ApiKeys::default(),
            Arc::new(MemoryLedger::default()),
        )
    }

    fn owner(name: &str, address: &str) -> Asking {
        Asking {
            client: ClientKey::Owner(OwnerId::of(name)),
            network: address.parse().ok(),
            key: None,
        }
    }

    async fn refused(limits: &Limits, asking: &Asking, model: &str, pictures: u32) -> LimitName {
        let refused = limits.take(asking, model, pictures).await.err().unwrap();
        assert_eq!(refused.code, ProblemCode::RateLimited);
        assert!(refused.retry_after.unwrap() >= 1);
        refused.limit.unwrap()
    }

    #[tokio::test]
    async fn a_client_has_so_many_pictures_an_hour() {
        let limits = limits();
        let (ann, bob) = (owner("ann", "192.0.2.1"), owner("bob", "192.0.2.2"));
        let _ = limits.take(&ann, "m", 4).await.unwrap();
        // All or none: two more would be too many, one is not.
        assert_eq!(
            refused(&limits, &ann, "m", 2).await,
            LimitName::PicturesPerHour
        );
        let last = limits.take(&ann, "m", 1).await.unwrap();
        assert_eq!(
            refused(&limits, &ann, "m", 1).await,
            LimitName::PicturesPerHour
        );
        last.give_back().await;
        let _ = limits.take(&ann, "m", 1).await.unwrap();
        let _ = limits.take(&bob, "m", 5).await.unwrap();
    }

    #[tokio::test]
    async fn new_cookies_do_not_help_behind_one_address() {
        let limits = limits();
        for name in ["a", "b", "c", "d"] {
            let _ = limits
                .take(&owner(name, "2001:db8::1"), "m", 5)
                .await
                .unwrap();
        }
        let forged = owner("e", "2001:db8::ffff");
        let name = refused(&limits, &forged, "m", 1).await;
        assert_eq!(name, LimitName::PicturesPerHourOfAddress);
        // What was refused for the address is not counted for the client.
        let elsewhere = owner("e", "2001:db8:0:1::1");
        let _ = limits.take(&elsewhere, "m", 5).await.unwrap();
    }

    #[tokio::test]
    async fn an_endpoint_has_a_budget_that_all_share() {
        let limits = limits().with_endpoint("o", ["x".to_owned(), "y".to_owned()], Some(number(4)));
        let _ = limits.take(&owner("a", "192.0.2.1"), "x", 3).await.unwrap();
        let bob = owner("b", "192.0.2.2");
        let name = refused(&limits, &bob, "y", 2).await;
        assert_eq!(name, LimitName::EndpointPicturesPerDay);
        let _ = limits.take(&bob, "y", 1).await.unwrap();
        let _ = limits.take(&bob, "m", 4).await.unwrap();
    }
}
