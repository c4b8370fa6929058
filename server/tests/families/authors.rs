//! What packages of authors' folders hold, and what is refused of them.

use super::*;

pub(super) fn copied(from: &Path) -> tempfile::TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (path, name) = entry
                .map(|entry| (entry.path(), entry.file_name()))
                .unwrap();
            if path.is_dir() {
                copy(&path, &to.join(name));
            } else {
                fs::copy(&path, to.join(name)).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(from, &dir.path().join(from.file_name().unwrap()));
    dir
}

pub(super) fn authors(name: &str) -> Case {
    let cases = goldens::cases();
    cases.into_iter().find(|case| case.name == name).unwrap()
}

/// The weights lie in the package byte for byte, each file once: those of 16 bits, and all of several.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn packages_hold_the_authors_files_as_they_are() {
    for (name, expected) in [
        (
            "sd15-fp16-plain",
            [
                ("text_encoder", "model.fp16.safetensors"),
                ("unet", "diffusion_pytorch_model.fp16.safetensors"),
                ("vae", "diffusion_pytorch_model.fp16.safetensors"),
            ],
        ),
        (
            "sdxl-absent",
            [
                ("text_encoder_2", "model.safetensors"),
                ("unet", "diffusion_pytorch_model-00001-of-"),
                ("vae", "diffusion_pytorch_model.safetensors"),
            ],
        ),
    ] {
        let case = authors(name);
        let packages = Packages::from(std::slice::from_ref(&case), From::Author);
        let package = packages.open(&case);
        let dir = packages.dir.path().join(id(&case).replace('/', "--"));
        // In main memory too, where files go once they are not needed any more: two graphs read the autoencoder's.
        let read = |file: &FileEntry| (file.name.clone(), fs::read(dir.join(&file.name)).unwrap());
        let held = Package::from_files(
            &fs::read(dir.join("manifest.json")).unwrap(),
            package.manifest.files().map(read).collect(),
        );
        block_on(Pipeline::load(held.unwrap(), &CpuEngine::new())).unwrap();
        let weights = package
            .manifest
            .files()
            .filter(|file| file.name.ends_with(".safetensors"));
        let mut found = 0;
        for file in weights {
            let (folder, own) = file.name.split_once('.').unwrap();
            let theirs = fs::read(case.author().unwrap().join(folder).join(own)).unwrap();
            assert!(
                fs::read(dir.join(&file.name)).unwrap() == theirs,
                "{}",
                file.name
            );
            let said = &packages.made[&case.folder()];
            assert!(said.contains(&file.sha256), "{said}");
            found += 1;
        }
        for (folder, own) in expected {
            let begins = format!("{folder}.{own}");
            let mut files = package.manifest.files();
            assert!(files.any(|file| file.name.starts_with(&begins)), "{begins}");
        }
        let halves = package
            .manifest
            .files()
            .filter(|file| file.name.contains("fp16"))
            .count();
        assert!(
            found >= 3 && (halves == 0 || halves == found),
            "{found}, {halves}"
        );
    }
}

/// Rewrites the header of a safetensors file, and appends to its data.
pub(super) fn rewritten(path: &Path, more: &[u8], change: impl Fn(&mut serde_json::Value)) {
    let bytes = fs::read(path).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: serde_json::Value = serde_json::from_slice(header).unwrap();
    change(&mut header);
    // Filled up as safetensors does it, so that numbers lie where they can be read in one go.
    let mut header = header.to_string();
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    let length = (header.len() as u64).to_le_bytes();
    fs::write(path, [&length[..], header.as_bytes(), data, more].concat()).unwrap();
}

/// Names and shapes that checkpoints have had in other years: of the autoencoder's attention, of the text encoder's module, and a
/// buffer of numbers in it.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn checkpoints_of_other_years_make_the_same_picture() {
    let case = authors("sd15-plain");
    let dir = copied(&case.author().unwrap());
    let folder = dir.path().join("sd15");
    rewritten(
        &folder.join("vae/diffusion_pytorch_model.safetensors"),
        &[],
        |header| {
            for side in ["decoder", "encoder"] {
                for (new, old) in [
                    ("to_q", "query"),
                    ("to_k", "key"),
                    ("to_v", "value"),
                    ("to_out.0", "proj_attn"),
                ] {
                    for kind in ["weight", "bias"] {
                        let name =
                            |layer: &str| format!("{side}.mid_block.attentions.0.{layer}.{kind}");
                        let mut entry = header.as_object_mut().unwrap().remove(&name(new)).unwrap();
                        if kind == "weight" {
                            let shape = entry["shape"].as_array_mut().unwrap();
                            shape.extend([1.into(), 1.into()]);
                        }
                        header[name(old)] = entry;
                    }
                }
            }
        },
    );
    let places: Vec<u8> = (0..77i64).flat_map(i64::to_le_bytes).collect();
    rewritten(
        &folder.join("text_encoder/model.safetensors"),
        &places,
        |header| {
            let all = std::mem::take(header.as_object_mut().unwrap());
            let mut end = 0;
            for (name, entry) in all {
                if name == "__metadata__" {
                    continue;
                }
                end = end.max(entry["data_offsets"][1].as_u64().unwrap());
                header[format!("text_model.{name}")] = entry;
            }
            header["text_model.embeddings.position_ids"] = serde_json::json!({"dtype": "I64", "shape": [1, 77], "data_offsets": [end, end + 8 * 77]});
        },
    );
    let models = tempfile::tempdir().unwrap();
    add(models.path(), &folder, &[]).unwrap();
    let package = Package::from_dir(&models.path().join("test--sd15")).unwrap();
    let pipeline = block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
    let golden = case.golden();
    let (made, _) = run(&pipeline, &case, &golden);
    let difference = made.max_difference(&picture(&golden, "image")).unwrap();
    assert!(difference <= TOLERANCE, "{difference} of 255");
}

