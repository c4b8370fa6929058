//! A record as it is kept, and what is left of one that was removed.

use protocol::{ImageRecord, Recipe, Thumbnail, Visibility};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::images::{FORMAT, ImageId, OwnerId, keys};

/// What a picture's record says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum State {
    /// Seen by its owner alone.
    Private,
    /// Seen by who has the link.
    Unlisted,
    /// In the gallery.
    Listed,
    /// Taken down by the operator: seen by nobody.
    Hidden,
    /// Of a newer version: seen by its owner alone.
    Other(String),
}

/// Format of what says none.
pub fn unnumbered() -> u32 {
    1
}

/// The state of a record that is only a tombstone.
const REMOVED: &str = "removed";

impl From<String> for State {
    fn from(text: String) -> Self {
        match text.as_str() {
            "private" => Self::Private,
            "unlisted" => Self::Unlisted,
            "listed" => Self::Listed,
            "hidden" => Self::Hidden,
            _ => Self::Other(text),
        }
    }
}

impl From<State> for String {
    fn from(state: State) -> Self {
        match state {
            State::Private => "private".to_owned(),
            State::Unlisted => "unlisted".to_owned(),
            State::Listed => "listed".to_owned(),
            State::Hidden => "hidden".to_owned(),
            State::Other(text) => text,
        }
    }
}

impl From<Visibility> for State {
    fn from(visibility: Visibility) -> Self {
        match visibility {
            Visibility::Private => Self::Private,
            Visibility::Unlisted => Self::Unlisted,
            Visibility::Listed => Self::Listed,
        }
    }
}

/// A picture as it is kept: with its owner, which no answer shows.
///
/// Absent members are written as `null`, which takes them out of the stored record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    #[serde(default = "unnumbered")]
    pub format: u32,
    pub state: State,
    pub id: String,
    pub sha256: String,
    pub bytes: u64,
    pub width: u32,
    pub height: u32,
    /// Milliseconds since the Unix epoch.
    pub created_at: u64,
    pub recipe: Recipe,
    #[serde(default)]
    pub thumbnail: Option<Thumbnail>,
    #[serde(default)]
    pub owner: Option<OwnerId>,
    /// When it is removed unless it is saved, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// The state before the operator hid it.
    #[serde(default)]
    pub hidden_from: Option<State>,
}

impl Stored {
    /// Whether `asking` is its owner.
    pub fn is_of(&self, asking: Option<&OwnerId>) -> bool {
        self.owner.is_some() && self.owner.as_ref() == asking
    }

    /// Whether `asking` may see it.
    pub fn is_shown_to(&self, asking: Option<&OwnerId>) -> bool {
        match self.state {
            State::Listed | State::Unlisted => true,
            State::Private | State::Other(_) => self.is_of(asking),
            State::Hidden => false,
        }
    }

    /// The record as `asking` sees it.
    pub fn seen_by(self, asking: Option<&OwnerId>) -> ImageRecord {
        let visibility = match self.state {
            State::Listed => Visibility::Listed,
            State::Unlisted => Visibility::Unlisted,
            State::Private | State::Hidden | State::Other(_) => Visibility::Private,
        };
        ImageRecord {
            mine: self.is_of(asking),
            url: format!("/images/{}.png", self.sha256),
            permalink: format!("/i/{}", self.id),
            id: self.id,
            sha256: self.sha256,
            bytes: self.bytes,
            width: self.width,
            height: self.height,
            created_at: self.created_at,
            recipe: self.recipe,
            thumbnail: self.thumbnail,
            unlisted: visibility != Visibility::Listed,
            visibility,
            expires_at: self.expires_at,
        }
    }

    /// The model that made it.
    pub fn model(&self) -> &str {
        &self.recipe.request.model
    }

