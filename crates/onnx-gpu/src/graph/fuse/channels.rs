//! Convolutions whose weights are whole numbers with a scale for each channel, which the kernel reads as they are stored.

use super::{FUSED_DOMAIN, Node, View, is_onnx, is_op, two};
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
    let shape = view.constant_shape(whole)?;
    let fits = matches!(&widened.attributes[..], [only] if along(only))
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
