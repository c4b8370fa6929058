//! Convolutions whose weights are whole numbers with a scale for each channel, which the kernel reads as they are stored.

use super::view::{View, is_op, two};
use crate::graph::{FUSED_DOMAIN, Node, is_onnx};
use crate::proto::{Attribute, AttributeValue};

/// `Conv` with the result of `DequantizeLinear` along the first axis, without zero points, as weights. The inputs of the fused node
/// are the image, the whole numbers, the bias or none, and the scales.
pub(super) fn matches(view: &View<'_>, node: &Node) -> Option<Node> {
    if node.op != "Conv" || !is_onnx(&node.domain) {
        return None;
    }
    let &[image, Some(weights), ref bias @ ..] = node.inputs.as_slice() else {
        return None;
    };
    let widened = view.producer(weights)?;
    if !is_op(widened, "DequantizeLinear") {
        return None;
    }
    let [whole, scales] = two(widened)?;
    let along = |attribute: &Attribute| {
        attribute.name == "axis" && matches!(attribute.value, AttributeValue::Int(0))
    };
    // Others would be rounded where they are widened, and not here: one model would give two answers.
    let are_exact = view
        .constant(scales)
        .is_none_or(|known| known.to_f32_vec().into_iter().all(is_exact));
    let shape = view.constant_shape(whole)?;
    let fits = are_exact
        && matches!(&widened.attributes[..], [only] if along(only))
        && view.constant_shape(scales)? == [*shape.first()?];
    fits.then(|| Node {
        domain: FUSED_DOMAIN.into(),
        inputs: vec![
            image,
            Some(whole),
            bias.first().copied().flatten(),
            Some(scales),
        ],
        ..node.clone()
    })
}

/// Whether a whole number of 8 bits times this scale has no more than the 11 significant bits of a float16: it has four of its own.
fn is_exact(scale: f32) -> bool {
    scale.to_bits() & ((1 << 20) - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::is_exact;

    #[test]
    fn scales_of_four_bits_are_exact() {
        for exact in [1.0, 0.5, 1.875, -1.625 / 64.0, 0.0] {
            assert!(is_exact(exact), "{exact}");
        }
        for other in [1.9375, 0.1, 1.0 / 3.0] {
            assert!(!is_exact(other), "{other}");
        }
    }
}
