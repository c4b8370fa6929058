//! What the page where pictures are made shows and does.

use leptos::prelude::*;
use protocol::{ModelSummary, Problem};

use super::batch::Shot;
use super::link::Settings;
use super::list::Batches;
use super::start::StartForm;
use crate::runs::run::Run;
use crate::saving::Outbox;

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
    /// What was asked for in this visit.
    pub(super) batches: Batches,
    /// The picture that is looked at.
    pub(super) shown: Memo<Option<Shot>>,
    /// Whether a picture is being made or waits.
    pub(super) working: Memo<bool>,
    /// What is wrong with the form.
    pub(super) problem: RwSignal<Option<Problem>>,
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
        let batches = Batches::new();
        Self {
            settings: RwSignal::default(),
            start: RwSignal::default(),
            batches,
            shown: Memo::new(move |_| batches.shown_shot()),
            working: Memo::new(move |_| batches.is_working()),
            problem: RwSignal::new(None),
            unlisted: RwSignal::new(false),
            outbox,
            from_file: RwSignal::new(None),
        }
    }

    /// Whether a software adapter counts as a GPU.
    pub(crate) fn accepts_software(self) -> Signal<bool> {
        Signal::derive(move || self.settings.with(|s| s.accept_software))
    }

    /// Reads the run of the picture that is looked at; an idle one where there is none.
    pub(super) fn read<T>(self, read: impl FnOnce(&Run) -> T) -> T {
        match self.shown.get() {
            Some(shot) => shot.run.state.with(read),
            None => read(&Run::default()),
        }
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

    /// Asks for the pictures of the form: they are made now, or behind those that were asked for before.
    pub(super) fn generate(self, models: Models) {
        in_browser!(self, models => models.with_value(|models| browser::generate(self, models)));
    }

    /// Finds the job again that this visitor left running on the server, if there is one.
    pub(super) fn resume(self, models: &[ModelSummary]) {
        in_browser!(self, models => browser::resume(self, models));
    }

    /// Lets keys act for as long as the current owner lives.
    pub(super) fn listen_to_keys(self, models: Models) {
        in_browser!(self, models => browser::keys::listen(self, models));
    }

    /// Stores a picture.
    pub(super) fn save(self, shot: Shot) {
        in_browser!(self, shot => browser::save(self, shot));
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
