//! SwarmUI.

use crate::support::{app1, exif, jpeg, png, reading, settings, text, webp};
use png_recipe::{Generator, ReadError, Reading, Settings, read};

/// The example of `docs/Image Metadata Format.md` of mcmonkeyprojects/SwarmUI, with other values.
const PARAMS: &str = r#""sui_image_params": {"prompt": "a snail made of glass, (spiky:1.3) shell", "negativeprompt": "metal, fur",
 "model": "SDXL/glassXL_v5.safetensors", "images": 6, "seed": 161803398, "steps": 25, "cfgscale": 4.0,
 "aspectratio": "1:1", "automaticvae": true, "loras": [], "swarm_version": "0.9.6.2"}"#;

fn expected() -> Settings {
    settings(
        "SDXL/glassXL_v5.safetensors",
        "a snail made of glass, (spiky:1.3) shell",
        "metal, fur",
        161_803_398,
        25,
        4.0,
    )
}

fn all_is_there(found: &Reading) {
    assert_eq!(found.generator, Generator::SwarmUi);
    assert_eq!(found.settings, expected());
    assert_eq!(found.unused, ["aspectratio", "automaticvae", "images"]);
}

#[test]
fn json_of_every_age() {
    let extra = r#""sui_extra_data": {"date": "2025-01-31", "original_prompt": "<random:a,b>"}, "sui_models": []"#;
    for json in [
        format!("{{{PARAMS}, {extra}}}"),
        format!("{{\n  {PARAMS}\n}}"),
        format!("{{{PARAMS}}}")
            .replace(['\n', ' '], "")
            .replace(
                "asnailmadeofglass,(spiky:1.3)shell",
                "a snail made of glass, (spiky:1.3) shell",
            )
            .replace("metal,fur", "metal, fur"),
    ] {
        all_is_there(&reading("parameters", &json));
    }
    // “Often non-string values will be presented as strings regardless.”
    let strings = PARAMS
        .replace("161803398", "\"161803398\"")
        .replace("25,", "\"25\",")
        .replace("4.0", "\"4.0\"");
    all_is_there(&reading("parameters", &format!("{{{strings}}}")));
}

#[test]
fn comments_of_jpeg_and_webp() {
    let json = format!("{{{PARAMS}}}");
    let little: Vec<u8> = json.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let comment = [b"UNICODE\0", &little[..]].concat();
    for big in [false, true] {
        let block = exif(big, &[], &[(0x9286, 7, &comment)]);
        all_is_there(&read(&jpeg(&[app1(&block)])).unwrap());
        all_is_there(&read(&webp(&[(b"EXIF", block)])).unwrap());
    }
    // 2023: in the name of the camera.
    let block = exif(true, &[(0x0110, 2, json.as_bytes())], &[]);
    all_is_there(&read(&jpeg(&[app1(&block)])).unwrap());
}

#[test]
fn what_is_missing_stays_so_and_damage_is_said() {
    let found = reading(
        "parameters",
        r#"{"sui_image_params": {"seed": 1, "negativeprompt": ""}}"#,
    );
    let seed = Settings {
        seed: Some(1),
        ..Settings::default()
    };
    assert_eq!(found.settings, seed);
    assert_eq!(found.missing().len(), 5);
    for json in [
        r#"{"sui_image_params": {"prompt": "a"#,
        r#"{"sui_image_params": 3}"#,
    ] {
        let error = read(&png(&[text("parameters", json.as_bytes())])).unwrap_err();
        let ReadError::Unreadable { generator, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(generator, Generator::SwarmUi);
    }
}
