//! What of the queue outlives the process: written to its file in groups, by a thread of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::file::{Contents, Entry, OpenError, QueueFile};

/// Time after which what could not be written is tried again, where nothing else is to be written.
const RETRY: Duration = Duration::from_secs(1);

/// Called in the journal's thread with whether the change is on the disk.
pub type Done = Box<dyn FnOnce(bool) + Send>;

/// Where a journal writes to.
pub trait Disk: Send {
    /// Writes values, or removes what has none; they outlive the process when this returns.
    ///
    /// # Errors
    /// Nothing has changed then.
    fn write(&mut self, entries: &BTreeMap<Entry, Option<Vec<u8>>>) -> Result<(), redb::Error>;
}

/// The changes on their way to the file.
pub struct Journal {
    changes: mpsc::Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
    healthy: Arc<AtomicBool>,
}

/// Resolves once a change is on the disk, or cannot be written now.
pub struct Written(oneshot::Receiver<bool>);

impl Written {
    /// Whether it is on the disk.
    pub async fn done(self) -> bool {
        self.0.await.unwrap_or(false)
    }
}

enum Message {
    Change {
        changes: Vec<(Entry, Option<Vec<u8>>)>,
        then: Done,
        told: oneshot::Sender<bool>,
    },
    Close,
}

impl Journal {
    /// Opens the file, or creates it, and starts the thread. Blocks.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path) -> Result<(Self, Contents), OpenError> {
        let (file, contents) = QueueFile::open(path)?;
        let journal = Self::start(Box::new(file)).map_err(|source| OpenError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok((journal, contents))
    }

    /// Starts the thread that writes to `disk`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(disk: Box<dyn Disk>) -> std::io::Result<Self> {
        let (changes, messages) = mpsc::channel();
        let healthy = Arc::new(AtomicBool::new(true));
        let health = Health(Arc::clone(&healthy));
        let thread = std::thread::Builder::new()
            .name("job queue".to_owned())
            .spawn(move || write(disk, &messages, &health))?;
        Ok(Self {
            changes,
            thread: Mutex::new(Some(thread)),
            healthy,
        })
    }

    /// Writes values, or removes what has none, all or nothing and in the order of the calls; then calls `then`.
    pub fn write(&self, changes: Vec<(Entry, Option<Vec<u8>>)>, then: Done) -> Written {
        let (told, written) = oneshot::channel();
        // After the end nobody waits for what is dropped here: it resolves to "not written".
        let _ = self.changes.send(Message::Change {
            changes,
            then,
            told,
        });
        Written(written)
    }

    /// Whether the latest change reached the disk.
    pub fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Writes what is left and closes the file. Blocks.
    pub fn close(&self) {
        let _ = self.changes.send(Message::Close);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the job queue's thread ended in a panic");
        }
    }
}

/// Ill as soon as the thread is gone, for whatever reason.
struct Health(Arc<AtomicBool>);

impl Drop for Health {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

fn write(mut disk: Box<dyn Disk>, messages: &mpsc::Receiver<Message>, health: &Health) {
    let mut pending: BTreeMap<Entry, Option<Vec<u8>>> = BTreeMap::new();
    let mut open = true;
    while open {
        let first = if pending.is_empty() {
            messages.recv().unwrap_or(Message::Close)
        } else {
            match messages.recv_timeout(RETRY) {
                Ok(message) => message,
                Err(mpsc::RecvTimeoutError::Disconnected) => Message::Close,
                Err(mpsc::RecvTimeoutError::Timeout) => Message::Change {
                    changes: Vec::new(),
                    then: Box::new(|_| {}),
                    told: oneshot::channel().0,
                },
            }
        };
        let mut waiting = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter()) {
            match message {
                Message::Change {
                    changes,
                    then,
                    told,
                } => {
                    pending.extend(changes);
                    waiting.push((then, told));
                }
                Message::Close => open = false,
            }
        }
        let written = match disk.write(&pending) {
            Ok(()) => {
                pending.clear();
                true
            }
            Err(error) => {
                tracing::error!(%error, entries = pending.len(), "the job queue's file could not be written");
                metrics::counter!("demo_hub_queue_write_failures_total").increment(1);
                false
            }
        };
        health.0.store(written, Ordering::Relaxed);
        for (then, told) in waiting {
            then(written);
            // Whoever asked may have gone.
            let _ = told.send(written);
        }
    }
}
