//! Reading a request member by member, so that what is wrong is said with OpenAI's code and the member's name: clients
//! that meet `unknown_parameter` leave that one out and ask again.

use protocol::{Problem, ProblemCode};
use serde_json::{Map, Number, Value};

use super::error::OpenAiError;

/// Most characters of a name or value that is repeated.
const MAX_SHOWN: usize = 40;

/// What the text of a form stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Itself.
    Text,
    /// A number or a truth value.
    Other,
}

/// The members of a request that were not read yet, and the first thing that was wrong with those that were.
pub struct Members {
    left: Map<String, Value>,
    wrong: Option<OpenAiError>,
}

impl Members {
    /// The members of a JSON object.
    pub fn parse(json: &[u8]) -> Result<Self, OpenAiError> {
        let left = match serde_json::from_slice(json) {
            Ok(Value::Object(members)) => members,
            Ok(other) => {
                let detail = format!("the body is {}, not an object", kind(&other));
                return Err(Problem::new(ProblemCode::MalformedRequest, detail).into());
            }
            Err(error) => {
                let detail = format!("the body is no JSON: {error}");
                return Err(Problem::new(ProblemCode::MalformedRequest, detail).into());
            }
        };
        Ok(Self { left, wrong: None })
    }

    /// The texts of a form, those read as numbers and truth values that `kinds` says are.
    pub fn of_form(
        texts: Vec<(String, String)>,
        kinds: impl Fn(&str) -> Kind,
    ) -> Result<Self, OpenAiError> {
        let mut left = Map::new();
        for (name, text) in texts {
            let value = match kinds(&name) {
                Kind::Text => None,
                // Nothing but JSON's own words for these; what is none is a text, and refused as one.
                Kind::Other => serde_json::from_str(&text)
                    .ok()
                    .filter(|value| matches!(value, Value::Number(_) | Value::Bool(_))),
            };
            let shown: String = name.chars().take(MAX_SHOWN).collect();
            if left
                .insert(name, value.unwrap_or(Value::String(text)))
                .is_some()
            {
                let detail = format!("Duplicate parameter: '{shown}'.");
                return Err(OpenAiError::member("invalid_value", &shown, detail));
            }
        }
        Ok(Self { left, wrong: None })
    }

    /// Sets a member that is not there.
    pub fn or_text(&mut self, name: &str, text: &str) {
        self.left
            .entry(name)
            .or_insert_with(|| Value::String(text.to_owned()));
    }

    /// All is read: what is left nobody knows.
    pub fn end(self) -> Result<(), OpenAiError> {
        let unknown = self.left.keys().next().map(|name| {
            let name: String = name.chars().take(MAX_SHOWN).collect();
            let detail = format!("Unknown parameter: '{name}'.");
            OpenAiError::member("unknown_parameter", &name, detail)
        });
        match self.wrong.or(unknown) {
            Some(wrong) => Err(wrong),
            None => Ok(()),
        }
    }

    /// A text that has to be there.
    pub fn required_text(&mut self, name: &str) -> String {
        if !self.left.contains_key(name) {
            let detail = format!("Missing required parameter: '{name}'.");
            self.note(OpenAiError::member(
                "missing_required_parameter",
                name,
                detail,
            ));
        }
        if self.left.get(name) == Some(&Value::Null) {
            self.wrong_type::<()>(name, "a string", &Value::Null);
        }
        self.text(name).unwrap_or_default()
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.wrong_type(name, "a string", &other),
        }
    }

    /// A truth value.
    pub fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(flag) => Some(flag),
            other => self.wrong_type(name, "a boolean", &other),
        }
    }

    /// A number.
    pub fn number(&mut self, name: &str) -> Option<f32> {
        match self.take(name)? {
            Value::Number(number) => number.as_f64().map(|number| number as f32),
            other => self.wrong_type(name, "a number", &other),
        }
    }

    /// A whole number, within what `T` holds.
    pub fn integer<T: TryFrom<u64>>(&mut self, name: &str) -> Option<T> {
        let number = match self.take(name)? {
            Value::Number(number) if number.is_u64() || number.is_i64() => number,
            other => return self.wrong_type(name, "an integer", &other),
        };
        let held = number.as_u64().and_then(|number| T::try_from(number).ok());
        if held.is_none() {
            let detail = format!("{name} is {number}, which is outside what is accepted");
            self.note(OpenAiError::out_of_range(name, detail));
        }
        held
    }

    /// One of some values.
    pub fn choice<T: Copy>(&mut self, name: &str, accepted: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        if let Some((_, value)) = accepted.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<&str> = accepted.iter().map(|(name, _)| *name).collect();
        self.note(OpenAiError::invalid_value(name, &text, &names));
        None
    }

    /// A member; `null` stands for none.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn note(&mut self, wrong: OpenAiError) {
        self.wrong.get_or_insert(wrong);
    }

    fn wrong_type<T>(&mut self, name: &str, expected: &str, found: &Value) -> Option<T> {
        let found = kind(found);
        let detail =
            format!("Invalid type for '{name}': expected {expected}, but got {found} instead.");
        self.note(OpenAiError::member("invalid_type", name, detail));
        None
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if Number::is_f64(number) => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