    /// Keys of the empty objects by which lists find it.
    pub fn markers(&self, id: &ImageId) -> Vec<String> {
        let mut markers: Vec<String> = Vec::new();
        if let Some(owner) = &self.owner {
            markers.push(keys::owned(owner, id, self.model()));
        }
        if let Some(at) = self.expires_at {
            markers.push(keys::expiry(at, id));
        }
        if self.state == State::Listed {
            markers.extend(self.public_markers(id));
        }
        markers
    }

    /// Those that only a listed picture has.
    pub fn public_markers(&self, id: &ImageId) -> [String; 3] {
        [
            keys::listed(id),
            format!("{}{id}", keys::of_model(self.model())),
            format!("{}{id}", keys::of_creator(keys::creator(self.model()))),
        ]
    }
}

/// What is left of a removed picture or upload, so that nothing brings it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    #[serde(default = "unnumbered")]
    pub format: u32,
    pub id: String,
    pub sha256: String,
    #[serde(default)]
    pub owner: Option<OwnerId>,
    /// Milliseconds since the Unix epoch.
    pub removed_at: u64,
    /// `owner`, `operator`, `expiry`, `upload` (never committed) or `lost` (its bytes were gone).
    pub removed_by: String,
}

impl Tombstone {
    /// A tombstone of this moment.
    pub fn new(id: &ImageId, sha256: &str, owner: Option<&OwnerId>, removed_by: &str) -> Self {
        Self {
            format: FORMAT,
            id: id.to_string(),
            sha256: sha256.to_owned(),
            owner: owner.cloned(),
            removed_at: crate::images::references::now(),
            removed_by: removed_by.to_owned(),
        }
    }

    /// Whether the operator took the picture down.
    pub fn is_withdrawn(&self) -> bool {
        self.removed_by == BY_OPERATOR
    }
}

/// [`Tombstone::removed_by`] of a picture that the operator took down.
pub const BY_OPERATOR: &str = "operator";

/// What lies under a record's key.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    Picture(Box<Stored>),
    Removed(Tombstone),
}

impl Kept {
    /// Reads a record, of a newer version too.
    ///
    /// # Errors
    /// A member that every version has is missing or is something else.
    pub fn read(json: &Value) -> Result<Self, serde_json::Error> {
        if json["state"] == REMOVED {
            return Tombstone::deserialize(json).map(Self::Removed);
        }
        Stored::deserialize(json).map(|stored| Self::Picture(Box::new(stored)))
    }

    /// The record as it is written over `found`: members that this version does not know stay, and so does a higher
    /// format number. Of a removed picture nothing stays.
    ///
    /// # Errors
    /// None in practice; those of the serializer.
    pub fn write(&self, found: &Value) -> Result<Vec<u8>, serde_json::Error> {
        let written = match self {
            Self::Removed(tombstone) => {
                let mut json = serde_json::to_value(tombstone)?;
                json["state"] = REMOVED.into();
                json
            }
            Self::Picture(stored) => {
                let mut json = found.clone();
                overlay(&mut json, serde_json::to_value(stored)?);
                json
            }
        };
        serde_json::to_vec(&written)
    }
}

/// Puts `new` over `old`; `null` takes a member out.
fn overlay(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                if value.is_null() {
                    old.remove(&name);
                } else {
                    overlay(old.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (old @ Value::Null, new @ Value::Object(_)) => {
            *old = Value::Object(serde_json::Map::new());
            overlay(old, new);
        }
        (old, new) => *old = new,
    }
}

/// A record of the first format, which lay under `gallery/` or `unlisted/`, as one of this format.
pub fn from_first_format(mut json: Value, unlisted: bool) -> Value {
    if let Some(members) = json.as_object_mut() {
        let was_unlisted = members
            .remove("unlisted")
            .is_some_and(|member| member == true);
        for derived in ["url", "permalink", "mine", "visibility"] {
            members.remove(derived);
        }
        let state = if unlisted || was_unlisted {
            State::Unlisted
        } else {
            State::Listed
        };
        members.insert("state".to_owned(), String::from(state).into());
        members.insert("format".to_owned(), FORMAT.into());
    }
    json
}

#[cfg(test)]
mod tests;
