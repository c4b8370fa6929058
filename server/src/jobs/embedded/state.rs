//! The line, the jobs in it and those that have ended, in memory.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use diffusion::Cancel;
use protocol::{JobPreview, JobStatus, JobView};
use tokio::sync::{broadcast, watch};

use super::super::admission::Standing;
use super::super::estimate::{Durations, Load};
use super::super::fair::{self, Place};
use super::super::format::FORMAT;
use super::super::queue::{Depth, HandBack, Outcome, WORKER_GONE, WorkerStatus};
use super::super::record::{Claimed, JobRecord, Occasion};
use super::super::redelivery::now_ms;
use super::file::{Contents, Entry, Kept};
use crate::limits::{ClientKey, Network};

/// Finished jobs kept at most, however young.
const MAX_FINISHED: usize = 10_000;
/// Previews that a slow reader may lag behind before it misses some.
const PREVIEWS: usize = 4;

/// All that the queue knows.
#[derive(Default)]
pub struct State {
    jobs: HashMap<String, Job>,
    /// Ids by turn and place: lower places are older.
    line: BTreeMap<(u64, u64), String>,
    /// The highest turn of a started job, by model.
    turns: HashMap<String, u64>,
    next_place: u64,
    running: usize,
    /// When they ended, in milliseconds since the Unix epoch; oldest first.
    finished: VecDeque<(u64, String)>,
    keys: HashMap<String, String>,
    durations: HashMap<String, Durations>,
    workers: HashMap<String, (Instant, WorkerStatus)>,
    stopped: bool,
    closed: bool,
}

/// A job and who looks at it.
pub struct Job {
    pub record: JobRecord,
    pub fingerprint: [u8; 32],
    key: Option<String>,
    place: u64,
    /// Its submission is on the disk: it may be handed out.
    entered: bool,
    /// Of the latest claim.
    pub cancel: Cancel,
    shown: watch::Sender<(u64, JobView)>,
    previews: broadcast::Sender<JobPreview>,
}

impl Job {
    fn new(record: JobRecord, fingerprint: [u8; 32], key: Option<String>, place: u64) -> Self {
        Self {
            shown: watch::Sender::new((record.number, record.view.clone())),
            record,
            fingerprint,
            key,
            place,
            entered: false,
            cancel: Cancel::default(),
            previews: broadcast::Sender::new(PREVIEWS),
        }
    }

    /// Where it stands in line.
    fn slot(&self) -> (u64, u64) {
        (self.record.turn.unwrap_or_default(), self.place)
    }

    /// Whether its submission is on the disk.
    pub fn is_entered(&self) -> bool {
        self.entered
    }

    /// What clients were shown last.
    fn shown(&self) -> JobView {
        self.shown.borrow().1.clone()
    }

    /// Its states and previews from now on.
    pub fn subscribe(
        &self,
    ) -> (
        watch::Receiver<(u64, JobView)>,
        broadcast::Receiver<JobPreview>,
    ) {
        (self.shown.subscribe(), self.previews.subscribe())
    }

    /// Shows a preview to whoever looks.
    pub fn preview(&self, preview: JobPreview) {
        let _ = self.previews.send(preview);
    }
}

impl State {
    /// Goes on with what the file held; the ids of jobs whose worker died with the process.
    pub fn take_over(&mut self, contents: Contents, now: u64) -> Vec<String> {
        let mut orphaned = Vec::new();
        self.durations = contents.durations.into_iter().collect();
        for kept in contents.jobs {
            let Kept {
                place,
                mut record,
                fingerprint,
                key,
                ..
            } = kept;
            let id = record.view.id.clone();
            if record.orphaned(now) {
                orphaned.push(id.clone());
            }
            self.next_place = self.next_place.max(place + 1);
            let turn = record.turn.unwrap_or_default();
            if record.claim > 0 {
                self.started(&record.view.request.model, turn);
            }
            if record.view.status.is_final() {
                let ended_at = record.ended_at.unwrap_or(now);
                self.finished.push_back((ended_at, id.clone()));
            } else {
                self.line.insert((turn, place), id.clone());
            }
            if let Some(key) = &key {
                self.keys.insert(key.clone(), id.clone());
            }
            let mut digest = [0; 32];
            // A damaged fingerprint matches no request, which is refused then and not mistaken for this one.
            let _ = hex::decode_to_slice(fingerprint, &mut digest);
            let mut job = Job::new(record, digest, key, place);
            job.entered = true;
            self.jobs.insert(id, job);
        }
        self.finished.make_contiguous().sort();
        self.show_line();
        orphaned
    }

