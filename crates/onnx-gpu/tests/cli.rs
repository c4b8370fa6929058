//! The command line: what it prints and how it exits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "models/encode.rs"]
#[allow(dead_code)]
mod encode;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use encode::{field, info, model, node};
use onnx_gpu::{DType, Tensor, npy};

/// A folder of this test's own with the files of a model `y = x`.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("onnx-gpu-cli-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let graph = model(&[
            node("Identity", &["x"], "y"),
            info(11, "x", 1, &[3]),
            info(12, "y", 1, &[3]),
        ]);
        std::fs::write(folder.join("model.onnx"), graph).unwrap();
        Self(folder)
    }

    fn tensor(&self, name: &str, tensor: &Tensor) -> String {
        let path = self.0.join(format!("{name}.npy"));
        std::fs::write(&path, npy::write(tensor)).unwrap();
        path.display().to_string()
    }

    fn compare(&self, expected: &Tensor, options: &[&str]) -> (Option<i32>, String) {
        let x = Tensor::f32([3], vec![1.0, 2.0, 3.0]).unwrap();
        let (x, y) = (self.tensor("x", &x), self.tensor("y", expected));
        let output = Command::new(env!("CARGO_BIN_EXE_onnx-gpu"))
            .arg("compare")
            .arg(self.0.join("model.onnx"))
            .args(["--input", &format!("x={x}"), "--expect", &format!("y={y}")])
            .args(options)
            .output()
            .unwrap();
        (output.status.code(), text(&output))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn compare_exits_with_1_where_anything_differs() {
    let folder = Folder::new("compare");
    let of = |v: [f32; 3]| Tensor::f32([3], v.to_vec()).unwrap();
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let (code, said) = folder.compare(&of([inf, 2.0, -inf]), &["--rtol", "1e-6"]);
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with("y: FAIL") && said.contains("2 of 3 elements"),
        "{said}"
    );
    assert_eq!(
        folder.compare(&of([1.0, nan, 3.0]), &["--atol", "1e30"]).0,
        Some(1)
    );
    let same = of([1.0, 2.0, 3.0]);
    assert_eq!(folder.compare(&same, &[]).0, Some(0));
    assert_eq!(
        folder.compare(&same.reshaped([1, 3]).unwrap(), &[]).0,
        Some(1)
    );
    assert_eq!(folder.compare(&same.cast(DType::I32), &[]).0, Some(1));
    // No output of that name, and no tolerance.
    let other = folder.tensor("z", &same);
    assert_eq!(
        folder
            .compare(&same, &["--expect", &format!("z={other}")])
            .0,
        Some(2)
    );
    for wrong in ["nan", "inf", "-1", "much"] {
        assert_eq!(
            folder.compare(&same, &[&format!("--rtol={wrong}")]).0,
            Some(2),
            "{wrong}"
        );
    }
}

fn told_about(path: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_onnx-gpu"))
        .arg("info")
        .arg(path)
        .output();
    let output = output.unwrap();
    assert!(output.status.success());
    text(&output)
}

#[test]
fn info_looks_into_branches() {
    let folder = Folder::new("info");
    let branch = |name: &str, op: &str| {
        let body = [node(op, &["x"], "r"), field(12, &field(1, b"r"))].concat();
        field(
            5,
            &[field(1, name.as_bytes()), field(6, &body), vec![0xa0, 1, 5]].concat(),
        )
    };
    let body = [
        field(1, b"c"),
        field(2, b"y"),
        field(4, b"If"),
        branch("then_branch", "Relu"),
        branch("else_branch", "Conjure"),
    ];
    let graph = model(&[
        field(1, &body.concat()),
        info(11, "x", 1, &[3]),
        info(11, "c", 9, &[1]),
        info(12, "y", 1, &[3]),
    ]);
    let path = folder.0.join("branches.onnx");
    std::fs::write(&path, graph).unwrap();
    let said = told_about(&path);
    assert!(said.contains("3 nodes (2 of them in branches)"), "{said}");
    assert!(
        said.contains("Conjure  NOT SUPPORTED") && said.contains("Relu\n"),
        "{said}"
    );
    assert!(said.contains("unsupported operators: 1"), "{said}");
}
