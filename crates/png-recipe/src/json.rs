//! JSON as Python's `json.dumps` writes it, and loosely typed numbers in it.

use serde_json::{Map, Value};

use crate::Settings;

/// A JSON object; Python's `NaN` and `Infinity`, which JSON lacks, become `null`.
pub(crate) fn object(text: &str) -> Result<Map<String, Value>, String> {
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => serde_json::from_str(&without_nan(text)).map_err(|_| error.to_string())?,
    };
    match value {
        Value::Object(map) => Ok(map),
        _ => Err("it is not a JSON object".to_owned()),
    }
}

fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let (mut in_string, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        if !in_string
            && let Some(after) = ["NaN", "-Infinity", "Infinity"]
                .iter()
                .find_map(|word| rest.strip_prefix(word))
        {
            out.push_str("null");
            rest = after;
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// A number, or text that is one. JavaScript and C# write whole ones as `25.0`, too.
pub(crate) fn number<T: std::str::FromStr>(value: &Value) -> Option<T> {
    let text = match value {
        Value::Number(n) => n.to_string(),
        Value::String(s) => s.trim().to_owned(),
        _ => return None,
    };
    let whole = text.trim_end_matches('0').strip_suffix('.');
    text.parse().ok().or_else(|| whole?.parse().ok())
}

/// A finite number, or text that is one.
pub(crate) fn finite(value: &Value) -> Option<f32> {
    number::<f32>(value).filter(|n| n.is_finite())
}

/// Text that is not empty.
pub(crate) fn text(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|s| !s.trim().is_empty())
        .map(str::to_owned)
}

/// Takes an entry out of `map` where `read` can make something of it; else it stays, as unused.
pub(crate) fn take<T>(
    map: &mut Map<String, Value>,
    key: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    let value = map.get(key).and_then(read)?;
    map.remove(key);
    Some(value)
}

/// As [`take`], under the first of several names that gives something.
pub(crate) fn take_first<T>(
    map: &mut Map<String, Value>,
    keys: &[&str],
    read: impl Fn(&Value) -> Option<T>,
) -> Option<T> {
    keys.iter().find_map(|key| take(map, key, &read))
}

/// Names of a program's six settings in its JSON, each with the names that other versions give it.
pub(crate) struct Names {
    pub(crate) model: &'static [&'static str],
    pub(crate) prompt: &'static [&'static str],
    pub(crate) negative_prompt: &'static [&'static str],
    pub(crate) seed: &'static [&'static str],
    pub(crate) steps: &'static [&'static str],
    pub(crate) guidance: &'static [&'static str],
}

impl Names {
    /// Takes the settings out of `map`.
    pub(crate) fn take(&self, map: &mut Map<String, Value>) -> Settings {
        Settings {
            model: take_first(map, self.model, text),
            prompt: take_first(map, self.prompt, text),
            negative_prompt: take_first(map, self.negative_prompt, text),
            seed: take_first(map, self.seed, number),
            num_inference_steps: take_first(map, self.steps, number),
            guidance_scale: take_first(map, self.guidance, finite),
            ..Settings::default()
        }
    }
}

/// Names of the entries that say something.
pub(crate) fn names(map: Map<String, Value>) -> Vec<String> {
    map.into_iter()
        .filter(|(_, value)| match value {
            Value::Null => false,
            Value::String(s) => !s.is_empty(),
            Value::Array(a) => !a.is_empty(),
            Value::Object(o) => !o.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        })
        .map(|(name, _)| name)
        .collect()
}
