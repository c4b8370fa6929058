//! What the page where pictures are made shows and does.

use leptos::prelude::*;
use protocol::{ModelSummary, Policy, Problem};

use super::link::Settings;
use super::start::StartForm;
use crate::runs::RunHandle;
use crate::saving::{Outbox, Saving};

#[cfg(browser)]
use super::browser;

/// The models to choose from, the default one first.
pub(super) type Models = StoredValue<Vec<ModelSummary>>;

/// Handle on the page's state; lives as long as the application, so that a picture outlasts a visit to the gallery.
#[derive(Clone, Copy)]
pub(crate) struct Studio {
    /// The form.
    pub(super) settings: RwSignal<Settings>,
    /// The picture to begin with.
    pub(super) start: RwSignal<StartForm>,
    /// The run.
    pub(super) run: RunHandle,
    /// What is wrong with the form.
    pub(super) problem: RwSignal<Option<Problem>>,
    /// Saving.
    pub(super) saving: RwSignal<Saving>,
    /// Whether the next picture to be saved stays out of the gallery.
    pub(super) unlisted: RwSignal<bool>,
    /// Pictures that wait until they can be saved.
    #[cfg_attr(
        not(browser),
        expect(dead_code, reason = "pictures wait in a browser only")
    )]
    pub(super) outbox: Outbox,
    /// What the last file with settings gave: a sentence, or why it gave nothing.
    pub(super) from_file: RwSignal<Option<Result<String, String>>>,
}

impl Studio {
    pub(crate) fn new(outbox: Outbox) -> Self {
        Self {
            settings: RwSignal::default(),
            start: RwSignal::default(),
            run: RunHandle::new(),
            problem: RwSignal::new(None),
            saving: RwSignal::default(),
            unlisted: RwSignal::new(false),
            outbox,
            from_file: RwSignal::new(None),
        }
    }

    /// Whether a software adapter counts as a GPU.
    pub(crate) fn accepts_software(self) -> Signal<bool> {
        Signal::derive(move || self.settings.with(|s| s.accept_software))
    }

    /// Whether the form keeps the picture in this browser.
    pub(super) fn stays_here(self) -> Signal<bool> {
        Signal::derive(move || self.settings.with(|s| s.policy == Policy::BrowserOnly))
    }

    /// The chosen model.
    pub(super) fn model(self, models: Models) -> Option<ModelSummary> {
        let id = self.settings.with(|s| s.model.clone());
        models.with_value(|all| all.iter().find(|m| m.id == id).cloned())
    }

    /// Whether the chosen model can begin with a picture.
    pub(super) fn begins_with_pictures(self, models: Models) -> bool {
        self.model(models).is_some_and(|m| m.begins_with_pictures)
    }

    /// Starts a run with the form's settings.
    pub(super) fn generate(self, models: Models) {
        in_browser!(self, models => models.with_value(|models| browser::generate(self, models)));
    }

    /// Finds the job again that this visitor left running on the server, if there is one.
    pub(super) fn resume(self, models: &[ModelSummary]) {
        in_browser!(self, models => browser::resume(self, models));
    }

    /// Stores the picture.
    pub(super) fn save(self) {
        in_browser!(self => browser::save(self));
    }

    /// Takes over what the visitor typed into the served form before the page came alive.
    pub(super) fn adopt_typed(self) {
        in_browser!(self => browser::typed::adopt(self.settings));
    }

    /// Takes pictures that are dropped onto the page; `over` tells while one is held above it.
    pub(super) fn take_dropped_files(self, models: Models, over: RwSignal<bool>) {
        in_browser!(self, models, over => browser::files::listen(self, models, over));
    }

    /// Takes the picture that a file field holds now.
    pub(super) fn take_chosen_file(self, models: Models, event: leptos::ev::Event) {
        in_browser!(self, models, event => browser::files::chosen(self, models, &event));
    }

    /// Takes the file that the field for a picture to begin with holds now.
    pub(super) fn take_chosen_start(self, event: leptos::ev::Event) {
        in_browser!(self, event => browser::start::chosen(self, &event));
    }

    /// Takes a dropped picture to begin with.
    pub(super) fn take_dropped_start(self, event: leptos::ev::DragEvent) {
        in_browser!(self, event => browser::start::dropped(self, &event));
    }

    /// Takes a pasted picture to begin with.
    pub(super) fn take_pasted_start(self, event: leptos::ev::ClipboardEvent) {
        in_browser!(self, event => browser::start::pasted(self, &event));
    }

    /// Begins the next picture with the finished one at `url`.
    pub(super) fn start_with(self, url: String) {
        in_browser!(self, url => browser::start::finished(self, url));
    }
}
