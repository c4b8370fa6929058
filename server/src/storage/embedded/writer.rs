//! The one thread that changes the index. What waits while it commits goes into its next commit together, so that
//! a slow disk costs many uploads one wait.

use std::sync::Arc;

use s3s::dto::ETagCondition;
use tokio::sync::{mpsc, oneshot};

use super::entry::Entry;
use super::error::Failure;
use super::files::{Files, Placed};
use super::index::{Changes, Index};
use super::room::Room;

/// Most changes of one commit.
const GROUP: usize = 128;

/// What must hold of the present object.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    pub if_match: Option<ETagCondition>,
    pub if_none_match: Option<ETagCondition>,
}

impl Conditions {
    /// Compares with the present object's MD5.
    pub fn check(&self, md5: Option<&str>) -> Result<(), Failure> {
        let is = |condition: &ETagCondition, md5: &str| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(e_tag) => e_tag.as_strong() == Some(md5),
        };
        match (&self.if_match, md5) {
            (Some(_), None) => return Err(Failure::Missing),
            (Some(wanted), Some(md5)) if !is(wanted, md5) => return Err(Failure::Precondition),
            _ => {}
        }
        match (&self.if_none_match, md5) {
            (Some(unwanted), Some(md5)) if is(unwanted, md5) => Err(Failure::Precondition),
            _ => Ok(()),
        }
    }
}

/// Bytes of an object that is to be written.
#[derive(Debug)]
pub enum Body {
    /// For the index.
    Small(Vec<u8>),
    /// In a file that will outlast a power cut.
    File(Placed),
}

impl Body {
    /// The file, if that is where the bytes are.
    pub fn file(&self) -> Option<&Placed> {
        match self {
            Self::Small(_) => None,
            Self::File(file) => Some(file),
        }
    }
}

/// A change of one key.
#[derive(Debug)]
pub enum Change {
    Put(Box<Entry>, Body),
    Delete,
}

struct Order {
    key: String,
    change: Change,
    conditions: Conditions,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// Hands changes to the thread, which ends with the last of these.
#[derive(Clone, Debug)]
pub struct Writer {
    orders: mpsc::Sender<Order>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(index: Arc<Index>, files: Arc<Files>, room: Room) -> std::io::Result<Self> {
        let (orders, waiting) = mpsc::channel(1024);
        let mut thread = Thread {
            index,
            files,
            room,
            in_doubt: Vec::new(),
            healthy: true,
        };
        std::thread::Builder::new()
            .name("picture-index".to_owned())
            .spawn(move || thread.run(waiting))?;
        Ok(Self { orders })
    }

