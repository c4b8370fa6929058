//! InvokeAI of every age.

use crate::support::{reading, settings};
use png_recipe::{Generator, ReadError, read};

#[test]
fn invokeai_of_every_age() {
    let found = reading(
        "invokeai_metadata",
        r#"{"app_version": "5.4.0", "generation_mode": "sdxl_txt2img", "positive_prompt": "a castle",
            "negative_prompt": "blurry", "width": 1024, "height": 768, "seed": 42, "rand_device": "cpu", "cfg_scale": 7.5,
            "cfg_rescale_multiplier": 0, "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": null, "loras": [],
            "model": {"key": "k", "hash": "blake3:1", "name": "Juggernaut XL v9", "base": "sdxl", "type": "main"}}"#,
    );
    assert_eq!(found.generator, Generator::InvokeAi);
    assert_eq!(
        found.settings,
        settings("Juggernaut XL v9", "a castle", "blurry", 42, 30, 7.5)
    );
    assert_eq!(
        found.unused,
        [
            "cfg_rescale_multiplier",
            "height",
            "rand_device",
            "scheduler",
            "width"
        ]
    );

    let version_3 = r#"{"positive_prompt": "x", "seed": 1, "steps": 2, "cfg_scale": 3.0,
                        "model": {"model_name": "stable-diffusion-v1-5", "base_model": "sd-1", "model_type": "main"}}"#;
    let found = reading("invokeai_metadata", version_3);
    assert_eq!(
        found.settings,
        settings("stable-diffusion-v1-5", "x", "", 1, 2, 3.0)
    );

    let version_2 = r#"{"model": "stable diffusion", "model_weights": "stable-diffusion-1.4", "model_hash": "fe4efff1",
        "app_id": "invoke-ai/InvokeAI", "app_version": "2.2.4", "image": {"prompt": [{"prompt": "a cat [dog] on a mat",
        "weight": 1.0}], "steps": 50, "cfg_scale": 7.5, "threshold": 0, "perlin": 0, "height": 512, "width": 512,
        "seed": 3078613500, "seamless": false, "hires_fix": false, "type": "txt2img", "sampler": "k_lms"}}"#;
    let found = reading("sd-metadata", version_2);
    assert_eq!(
        found.settings,
        settings(
            "stable-diffusion-1.4",
            "a cat  on a mat",
            "dog",
            3_078_613_500,
            50,
            7.5
        )
    );

    let found = reading(
        "Dream",
        r#""a "quoted" cat [dog]" -s 50 -S 3078613500 -W 512 -H 512 -C 7.5 -A k_lms"#,
    );
    assert_eq!(
        found.settings,
        settings("", "a \"quoted\" cat", "dog", 3_078_613_500, 50, 7.5)
    );
    assert_eq!(found.unused, ["-W", "-H", "-A"]);
}

/// The first command lines have no spaces between an option and its value.
#[test]
fn command_lines_of_several_forms() {
    for line in [
        r#""a cat [dog]" -s50 -S3078613500 -W512 -H512 -C7.5 -Ak_lms"#,
        r#""a cat [dog]" --steps 50 --seed=3078613500 --cfg_scale 7.5 -cf 0.75"#,
        r#""a cat [dog]" -s 50 -S 3078613500 -C 7.5 -U 4 0.95 -S 9"#,
    ] {
        let found = reading("Dream", line);
        assert_eq!(
            found.settings,
            settings("", "a cat", "dog", 3_078_613_500, 50, 7.5),
            "{line}"
        );
    }
}

#[test]
fn a_graph_alone_is_said_not_to_be_read() {
    let file = crate::support::png(&[crate::support::text("invokeai_graph", b"{\"nodes\": {}}")]);
    let error = read(&file).unwrap_err();
    let ReadError::Unreadable { generator, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(generator, Generator::InvokeAi);
}
