//! Sizes, digests and numbers.

use leptos::prelude::*;
use protocol::{ModelCard, SmallerWeights};

use crate::format;

#[component]
pub(super) fn Facts(card: ModelCard) -> impl IntoView {
    let mut rows = vec![("Identifier", card.id)];
    let mut row = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            rows.push((name, value));
        }
    };
    if let Some(model) = &card.runnable {
        row(
            "Picture",
            Some(format!("{} × {} pixels", model.width, model.height)),
        );
        row(
            "Steps",
            Some(format!(
                "{} to {}; usually {}",
                model.limits.min_steps, model.limits.max_steps, model.defaults.num_inference_steps
            )),
        );
        row(
            "Guidance",
            Some(format!(
                "{} to {}; usually {}",
                model.limits.min_guidance, model.limits.max_guidance, model.defaults.guidance_scale
            )),
        );
        row(
            "Negative prompt",
            Some(if model.negative_prompt { "yes" } else { "no" }.to_owned()),
        );
        row(
            "LoRAs",
            (!model.loras.is_empty()).then(|| {
                let loras = model.loras.iter().map(|lora| match lora.weight {
                    Some(weight) => format!("{}, usually at {weight}", lora.name),
                    None => lora.name.clone(),
                });
                loras.collect::<Vec<_>>().join("; ")
            }),
        );
        row(
            "Work",
            model.work.map(|work| {
                let gflop = |flops: u64| format!("{:.2} GFLOP", flops as f64 / 1e9);
                format!(
                    "{} per step, {} once per picture",
                    gflop(work.per_step.flops),
                    gflop(work.once.flops)
                )
            }),
        );
    }
    if let Some(known) = &card.known {
        row("Family", Some(known.family.clone()));
        row("Pipeline", Some(known.pipeline.clone()));
        row(
            "Picture",
            Some(format!("{} × {} pixels", known.width, known.height)),
        );
        row(
            "Usually",
            Some(format!(
                "{} at guidance {}",
                protocol::counted(known.defaults.num_inference_steps, "step"),
                known.defaults.guidance_scale
            )),
        );
        row(
            "Tried with its author's weights",
            Some(if known.ran { "yes" } else { "not yet" }.to_owned()),
        );
    }
    let counted = card
        .known
        .as_ref()
        .is_some_and(|known| !known.weights.is_empty());
    if !counted || card.total_bytes.is_some() {
        row(
            "Size",
            Some(
                card.total_bytes
                    .map_or("not known".to_owned(), format::megabytes),
            ),
        );
    }
    if let Some(needs) = card.needs.filter(|n| n.max_buffer_size > 0) {
        row(
            "GPU",
            Some(format!(
                "buffers of {}, about {} of memory",
                format::megabytes(needs.max_buffer_size),
                format::megabytes(needs.memory_bytes)
            )),
        );
        row(
            "One part at a time",
            needs
                .one_at_a_time
                .map(|needs| format!("about {} of memory", format::megabytes(needs.memory_bytes))),
        );
        row(
            "Layers streamed",
            needs.streamed.map(|needs| {
                format!(
                    "about {} of memory; {} are brought to the GPU each step",
                    format::megabytes(needs.memory_bytes),
                    format::megabytes(needs.step_bytes)
                )
            }),
        );
    }
    row(
        "Downloads",
        card.downloads.map(|n| format!("{n} in 30 days")),
    );
    row("Likes", card.likes.map(|n| n.to_string()));
    row("Last change", card.last_modified.map(format::date_time));
    row("Revision", card.revision);
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value)| {
            view! {
                <tr>
                    <th scope="row">{name}</th>
                    <td>{value}</td>
                </tr>
            }
        })
        .collect();
    let components: Vec<_> = card
        .components
        .into_iter()
        .map(|part| {
            let size = part.bytes.map_or("not known".to_owned(), format::size);
            // What is made smaller has several types of elements.
            let weights = match (&part.smaller, part.dtype) {
                (Some(weights), _) => smaller(weights),
                (None, Some(dtype)) => format!(", {dtype}"),
                (None, None) => String::new(),
            };
            view! {
                <tr>
                    <th scope="row">
                        <code>{part.name}</code>
                    </th>
                    <td>{format!("{size}{weights}")}</td>
                </tr>
            }
        })
        .collect();
    let digest = card.weights_digest.filter(|d| !d.is_empty()).map(|digest| {
        view! {
            <tr>
                <th scope="row">"Weights"</th>
                <td>
                    <code>{digest}</code>
                </td>
            </tr>
        }
    });
    let files: Vec<_> = card
        .files
        .into_iter()
        .map(|file| {
            view! {
                <tr>
                    <th scope="row">
                        <code>{file.name}</code>
                    </th>
                    <td>
                        {format::size(file.bytes)} ", SHA-256 " <code>{file.sha256}</code>
                    </td>
                </tr>
            }
        })
        .collect();
    let files = (!files.is_empty()).then(|| {
        view! {
            <details>
                <summary>"Its author's files, as they are"</summary>
                <table class="recipe">
                    <tbody>{files}</tbody>
                </table>
            </details>
        }
    });
    let tags: Vec<_> = card
        .tags
        .into_iter()
        .map(|tag| view! { <li class="tag">{tag}</li> })
        .collect();
    view! {
        <section>
            <table class="recipe">
                <caption>"Facts"</caption>
                <tbody>{rows} {components} {digest}</tbody>
            </table>
            {files}
        </section>
        {(!tags.is_empty())
            .then(|| {
                view! {
                    <ul class="tags" aria-label="Tags">
                        {tags}
                    </ul>
                }
            })}
    }
    .into_any()
}

/// What stands behind the size of weights that were made smaller.
fn smaller(weights: &SmallerWeights) -> String {
    let cost = match weights.mean_square_error {
        Some(error) => format!("between pictures with either: {}", protocol::psnr(error)),
        None => "what it costs was not measured".to_owned(),
    };
    let before = format::size(weights.bytes_before);
    format!(", {}; {before} by its author; {cost}", weights.kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_fewer_bits_is_said_where_it_is_known() {
        let said = |mean_square_error| {
            smaller(&SmallerWeights {
                kind: "int4".to_owned(),
                bytes_before: 1_720_000_000,
                mean_square_error,
            })
        };
        let measured = said(Some(65.025));
        assert!(
            measured.contains(", int4;") && measured.contains("1.72 GB"),
            "{measured}"
        );
        // 255² is a thousand times as much.
        assert!(measured.contains("PSNR 30.0 dB"), "{measured}");
        assert!(said(Some(0.0)).contains("no difference"));
        assert!(said(None).contains("was not measured"));
    }
}
