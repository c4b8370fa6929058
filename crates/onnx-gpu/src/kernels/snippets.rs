//! WGSL that several kernels share, and the templates' language: `{{name}}` stands for a value, or for one of these texts.

use std::borrow::Cow;

/// Texts that every template may name; they may name each other's predecessors.
const SHARED: [(&str, &str); 4] = [
    ("{{tuple}}", include_str!("snippets/tuple.wgsl")),
    ("{{wrapped}}", include_str!("snippets/wrapped.wgsl")),
    ("{{line}}", include_str!("snippets/line.wgsl")),
    ("{{each}}", include_str!("snippets/each.wgsl")),
];

/// Fills the `{{name}}` placeholders of a WGSL template.
pub(crate) fn render(template: &str, values: &[(&str, &str)]) -> Cow<'static, str> {
    let mut text = template.to_owned();
    for (name, shared) in SHARED {
        text = text.replace(name, shared);
    }
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    debug_assert!(!text.contains("{{"), "unfilled placeholder in {text}");
    Cow::Owned(text)
}

/// `fn {name}(index: u32) -> u32`, or a vector of as many: where element `index` of a tensor lies, for each table of steps.
///
/// `dims` and the steps are [`super::table`]s and `rank` a number in the uniform; a step is given by its array and first `vec4`.
pub(crate) fn unravel(name: &str, dims: &str, rank: &str, steps: &[(&str, u32)]) -> String {
    let item = match steps.len() {
        1 => "u32".to_owned(),
        n => format!("vec{n}<u32>"),
    };
    let at: Vec<String> = steps
        .iter()
        .map(|(array, first)| format!("params.{array}[{first}u + axis / 4u][axis % 4u]"))
        .collect();
    let at = at.join(", ");
    format!(
        "fn {name}(index: u32) -> {item} {{
    var rest = index;
    var sum = {item}(0u);
    var axis = 7u;
    for (; axis > 8u - params.{rank}; axis -= 1u) {{
        let dim = params.{dims}[axis / 4u][axis % 4u];
        let next = rest / dim;
        sum += (rest - next * dim) * {item}({at});
        rest = next;
    }}
    return sum + rest * {item}({at});
}}
"
    )
}
