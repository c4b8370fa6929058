//! `demo-hub generate`.

use clap::Parser;
use server::config::{Cli, Command};
use server::render::Rendered;

use crate::hub::{models_dir, pixels};

/// Runs the command in this process and reads the written file back.
pub fn run(extra: &[&str]) -> anyhow::Result<Rendered> {
    let out = tempfile::tempdir()?;
    let file = out.path().join("picture.png");
    let models = models_dir();
    let mut args = vec![
        "demo-hub",
        "generate",
        "--renderer=cpu",
        "--models-dir",
        models.to_str().unwrap(),
        "--out",
        file.to_str().unwrap(),
    ];
    args.extend(extra);
    let Command::Generate(config) = Cli::try_parse_from(args)?.command else {
        unreachable!()
    };
    let mut report = Vec::new();
    let rendered = server::generate::run(config, &mut report)?;
    assert_eq!(std::fs::read(&file)?, rendered.png);
    let report = String::from_utf8(report)?;
    assert!(
        report.contains("rten (CPU)") && report.contains(" ms"),
        "{report}"
    );
    Ok(rendered)
}

#[test]
fn one_seed_is_one_picture() {
    let first = run(&["--prompt", "red apple", "--seed", "1"]).unwrap();
    let second = run(&["--prompt", "red apple", "--seed", "1"]).unwrap();
    let other = run(&["--prompt", "red apple", "--seed", "2"]).unwrap();
    let text = run(&["--prompt", "green car", "--seed", "1"]).unwrap();
    assert!(pixels(&first.png) == pixels(&second.png));
    assert!(pixels(&first.png) != pixels(&other.png));
    assert!(pixels(&first.png) != pixels(&text.png));
}

#[test]
fn wrong_options_are_named() {
    let long = "x".repeat(100_000);
    for (extra, word) in [
        (vec!["--prompt", ""], "empty"),
        (vec!["--prompt", long.as_str()], "100000 characters"),
        (vec!["--prompt", "a", "--steps", "0"], "number of steps"),
        (
            vec!["--prompt", "a", "--steps", "1000000000"],
            "number of steps",
        ),
        (vec!["--prompt", "a", "--guidance", "NaN"], "the guidance"),
        (vec!["--prompt", "a", "--model", "no/such"], "no/such"),
    ] {
        let error = format!("{:#}", run(&extra).unwrap_err());
        assert!(error.contains(word), "{error}");
    }
}
