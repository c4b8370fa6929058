//! What a configuration says of rotations.

use serde_json::{Map, Value as Json};

use crate::config::Members;
use crate::error::Result;

/// The base of the rotation's frequencies: a member of its own in files of before transformers 5, one of `rope_parameters` since.
pub(crate) fn theta(members: &mut Members) -> Result<f64> {
    members.only("rope_scaling", &[])?;
    let own = members.get::<f64>("rope_theta")?;
    let parameters = members
        .get::<Map<String, Json>>("rope_parameters")?
        .unwrap_or_default();
    let mut theta = own.unwrap_or(10_000.0);
    for (name, value) in parameters {
        match (&*name, value.as_f64(), value.as_str()) {
            ("rope_theta", Some(stated), _) => theta = stated,
            ("rope_type" | "type", _, Some("default")) => {}
            _ => {
                let stated = format!("{name}: {value}");
                return Err(members.wrong(
                    "rope_parameters",
                    stated,
                    "such rotations are not built",
                ));
            }
        }
    }
    if theta.is_finite() && theta > 0.0 {
        Ok(theta)
    } else {
        Err(members.wrong("rope_theta", theta, "a number above 0 is wanted"))
    }
}
