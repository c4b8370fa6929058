#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;

use diffusion::{
    Cancel, CpuEngine, Engine, GpuEngine, Package, Picture, Upscaler, UpscalerPackage,
};
use futures::executor::block_on;
use onnx_gpu::AdapterChoice;
use serde_json::{Value, json};

use super::*;
use crate::catalog::Catalog;
use crate::config::PackagesConfig;

const FIXTURES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../crates/architectures/tests/data/upscalers"
);

fn config(folder: PathBuf, white: f32, models: &Path) -> AddUpscalerConfig {
    AddUpscalerConfig {
        folders: vec![folder],
        id: "maker/larger".to_owned(),
        license: "MIT".to_owned(),
        name: None,
        summary: String::new(),
        version: "1".to_owned(),
        white,
        weights: Kind::F16,
        packages: PackagesConfig {
            models_dir: models.to_owned(),
        },
    }
}

fn picture(name: &str, [width, height]: [u32; 2]) -> Picture {
    let rgb = std::fs::read(format!("{FIXTURES}/{name}.rgb")).unwrap();
    Picture { width, height, rgb }
}

fn larger(dir: &Path, factor: UpscaleFactor, engine: &dyn Engine, core: usize) -> Picture {
    let package = UpscalerPackage::from_dir(dir).unwrap();
    let upscaler = block_on(Upscaler::load(&package, factor, engine)).unwrap();
    let (small, mut done) = (picture("picture", [19, 13]), Vec::new());
    let mut report = |progress: protocol::Progress| done.push(progress.step);
    let cancel = Cancel::default();
    let made = block_on(upscaler.run(&small, Some(core), &mut report, &cancel)).unwrap();
    assert_eq!(done, (1..=done.len() as u32).collect::<Vec<_>>());
    assert!(core >= 19 || done.len() > 1, "{done:?}");
    cancel.cancel();
    let stopped = block_on(upscaler.run(&small, None, &mut |_| panic!(), &cancel));
    assert!(stopped.unwrap_err().is_cancelled());
    made
}

/// What the script beside the fixtures computes by the definitions of Keras and TensorFlow.
#[test]
fn packages_make_what_their_networks_are_defined_to_make() {
    let gpu = block_on(GpuEngine::request(AdapterChoice::Default)).unwrap();
    let engines: [&dyn Engine; 2] = [&CpuEngine::new(), &gpu];
    for (name, factor, white, reach) in [
        ("x2", UpscaleFactor::Two, 1.0, 5),
        ("x4", UpscaleFactor::Four, 255.0, 2),
    ] {
        let models = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        let folder = PathBuf::from(FIXTURES).join(name);
        add(&config(folder, white, models.path()), &mut said).unwrap();
        let dir = models.path().join("maker--larger");
        let times = factor.times();
        let golden = picture(name, [19 * times, 13 * times]);
        for engine in engines {
            for core in [64, 4] {
                let made = larger(&dir, factor, engine, core);
                let difference = made.max_difference(&golden).unwrap();
                println!(
                    "{name} in parts of {core} on {}: {difference} of 255",
                    engine.backend()
                );
                assert!(difference <= 1, "{difference}");
            }
        }
        let catalog = Catalog::open(models.path()).unwrap();
        let entry = catalog.upscaler(factor, None).unwrap();
        assert_eq!(entry.manifest.enlargement(factor).unwrap().overlap, reach);
        assert!(catalog.upscaler(factor, Some("maker/other")).is_err());
        assert_eq!(catalog.entries().count(), 0);
        let refused = Package::from_dir(&dir).unwrap_err().to_string();
        assert!(refused.contains("upscaler"), "{refused}");
        let again = add(
            &config(PathBuf::from(FIXTURES).join(name), white, models.path()),
            &mut said,
        );
        assert!(format!("{:#}", again.unwrap_err()).contains("is there already"));
    }
}

#[test]
fn a_network_that_is_told_another_white_is_not_added() {
    let models = tempfile::tempdir().unwrap();
    let folder = PathBuf::from(FIXTURES).join("x4");
    let error = add(&config(folder, 1.0, models.path()), &mut Vec::new()).unwrap_err();
    assert!(format!("{error:#}").contains("--white"), "{error:#}");
    assert_eq!(Catalog::open(models.path()).unwrap().upscalers().count(), 0);
}

