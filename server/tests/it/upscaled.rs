//! Pictures that are made larger once they are finished.

use clap::Parser;
use protocol::{GenerationRequest, JobStatus, ProblemCode, UpscaleFactor};
use server::catalog::Catalog;
use server::config::{Cli, Command};

use crate::hub::{Hub, assert_problem, models_dir, picture, pixels, request, upload_request};

const UPSCALER: &str = "upscalerjs/esrgan-thick";

fn twice(seed: u64) -> GenerationRequest {
    GenerationRequest {
        upscale: Some(UpscaleFactor::Two),
        ..request("red apple", seed)
    }
}

/// Runs `demo-hub upscale` in this process; gives the written file and what was said.
fn upscale(png: &[u8], extra: &[&str]) -> anyhow::Result<(Vec<u8>, String)> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).into_os_string().into_string();
    let (small, large) = (file("small.png").unwrap(), file("large.png").unwrap());
    std::fs::write(&small, png)?;
    let models = models_dir();
    let args = ["demo-hub", "upscale", "--renderer=cpu", &small, &large];
    let args = args
        .into_iter()
        .chain(["--models-dir", models.to_str().unwrap()]);
    let Command::Upscale(config) = Cli::try_parse_from(args.chain(extra.iter().copied()))?.command
    else {
        unreachable!()
    };
    let mut report = Vec::new();
    server::upscale::run(&config, &mut report)?;
    Ok((std::fs::read(large)?, String::from_utf8(report)?))
}

fn size(png: &[u8]) -> (u32, u32) {
    let reader = png::Decoder::new(std::io::Cursor::new(png)).read_info();
    reader.unwrap().info().size()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_makes_its_picture_larger_and_the_recipe_says_so() {
    let hub = Hub::start().await;
    let job = hub.submit(&twice(1)).await;
    let view = hub.wait(&job.id, |view| view.status.is_final()).await;
    assert_eq!(view.status, JobStatus::Completed, "{view:?}");
    assert_eq!((view.progress.step, view.progress.total_steps), (8, 8));
    assert_eq!(view.request.upscale, Some(UpscaleFactor::Two));
    let record = hub.own().await.remove(0);
    assert_eq!((record.width, record.height), (256, 256));
    let recipe = &record.recipe;
    assert_eq!(
        (recipe.request.width, recipe.request.height),
        (Some(128), Some(128))
    );
    assert_eq!(recipe.request.upscale, Some(UpscaleFactor::Two));
    let catalog = Catalog::open(&models_dir()).unwrap();
    let entry = catalog.upscaler(UpscaleFactor::Two, None).unwrap();
    assert_eq!(entry.manifest.id, UPSCALER);
    assert_eq!(recipe.upscaler, Some(entry.manifest.used()));
    let location = hub.get(&record.url).await.headers()["location"].clone();
    let stored = hub.http.get(location.to_str().unwrap()).send().await;
    let stored = stored.unwrap().bytes().await.unwrap();
    assert_eq!(size(&stored), (256, 256));
    let text = String::from_utf8_lossy(&stored);
    assert!(text.contains("Size: 128x128"), "the size of before");
    assert!(
        text.contains("Postprocess upscale by: 2, Postprocess upscaler: upscalerjs/esrgan-thick")
    );

    let plain = crate::generate::run(&["--prompt", "red apple", "--seed", "1"]).unwrap();
    assert_eq!(plain.recipe.upscaler, None);
    let (large, small) = (pixels(&stored), pixels(&plain.png));
    let mean = |x: usize, y: usize, channel: usize| {
        let at = |dx: usize, dy: usize| {
            u32::from(large[3 * ((2 * y + dy) * 256 + 2 * x + dx) + channel])
        };
        (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4
    };
    let off: u32 = (0..128 * 128 * 3)
        .map(|at| mean(at / 3 % 128, at / 3 / 128, at % 3).abs_diff(small[at].into()))
        .sum();
    assert!(off < 3 * 128 * 128 * 3, "it is the same picture: {off}");
}

#[test]
fn a_file_is_made_larger_without_a_server() {
    let small =
        image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8 * 25, y as u8 * 35, 128]));
    let mut png = std::io::Cursor::new(Vec::new());
    small.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let png = png.into_inner();
    for (factor, wanted) in [("2", (18, 14)), ("4", (36, 28))] {
        let (large, said) = upscale(&png, &["--factor", factor]).unwrap();
        assert_eq!(size(&large), wanted);
        assert!(said.contains(UPSCALER) && said.contains("1 part"), "{said}");
    }
    let error = |extra: &[&str]| format!("{:#}", upscale(&png, extra).unwrap_err());
    assert!(error(&["--factor", "3"]).contains("2 or 4"));
    assert!(error(&["--model", "no/such"]).contains("2 times as large"));
    let broken = upscale(&png[..40], &[]).unwrap_err();
    assert!(format!("{broken:#}").contains("small.png"), "{broken:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_larger_is_refused_before_any_work() {
    let hub = Hub::start().await;
    for factor in [
        serde_json::json!(3),
        serde_json::json!("2"),
        serde_json::json!(0),
    ] {
        let mut body = serde_json::to_value(request("red apple", 1)).unwrap();
        body["upscale"] = factor;
        let answer = hub.post("/api/v1/jobs", &body).await;
        assert!(answer.status().is_client_error());
        let text = answer.text().await.unwrap();
        assert!(text.contains("upscale"), "{text}");
    }
    let png = picture(1);
    let mut announced = upload_request(&png);
    announced.recipe.request.upscale = Some(UpscaleFactor::Two);
    for upscaler in [None, Some("someone/else"), Some(UPSCALER)] {
        announced.recipe.upscaler = upscaler.map(|model| protocol::UsedUpscaler {
            model: model.to_owned(),
            weights_digest: "0".repeat(64),
        });
        let refused = hub.post("/api/v1/uploads", &announced).await;
        let problem = assert_problem(refused, ProblemCode::OutOfRange).await;
        assert_eq!(problem.field.as_deref(), Some("upscale"));
    }
}

#[test]
fn a_hub_without_an_upscaler_says_so() {
    let models = tempfile::tempdir().unwrap();
    let (from, to) = (models_dir().join("glyph"), models.path().join("glyph"));
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    let catalog = Catalog::open(models.path()).unwrap();
    catalog.resolve(request("red apple", 1), 0).unwrap();
    let problem = catalog.resolve(twice(1), 0).unwrap_err();
    assert_eq!(problem.code, ProblemCode::OutOfRange);
    assert!(problem.detail.contains("2 times"), "{}", problem.detail);
}
