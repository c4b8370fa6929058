//! Tables of tiles: measured once, kept by the caller, and without influence on results.

use std::collections::HashMap;
use std::sync::Mutex;

use onnx_gpu::gpu::TileStore;
use onnx_gpu::kernels::Tiles;
use onnx_gpu::{AdapterChoice, Gpu, Options, Result, Session, Tensor};

use super::encode::{floats, info, model, node};

#[derive(Default)]
struct Kept {
    tables: Mutex<HashMap<String, String>>,
    saved: Mutex<usize>,
}

impl TileStore for Kept {
    fn load(&self, key: &str) -> Option<String> {
        self.tables.lock().unwrap().get(key).cloned()
    }

    fn save(&self, key: &str, tiles: &str) -> Result<()> {
        *self.saved.lock().unwrap() += 1;
        let mut tables = self.tables.lock().unwrap();
        tables.insert(key.to_owned(), tiles.to_owned());
        Ok(())
    }
}

fn open() -> Gpu {
    pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap()
}

/// `y[i][j] = Σ_k x[i][k] · w[k][j]` with small integers, which are exact in any order.
fn product(gpu: &Gpu) -> Vec<f32> {
    let (m, n, k) = (70, 130, 33);
    let weights: Vec<f32> = (0..k * n).map(|i| (i % 7) as f32 - 3.0).collect();
    let x: Vec<f32> = (0..m * k).map(|i| (i % 5) as f32 - 2.0).collect();
    let bytes = model(&[
        node("MatMul", &["x", "w"], "y"),
        floats("w", &[k, n], &weights),
        info(11, "x", 1, &[m, k]),
        info(12, "y", 1, &[m, n]),
    ]);
    let options = Options::default().with_gpu(gpu.clone());
    let session = Session::from_bytes_blocking(&bytes, options).unwrap();
    let outputs = session
        .run_blocking(&[("x", Tensor::f32([m, k], x.clone()).unwrap())])
        .unwrap();
    let got = outputs[0].1.as_f32().unwrap().to_vec();
    let expected: Vec<f32> = (0..m * n)
        .map(|at| {
            (0..k)
                .map(|i| x[at / n * k + i] * weights[i * n + at % n])
                .sum()
        })
        .collect();
    assert_eq!(got, expected);
    got
}

#[test]
fn a_measured_table_is_kept_and_used_again() {
    let kept = Kept::default();
    let gpu = open();
    let before = product(&gpu);
    let measured = pollster::block_on(gpu.tune(&kept)).unwrap();
    assert_eq!(gpu.tiles(), measured);
    assert_eq!(measured.class(), gpu.class());
    let key = {
        let tables = kept.tables.lock().unwrap();
        let (key, text) = tables.iter().next().unwrap();
        assert_eq!(text.parse::<Tiles>().unwrap(), measured);
        assert!(key.contains(&gpu.info().name), "{key}");
        key.clone()
    };
    assert_eq!(product(&gpu), before);

    let again = open();
    assert_eq!(pollster::block_on(again.tune(&kept)).unwrap(), measured);
    assert_eq!(*kept.saved.lock().unwrap(), 1);

    // What is not a table is measured anew, not believed.
    kept.save(&key, "Software direct4096x64").unwrap();
    assert_eq!(
        pollster::block_on(open().tune(&kept)).unwrap().class(),
        gpu.class()
    );
    assert_eq!(*kept.saved.lock().unwrap(), 3);
}
