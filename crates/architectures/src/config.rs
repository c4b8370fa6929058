//! The members of a `config.json`, each read once; what is left over is refused.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Largest size that a member may give.
const MAX_SIZE: usize = 1 << 20;

/// Most layers, levels and groups.
const MAX_COUNT: usize = 256;

/// Members that say nothing about what the network computes: who saved it and how, how it was trained.
const OF_LIBRARIES: [&str; 13] = [
    "_attn_implementation_autoset",
    "_class_name",
    "_diffusers_version",
    "_name_or_path",
    "architectures",
    "dtype",
    "initializer_factor",
    "initializer_range",
    "model_type",
    "torch_dtype",
    "transformers_version",
    "use_cache",
    "gradient_checkpointing",
];

/// A class's members while they are read.
pub(crate) struct Members {
    class: String,
    rest: Map<String, Value>,
}

impl Members {
    pub fn new(class: &str, config: &Value) -> Result<Self> {
        let mut rest = config.as_object().cloned().unwrap_or_default();
        for name in OF_LIBRARIES {
            rest.remove(name);
        }
        Ok(Self {
            class: class.to_owned(),
            rest,
        })
    }

    /// The class, for messages.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// An error about a member.
    pub fn wrong(&self, member: &str, value: impl ToString, problem: impl Into<String>) -> Error {
        Error::Member {
            class: self.class.clone(),
            member: member.to_owned(),
            value: value.to_string(),
            problem: problem.into(),
        }
    }

    /// A member; nothing where it is missing or null.
    pub fn get<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(value) = self.rest.remove(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        match serde_json::from_value(value.clone()) {
            Ok(found) => Ok(Some(found)),
            Err(error) => Err(self.wrong(name, value, error.to_string())),
        }
    }

    /// A member of which null means something else than its absence.
    pub fn nullable<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<Option<T>>> {
        if !self.rest.contains_key(name) {
            return Ok(None);
        }
        self.get(name).map(Some)
    }

    /// A member, or the class's default.
    pub fn or<T: DeserializeOwned>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// A size of at least 1.
    pub fn size(&mut self, name: &str) -> Result<Option<usize>> {
        match self.get::<usize>(name)? {
            Some(size) => self.bounded(name, size).map(Some),
            None => Ok(None),
        }
    }

    /// A size of at least 1, or the class's default.
    pub fn size_or(&mut self, name: &str, default: usize) -> Result<usize> {
        Ok(self.size(name)?.unwrap_or(default))
    }

    /// How many there are of something that is built one by one, or the class's default.
    pub fn count_or(&mut self, name: &str, default: usize) -> Result<usize> {
        let count = self.size_or(name, default)?;
        self.countable(name, count)
    }

    fn countable(&self, name: &str, count: usize) -> Result<usize> {
        if count <= MAX_COUNT {
            Ok(count)
        } else {
            Err(self.wrong(name, count, format!("{MAX_COUNT} at most can be built")))
        }
    }

    /// A list of sizes of at least 1.
    pub fn sizes(&mut self, name: &str) -> Result<Option<Vec<usize>>> {
        let Some(sizes) = self.get::<Vec<usize>>(name)? else {
            return Ok(None);
        };
        self.countable(name, sizes.len())?;
        for &size in &sizes {
            self.bounded(name, size)?;
        }
        Ok(Some(sizes))
    }

    /// How many numbers of a head of `size` turn with each axis of a token's place: even ones, `size` together.
    pub fn axes(&mut self, name: &str, default: &[usize], size: usize) -> Result<Vec<usize>> {
        let axes = self.sizes(name)?.unwrap_or_else(|| default.to_vec());
        let fit = axes.len() == default.len()
            && axes.iter().all(|axis| axis.is_multiple_of(2))
            && axes.iter().sum::<usize>() == size;
        if fit {
            return Ok(axes);
        }
        let count = default.len();
        let problem = format!("{count} even numbers are wanted that are {size} together");
        Err(self.wrong(name, format!("{axes:?}"), problem))
    }

