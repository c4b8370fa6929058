//! Texts: encoders, constants, and what joins or chooses between them.

use serde_json::Value;

use super::graph::{Graph, Node, link};
use super::prompts::{Found, Side};

/// Inputs that hold the text of a node with one.
const TEXTS: [&str; 9] = [
    "text",
    "prompt",
    "string",
    "value",
    "Text",
    "Prompt",
    "String",
    "STRING",
    "multiline_text",
];
/// Inputs of encoders that take one prompt in several forms, the fullest first.
const FORMS: [&str; 8] = [
    "text_g", "t5xxl", "clip_g", "mt5xl", "llama", "text_l", "clip_l", "bert",
];
/// Parts of class names of nodes that make another text of theirs.
const CHANGES: [&str; 27] = [
    "random",
    "wildcard",
    "replace",
    "generat",
    "llm",
    "gpt",
    "llama",
    "gemini",
    "claude",
    "qwen",
    "caption",
    "florence",
    "interrogat",
    "tagger",
    "translat",
    "regex",
    "split",
    "slice",
    "truncat",
    "substring",
    "format",
    "template",
    "enhanc",
    "upsampl",
    "expand",
    "rewrite",
    "load",
];
const JOINS: [&str; 6] = [
    "concat",
    "join",
    "append",
    "combine",
    "merge",
    "stringfunction",
];
const DELIMITERS: [&str; 4] = ["delimiter", "separator", "delim", "sep"];

impl Graph {
    /// The text that a node without conditionings gives out.
    pub(super) fn string(&self, node: &Node, class: &str, side: Side, hops: usize) -> Found {
        let has = |words: &[&str]| words.iter().any(|word| class.contains(word));
        let unknown = || Found::Unknown(node.class.clone());
        // What wildcards became in this run.
        if let Some(text) = node.inputs.get("populated_text") {
            return self.prompt(text, side, hops);
        }
        if node.hands_on() {
            return node
                .only_link()
                .map_or_else(unknown, |next| self.prompt(next, side, hops));
        }
        if has(&["switch", "ifelse"]) {
            return node
                .chosen()
                .map_or_else(unknown, |next| self.prompt(next, side, hops));
        }
        let encodes = node
            .inputs
            .keys()
            .any(|name| name.to_ascii_lowercase().contains("clip"))
            || has(&["textencode"]);
        if !encodes && has(&JOINS) {
            return self.joined(node, side, hops);
        }
        if !encodes && has(&CHANGES) {
            return unknown();
        }
        let of_side = match side {
            Side::Positive => "positive_prompt",
            Side::Negative => "negative_prompt",
        };
        if let Some(text) = node.inputs.get(of_side) {
            return self.prompt(text, side, hops);
        }
        let forms: Vec<&'static str> = FORMS
            .into_iter()
            .filter(|name| node.inputs.contains_key(*name))
            .collect();
        if !forms.is_empty() {
            return self.of_forms(node, &forms, side, hops);
        }
        let Some(text) = node.text(encodes) else {
            return unknown();
        };
        let found = self.prompt(text, side, hops);
        match found {
            // Such a node draws one of the choices.
            Found::Texts(texts)
                if node.inputs.contains_key("seed")
                    && texts
                        .iter()
                        .any(|t| t.contains("__") || (t.contains('{') && t.contains('|'))) =>
            {
                unknown()
            }
            Found::Texts(texts)
                if node.inputs.get("strip_newlines") == Some(&Value::Bool(true)) =>
            {
                Found::Texts(texts.into_iter().map(|t| t.replace('\n', "")).collect())
            }
            found => found,
        }
    }