    /// Makes a change that outlasts a power cut once this returns.
    pub async fn change(
        &self,
        key: String,
        change: Change,
        conditions: Conditions,
    ) -> Result<(), Failure> {
        let ended = || Failure::Broken("the index's thread has ended".to_owned());
        let (done, answer) = oneshot::channel();
        let order = Order {
            key,
            change,
            conditions,
            done,
        };
        self.orders.send(order).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

/// What a commit takes the place of, or removes.
#[derive(Default)]
struct Replaced {
    files: Vec<String>,
    /// Bytes of objects in the index.
    small_bytes: u64,
}

struct Thread {
    index: Arc<Index>,
    files: Arc<Files>,
    room: Room,
    /// Files of commits that failed: whether the index refers to them is not known yet.
    in_doubt: Vec<(String, Placed)>,
    /// The index took the last commit.
    healthy: bool,
}

impl Thread {
    fn run(&mut self, mut waiting: mpsc::Receiver<Order>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(order) = waiting.try_recv()
            {
                group.push(order);
            }
            self.commit(group);
        }
        // The next start finds out whether they are needed.
        for (_, file) in self.in_doubt.drain(..) {
            file.keep();
        }
    }

    fn commit(&mut self, group: Vec<Order>) {
        if !self.healthy
            && let Err(error) = self.recover()
        {
            let reason = error.to_string();
            for order in group {
                drop(order.change.into_file());
                let _ = order.done.send(Err(Failure::Broken(reason.clone())));
            }
            return;
        }
        let mut replaced = Replaced::default();
        let outcome = self.index.change(|changes| {
            replaced = Replaced::default();
            let apply = |order: &Order| self.apply(order, changes, &mut replaced);
            group.iter().map(apply).collect::<Result<Vec<_>, _>>()
        });
        match outcome {
            Ok(results) => {
                for file in replaced.files {
                    self.files.remove(&file);
                }
                self.room.freed_inside(replaced.small_bytes);
                for (order, result) in group.into_iter().zip(results) {
                    let file = order.change.into_file();
                    match (&result, file) {
                        (Ok(()), Some(file)) => file.keep(),
                        (_, file) => drop(file),
                    }
                    let _ = order.done.send(result);
                }
            }
            Err(error) => self.fail(group, &error),
        }
    }

    /// One order's change, or why it does not happen; an outer error is the index's.
    fn apply(
        &self,
        order: &Order,
        changes: &mut Changes<'_>,
        replaced: &mut Replaced,
    ) -> Result<Result<(), Failure>, Failure> {
        let mut present = changes.get(&order.key)?;
        // Bytes that are lost may be sent again.
        if order.conditions.if_none_match.is_some()
            && let Some(file) = present.as_ref().and_then(|entry| entry.file.as_deref())
            && !self.files.exists(file)?
        {
            present = None;
        }
        let md5 = present.as_ref().map(|entry| entry.md5.as_str());
        if let Err(refusal) = order.conditions.check(md5) {
            return Ok(Err(refusal));
        }
        match &order.change {
            Change::Put(entry, Body::Small(body)) => changes.put(&order.key, entry, Some(body))?,
            Change::Put(entry, Body::File(_)) => changes.put(&order.key, entry, None)?,
            Change::Delete if present.is_none() => return Ok(Ok(())),
            Change::Delete => changes.remove(&order.key)?,
        }
        match present {
            Some(Entry {
                file: Some(file), ..
            }) => replaced.files.push(file),
            Some(entry) => replaced.small_bytes += entry.bytes,
            None => {}
        }
        Ok(Ok(()))
    }

    fn fail(&mut self, group: Vec<Order>, error: &Failure) {
        let full = matches!(error, Failure::Full);
        if full {
            self.room.nothing_inside();
        } else {
            tracing::error!(%error, "the index of the picture store could not be written");
        }
        self.healthy = false;
        let mut answers = Vec::new();
        for order in group {
            if let Some(file) = order.change.into_file() {
                self.in_doubt.push((order.key, file));
            }
            answers.push(order.done);
        }
        let recovered = self.recover();
        for answer in answers {
            let failure = match (&recovered, full) {
                (_, true) => Failure::Full,
                (Err(error), _) => Failure::Broken(error.to_string()),
                (Ok(()), false) => Failure::Broken(error.to_string()),
            };
            let _ = answer.send(Err(failure));
        }
    }

    /// Opens the index again, and keeps or removes the files in doubt.
    fn recover(&mut self) -> Result<(), Failure> {
        self.index.reopen()?;
        while let Some((key, file)) = self.in_doubt.pop() {
            let found = match self.index.find(&key, false) {
                Ok(found) => found,
                Err(error) => {
                    self.in_doubt.push((key, file));
                    return Err(error);
                }
            };
            if found.is_some_and(|found| found.entry.file.as_deref() == Some(file.name())) {
                file.keep();
            }
        }
        self.healthy = true;
        Ok(())
    }
}

impl Change {
    fn into_file(self) -> Option<Placed> {
        match self {
            Self::Put(_, Body::File(file)) => Some(file),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// RFC 9110, 13.1.1 and 13.1.2, for the conditions that S3 takes with a PUT.
    #[test]
    fn conditions_hold_as_the_rfc_has_them() {
        let tag = |text: &str| ETagCondition::parse_http_header(text.as_bytes()).unwrap();
        let check = |matching: Option<&str>, none: Option<&str>, md5| {
            let conditions = Conditions {
                if_match: matching.map(tag),
                if_none_match: none.map(tag),
            };
            conditions.check(md5).is_ok()
        };
        for (matching, none, md5, holds) in [
            (None, None, None, true),
            (None, Some("*"), None, true),
            (None, Some("*"), Some("a"), false),
            (None, Some("\"a\""), Some("a"), false),
            (None, Some("\"b\""), Some("a"), true),
            (Some("*"), None, None, false),
            (Some("*"), None, Some("a"), true),
            (Some("\"a\""), None, Some("a"), true),
            (Some("\"b\""), None, Some("a"), false),
            (Some("\"a\""), None, None, false),
            // If-Match compares strongly.
            (Some("W/\"a\""), None, Some("a"), false),
            (Some("\"a\""), Some("*"), Some("a"), false),
        ] {
            assert_eq!(
                check(matching, none, md5),
                holds,
                "{matching:?} {none:?} {md5:?}"
            );
        }
    }
}
