//! The picture that a job begins with, by name: its bytes are in the store.

use protocol::MaskBy;
use serde::{Deserialize, Serialize};

use crate::images::Input;

/// What a job begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStart {
    /// The picture.
    pub image: Input,
    /// How much of the way from noise is gone, 0 to 1.
    pub strength: f32,
    /// What of it is made anew, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Input>,
    /// How the mask is read.
    #[serde(default, skip_serializing_if = "MaskBy::is_usual")]
    pub mask_by: MaskBy,
}

impl JobStart {
    /// Ids of what lies in the store for it.
    pub fn inputs(&self) -> impl Iterator<Item = &String> {
        let mask = self.mask.iter();
        std::iter::once(&self.image)
            .chain(mask)
            .map(|input| &input.id)
    }
}