/// Configurations and weights that are others make other pictures.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn other_networks_make_other_pictures() {
    type Change = fn(&Path);
    fn set(path: &Path, name: &str, value: serde_json::Value) {
        let mut config: serde_json::Value = goldens::json(path);
        assert_ne!(config[name], value, "{name}");
        config[name] = value;
        fs::write(path, config.to_string()).unwrap();
    }
    /// Exchanges the names of two weights.
    fn swap(path: &Path, one: &str, other: &str) {
        rewritten(path, &[], |header| {
            let first = header[one].take();
            assert!(first.is_object(), "{one}");
            header[one] = header[other].take();
            header[other] = first;
        });
    }
    let changes: [(&str, &str, Change); 9] = [
        ("heads", "sd15-plain", |dir| {
            set(
                &dir.join("unet/config.json"),
                "attention_head_dim",
                2.into(),
            )
        }),
        ("order of waves", "sd15-plain", |dir| {
            set(
                &dir.join("unet/config.json"),
                "flip_sin_to_cos",
                false.into(),
            )
        }),
        ("frequencies", "sd15-plain", |dir| {
            set(&dir.join("unet/config.json"), "freq_shift", 1.into())
        }),
        ("groups", "sd15-plain", |dir| {
            set(&dir.join("vae/config.json"), "norm_num_groups", 2.into())
        }),
        ("scale", "sd15-plain", |dir| {
            set(&dir.join("vae/config.json"), "scaling_factor", 1.0.into())
        }),
        ("function", "sd15-plain", |dir| {
            set(
                &dir.join("text_encoder/config.json"),
                "hidden_act",
                "relu".into(),
            )
        }),
        // That of the padding: of many equal ids the first one counts, on both engines.
        ("pooling", "sdxl-square", |dir| {
            set(
                &dir.join("text_encoder_2/config.json"),
                "eos_token_id",
                0.into(),
            )
        }),
        ("keys and queries", "sd15-plain", |dir| {
            let attention = "up_blocks.1.attentions.0.transformer_blocks.0.attn2";
            let path = dir.join("unet/diffusion_pytorch_model.safetensors");
            swap(
                &path,
                &format!("{attention}.to_k.weight"),
                &format!("{attention}.to_v.weight"),
            );
        }),
        ("halves of a block", "sd15-plain", |dir| {
            let path = dir.join("vae/diffusion_pytorch_model.safetensors");
            swap(
                &path,
                "decoder.mid_block.resnets.0.conv1.weight",
                "decoder.mid_block.resnets.0.conv2.weight",
            );
        }),
    ];
    for (what, name, change) in changes {
        let case = authors(name);
        let golden = case.golden();
        let dir = copied(&case.author().unwrap());
        let folder = dir.path().join(case.author().unwrap().file_name().unwrap());
        change(&folder);
        let models = tempfile::tempdir().unwrap();
        add(models.path(), &folder, &[]).unwrap();
        let package = Package::from_dir(&models.path().join(id(&case).replace('/', "--"))).unwrap();
        let pipeline = block_on(Pipeline::load(package, &CpuEngine::new())).unwrap();
        let (made, _) = run(&pipeline, &case, &golden);
        let difference = made.max_difference(&picture(&golden, "image")).unwrap();
        println!("{what}: {difference} of 255");
        assert!(difference > 2 * TOLERANCE, "{what}: {difference} of 255");
    }
}

/// What is not what its configuration says is refused by name, and nothing is left behind.
#[test]
#[ignore = "needs FAMILIES, a folder that `cargo xtask fixtures` prints"]
fn what_cannot_be_built_is_refused_by_name() {
    fn config(dir: &Path, change: impl Fn(&mut serde_json::Value)) {
        let path = dir.join("unet/config.json");
        let mut config: serde_json::Value = goldens::json(&path);
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }
    type Change = fn(&Path);
    let changes: [(&str, Change); 7] = [
        ("twist", |dir| config(dir, |c| c["twist"] = 1.into())),
        ("resnet_time_scale_shift", |dir| {
            config(dir, |c| c["resnet_time_scale_shift"] = "scale_shift".into())
        }),
        ("AttnDownBlock2D", |dir| {
            config(dir, |c| c["down_block_types"][0] = "AttnDownBlock2D".into())
        }),
        ("UNet3DConditionModel", |dir| {
            config(dir, |c| c["_class_name"] = "UNet3DConditionModel".into())
        }),
        ("nothing reads mid_block", |dir| {
            config(dir, |c| c["mid_block_type"] = serde_json::Value::Null)
        }),
        ("the weights lack down_blocks.0.resnets.1", |dir| {
            config(dir, |c| c["layers_per_block"] = 2.into())
        }),
        ("a pickle", |dir| {
            let unet = dir.join("unet");
            fs::rename(
                unet.join("diffusion_pytorch_model.safetensors"),
                unet.join("diffusion_pytorch_model.bin"),
            )
            .unwrap();
        }),
    ];
    let author = authors("sd15-plain").author().unwrap();
    for (said, change) in changes {
        let dir = copied(&author);
        let folder = dir.path().join(author.file_name().unwrap());
        change(&folder);
        let models = tempfile::tempdir().unwrap();
        let error = add(models.path(), &folder, &[]).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
        assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0, "{said}");
    }
}
