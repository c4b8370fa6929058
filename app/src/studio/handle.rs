//! The state that form, result and the work behind them share.

use leptos::prelude::*;
use protocol::{ModelSummary, Problem};

use super::run::Run;
use super::start::StartForm;
use crate::outbox::Outbox;
use crate::settings::Settings;
use crate::worker::message::RoomChoice;

/// Saving a picture that was made in the browser.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    not(all(feature = "hydrate", target_arch = "wasm32")),
    expect(dead_code, reason = "pictures are saved from a browser only")
)]
pub(crate) enum Saving {
    /// Not asked for.
    #[default]
    Unsaved,
    /// Bytes are on their way to the store.
    Uploading {
        /// Bytes sent.
        sent: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The server checks what arrived.
    Committing,
    /// Kept in this browser until there is a network.
    Waiting,
    /// Stored for good under this link.
    Saved(String),
    /// Not stored; the picture is still here.
    Failed(Problem),
}

/// Handle on the page's state; lives as long as the application, so that a picture outlasts a visit to the gallery.
#[derive(Clone, Copy)]
pub(crate) struct Studio {
    /// The form.
    pub(crate) settings: RwSignal<Settings>,
    /// The picture to begin with.
    pub(crate) start: RwSignal<StartForm>,
    /// The run.
    pub(crate) run: RwSignal<Run>,
    /// What is wrong with the form.
    pub(crate) problem: RwSignal<Option<Problem>>,
    /// Saving.
    pub(crate) saving: RwSignal<Saving>,
    /// Whether the next picture to be saved stays out of the gallery.
    pub(crate) unlisted: RwSignal<bool>,
    /// Pictures that wait until they can be saved.
    pub(crate) outbox: Outbox,
    /// What the last file with settings gave: a sentence, or why it gave nothing.
    pub(crate) from_file: RwSignal<Option<Result<String, String>>>,
}

impl Studio {
    pub(crate) fn new() -> Self {
        Self {
            settings: RwSignal::default(),
            start: RwSignal::default(),
            run: RwSignal::default(),
            problem: RwSignal::new(None),
            saving: RwSignal::default(),
            unlisted: RwSignal::new(false),
            outbox: Outbox::new(),
            from_file: RwSignal::new(None),
        }
    }

    /// Starts a run with the form's settings.
    pub(crate) fn generate(self, models: &[ModelSummary]) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::generate(self, models);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = models;
    }

    /// Finds the job again that this visitor left running on the server, if there is one.
    pub(crate) fn resume(self, models: &[ModelSummary]) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::resume(self, models);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = models;
    }

    /// Stops the run.
    pub(crate) fn cancel(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::cancel(self);
    }

    /// Stops the download of the run, or goes on with it.
    pub(crate) fn pause(self, paused: bool) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::pause(paused);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = paused;
    }

    /// Answers the question of a run that needs room.
    pub(crate) fn choose_room(self, choice: RoomChoice) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::choose_room(choice);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = choice;
    }

    /// Sends the run to the server.
    pub(crate) fn send_to_server(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::send_to_server();
    }

    /// Stores the picture.
    pub(crate) fn save(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::save::start(self);
    }

    /// Shows what waits to be saved, and saves it as soon as there is a network.
    pub(crate) fn watch_outbox(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::outbox::watch(self);
    }

    /// Tries to save what waits.
    pub(crate) fn send_waiting(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::outbox::send(self);
    }

    /// Takes over what the visitor typed into the served form before the page came alive.
    pub(crate) fn adopt_typed(self) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::typed::adopt(self.settings);
    }

    /// Takes pictures that are dropped onto the page; `over` tells while one is held above it.
    pub(crate) fn take_dropped_files(
        self,
        models: StoredValue<Vec<ModelSummary>>,
        over: RwSignal<bool>,
    ) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::files::listen(self, models, over);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = (models, over);
    }

    /// Takes the file that the field for a picture to begin with holds now.
    pub(crate) fn take_chosen_start(self, event: leptos::ev::Event) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::start::chosen(self, &event);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = event;
    }

    /// Takes a dropped picture to begin with.
    pub(crate) fn take_dropped_start(self, event: leptos::ev::DragEvent) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::start::dropped(self, &event);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = event;
    }

    /// Takes a pasted picture to begin with.
    pub(crate) fn take_pasted_start(self, event: leptos::ev::ClipboardEvent) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::start::pasted(self, &event);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = event;
    }

    /// Begins the next picture with the finished one at `url`.
    pub(crate) fn start_with(self, url: String) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::start::finished(self, url);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = url;
    }

    /// Takes the picture that a file field holds now.
    pub(crate) fn take_chosen_file(
        self,
        models: StoredValue<Vec<ModelSummary>>,
        event: leptos::ev::Event,
    ) {
        #[cfg(all(feature = "hydrate", target_arch = "wasm32"))]
        super::browser::files::chosen(self, models, &event);
        #[cfg(not(all(feature = "hydrate", target_arch = "wasm32")))]
        let _ = (models, event);
    }
}
