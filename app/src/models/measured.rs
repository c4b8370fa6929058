//! How fast a model was, from the records of the pictures that it made here.

use std::collections::BTreeMap;

use protocol::{ImageRecord, RunsOn};
use serde::{Deserialize, Serialize};

/// What the gallery tells of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Its speed by place, engine and device, the one with most pictures first.
    pub speeds: Vec<Speed>,
    /// Its newest pictures.
    pub newest: Vec<ImageRecord>,
}

/// Measured speed of one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Adapter or processor as the platform names it; may be empty.
    pub adapter: String,
    /// Engine, such as `onnx-gpu (WebGPU)`.
    pub backend: String,
    /// Where they were made.
    pub place: RunsOn,
    /// Pictures that the medians are of.
    pub pictures: usize,
    /// Median milliseconds per picture divided by its steps: encoder and decoder are shared out among them.
    pub step_ms: f64,
    /// Median milliseconds per picture.
    pub picture_ms: f64,
}

/// Sums up the records of one model, newest first, and keeps the first `shown` of them.
pub fn sum_up(mut records: Vec<ImageRecord>, shown: usize) -> Made {
    let mut groups: BTreeMap<(String, String, RunsOn), Vec<(f64, f64)>> = BTreeMap::new();
    for record in &records {
        let recipe = &record.recipe;
        // A record without a time or steps measures nothing.
        if let Some(steps @ 1..) = recipe.request.num_inference_steps
            && recipe.duration_ms > 0
        {
            let time = recipe.duration_ms as f64;
            groups
                .entry((recipe.adapter.clone(), recipe.backend.clone(), recipe.place))
                .or_default()
                .push((time, time / f64::from(steps)));
        }
    }
    let mut speeds: Vec<Speed> = groups
        .into_iter()
        .map(|((adapter, backend, place), times)| Speed {
            adapter,
            backend,
            place,
            pictures: times.len(),
            step_ms: median(times.iter().map(|t| t.1)),
            picture_ms: median(times.iter().map(|t| t.0)),
        })
        .collect();
    speeds.sort_by_key(|speed| std::cmp::Reverse(speed.pictures));
    records.truncate(shown);
    Made {
        speeds,
        newest: records,
    }
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    crate::worker::speed::median(&mut times)
}

#[cfg(test)]
mod tests {
    use protocol::{GenerationRequest, Recipe};

    use super::*;

    fn record(adapter: &str, steps: u32, duration_ms: u64) -> ImageRecord {
        serde_json::from_value(serde_json::json!({
            "id": format!("{adapter}-{steps}-{duration_ms}"),
            "sha256": "", "bytes": 1, "width": 64, "height": 64, "created_at": 0, "url": "", "permalink": "",
            "recipe": Recipe {
                request: GenerationRequest {
                    model: "a/b".into(),
                    prompt: "p".into(),
                    seed: Some(1),
                    num_inference_steps: Some(steps),
                    guidance_scale: None,
                    ..GenerationRequest::default()
                },
                weights_digest: String::new(),
                scheduler: String::new(),
                backend: "onnx-gpu (WebGPU)".into(),
                adapter: adapter.into(),
                place: RunsOn::Browser,
                start: None,
                upscaler: None,
                loras: Vec::new(),
                duration_ms,
            },
        }))
        .unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn medians_are_per_device() {
        let made = sum_up(
            vec![
                record("slow", 8, 80_000),
                record("fast", 8, 800),
                record("fast", 4, 1_200),
                record("fast", 8, 8_000),
            ],
            2,
        );
        assert_eq!(made.newest.len(), 2);
        let [fast, slow] = made.speeds.as_slice() else {
            unreachable!("{:?}", made.speeds)
        };
        assert_eq!((fast.adapter.as_str(), fast.pictures), ("fast", 3));
        assert_eq!((fast.step_ms, fast.picture_ms), (300.0, 1_200.0));
        assert_eq!((slow.step_ms, slow.picture_ms), (10_000.0, 80_000.0));
    }

    #[test]
    fn what_was_not_measured_is_not_shown() {
        let made = sum_up(vec![record("x", 0, 5), record("x", 8, 0)], 6);
        assert!(made.speeds.is_empty());
        assert_eq!(made.newest.len(), 2);
        assert_eq!(sum_up(Vec::new(), 6), Made::default());
    }
}
