//! `scheduler_config.json` of diffusers.

mod kind;
mod options;

use anyhow::{Context, bail, ensure};
use diffusion::scheduler::{SchedulerKind, Wanted};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::pipeline::Pipeline;
use options::{Class, Fate, fate, is_of_another_class, of_class};

/// The scheduler, and notes where something else than the file says holds.
pub(super) fn read(
    config: &Value,
    pipeline: Pipeline,
) -> anyhow::Result<(SchedulerKind, Vec<String>)> {
    let config = config
        .as_object()
        .context("scheduler_config.json is no table")?;
    let class = config
        .get("_class_name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (Some(known), Some(defaults)) = (Class::of(class), of_class(class)) else {
        bail!("scheduler_config.json names {class:?}, which is not supported");
    };
    let mut options = Options {
        class,
        known,
        values: stated(config, class, defaults)?,
        notes: Vec::new(),
    };
    if pipeline.overrules_schedulers() {
        options.overrule(
            "steps_offset",
            |offset| *offset != json!(1),
            json!(1),
            pipeline,
        );
        options.overrule(
            "clip_sample",
            |clips| *clips == json!(true),
            json!(false),
            pipeline,
        );
    }
    options.refuse()?;
    let kind = options.kind()?;
    if let Some(fault) = kind.fault() {
        bail!("the settings of {class} make no schedule: {fault}");
    }
    let one = Wanted {
        steps: 1,
        skip: 0,
        image_tokens: 1,
    };
    if kind.program(one).is_err() {
        bail!("the settings of {class} make no schedule");
    }
    if known == Class::InPlace {
        options.notes.push(options.in_place(config));
    }
    Ok((kind, options.notes))
}

/// The file's options over the defaults of its class.
fn stated(
    config: &Map<String, Value>,
    class: &str,
    defaults: &Map<String, Value>,
) -> anyhow::Result<Map<String, Value>> {
    // Options that the file's writer left at its class's defaults, which may have changed since.
    let left: Vec<&str> = config
        .get("_use_default_values")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut values = defaults.clone();
    for (key, value) in config {
        if let Some(known) = values.get_mut(key) {
            match value {
                _ if left.contains(&&**key) => {}
                // Python takes None for false.
                Value::Null if known.is_boolean() => *known = json!(false),
                Value::Null => {}
                value => known.clone_from(value),
            }
        } else if key == "predict_epsilon" {
            ensure!(
                value == &json!(true) || config.contains_key("prediction_type"),
                "predict_epsilon of {class} is {value}; prediction_type took its place"
            );
        } else {
            ensure!(
                is_of_another_class(key),
                "scheduler_config.json has the option {key}, which no scheduler of diffusers is known to have"
            );
        }
    }
    Ok(values)
}

/// The options of a class.
struct Options<'a> {
    class: &'a str,
    known: Class,
    values: Map<String, Value>,
    notes: Vec<String>,
}

impl Options<'_> {
    /// What the pipeline says, whatever the file does, where the class has the option at all.
    fn overrule(
        &mut self,
        option: &str,
        objects: fn(&Value) -> bool,
        with: Value,
        pipeline: Pipeline,
    ) {
        if let Some(value) = self.values.get_mut(option).filter(|value| objects(value)) {
            let (class, pipeline) = (self.class, pipeline.name());
            let note = format!("{option} of {class} is {value}; {pipeline} takes {with}");
            self.notes.push(note);
            *value = with;
        }
    }

    fn refuse(&self) -> anyhow::Result<()> {
        let class = self.class;
        for (option, value) in &self.values {
            match fate(self.known, option) {
                Some(Fate::Only(values)) => {
                    let shown = value.to_string();
                    ensure!(
                        values.contains(&&*shown),
                        "{option} of {class} is {}, which is not supported",
                        short(&shown)
                    );
                }
                Some(Fate::Applied | Fate::Beside(_) | Fate::Idle | Fate::Sampler) => {}
                None => bail!("{option} of {class} is not supported"),
            }
        }
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, option: &str) -> anyhow::Result<T> {
        self.or(option, Value::Null)
    }

    /// An option; `other` where the class does not have it.
    fn or<T: DeserializeOwned>(&self, option: &str, other: Value) -> anyhow::Result<T> {
        let value = self.values.get(option).cloned().unwrap_or(other);
        let shown = value.to_string();
        serde_json::from_value(value).with_context(|| {
            format!(
                "{option} of {} is {}, which is not supported",
                self.class,
                short(&shown)
            )
        })
    }

    /// That Euler steps take the class's place, and which of the file's options have no part in them.
    fn in_place(&self, config: &Map<String, Value>) -> String {
        let left: Vec<&str> = self
            .values
            .keys()
            .filter(|option| fate(self.known, option) == Some(Fate::Sampler))
            .filter(|option| config.contains_key(*option))
            .map(|option| &**option)
            .collect();
        let mut note = format!(
            "{} is not there; Euler steps through the same noise take its place",
            self.class
        );
        if !left.is_empty() {
            note.push_str(", and its own settings have no part in them: ");
            note.push_str(&left.join(", "));
        }
        note
    }
}

/// The beginning of a value.
fn short(shown: &str) -> &str {
    shown.get(..80).unwrap_or(shown)
}

#[cfg(test)]
mod tests;
