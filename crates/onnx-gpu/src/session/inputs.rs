//! Checks the inputs of a run against what the model declares.

use std::collections::HashMap;

use super::Value;
use crate::error::{Error, ErrorKind, Result};
use crate::proto::{Dim, ValueInfo};
use crate::tensor::{DType, Element, Tensor, elements};

fn refuse(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// The given tensors in the model's order; those named by `spare` are not needed.
pub(super) fn check<'a>(
    declared: &[ValueInfo],
    spare: &[String],
    given: &'a [(&str, Value)],
) -> Result<Vec<&'a Value>> {
    let ordered = in_order(declared, spare, given)?;
    for (info, tensor) in declared.iter().zip(&ordered) {
        if tensor.dtype() != info.dtype {
            return Err(wrong_type(info, tensor.dtype()));
        }
    }
    fit(declared, ordered.iter().map(|tensor| tensor.shape()))?;
    Ok(ordered)
}

/// The given shapes in the model's order.
pub(super) fn check_shapes(
    declared: &[ValueInfo],
    spare: &[String],
    given: &[(&str, &[usize])],
) -> Result<Vec<Vec<usize>>> {
    let ordered = in_order(declared, spare, given)?;
    fit(declared, ordered.iter().map(|shape| **shape))?;
    Ok(ordered.into_iter().map(|shape| shape.to_vec()).collect())
}

/// A tensor of the declared shape, of which one dimension may be open.
pub(super) fn filled<T: Element>(declared: &[ValueInfo], name: &str, data: &[T]) -> Result<Tensor> {
    let info = declared.iter().find(|info| info.name == name);
    let info = info.ok_or_else(|| unknown(declared, name))?;
    if info.dtype != T::DTYPE {
        return Err(wrong_type(info, T::DTYPE));
    }
    let unclear = || {
        refuse(format!(
            "input '{name}' is declared as {}: elements alone do not tell its shape, a Tensor does",
            info.shape.as_deref().map_or("any rank".into(), show)
        ))
    };
    let dims = info.shape.as_deref().ok_or_else(unclear)?;
    let fixed = dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Symbol(_) => None,
    });
    let known: Vec<usize> = fixed.clone().flatten().collect();
    let rest = match (dims.len() - known.len(), elements(&known)?) {
        (0, _) => 1,
        (1, 1..) => data.len() / elements(&known)?,
        _ => return Err(unclear()),
    };
    let shape: Vec<usize> = fixed.map(|size| size.unwrap_or(rest)).collect();
    if elements(&shape)? != data.len() {
        return Err(Error::new(
            ErrorKind::ShapeMismatch,
            format!(
                "{} elements do not fill input '{name}' {}",
                data.len(),
                show(dims)
            ),
        ));
    }
    Tensor::new(shape, T::data(data.to_vec()))
}

fn unknown(declared: &[ValueInfo], name: &str) -> Error {
    let known: Vec<&str> = declared.iter().map(|info| info.name.as_str()).collect();
    refuse(format!("the model has no input '{name}'; it has {known:?}"))
}

fn wrong_type(info: &ValueInfo, given: DType) -> Error {
    refuse(format!(
        "input '{}' is {given}, the model wants {}",
        info.name, info.dtype
    ))
}

fn in_order<'a, T>(
    declared: &[ValueInfo],
    spare: &[String],
    given: &'a [(&str, T)],
) -> Result<Vec<&'a T>> {
    for (i, (name, _)) in given.iter().enumerate() {
        if !declared.iter().any(|info| info.name == *name) && !spare.iter().any(|s| s == name) {
            return Err(unknown(declared, name));
        }
        if given[..i].iter().any(|(other, _)| other == name) {
            return Err(refuse(format!("input '{name}' is given twice")));
        }
    }
    declared
        .iter()
        .map(|info| {
            given
                .iter()
                .find(|(name, _)| *name == info.name)
                .map(|(_, given)| given)
                .ok_or_else(|| refuse(format!("input '{}' is missing", info.name)))
        })
        .collect()
}