    /// One size for all of `count` places, or a list of one for each.
    pub fn per_place(&mut self, name: &str, count: usize, default: usize) -> Result<Vec<usize>> {
        let found = match self.get::<Value>(name)? {
            None => return Ok(vec![default; count]),
            Some(value) => value,
        };
        let sizes: Vec<usize> = match (&found, found.as_u64()) {
            (_, Some(size)) => vec![usize::try_from(size).unwrap_or(usize::MAX); count],
            (Value::Array(_), None) => serde_json::from_value(found.clone())
                .map_err(|error| self.wrong(name, &found, error.to_string()))?,
            _ => return Err(self.wrong(name, found, "a number or a list of numbers is wanted")),
        };
        if sizes.len() != count {
            return Err(self.wrong(name, found, format!("{count} numbers are wanted")));
        }
        for &size in &sizes {
            self.bounded(name, size)?;
        }
        Ok(sizes)
    }

    fn bounded(&self, name: &str, size: usize) -> Result<usize> {
        if (1..=MAX_SIZE).contains(&size) {
            Ok(size)
        } else {
            Err(self.wrong(name, size, format!("1 to {MAX_SIZE} can be built")))
        }
    }

    /// A member that may be missing, null, or one of these: all that is built.
    pub fn only(&mut self, name: &str, built: &[Value]) -> Result<()> {
        match self.rest.remove(name) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if built.iter().any(|one| same(one, &value)) => Ok(()),
            Some(value) => {
                let built: Vec<String> = built.iter().map(Value::to_string).collect();
                let problem = match &built[..] {
                    [] => "such networks are not built".to_owned(),
                    built => format!("networks with {} are built", built.join(" or ")),
                };
                Err(self.wrong(name, value, problem))
            }
        }
    }

    /// Members that have no influence on what is computed.
    pub fn irrelevant(&mut self, names: &[&str]) {
        for name in names {
            self.rest.remove(*name);
        }
    }

    /// Refuses what nobody has read.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Error::UnknownMembers {
            class: self.class,
            names: self.rest.into_iter().map(|(name, _)| name).collect(),
        })
    }
}

/// Equal values, 1 and 1.0 among them.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn members(config: Value) -> Members {
        Members::new("Net", &config).unwrap()
    }

    #[test]
    fn what_nobody_reads_is_refused_by_name() {
        let mut some = members(json!({"_class_name": "Net", "width": 4, "twist": true, "old": 1}));
        assert_eq!(some.size_or("width", 8).unwrap(), 4);
        some.irrelevant(&["old"]);
        let error = some.finish().unwrap_err().to_string();
        assert!(
            error.contains("twist") && !error.contains("width"),
            "{error}"
        );
        members(json!({"_diffusers_version": "0.1"}))
            .finish()
            .unwrap();
    }

    #[test]
    fn values_that_cannot_be_built_are_refused_by_name() {
        for (value, problem) in [
            (json!(0), "1 to"),
            (json!(-1), "invalid"),
            (json!("x"), "invalid"),
            (json!(1u64 << 60), "1 to"),
        ] {
            let error = members(json!({"width": value})).size("width").unwrap_err();
            let shown = error.to_string();
            assert!(
                shown.contains("width of Net") && shown.contains(problem),
                "{shown}"
            );
        }
        let mut some = members(json!({"layers": 300, "widths": vec![8; 300]}));
        assert!(some.count_or("layers", 1).is_err() && some.sizes("widths").is_err());
        let mut some = members(json!({"norm": "spatial", "scale": 1.0, "none": null}));
        assert!(some.only("norm", &[json!("group")]).is_err());
        some.only("scale", &[json!(1)]).unwrap();
        some.only("none", &[]).unwrap();
        some.only("missing", &[]).unwrap();
    }

    #[test]
    fn one_number_stands_for_all_places() {
        let read = |value: Value| members(json!({"heads": value})).per_place("heads", 3, 8);
        assert_eq!(read(json!(5)).unwrap(), [5; 3]);
        assert_eq!(read(json!([1, 2, 3])).unwrap(), [1, 2, 3]);
        assert_eq!(read(Value::Null).unwrap(), [8; 3]);
        for wrong in [json!([1, 2]), json!([1, 2, 0]), json!("5"), json!(2.5)] {
            assert!(read(wrong).is_err());
        }
    }
}
