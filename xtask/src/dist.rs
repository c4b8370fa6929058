//! `dist/`: Trunk's output, optimised, named after its content, and compressed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::compress;
use crate::process::run;
use crate::stamp::{hash_tree, hex_sha256};

/// Features of WebAssembly that the compiler uses; wasm-opt must accept and may use them.
pub const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
    "--enable-simd",
];

/// Addresses of the client files, as the server reads them.
#[derive(Default, Serialize, Deserialize)]
struct Assets {
    client_js: String,
    client_wasm: String,
    worker_js: String,
    worker_wasm: String,
    cpu_worker_js: String,
    cpu_worker_wasm: String,
    css: String,
}

/// Makes `dist` from Trunk's output, at once: readers see the old or the new folder, never a mixture.
/// With a path to wasm-opt the modules are optimised and everything is compressed. `more` adds files to the new
/// folder, given the address of the style sheet.
pub fn assemble(
    staging: &Path,
    dist: &Path,
    wasm_opt: Option<&Path>,
    more: impl FnOnce(&Path, &str) -> Result<()>,
) -> Result<()> {
    let new = dist.with_extension("new");
    clear(&new)?;
    fs::create_dir_all(&new)?;
    let mut rest = files_below(staging)?;
    let mut assets = Assets::default();
    // The client's pages wait for it: small; the workers compute for seconds: fast.
    (assets.client_js, assets.client_wasm) = bundle(staging, &new, "client", wasm_opt, "-Os", "")?;
    let start = "\nwasm_bindgen({ module_or_path: new URL(\"{wasm}\", self.location) }).catch(reportError);\n";
    (assets.worker_js, assets.worker_wasm) =
        bundle(staging, &new, "render-worker", wasm_opt, "-O3", start)?;
    (assets.cpu_worker_js, assets.cpu_worker_wasm) =
        bundle(staging, &new, "cpu-worker", wasm_opt, "-O3", start)?;
    let css = read(&staging.join("main.css"))?;
    assets.css = write_hashed(&new, "style", "css", &css)?;
    more(&new, &assets.css)?;
    let done = [
        "client.js",
        "client_bg.wasm",
        "render-worker.js",
        "render-worker_bg.wasm",
        "cpu-worker.js",
        "cpu-worker_bg.wasm",
        "main.css",
        "index.html",
    ];
    rest.retain(|file| !done.iter().any(|name| file == Path::new(name)));
    for file in rest {
        let to = new.join(&file);
        fs::create_dir_all(to.parent().unwrap_or(&new))?;
        fs::copy(staging.join(&file), &to)
            .with_context(|| format!("copying {}", file.display()))?;
    }
    if wasm_opt.is_some() {
        for file in files_below(&new)? {
            compress::beside(&new.join(file))?;
        }
    }
    fs::write(
        new.join("assets.json"),
        serde_json::to_string_pretty(&assets)?,
    )?;
    let old = dist.with_extension("old");
    clear(&old)?;
    if dist.exists() {
        fs::rename(dist, &old).context("moving the old dist away")?;
    }
    fs::rename(&new, dist).context("putting the new dist in place")?;
    clear(&old)
}

/// Hash over names and contents; empty where there is no finished `dist`.
pub fn fingerprint(dist: &Path) -> Result<String> {
    match (dist.parent(), dist.file_name()) {
        (Some(parent), Some(name)) if dist.join("assets.json").is_file() => {
            hash_tree(parent, &[&name.to_string_lossy()], &[])
        }
        _ => Ok(String::new()),
    }
}

/// Prints what a visitor downloads.
pub fn print_sizes(dist: &Path) -> Result<()> {
    let assets: Assets = serde_json::from_slice(&read(&dist.join("assets.json"))?)?;
    let rows = BTreeMap::from([
        (
            "main bundle (js + wasm)",
            vec![&assets.client_js, &assets.client_wasm],
        ),
        (
            "render worker (js + wasm)",
            vec![&assets.worker_js, &assets.worker_wasm],
        ),
        (
            "CPU worker (js + wasm)",
            vec![&assets.cpu_worker_js, &assets.cpu_worker_wasm],
        ),
        ("style sheet", vec![&assets.css]),
    ]);
    println!("{:<28}{:>12}{:>12}", "client size in kB", "plain", "brotli");
    for (name, files) in rows {
        let sum = |suffix: &str| -> Option<u64> {
            let sizes = files.iter().map(|file| {
                fs::metadata(dist.join(format!("{}{suffix}", file.trim_start_matches('/'))))
            });
            sizes.map(|size| size.ok().map(|size| size.len())).sum()
        };
        let show = |size: Option<u64>| {
            size.map_or("-".to_owned(), |size| format!("{:.1}", size as f64 / 1e3))
        };
        println!("  {name:<26}{:>12}{:>12}", show(sum("")), show(sum(".br")));
    }
    Ok(())
}