    /// A job, if it is known.
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.get(id)
    }

    /// The job that a key stands for.
    pub fn job_of_key(&self, key: &str) -> Option<&Job> {
        self.jobs.get(self.keys.get(key)?)
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Records of jobs that wait or are being made.
    pub fn unfinished(&self) -> impl Iterator<Item = &JobRecord> {
        let records = self.jobs.values().map(|job| &job.record);
        records.filter(|record| !record.view.status.is_final())
    }

    /// Unfinished jobs, those of a client and of its network.
    pub fn standing(&self, client: &ClientKey, network: Option<&Network>) -> Standing {
        let mut standing = Standing::default();
        for record in self.unfinished() {
            standing.all += 1;
            standing.client += usize::from(record.client == *client);
            let near = network.is_some() && record.network.as_ref() == network;
            standing.network += usize::from(near);
        }
        standing
    }

    /// The turn of a new job.
    pub fn turn(&self, model: &str, client: &ClientKey, network: Option<&Network>) -> u64 {
        let of_model = |record: &&JobRecord| record.view.request.model == model;
        let places: Vec<_> = self
            .unfinished()
            .filter(of_model)
            .map(|record| Place {
                client: &record.client,
                network: record.network.as_ref(),
                turn: record.turn.unwrap_or_default(),
            })
            .collect();
        let now = self.turns.get(model).copied().unwrap_or_default();
        fair::turn(now, &places, &client, network.as_ref())
    }

    fn started(&mut self, model: &str, turn: u64) {
        let last = self.turns.entry(model.to_owned()).or_default();
        *last = turn.max(*last);
    }

    /// Hands no more jobs out.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Whether [`Self::stop`] was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Takes no more jobs in.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds a job to the line; it is not handed out before [`Self::entered`].
    pub fn enter(&mut self, record: JobRecord, fingerprint: [u8; 32], key: Option<String>) {
        let id = record.view.id.clone();
        let place = self.next_place;
        self.next_place += 1;
        if let Some(key) = &key {
            self.keys.insert(key.clone(), id.clone());
        }
        let job = Job::new(record, fingerprint, key, place);
        self.line.insert(job.slot(), id.clone());
        self.jobs.insert(id, job);
        self.show_line();
    }

    /// The job's submission is on the disk.
    pub fn entered(&mut self, id: &str) {
        if let Some(job) = self.jobs.get_mut(id) {
            job.entered = true;
        }
    }

    /// Forgets a job, whatever its state.
    pub fn remove(&mut self, id: &str) {
        let Some(job) = self.jobs.remove(id) else {
            return;
        };
        self.line.remove(&job.slot());
        if let Some(key) = job.key
            && self.keys.get(&key).is_some_and(|of| of == id)
        {
            self.keys.remove(&key);
        }
        self.show_line();
    }

    /// Forgets jobs that ended longer ago than `retention`; their ids.
    pub fn expire(&mut self, now: u64, retention: Duration) -> Vec<String> {
        let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
        let mut expired = Vec::new();
        while let Some((ended_at, id)) = self.finished.front() {
            let young = now.saturating_sub(*ended_at) < retention;
            if young && self.finished.len() <= MAX_FINISHED {
                break;
            }
            let id = id.clone();
            self.finished.pop_front();
            self.remove(&id);
            expired.push(id);
        }
        expired
    }

    /// The waiting job that is to be made next: of the first of `models` that has one, the first in line.
    pub fn next(&self, models: &[String], now: u64) -> Option<String> {
        models.iter().find_map(|model| {
            let mut due = self.line.values().filter(|id| {
                self.jobs.get(*id).is_some_and(|job| {
                    job.entered
                        && job.record.view.request.model == *model
                        && job.record.wait(now).is_zero()
                })
            });
            due.next().cloned()
        })
    }

    /// Time until the first of the jobs of `models` that wait for their time is due.
    pub fn next_due(&self, models: &[String], now: u64) -> Option<Duration> {
        let waits = self.line.values().filter_map(|id| {
            let record = &self.jobs.get(id)?.record;
            let wait = record.wait(now);
            (models.contains(&record.view.request.model) && !wait.is_zero()).then_some(wait)
        });
        waits.min()
    }

    /// Gives a waiting job to a worker, or ends it.
    pub fn claim(&mut self, id: &str, now: u64) -> Claimed {
        let Some(job) = self.jobs.get_mut(id) else {
            return Claimed::Ended;
        };
        let claimed = job.record.claim(now);
        job.cancel = Cancel::default();
        match claimed {
            Claimed::Run => {
                self.line.remove(&job.slot());
                self.running += 1;
                let turn = job.record.turn.unwrap_or_default();
                let model = job.record.view.request.model.clone();
                self.started(&model, turn);
            }
            Claimed::Ended => self.ended(id),
            Claimed::NotYet(_) => {}
        }
        self.show_line();
        claimed
    }

    /// Changes a job that a worker is at. `false`: it changed nothing.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut JobRecord) -> bool) -> bool {
        let changed = self
            .jobs
            .get_mut(id)
            .is_some_and(|job| change(&mut job.record));
        if changed {
            self.show(id);
        }
        changed
    }

    /// Ends a job in a worker's hands; shown later, when it is on the disk. `false`: the claim is lost.
    pub fn finish(&mut self, id: &str, claim: u64, outcome: Outcome, now: u64) -> bool {
        let Some(job) = self.jobs.get_mut(id) else {
            return false;
        };
        if !job.record.finish(claim, outcome, now) {
            return false;
        }
        self.running = self.running.saturating_sub(1);
        self.ended(id);
        true
    }

    /// Notes how long a job of `model` took.
    pub fn note_duration(&mut self, model: &str, milliseconds: u64) {
        self.durations
            .entry(model.to_owned())
            .or_default()
            .push(milliseconds);
    }

    /// Takes a job out of a worker's hands, into its old place or to its end. `false`: the claim is lost.
    pub fn hand_back(&mut self, id: &str, claim: u64, reason: HandBack, by: &Occasion) -> bool {
        let Some(job) = self.jobs.get_mut(id) else {
            return false;
        };
        if !job.record.hand_back(claim, reason, *by) {
            return false;
        }
        self.running = self.running.saturating_sub(1);
        if job.record.view.status == JobStatus::Queued {
            self.line.insert(job.slot(), id.to_owned());
            self.show(id);
        } else {
            self.ended(id);
        }
        self.show_line();
        true
    }

    /// Cancels a job; shown later, when it is on the disk. `false`: it changed nothing.
    pub fn cancel(&mut self, id: &str, now: u64) -> bool {
        let Some(job) = self.jobs.get_mut(id) else {
            return false;
        };
        if !job.record.cancel(now) {
            return false;
        }
        job.cancel.cancel();
        if job.record.view.status.is_final() {
            self.ended(id);
            self.show_line();
        }
        true
    }

    fn ended(&mut self, id: &str) {
        if let Some(job) = self.jobs.get(id) {
            self.line.remove(&job.slot());
            let ended_at = job.record.ended_at.unwrap_or_default();
            self.finished.push_back((ended_at, id.to_owned()));
        }
    }

    /// What is known about the jobs before one of `model`.
    pub fn load(&self, model: &str) -> Load {
        let workers = self.workers.values();
        Load {
            median_ms: self.durations.get(model).and_then(Durations::median_ms),
            running: self.running,
            workers: workers
                .filter(|(seen, worker)| seen.elapsed() < WORKER_GONE && worker.is_well())
                .count(),
        }
    }

    /// How many jobs of a model wait and are being made.
    pub fn depth(&self, model: &str) -> Depth {
        let of = |status: JobStatus| {
            let jobs = self.jobs.values().map(|job| &job.record.view);
            jobs.filter(|view| view.status == status && view.request.model == model)
                .count()
        };
        Depth {
            model: model.to_owned(),
            waiting: of(JobStatus::Queued),
            running: of(JobStatus::Generating),
        }
    }

    /// Workers heard of lately.
    pub fn workers(&self) -> usize {
        let workers = self.workers.values();
        workers
            .filter(|(seen, _)| seen.elapsed() < WORKER_GONE)
            .count()
    }

    /// Whether a worker other than `worker` is well and takes jobs of `model`.
    pub fn has_others(&self, worker: &str, model: &str) -> bool {
        self.workers.values().any(|(seen, other)| {
            seen.elapsed() < WORKER_GONE && other.id != worker && other.could_take(model)
        })
    }

    /// A worker's sign of life.
    pub fn heard_of(&mut self, worker: &WorkerStatus, now: Instant) {
        self.workers
            .insert(worker.id.clone(), (now, worker.clone()));
        self.workers
            .retain(|_, (seen, _)| seen.elapsed() < WORKER_GONE);
    }

    /// A worker leaves.
    pub fn left(&mut self, worker: &str) {
        self.workers.remove(worker);
    }

    /// What the file is to hold of a job, and of the durations of its model where it has ended.
    pub fn entries(&self, id: &str) -> Vec<(Entry, Option<Vec<u8>>)> {
        let Some(job) = self.jobs.get(id) else {
            return vec![(Entry::Job(id.to_owned()), None)];
        };
        let mut entries = Vec::new();
        let kept = Kept {
            format: FORMAT,
            place: job.place,
            record: job.record.clone(),
            fingerprint: hex::encode(job.fingerprint),
            key: job.key.clone(),
        };
        match serde_json::to_vec(&kept) {
            Ok(json) => entries.push((Entry::Job(id.to_owned()), Some(json))),
            Err(error) => tracing::error!(%error, id, "a job cannot be kept"),
        }
        let model = &job.record.view.request.model;
        if job.record.view.status == JobStatus::Completed
            && let Some(durations) = self.durations.get(model)
            && let Ok(json) = serde_json::to_vec(durations)
        {
            entries.push((Entry::Durations(model.clone()), Some(json)));
        }
        entries
    }

    /// What clients see of a job, with the time that it takes by what is known now.
    pub fn view(&self, id: &str) -> Option<JobView> {
        let job = self.jobs.get(id)?;
        let mut view = job.shown();
        // What has changed since is not on the disk yet.
        if view.status == job.record.view.status && !view.status.is_final() {
            view.eta_ms = self.eta_ms(job, &view);
        }
        Some(view)
    }

    fn eta_ms(&self, job: &Job, view: &JobView) -> Option<u64> {
        let ahead = view.queue_position.map_or(0, |n| n as usize);
        let wait = job.record.wait(now_ms());
        self.load(&view.request.model).eta_ms(view, ahead, wait)
    }

    /// Publishes a job's state.
    pub fn show(&self, id: &str) {
        let ahead = self.ahead(id);
        self.publish(id, ahead);
    }

    /// Publishes positions that have changed.
    fn show_line(&mut self) {
        let mut lines: HashMap<String, usize> = HashMap::new();
        for id in self.line.values() {
            let Some(job) = self.jobs.get_mut(id) else {
                continue;
            };
            let line = lines.entry(job.record.view.request.model.clone());
            let line = line.or_default();
            let ahead = *line;
            let shown = job.shown.borrow().1.queue_position;
            let changed = shown != u32::try_from(ahead).ok();
            if changed {
                job.record.number += 1;
            }
            if job.record.view.postponed.is_none() {
                *line += 1;
            }
            if changed {
                self.publish(id, Some(ahead));
            }
        }
    }

    /// Jobs of its model before a waiting one; those that wait for their time stand in nobody's way.
    fn ahead(&self, id: &str) -> Option<usize> {
        let own = self.jobs.get(id)?;
        let slot = own.slot();
        self.line.get(&slot)?;
        let model = &own.record.view.request.model;
        let before = self.line.range(..slot).filter(|(_, other)| {
            let job = self.jobs.get(*other);
            job.is_some_and(|job| {
                job.record.view.request.model == *model && job.record.view.postponed.is_none()
            })
        });
        Some(before.count())
    }

    fn publish(&self, id: &str, ahead: Option<usize>) {
        let Some(job) = self.jobs.get(id) else { return };
        let mut view = job.record.view.clone();
        view.queue_position = ahead.and_then(|n| u32::try_from(n).ok());
        view.eta_ms = self.eta_ms(job, &view);
        job.shown.send_replace((job.record.number, view));
    }
}
