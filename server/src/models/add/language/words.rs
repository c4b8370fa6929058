//! The tokenizer of a language model, and what is done to a prompt.

use std::path::Path;

use anyhow::bail;
use diffusion::tokenizer::{PadTo, Padding, Side, TextSettings, Tokenizer};
use serde_json::Value;

use super::super::json::json;
use super::super::layout::Layout;
use super::super::source::Words;
use super::super::tokenizer::{self, Takes};
use super::plan::{Framing, Length, Wording};
use super::template::{self, Frame};

/// Most tokens that are counted of a frame.
const MAX_LENGTH: usize = 4096;

/// The tokenizer, with what stands around prompts. `rows` are those of the encoder's table of words.
///
/// # Errors
/// What is missing or cannot be packed, by name.
pub(super) fn words(
    folder: &Path,
    layout: &Layout,
    rows: Option<u64>,
    wording: &Wording,
) -> anyhow::Result<Words> {
    let files = layout.tokenizer(0);
    let takes = Takes {
        length: Some(match wording.length {
            Length::Is(length) => length,
            Length::BeyondFrame(_) => MAX_LENGTH,
        }),
        rows: rows.and_then(|rows| usize::try_from(rows).ok()),
    };
    let vocabulary = tokenizer::read(folder, &files, takes)?;
    let beside = folder.join("tokenizer");
    let (frame, side) = match wording.frame {
        Framing::Chat { thinking } => {
            let template = template::of_folder(&beside)?;
            (template::frame(&template, thinking)?, stated_side(&beside)?)
        }
        // These pipelines set the side themselves.
        Framing::Before(prefix) => {
            let frame = Frame {
                prefix: prefix.to_owned(),
                suffix: String::new(),
            };
            (frame, Side::Right)
        }
    };
    let padding = vocabulary.settings.padding;
    let length = match wording.length {
        Length::Is(length) => length,
        Length::BeyondFrame(more) => {
            let counting = TextSettings {
                padding: Padding {
                    to: PadTo::Longest,
                    ..padding
                },
                ..vocabulary.settings.clone()
            };
            let counting = Tokenizer::from_bytes(&vocabulary.json, &counting)?;
            counting.encode(&frame.prefix)?.ids.len() + more
        }
    };
    let settings = TextSettings {
        file: "tokenizer.json".to_owned(),
        length,
        padding: Padding {
            to: wording.padding,
            side,
            ..padding
        },
        masks: true,
        cleaning: wording.cleaning,
        prefix: frame.prefix,
        suffix: frame.suffix,
        negative: wording.negative.clone(),
        keep: wording.keep,
        ..vocabulary.settings
    };
    Ok(Words {
        json: vocabulary.json,
        settings,
    })
}

fn stated_side(folder: &Path) -> anyhow::Result<Side> {
    let config: Value = json(&folder.join("tokenizer_config.json"))?;
    Ok(match config.get("padding_side").and_then(Value::as_str) {
        None | Some("right") => Side::Right,
        Some("left") => Side::Left,
        Some(other) => bail!("padding_side of the tokenizer is {other:?}"),
    })
}