/// Writes the two files of a wasm-bindgen module; returns the addresses of script and module.
/// `{wasm}` in `start`, which is appended to the script, becomes the module's name.
fn bundle(
    from: &Path,
    to: &Path,
    name: &str,
    wasm_opt: Option<&Path>,
    level: &str,
    start: &str,
) -> Result<(String, String)> {
    let module = from.join(format!("{name}_bg.wasm"));
    let wasm = match wasm_opt {
        None => read(&module)?,
        Some(program) => {
            let out = module.with_extension("opt.wasm");
            run(Command::new(program)
                .arg(level)
                .args(WASM_FEATURES)
                .arg("-o")
                .arg(&out)
                .arg(&module))?;
            let wasm = read(&out)?;
            fs::remove_file(&out)?;
            wasm
        }
    };
    let wasm = write_hashed(to, name, "wasm", &wasm)?;
    let script = String::from_utf8(read(&from.join(format!("{name}.js")))?).context("script")?;
    let plain = format!("{name}_bg.wasm");
    if !script.contains(&plain) && start.is_empty() {
        bail!("{name}.js does not name {plain}");
    }
    let file = wasm.trim_start_matches('/');
    let script = script.replace(&plain, file) + &start.replace("{wasm}", file);
    Ok((write_hashed(to, name, "js", script.as_bytes())?, wasm))
}

/// Writes `name-<hash>.extension`; returns its address.
pub fn write_hashed(folder: &Path, name: &str, extension: &str, bytes: &[u8]) -> Result<String> {
    let hash = hex_sha256(bytes);
    let file = format!("{name}-{}.{extension}", &hash[..16]);
    fs::write(folder.join(&file), bytes).with_context(|| format!("writing {file}"))?;
    Ok(format!("/{file}"))
}

/// A file's bytes.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inner))
            .with_context(|| format!("reading {}", folder.display()))?
        {
            let entry = entry?;
            let path = inner.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn staging(folder: &Path, wasm: &str) -> PathBuf {
        let staging = folder.join("staging");
        fs::create_dir_all(staging.join("icons")).unwrap();
        for name in ["client", "render-worker", "cpu-worker"] {
            fs::write(
                staging.join(format!("{name}.js")),
                format!("fetch('{name}_bg.wasm')"),
            )
            .unwrap();
            fs::write(staging.join(format!("{name}_bg.wasm")), wasm).unwrap();
        }
        for name in ["main.css", "index.html", "robots.txt", "icons/hub.svg"] {
            fs::write(staging.join(name), name).unwrap();
        }
        staging
    }

    fn assets(dist: &Path) -> Assets {
        serde_json::from_slice(&fs::read(dist.join("assets.json")).unwrap()).unwrap()
    }

    #[test]
    fn names_follow_content_and_scripts_name_their_modules() {
        let folder = tempfile::tempdir().unwrap();
        let dist = folder.path().join("dist");
        assemble(&staging(folder.path(), "one"), &dist, None, |_, _| Ok(())).unwrap();
        let first = assets(&dist);
        assert!(
            first.client_wasm.starts_with("/client-"),
            "{}",
            first.client_wasm
        );
        for (script, module) in [
            (&first.client_js, &first.client_wasm),
            (&first.worker_js, &first.worker_wasm),
            (&first.cpu_worker_js, &first.cpu_worker_wasm),
        ] {
            let script = fs::read_to_string(dist.join(&script[1..])).unwrap();
            assert!(
                script.contains(&format!("fetch('{}')", &module[1..])),
                "{script}"
            );
            assert_eq!(fs::read_to_string(dist.join(&module[1..])).unwrap(), "one");
        }
        let worker = fs::read_to_string(dist.join(&first.worker_js[1..])).unwrap();
        assert!(worker.contains("wasm_bindgen({ module_or_path"), "{worker}");
        assert!(dist.join("robots.txt").is_file() && dist.join("icons/hub.svg").is_file());
        assert!(!dist.join("index.html").exists());

        let before = fingerprint(&dist).unwrap();
        assemble(&staging(folder.path(), "two"), &dist, None, |_, _| Ok(())).unwrap();
        let second = assets(&dist);
        assert_ne!(first.client_wasm, second.client_wasm);
        assert_ne!(first.client_js, second.client_js);
        assert_eq!(first.css, second.css);
        assert!(!dist.join(&first.client_wasm[1..]).exists());
        assert_ne!(fingerprint(&dist).unwrap(), before);
    }

    #[test]
    fn a_missing_module_leaves_the_old_dist() {
        let folder = tempfile::tempdir().unwrap();
        let dist = folder.path().join("dist");
        let staging = staging(folder.path(), "one");
        assemble(&staging, &dist, None, |_, _| Ok(())).unwrap();
        let before = fingerprint(&dist).unwrap();
        fs::remove_file(staging.join("render-worker_bg.wasm")).unwrap();
        assert!(assemble(&staging, &dist, None, |_, _| Ok(())).is_err());
        assert_eq!(fingerprint(&dist).unwrap(), before);
    }
}
