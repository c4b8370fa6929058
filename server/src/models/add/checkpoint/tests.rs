#![allow(clippy::unwrap_used)]
use std::io::Read;

use diffusion::scheduler::SchedulerKind;

use super::super::layout::{Found, Part};
use super::super::source::Configuration;
use super::*;

/// Names and shapes of published files, see crates/architectures/tests/published/checkpoints.py.
macro_rules! published {
    ($name:literal) => {
        include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crates/architectures/tests/published/checkpoint-",
            $name,
            ".json.gz"
        ))
    };
}

fn header(packed: &[u8], marks: &[&str]) -> Header {
    let mut json = String::new();
    flate2::read::GzDecoder::new(packed)
        .read_to_string(&mut json)
        .unwrap();
    let mut shapes: BTreeMap<String, Vec<u64>> = serde_json::from_str(&json).unwrap();
    shapes.extend(marks.iter().map(|name| ((*name).to_owned(), Vec::new())));
    let mut end = 0;
    let entries = shapes.into_iter().map(|(name, shape)| {
        let begin = end;
        end += 2 * shape.iter().product::<u64>();
        let entry = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
        (name, entry)
    });
    let json = Value::Object(entries.collect()).to_string();
    let start = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    Header::parse("m.safetensors", &start).unwrap()
}

const FILE: &str = "/models/m.safetensors";

/// The configuration of a published file, every part of which is built over its header.
fn planned(packed: &[u8], marks: &[&str], said: &Said) -> anyhow::Result<(Configuration, LaidOut)> {
    let header = header(packed, marks);
    let laid_out = lay_out(Path::new(FILE), &header, said, None)?;
    let root = laid_out.dir.path();
    let configuration = Configuration::read(root, &laid_out.layout, said)?;
    let pipeline = configuration.pipeline;
    let headers = BTreeMap::from([(FILE.to_owned(), header)]);
    let mut built = 0;
    for part in pipeline.parts() {
        if let Some(Found::Network(network)) = laid_out.layout.part(part)? {
            network.build(root, part, pipeline.family, &headers)?;
            built += 1;
        }
    }
    assert!(built >= 4);
    Ok((configuration, laid_out))
}

fn of_unet(laid_out: &LaidOut) -> Value {
    let path = laid_out.layout.config(Part::Unet).unwrap();
    super::super::json::json(&laid_out.dir.path().join(path)).unwrap()
}

fn is_velocity(scheduler: &SchedulerKind) -> bool {
    format!("{scheduler:?}").contains("VPrediction")
}

#[test]
fn published_files_are_planned_as_their_folders_say() {
    let none = Said::default();
    let velocity = Said {
        prediction: Some(Prediction::Velocity),
        ..Said::default()
    };
    let epsilon = Said {
        prediction: Some(Prediction::Epsilon),
        ..Said::default()
    };
    type Case<'c> = (&'c [u8], &'c [&'c str], &'c Said, u64, bool);
    let cases: [Case<'_>; 6] = [
        (published!("sd15"), &[], &none, 64, false),
        (published!("sd21"), &[], &epsilon, 64, false),
        (published!("sd21"), &[], &velocity, 96, true),
        (published!("sd21"), &["v_pred"], &none, 96, true),
        (published!("sdxl"), &[], &none, 128, false),
        (published!("sdxl"), &["v_pred", "ztsnr"], &none, 128, true),
    ];
    for (index, (packed, marks, said, side, is_v)) in cases.into_iter().enumerate() {
        let (configuration, laid_out) = planned(packed, marks, said).unwrap();
        assert_eq!(of_unet(&laid_out)["sample_size"], side, "case {index}");
        assert_eq!(
            is_velocity(&configuration.scheduler),
            is_v,
            "case {index}: {:?}",
            configuration.scheduler
        );
    }
}

#[test]
fn what_the_second_family_answers_with_is_asked_for() {
    let error = planned(published!("sd21"), &[], &Said::default())
        .err()
        .unwrap();
    let error = error.to_string();
    assert!(
        error.contains("--prediction epsilon or --prediction v_prediction"),
        "{error}"
    );
}

/// A scheduler of another model is not held against what the file says of itself.
#[test]
fn a_model_that_answers_otherwise_is_no_model_to_take_after() {
    let like = lay_out(
        Path::new(FILE),
        &header(published!("sdxl"), &[]),
        &Said::default(),
        None,
    )
    .unwrap();
    let marked = header(published!("sdxl"), &["v_pred"]);
    let again = |said: &Said| {
        let laid_out = lay_out(Path::new(FILE), &marked, said, Some(like.dir.path()))?;
        Configuration::read(laid_out.dir.path(), &laid_out.layout, said)
    };
    let error = again(&Said::default()).err().unwrap().to_string();
    assert!(error.contains("--prediction says which"), "{error}");
    let said = Said {
        prediction: Some(Prediction::Velocity),
        ..Said::default()
    };
    assert!(is_velocity(&again(&said).unwrap().scheduler));
    assert!(!is_velocity(
        &Configuration::read(like.dir.path(), &like.layout, &said)
            .unwrap()
            .scheduler
    ));
}
