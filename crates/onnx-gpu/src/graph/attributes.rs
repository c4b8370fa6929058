//! Typed access to a node's attributes, which notes what was read so that nothing is ignored unseen.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::error::{Result, invalid_model, unsupported};
use crate::proto::{Attribute, AttributeValue};
use crate::tensor::Tensor;

/// The attributes of one node.
pub(crate) struct Attributes<'a> {
    list: &'a [Attribute],
    read: RefCell<BTreeSet<&'a str>>,
}

macro_rules! getters {
    ($($name:ident, $variant:ident, $type:ty, $what:literal;)*) => {$(
        #[doc = concat!("The value of an optional ", $what, " attribute.")]
        pub fn $name(&self, name: &str) -> Result<Option<&'a $type>> {
            match self.get(name) {
                None => Ok(None),
                Some(AttributeValue::$variant(v)) => Ok(Some(v)),
                Some(other) => Err(wrong_type(name, $what, other)),
            }
        }
    )*};
}

impl<'a> Attributes<'a> {
    pub fn new(list: &'a [Attribute]) -> Self {
        Self {
            list,
            read: RefCell::default(),
        }
    }

    pub fn get(&self, name: &str) -> Option<&'a AttributeValue> {
        let found = self.list.iter().find(|a| a.name == name)?;
        self.read.borrow_mut().insert(&found.name);
        Some(&found.value)
    }

    getters! {
        opt_int, Int, i64, "integer";
        opt_float, Float, f32, "float";
        opt_text, Text, str, "string";
        opt_ints, Ints, [i64], "integer list";
        opt_floats, Floats, [f32], "float list";
        opt_tensor, Tensor, Tensor, "tensor";
    }

    pub fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.opt_int(name)?.copied().unwrap_or(default))
    }

    pub fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.opt_float(name)?.copied().unwrap_or(default))
    }

    pub fn text(&self, name: &str, default: &'static str) -> Result<&'a str> {
        Ok(self.opt_text(name)?.unwrap_or(default))
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.int(name, i64::from(default))? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(invalid_model(format!(
                "attribute '{name}' is {other}, 0 or 1 is wanted"
            ))),
        }
    }

    /// Marks attributes that change no result as seen.
    pub fn ignore(&self, names: &[&str]) {
        for name in names {
            self.get(name);
        }
    }

    /// Refuses every attribute that nobody read.
    pub fn check_all_read(&self) -> Result<()> {
        let read = self.read.borrow();
        match self.list.iter().find(|a| !read.contains(a.name.as_str())) {
            None => Ok(()),
            Some(a) => Err(unsupported(format!(
                "attribute '{}' = {} is not supported",
                a.name,
                show(&a.value)
            ))),
        }
    }
}

fn wrong_type(name: &str, wanted: &str, value: &AttributeValue) -> crate::Error {
    invalid_model(format!(
        "attribute '{name}' = {} is not of type {wanted}",
        show(value)
    ))
}

fn show(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Float(v) => v.to_string(),
        AttributeValue::Int(v) => v.to_string(),
        AttributeValue::Text(v) => format!("\"{v}\""),
        AttributeValue::Tensor(t) => format!("a tensor {:?} of {}", t.shape(), t.dtype()),
        AttributeValue::Floats(v) => format!("{v:?}"),
        AttributeValue::Ints(v) => format!("{v:?}"),
        AttributeValue::Texts(v) => format!("{v:?}"),
        AttributeValue::Graph(_) => "a subgraph".into(),
        AttributeValue::Other => "a value of an unsupported type".into(),
    }
}
