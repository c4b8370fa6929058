//! The catalogue while the hub runs: packages come, change and go without a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Catalog;

/// The catalogue as it is now. Every process that makes or offers pictures follows its own models folder, so replicas that
/// share one see the same.
#[derive(Clone, Debug)]
pub struct Live(watch::Receiver<Arc<Catalog>>);

impl From<Catalog> for Live {
    /// A catalogue that stays as it is.
    fn from(catalog: Catalog) -> Self {
        Self(watch::channel(Arc::new(catalog)).1)
    }
}

impl Live {
    /// Follows the folder that `catalog` was read from, which is looked at `every` so often, until `stop`.
    ///
    /// Folders are compared by names, lengths and times of their files; a package whose files are as they were is not read
    /// again. One that is not whole yet, because it is being copied, is looked at again once a file of it changed.
    pub fn follow(
        catalog: Catalog,
        dir: PathBuf,
        every: Duration,
        stop: CancellationToken,
    ) -> Self {
        let (sender, receiver) = watch::channel(Arc::new(catalog));
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            let mut trouble = String::new();
            loop {
                tokio::time::sleep(every).await;
                let (before, dir) = (sender.borrow().clone(), dir.clone());
                let read = tokio::task::spawn_blocking(move || before.read_again(&dir)).await;
                let now = match read {
                    Ok(Ok(now)) => now,
                    Ok(Err(error)) => {
                        let error = format!("{error:#}");
                        if trouble != error {
                            tracing::error!("the models are left as they are: {error}");
                            trouble = error;
                        }
                        continue;
                    }
                    Err(error) => {
                        tracing::error!(%error, "reading the models folder");
                        continue;
                    }
                };
                trouble.clear();
                let before = sender.borrow().clone();
                if now.is(&before) {
                    continue;
                }
                report(&before, &now);
                sender.send_replace(Arc::new(now));
            }
        }));
        Self(receiver)
    }

    /// The catalogue now. What is to fit together is read from one answer.
    pub fn now(&self) -> Arc<Catalog> {
        self.0.borrow().clone()
    }

    /// The catalogue, if it is another one than at the last call of this; the first call gives it in any case.
    pub fn changed(&mut self, seen: &mut Option<Arc<Catalog>>) -> Option<Arc<Catalog>> {
        let now = self.now();
        let same = seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &now));
        (!same).then(|| seen.insert(now).clone())
    }
}

/// Says what came, changed and went.
fn report(before: &Catalog, now: &Catalog) {
    for entry in now.entries() {
        let id = &entry.summary.id;
        match before.get(id) {
            None => tracing::info!(model = id, "package added"),
            Some(old) if old.summary.weights_digest != entry.summary.weights_digest => {
                tracing::info!(model = id, "package changed");
            }
            Some(_) => {}
        }
    }
    let upscalers = |catalog: &Catalog| -> BTreeMap<String, String> {
        let all = catalog.upscalers().map(|entry| &entry.manifest);
        all.map(|of| (of.id.clone(), of.digest().to_owned()))
            .collect()
    };
    let (had, has) = (upscalers(before), upscalers(now));
    for id in has.keys().filter(|id| had.get(*id) != has.get(*id)) {
        tracing::info!(upscaler = id, "package added or changed");
    }
    for id in had.keys().filter(|id| !has.contains_key(*id)) {
        tracing::info!(upscaler = id, "package removed");
    }
    for entry in before.entries() {
        let id = &entry.summary.id;
        if now.get(id).is_none() {
            tracing::info!(model = id, "package removed");
        }
    }
}