#[test]
fn what_is_not_built_is_refused_by_its_name() {
    type Change = fn(&mut Value);
    const LAYERS: &str = "/modelTopology/model_config/config/layers";
    fn layer(model: &mut Value, at: usize) -> &mut Value {
        model.pointer_mut(LAYERS).unwrap().get_mut(at).unwrap()
    }
    let changes: [(Change, &str); 20] = [
        (|m| m["format"] = "graph-model".into(), "layers-model"),
        (
            |m| layer(m, 2)["class_name"] = "Lambda".into(),
            "\"Lambda\"",
        ),
        (
            |m| layer(m, 1)["config"]["strides"] = json!([2, 2]),
            "F_1: its strides",
        ),
        (
            |m| layer(m, 1)["config"]["padding"] = "valid".into(),
            "F_1: its padding",
        ),
        (
            |m| layer(m, 1)["config"]["kernel_size"] = json!([3, 5]),
            "kernel_size",
        ),
        (
            |m| layer(m, 1)["config"]["kernel_size"] = json!([2, 2]),
            "odd ones",
        ),
        (|m| layer(m, 1)["config"]["groups"] = 3.into(), "groups"),
        (
            |m| layer(m, 1)["config"]["depth_multiplier"] = 1.into(),
            "depth_multiplier",
        ),
        (
            |m| layer(m, 1)["config"]["filters"] = 6.into(),
            "F_1.weight",
        ),
        (
            |m| layer(m, 2)["config"]["activation"] = "gelu".into(),
            "activation",
        ),
        (
            |m| layer(m, 1)["inbound_nodes"][0][0][0] = "SR".into(),
            "F_1: it reads SR",
        ),
        (|m| layer(m, 1)["inbound_nodes"][0][0][1] = 1.into(), "F_1"),
        (
            |m| {
                let call = layer(m, 1)["inbound_nodes"][0].clone();
                layer(m, 1)["inbound_nodes"] = json!([call.clone(), call]);
            },
            "several times",
        ),
        (
            |m| layer(m, 8)["config"]["scale"] = 3.into(),
            "pixel_shuffle: 12 channels",
        ),
        (
            |m| layer(m, 8)["config"]["scale"] = json!(0),
            "pixel_shuffle: its scale",
        ),
        (
            |m| layer(m, 6)["config"]["axis"] = 2.into(),
            "cat: its axis",
        ),
        (
            |m| m["weightsManifest"][0]["weights"][0]["quantization"] = json!({"dtype": "uint8"}),
            "F_1/kernel",
        ),
        (
            |m| m["weightsManifest"][0]["weights"][0]["shape"][0] = json!(1u64 << 62),
            "F_1/kernel",
        ),
        (
            |m| m["weightsManifest"][0]["paths"][0] = "../x.bin".into(),
            "../x.bin",
        ),
        (
            |m| {
                m["modelTopology"]["model_config"]["config"]["output_layers"] =
                    json!([["F_1", 0, 0]])
            },
            "no larger picture",
        ),
    ];
    let from = PathBuf::from(FIXTURES).join("x2");
    let folder = tempfile::tempdir().unwrap();
    for shard in ["group1-shard1of2.bin", "group1-shard2of2.bin"] {
        fs::copy(from.join(shard), folder.path().join(shard)).unwrap();
    }
    let model: Value = serde_json::from_slice(&fs::read(from.join("model.json")).unwrap()).unwrap();
    let tried = |model: &Value| {
        fs::write(folder.path().join("model.json"), model.to_string()).unwrap();
        read(folder.path(), Kind::Int8)
            .err()
            .map(|error| format!("{error:#}"))
    };
    assert_eq!(tried(&model), None);
    for (change, named) in changes {
        let mut changed = model.clone();
        change(&mut changed);
        let error = tried(&changed).unwrap_or_else(|| panic!("{named} was not refused"));
        assert!(error.contains(named), "{named}: {error}");
    }
    let shard = folder.path().join("group1-shard2of2.bin");
    let bytes = fs::read(&shard).unwrap();
    for cut in [0, bytes.len() - 1] {
        fs::write(&shard, &bytes[..cut]).unwrap();
        let error = tried(&model).unwrap();
        assert!(error.contains("end before"), "{error}");
    }
    fs::write(&shard, [&bytes[..], &[0]].concat()).unwrap();
    assert!(tried(&model).unwrap().contains("1 bytes are behind"));
    fs::remove_file(&shard).unwrap();
    assert!(tried(&model).unwrap().contains("group1-shard2of2.bin"));
}