fn fit<'a>(declared: &[ValueInfo], shapes: impl Iterator<Item = &'a [usize]>) -> Result<()> {
    let mut symbols: HashMap<&str, usize> = HashMap::new();
    for (info, shape) in declared.iter().zip(shapes) {
        let Some(dims) = &info.shape else { continue };
        let fits = dims.len() == shape.len()
            && dims.iter().zip(shape).all(|(dim, &size)| match dim {
                Dim::Fixed(wanted) => *wanted == size,
                Dim::Symbol(name) if name.is_empty() => true,
                Dim::Symbol(name) => *symbols.entry(name).or_insert(size) == size,
            });
        if !fits {
            return Err(Error::new(
                ErrorKind::ShapeMismatch,
                format!(
                    "input '{}' has the shape {shape:?}, the model wants {}",
                    info.name,
                    show(dims)
                ),
            ));
        }
    }
    Ok(())
}

fn show(dims: &[Dim]) -> String {
    let list: Vec<String> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", list.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn declared() -> Vec<ValueInfo> {
        let info = |name: &str, dims: &[Dim]| ValueInfo {
            name: name.into(),
            dtype: DType::F32,
            shape: Some(dims.to_vec()),
        };
        let n = Dim::Symbol("n".into());
        vec![
            info("a", &[n.clone(), Dim::Fixed(2)]),
            info("b", &[n, Dim::Symbol(String::new())]),
        ]
    }

    fn zeros(shape: &[usize]) -> Value {
        Tensor::zeros(DType::F32, shape).unwrap().into()
    }

    #[test]
    fn order_is_the_models() {
        let given = [("b", zeros(&[3, 9])), ("a", zeros(&[3, 2]))];
        let ordered = check(&declared(), &[], &given).unwrap();
        assert_eq!(ordered[0].shape(), &[3, 2]);
    }

    #[test]
    fn every_misuse_has_its_kind() {
        let kind = |given: &[(&str, Value)]| check(&declared(), &[], given).unwrap_err().kind();
        let (a, b) = (zeros(&[3, 2]), zeros(&[3, 9]));
        assert_eq!(kind(&[("a", a.clone())]), ErrorKind::InvalidInput);
        let unknown = [("a", a.clone()), ("b", b.clone()), ("c", b.clone())];
        assert_eq!(kind(&unknown), ErrorKind::InvalidInput);
        let twice = [("a", a.clone()), ("a", a.clone()), ("b", b.clone())];
        assert_eq!(kind(&twice), ErrorKind::InvalidInput);
        let typed = [
            ("a", Tensor::zeros(DType::I64, [3, 2]).unwrap().into()),
            ("b", b.clone()),
        ];
        assert_eq!(kind(&typed), ErrorKind::InvalidInput);
        let symbol = [("a", zeros(&[4, 2])), ("b", b.clone())];
        assert_eq!(kind(&symbol), ErrorKind::ShapeMismatch);
        let rank = [("a", zeros(&[3, 2, 1])), ("b", b)];
        assert_eq!(kind(&rank), ErrorKind::ShapeMismatch);
    }

    #[test]
    fn what_no_output_needs_may_be_given_or_not() {
        let spare = ["c".to_owned()];
        let given = [
            ("b", zeros(&[3, 9])),
            ("a", zeros(&[3, 2])),
            ("c", zeros(&[1])),
        ];
        assert_eq!(check(&declared(), &spare, &given).unwrap().len(), 2);
        assert_eq!(check(&declared(), &spare, &given[..2]).unwrap().len(), 2);
    }

    #[test]
    fn elements_take_the_declared_shape() {
        let of = |name: &str, n: usize| filled(&declared(), name, &vec![1.0f32; n]);
        assert_eq!(of("a", 6).unwrap().shape(), &[3, 2]);
        assert_eq!(of("a", 0).unwrap().shape(), &[0, 2]);
        assert_eq!(of("a", 5).unwrap_err().kind(), ErrorKind::ShapeMismatch);
        // Two open dimensions, an unknown name, another type.
        assert_eq!(of("b", 6).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(of("c", 6).unwrap_err().kind(), ErrorKind::InvalidInput);
        let typed = filled(&declared(), "a", &[1i64, 2]);
        assert_eq!(typed.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
