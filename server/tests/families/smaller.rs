//! Authors' folders whose weights are kept in fewer bits (bench/fixtures/families/smaller.py): latents after each step and the picture
//! against diffusers', which computes with the numbers that those bits stand for.

use serde::Deserialize;

use super::authors::copied;
use super::*;

/// A case, and what `--weights` is given.
#[derive(Deserialize)]
struct Smaller {
    #[serde(flatten)]
    case: Case,
    weights: Vec<String>,
}

fn cases() -> Vec<Smaller> {
    let folder = PathBuf::from(std::env::var_os("FAMILIES").unwrap());
    let cases: Vec<Smaller> =
        serde_json::from_value(goldens::json(&folder.join("smaller.json"))).unwrap();
    assert!(cases.len() >= 4);
    cases
}

fn options(weights: &[String]) -> Vec<&str> {
    weights
        .iter()
        .flat_map(|weights| ["--weights", weights])
        .collect()
}

/// The package of a case with other options, what `models add` said, and the folder that holds it.
fn package(case: &Case, options: &[&str]) -> (Package, String, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let options = [options, more(case)].concat();
    let said = add(dir.path(), &case.folder(), &options).unwrap();
    let package = dir.path().join(id(case).replace('/', "--"));
    (Package::from_dir(&package).unwrap(), said, dir)
}

/// How far the picture of a package is from that of a golden.
fn off(package: Package, case: &Case, golden: &Golden, engine: &dyn Engine) -> u8 {
    let pipeline = block_on(Pipeline::load(package, engine)).unwrap();
    let (made, latents) = run(&pipeline, case, golden);
    let steps = golden.rows("latents.steps");
    let spare = steps.len() - latents.len();
    let difference = made.max_difference(&picture(golden, "image")).unwrap();
    if difference <= TOLERANCE {
        for (index, ours) in latents.iter().enumerate() {
            let what = format!("{}, step {index}", case.name);
            near(ours, &steps[index + spare], LATENTS, &what);
        }
    }
    difference
}

#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn smaller_weights_make_the_pictures_of_what_they_stand_for() {
    let gpu = block_on(GpuEngine::request(AdapterChoice::HighPerformance)).unwrap();
    let cpu = CpuEngine::new();
    for Smaller { case, weights } in cases() {
        let (made, said, dir) = package(&case, &options(&weights));
        let mut kinds = weights.iter().flat_map(|text| text.split([',', '=']));
        assert!(kinds.all(|kind| said.contains(kind)), "{said}");
        // What it costs is said of every component, here and on the card.
        let folder = dir.path().join(id(&case).replace('/', "--"));
        let card = goldens::json(&folder.join("card.json"));
        for graph in made.manifest.graphs.keys() {
            let entry = &card["weights"][graph];
            let before = entry["bytes_before"].as_u64().unwrap();
            let file = made.manifest.graphs[graph]
                .external
                .values()
                .next()
                .unwrap();
            let after = fs::metadata(folder.join(file)).unwrap().len();
            let error = entry["mean_square_error"].as_f64().unwrap();
            println!(
                "{}, {graph}: {before} bytes, {after} as {}, {}",
                case.name,
                entry["kind"],
                protocol::psnr(error)
            );
            assert!(
                after < before || entry["kind"] == "f16",
                "{graph}: {after} of {before} bytes"
            );
            assert!((0.0..5000.0).contains(&error), "{graph}: {error}");
            assert!(entry["kind"] != "int4" || error > 0.0, "{graph}");
        }
        assert_eq!(said.matches(" alone: ").count(), 3, "{said}");
        assert!(!said.contains("does not run on"), "{said}");
        let files: Vec<&str> = made.manifest.files().map(|file| &*file.name).collect();
        assert!(
            !files.iter().any(|file| file.ends_with(".safetensors")),
            "{files:?}"
        );
        let again = Package::from_dir(&folder).unwrap();
        let golden = case.golden();
        for (package, engine) in [(made, &gpu as &dyn Engine), (again, &cpu)] {
            let difference = off(package, &case, &golden, engine);
            println!("{}: {difference} of 255 on {}", case.name, engine.backend());
            assert!(
                difference <= TOLERANCE,
                "{}: {difference} of 255",
                case.name
            );
        }
    }
}

/// The goldens tell apart how weights are rounded, and in which component.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_bits_make_other_pictures() {
    let cases = cases();
    let find = |name: &str| cases.iter().find(|found| found.case.name == name).unwrap();
    let found = find("sd15-as-int4");
    let golden = found.case.golden();
    for options in [
        &["--weights", "int4,unet=f16"][..],
        &["--weights", "int4", "--weights", "text_encoder=kept"],
        &["--weights", "int4,vae=int4"],
    ] {
        let (package, _, _dir) = package(&found.case, options);
        let difference = off(package, &found.case, &golden, &CpuEngine::new());
        println!("{options:?}: {difference} of 255");
        assert!(difference > TOLERANCE, "{options:?}: {difference} of 255");
    }
}

/// Nothing is left behind of what is refused.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn weights_that_cannot_be_made_smaller_are_refused_by_name() {
    let author = authors::authors("sd15-plain").author().unwrap();
    let refused = |folder: &Path, options: &[&str]| {
        let models = tempfile::tempdir().unwrap();
        let error = add(models.path(), folder, options).unwrap_err();
        // The file that holds other runs off stays.
        let entries = fs::read_dir(models.path()).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name());
        assert!(names.all(|name| name == ".downloads"), "{error}");
        error
    };
    let error = refused(&author, &["--weights", "int8,transformer=int4"]);
    assert!(
        error.contains("\"transformer\"") && error.contains("text_encoder, unet, vae"),
        "{error}"
    );
    let error = refused(&author, &["--weights", "int8,int4"]);
    assert!(error.contains("two things"), "{error}");
    let export = authors::authors("sd15-plain").folder();
    let error = refused(&export, &["--weights", "int8"]);
    assert!(error.contains("model.onnx"), "{error}");

    // A number that is none: the last of a product in the denoiser.
    let dir = copied(&author);
    let folder = dir.path().join(author.file_name().unwrap());
    let path = folder.join("unet/diffusion_pytorch_model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight";
    let end = 8 + length + header[name]["data_offsets"][1].as_u64().unwrap() as usize;
    bytes[end - 4..end].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    for kind in ["f16", "int8", "int4"] {
        let error = refused(&folder, &["--weights", kind]);
        assert!(error.contains(name), "{error}");
    }
}
