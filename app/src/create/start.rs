//! The picture to begin with, as the form holds it.

use protocol::{DEFAULT_STRENGTH, Problem, ProblemCode};

use crate::runs::start::Chosen;

/// What the form says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StartForm {
    /// The picture; none: noise.
    pub chosen: Option<Chosen>,
    /// As it was typed.
    pub strength: String,
    /// Why the last file was not taken.
    pub refused: Option<String>,
}

impl Default for StartForm {
    fn default() -> Self {
        Self {
            chosen: None,
            strength: DEFAULT_STRENGTH.to_string(),
            refused: None,
        }
    }
}

impl StartForm {
    /// Takes a picture, or noise, in the place of what was there.
    pub fn take(&mut self, chosen: Option<Chosen>) {
        self.chosen = chosen;
        self.refused = None;
    }

    /// The picture to begin with and how much of the way from noise is gone, if there is one.
    ///
    /// # Errors
    /// When the strength is no share.
    pub fn checked(&self) -> Result<Option<(Chosen, f32)>, Problem> {
        let Some(chosen) = &self.chosen else {
            return Ok(None);
        };
        let strength = self.strength.trim().parse().ok();
        let strength = strength.filter(|strength: &f32| (0.0..=1.0).contains(strength));
        let strength = strength.ok_or_else(|| {
            Problem::new(ProblemCode::OutOfRange, "The strength must be 0 to 1.")
                .with_hint("0 keeps the picture, 1 makes a new one.")
        })?;
        Ok(Some((chosen.clone(), strength)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    fn form(strength: &str) -> StartForm {
        let mut form = StartForm::default();
        form.take(Some(Chosen {
            name: "a.png".into(),
            kind: "image/png",
            url: "blob:a".into(),
            bytes: Arc::new(vec![1]),
        }));
        form.strength = strength.into();
        form
    }

    #[test]
    fn a_strength_is_a_share() {
        assert_eq!(StartForm::default().checked().unwrap(), None);
        for (typed, strength) in [("0", 0.0), (" 0.5 ", 0.5), ("1", 1.0)] {
            let (_, found) = form(typed).checked().unwrap().unwrap();
            assert_eq!(found, strength);
        }
        for typed in ["", "x", "-0.1", "1.1", "NaN", "inf"] {
            let problem = form(typed).checked().unwrap_err();
            assert_eq!(problem.code, ProblemCode::OutOfRange, "{typed}");
        }
    }
}