    /// The fullest form of a prompt; a form that says something else is noted.
    fn of_forms(&self, node: &Node, forms: &[&'static str], side: Side, hops: usize) -> Found {
        let mut read: Option<Vec<String>> = None;
        for form in forms {
            let Some(value) = node.inputs.get(*form) else {
                continue;
            };
            match (self.prompt(value, side, hops), &read) {
                (Found::Nothing, _) => {}
                (Found::Texts(texts), None) => read = Some(texts),
                (Found::Texts(texts), Some(read)) if texts == *read => {}
                (unknown @ Found::Unknown(_), None) => return unknown,
                (_, Some(_)) => self.note_second(form),
            }
        }
        read.map_or(Found::Nothing, Found::Texts)
    }

    /// Texts in the order of their names, with what the node puts between them.
    fn joined(&self, node: &Node, side: Side, hops: usize) -> Found {
        let input = |name: &str| node.inputs.get(name);
        let is_true = |name: &str| {
            input(name).is_some_and(|v| *v == Value::Bool(true) || *v == "true" || *v == "yes")
        };
        let unknown = || Found::Unknown(node.class.clone());
        if input("action").is_some_and(|action| action != "append") {
            return unknown();
        }
        let (clean, tidy) = (is_true("clean_whitespace"), is_true("tidy_tags"));
        let delimiter = match DELIMITERS.iter().find_map(|name| input(name)) {
            Some(Value::String(text)) => text.replace("\\n", "\n"),
            Some(_) => return unknown(),
            None if tidy => ", ".to_owned(),
            None => String::new(),
        };
        let mut names: Vec<(&str, u64)> = Vec::new();
        for (name, value) in &node.inputs {
            let setting = DELIMITERS.contains(&name.as_str())
                || ["action", "clean_whitespace", "tidy_tags"].contains(&name.as_str());
            if !setting && (value.is_string() || link(value).is_some()) {
                let end = name.trim_end_matches(|c: char| c.is_ascii_digit());
                names.push((name, name[end.len()..].parse().unwrap_or(0)));
            }
        }
        // Names end in numbers or letters.
        names.sort_by_key(|(name, number)| (*number, *name));
        let mut parts = Vec::new();
        for (name, _) in names {
            let Some(value) = input(name) else { continue };
            match self.prompt(value, side, hops) {
                Found::Nothing if clean || tidy => {}
                Found::Nothing => parts.push(value.as_str().unwrap_or_default().to_owned()),
                Found::Texts(texts) => parts.extend(texts.iter().map(|text| {
                    if clean || tidy {
                        text.trim().to_owned()
                    } else {
                        text.clone()
                    }
                })),
                unknown => return unknown,
            }
        }
        Found::text(&parts.join(&delimiter))
    }
}

impl Node {
    /// The input that holds this node's text.
    fn text(&self, encodes: bool) -> Option<&Value> {
        let says = |value: &&Value| value.is_string() || link(value).is_some();
        let mut known = TEXTS
            .iter()
            .filter_map(|name| self.inputs.get(*name))
            .filter(says);
        if let Some(first) = known.next() {
            let alone = encodes || (known.next().is_none() && self.strings().count() <= 1);
            return Some(first).filter(|_| alone);
        }
        let class = self.class.to_ascii_lowercase();
        let holds = [
            "text",
            "string",
            "prompt",
            "primitive",
            "constant",
            "literal",
        ];
        let mut strings = self.strings();
        let only = strings.next().filter(|_| strings.next().is_none())?;
        (!self.has_links() && holds.iter().any(|word| class.contains(word))).then_some(only)
    }

    /// Inputs with a text in them.
    fn strings(&self) -> impl Iterator<Item = &Value> {
        let says = |value: &&Value| value.as_str().is_some_and(|text| !text.trim().is_empty());
        self.inputs.values().filter(says)
    }

    /// The input that a switch lets through, where the graph says which.
    fn chosen(&self) -> Option<&Value> {
        let input = |name: &str| self.inputs.get(name);
        let truth = ["boolean", "switch", "condition"]
            .iter()
            .find_map(|name| input(name)?.as_bool());
        if let Some(truth) = truth {
            let names = if truth {
                ["on_true", "true"]
            } else {
                ["on_false", "false"]
            };
            return names.iter().find_map(|name| input(name));
        }
        let number = ["select", "Input", "index", "choice"]
            .iter()
            .find_map(|name| input(name)?.as_u64());
        if let Some(number) = number {
            let names = ["input", "input_", "text", "text_", "any", "value"];
            return names
                .iter()
                .find_map(|name| input(&format!("{name}{number}")));
        }
        // The first that is there: those that are muted are not in the graph.
        self.inputs
            .iter()
            .find(|(name, value)| name.starts_with("any_") && link(value).is_some())
            .map(|(_, value)| value)
    }
}
