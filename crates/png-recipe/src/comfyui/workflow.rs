//! The graph as the editor keeps it (`workflow`), made into the graph of a run: muted and bypassed nodes, reroutes,
//! primitives and subgraphs resolved as the editor does when it starts one.
//!
//! Sources: `graphToPrompt` of Comfy-Org/ComfyUI_frontend for what is resolved; its schema of workflows for the two forms
//! of links and for subgraphs, whose inputs and outputs are the nodes -10 and -20.

mod widgets;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::graph::MAX_HOPS;

/// Most nodes, those of subgraphs counted wherever they are used.
const MAX_NODES: usize = 5_000;
/// Subgraphs in subgraphs.
const MAX_DEPTH: usize = 8;
const MUTED: u64 = 2;
const BYPASSED: u64 = 4;

type Object = Map<String, Value>;
/// A node and the index of one of its inputs or outputs.
type Slot = (String, u64);

/// Whether an object is such a graph.
pub(super) fn is_editor(object: &Object) -> bool {
    object.get("nodes").is_some_and(Value::is_array) && object.contains_key("links")
}

/// Nodes by id, each with its class and inputs.
pub(super) fn nodes(editor: Object) -> Result<Object, String> {
    if !is_editor(&editor) {
        return Err("its graph has no nodes".to_owned());
    }
    let definitions = editor.get("definitions").and_then(|d| d.get("subgraphs"));
    let mut flat = Flat {
        subgraphs: array(definitions)
            .filter_map(|graph| Some((graph.get("id")?.as_str()?, graph.as_object()?)))
            .collect(),
        ..Flat::default()
    };
    flat.add(&editor, "", 0)?;
    Ok(flat.run())
}

fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Where an input's value comes from.
#[derive(Clone)]
enum Origin {
    Output(Slot),
    /// An input of the subgraph that the node is in.
    Outer(Slot),
}

#[derive(Default)]
struct Flat<'a> {
    subgraphs: BTreeMap<&'a str, &'a Object>,
    nodes: BTreeMap<String, &'a Object>,
    /// By the input that a link leads to.
    links: BTreeMap<Slot, Origin>,
    /// What comes out of a subgraph, by the output of the node that stands for it.
    inner: BTreeMap<Slot, Slot>,
}

impl<'a> Flat<'a> {
    /// Takes in a graph, with `prefix` before its ids: `12:` for what is in the subgraph at node 12.
    fn add(&mut self, graph: &'a Object, prefix: &str, depth: usize) -> Result<(), String> {
        for node in array(graph.get("nodes")).filter_map(Value::as_object) {
            let Some(id) = node.get("id").map(id) else {
                continue;
            };
            let id = format!("{prefix}{id}");
            self.nodes.insert(id.clone(), node);
            if self.nodes.len() > MAX_NODES {
                return Err(format!("its graph has more than {MAX_NODES} nodes"));
            }
            if let Some(inside) = self
                .subgraph(node)
                .filter(|_| mode(node) == 0 && depth < MAX_DEPTH)
            {
                self.add(inside, &format!("{id}:"), depth + 1)?;
            }
        }
        let outer = prefix.trim_end_matches(':');
        for (from, to) in array(graph.get("links")).filter_map(ends) {
            match (from, to) {
                ((from, output), (to, index)) if to == "-20" => {
                    let slot = (outer.to_owned(), index);
                    self.inner.insert(slot, (format!("{prefix}{from}"), output));
                }
                ((from, output), (to, index)) => {
                    let origin = if from == "-10" {
                        Origin::Outer((outer.to_owned(), output))
                    } else {
                        Origin::Output((format!("{prefix}{from}"), output))
                    };
                    self.links.insert((format!("{prefix}{to}"), index), origin);
                }
            }
        }
        Ok(())
    }

    fn subgraph(&self, node: &Object) -> Option<&'a Object> {
        self.subgraphs.get(kind(node)).copied()
    }

    fn run(&self) -> Object {
        let mut run = Object::new();
        for (id, node) in &self.nodes {
            let kept =
                mode(node) != MUTED && mode(node) != BYPASSED && self.subgraph(node).is_none();
            if !kept {
                continue;
            }
            let mut inputs = widgets::values(node);
            for (index, input) in (0_u64..).zip(array(node.get("inputs"))) {
                let Some(name) = input.get("name").and_then(Value::as_str) else {
                    continue;
                };
                let slot = (id.clone(), index);
                if self.links.contains_key(&slot) {
                    // A link beats the widget, and one that leads nowhere leaves no value.
                    match self.origin(slot) {
                        Some(value) => inputs.insert(name.to_owned(), value),
                        None => inputs.remove(name),
                    };
                }
            }
            run.insert(
                id.clone(),
                json!({"class_type": kind(node), "inputs": inputs}),
            );
        }
        run
    }

    /// What an input gets: a link to a node that runs, or a primitive's value.
    fn origin(&self, slot: Slot) -> Option<Value> {
        let mut origin = self.links.get(&slot)?.clone();
        for _ in 0..MAX_HOPS {
            let (id, output) = match origin {
                Origin::Outer(slot) => {
                    origin = self.links.get(&slot)?.clone();
                    continue;
                }
                Origin::Output(slot) => slot,
            };
            let node = self.nodes.get(&id)?;
            let input = match (mode(node), kind(node)) {
                (MUTED, _) => return None,
                (BYPASSED, _) => passed(node, output)?,
                (_, "Reroute") => 0,
                (_, "PrimitiveNode") => return array(node.get("widgets_values")).next().cloned(),
                // A pair of nodes of KJNodes: a link with a name instead of a line.
                (_, "GetNode") => {
                    let name = array(node.get("widgets_values")).next()?;
                    let set = self.nodes.iter().find(|(_, node)| {
                        kind(node) == "SetNode"
                            && array(node.get("widgets_values")).next() == Some(name)
                    });
                    origin = self.links.get(&(set?.0.clone(), 0))?.clone();
                    continue;
                }
                _ if self.subgraph(node).is_some() => {
                    origin = Origin::Output(self.inner.get(&(id, output))?.clone());
                    continue;
                }
                _ => return Some(json!([id, output])),
            };
            origin = self.links.get(&(id, input))?.clone();
        }
        None
    }
}

/// The input that a bypassed node gives out instead: of the same type, at the same place if there is one.
fn passed(node: &Object, output: u64) -> Option<u64> {
    let index = usize::try_from(output).ok()?;
    let wanted = array(node.get("outputs")).nth(index)?.get("type")?;
    let fits = |input: &Value| input.get("type") == Some(wanted);
    let same = array(node.get("inputs")).nth(index).is_some_and(fits);
    let first = array(node.get("inputs")).position(fits);
    if same {
        Some(output)
    } else {
        u64::try_from(first?).ok()
    }
}

/// Both ends of a link: `[id, from, output, to, input, type]`, or an object in subgraphs.
fn ends(link: &Value) -> Option<(Slot, Slot)> {
    let (from, output, to, input) = match link {
        Value::Array(link) => (link.get(1)?, link.get(2)?, link.get(3)?, link.get(4)?),
        Value::Object(link) => (
            link.get("origin_id")?,
            link.get("origin_slot")?,
            link.get("target_id")?,
            link.get("target_slot")?,
        ),
        _ => return None,
    };
    Some(((id(from), output.as_u64()?), (id(to), input.as_u64()?)))
}

fn id(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn mode(node: &Object) -> u64 {
    node.get("mode").and_then(Value::as_u64).unwrap_or(0)
}

fn kind(node: &Object) -> &str {
    node.get("type").and_then(Value::as_str).unwrap_or_default()
}
