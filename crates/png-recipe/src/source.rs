//! What the readers look at: the texts, and the JSON object among those that several programs share.

use serde_json::{Map, Value};

use crate::json::object;
use crate::texts::{COMMENT, IMAGE_DESCRIPTION, Texts, USER_COMMENT};
use crate::{Generator, PARAMETERS_KEYWORD, ReadError};

/// Texts that may be JSON of one program and prose of another.
const SHARED: [&str; 4] = [PARAMETERS_KEYWORD, USER_COMMENT, COMMENT, IMAGE_DESCRIPTION];

pub(crate) struct Source {
    pub(crate) texts: Texts,
    /// The first shared text that begins as a JSON object.
    json: Option<Shared>,
}

struct Shared {
    object: Result<Map<String, Value>, String>,
    keyword: &'static str,
}

impl Source {
    pub(crate) fn new(texts: Texts) -> Self {
        let json = SHARED.into_iter().find_map(|keyword| {
            let text = texts.get(keyword)?;
            let object = object(text);
            (object.is_ok() || looks_like_json(text)).then_some(Shared { object, keyword })
        });
        Self { texts, json }
    }

    /// The shared JSON object.
    pub(crate) fn object(&self) -> Option<&Map<String, Value>> {
        self.json.as_ref()?.object.as_ref().ok()
    }

    /// A program's damaged JSON, known as its own by `mark`.
    pub(crate) fn damaged(&self, generator: Generator, mark: &str) -> Option<ReadError> {
        let json = self.json.as_ref()?;
        let detail = json.object.as_ref().err()?;
        let text = self.texts.get(json.keyword)?;
        text.contains(mark).then(|| ReadError::Unreadable {
            generator,
            detail: detail.clone(),
        })
    }
}

/// Whether a text begins as a JSON object or a list of them does. A prompt may begin with a brace, for a choice; but not
/// with a brace and a quoted name.
pub(crate) fn looks_like_json(text: &str) -> bool {
    let text = text.trim_start().trim_start_matches('[').trim_start();
    text.strip_prefix('{')
        .is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}
