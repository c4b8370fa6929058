//! ComfyUI: the graph of the run under `prompt`, nodes by id; else the graph as the editor has it, under `workflow`.
//!
//! Source: `SaveImage` in `nodes.py` of comfyanonymous/ComfyUI. An input is a value, or `[id, output]` of another node.
//! A graph is a program: from the saved picture back to the sampler that made it from noise, and from its inputs on,
//! only nodes whose effect on a value is known are followed. What any other node makes is left unread, and said.

mod graph;
mod makers;
mod numbers;
mod prompts;
mod strings;
mod workflow;

use serde_json::{Map, Value};

use crate::json::object;
use crate::source::{Source, looks_like_json};
use crate::{Generator, ReadError, Reading};
use graph::Graph;

const PROMPT: &str = "prompt";
const WORKFLOW: &str = "workflow";

pub(crate) fn read(source: &Source) -> Option<Result<Reading, ReadError>> {
    let reading = nodes(source)?.and_then(|nodes| Graph::new(nodes).reading());
    Some(reading.map_err(|detail| ReadError::Unreadable {
        generator: Generator::ComfyUi,
        detail,
    }))
}

/// The nodes of the run's graph; those of the editor's where that is all there is.
fn nodes(source: &Source) -> Option<Result<Map<String, Value>, String>> {
    let texts = &source.texts;
    // Others write the prompt itself, or JSON of their own, under this keyword.
    let run = texts.get(PROMPT).filter(|text| looks_like_json(text));
    match run.map(object) {
        Some(Ok(run)) => {
            if let Some(nodes) = shared(&run) {
                return Some(nodes);
            }
        }
        Some(Err(damaged)) => return Some(Err(damaged)),
        None => {}
    }
    if let Some(nodes) = source.object().and_then(shared) {
        return Some(nodes);
    }
    let editor = texts.get(WORKFLOW).filter(|text| looks_like_json(text))?;
    Some(object(editor).and_then(workflow::nodes))
}

/// A graph in an object: all of it, or a member.
fn shared(map: &Map<String, Value>) -> Option<Result<Map<String, Value>, String>> {
    let member = |key: &str| match map.get(key)? {
        Value::Object(member) => Some(member.clone()),
        Value::String(json) if looks_like_json(json) => object(json).ok(),
        _ => None,
    };
    if is_run(map) {
        return Some(Ok(map.clone()));
    }
    if let Some(run) = member(PROMPT).filter(is_run) {
        return Some(Ok(run));
    }
    let editor = member(WORKFLOW).or_else(|| Some(map.clone()));
    editor.filter(workflow::is_editor).map(workflow::nodes)
}

fn is_run(object: &Map<String, Value>) -> bool {
    object
        .values()
        .any(|node| node.get("class_type").is_some_and(Value::is_string))
}
