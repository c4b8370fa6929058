//! Weights of 16 bits behind a cast to float32, as graphs hold them that point into the authors' own files.

use half::{bf16, f16};
use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::weights::Bytes;
use onnx_gpu::{Cost, Session, Tensor, dry_cost_beside};

use super::encode::{attribute, external, info, ints, longs, model, node, node_with, raw};
use super::options;

/// ONNX's numbers of float16 and bfloat16.
const CODES: [i64; 2] = [10, 16];

/// Element `i` of every weight here: small integers, exact in 16 bits of either kind.
fn value(i: usize) -> f32 {
    (i * 7 % 23) as f32 - 11.0
}

fn bytes(code: i64, values: impl Iterator<Item = f32>) -> Vec<u8> {
    let two = |x: f32| match code {
        10 => f16::from_f32(x).to_le_bytes(),
        _ => bf16::from_f32(x).to_le_bytes(),
    };
    values.flat_map(two).collect()
}

fn widened() -> Vec<u8> {
    node_with("", "Cast", &["w"], "wide", &[attribute("to", 1)])
}

fn run(graph: &[u8], x: Tensor) -> Vec<f32> {
    let session = Session::from_bytes_blocking(graph, options()).unwrap();
    session.run_blocking(&[("x", x)]).unwrap()[0].1.to_f32_vec()
}

fn small(shape: &[usize]) -> Tensor {
    let n = shape.iter().product();
    Tensor::f32(shape, (0..n).map(|i| (i % 5) as f32 - 2.0).collect()).unwrap()
}

/// The weight `[n, k]` lies by outputs, as PyTorch writes a linear layer.
fn linear([rows, k, n]: [usize; 3], weight: Vec<u8>) -> Vec<u8> {
    model(&[
        widened(),
        node("Transpose", &["wide"], "turned"),
        node("MatMul", &["x", "turned"], "y"),
        weight,
        info(11, "x", 1, &[1, rows, k]),
        info(12, "y", 1, &[1, rows, n]),
    ])
}

fn by_outputs(x: &[f32], k: usize, n: usize) -> Vec<f32> {
    let row = |row: &[f32]| -> Vec<f32> {
        let sum = |j: usize| (0..k).map(|i| row[i] * value(j * k + i)).sum();
        (0..n).map(sum).collect()
    };
    x.chunks(k).flat_map(row).collect()
}

#[test]
fn a_linear_layer_reads_its_weight_turned_or_not() {
    // The second weight is so large that it is read through strides.
    for (k, n) in [(301, 207), (1031, 641)] {
        for code in CODES {
            let data = bytes(code, (0..k * n).map(value));
            let x = small(&[1, 3, k]);
            let graph = linear([3, k, n], raw("w", &[n, k], code, &data));
            let expected = by_outputs(x.as_f32().unwrap(), k, n);
            assert_eq!(run(&graph, x), expected, "{code} {k} {n}");
            let gemm = model(&[
                widened(),
                node_with("", "Gemm", &["x", "wide"], "y", &[attribute("transB", 1)]),
                raw("w", &[n, k], code, &data),
                info(11, "x", 1, &[3, k]),
                info(12, "y", 1, &[3, n]),
            ]);
            assert_eq!(run(&gemm, small(&[3, k])), expected, "{code} {k} {n}");
        }
    }
}

#[test]
fn slices_and_turned_rows_of_large_weights_are_read_where_they_lie() {
    let (k, n, from) = (1031, 641, 130);
    for code in CODES {
        let data = bytes(code, (0..k * n).map(value));
        let graph = model(&[
            node("Slice", &["w", "start", "end", "axis"], "part"),
            node_with("", "Cast", &["part"], "wide", &[attribute("to", 1)]),
            node("Transpose", &["wide"], "turned"),
            node("MatMul", &["x", "turned"], "y"),
            // The same rows by way of a gather and a sum, which read words.
            node("Gather", &["turned", "indices"], "rows"),
            node("Transpose", &["rows"], "columns"),
            node("Add", &["columns", "one"], "z"),
            raw("w", &[n, k], code, &data),
            longs("start", &[from as i64]),
            longs("end", &[1 << 30]),
            longs("axis", &[0]),
            longs("indices", &[7, 0, -1]),
            raw("one", &[1], 1, &1f32.to_le_bytes()),
            info(11, "x", 1, &[1, k]),
            info(12, "y", 1, &[1, n - from]),
            info(12, "z", 1, &[n - from, 3]),
        ]);
        let session = Session::from_bytes_blocking(&graph, options()).unwrap();
        let x = small(&[1, k]);
        let outputs = session.run_blocking(&[("x", x.clone())]).unwrap();
        let all = by_outputs(x.as_f32().unwrap(), k, n);
        assert_eq!(outputs[0].1.to_f32_vec(), all[from..]);
        let element = |row: usize, column: usize| value((row + from) * k + column) + 1.0;
        let rows: Vec<f32> = (0..n - from)
            .flat_map(|row| [7, 0, k - 1].map(|column| element(row, column)))
            .collect();
        assert_eq!(outputs[1].1.to_f32_vec(), rows);
    }
}

#[test]
fn embeddings_and_convolutions_read_16_bits() {
    let (rows, width) = (1200, 33);
    let (out, channels) = (96, 48);
    for code in CODES {
        let data = bytes(code, (0..rows * width).map(value));
        let embedding = model(&[
            widened(),
            node_with("", "Gather", &["wide", "x"], "y", &[attribute("axis", 0)]),
            raw("w", &[rows, width], code, &data),
            info(11, "x", 7, &[4]),
            info(12, "y", 1, &[4, width]),
        ]);
        let ids = [1199, 0, 17, 600];
        let expected: Vec<f32> = ids
            .iter()
            .flat_map(|&id| (0..width).map(move |i| value(id as usize * width + i)))
            .collect();
        assert_eq!(
            run(&embedding, Tensor::i64([4], ids.to_vec()).unwrap()),
            expected
        );

        // One pixel under a kernel of 3 by 3 with a border: the sum is over the kernel's middle.
        let data = bytes(code, (0..out * channels * 9).map(value));
        let convolution = model(&[
            widened(),
            node_with(
                "",
                "Conv",
                &["x", "wide"],
                "y",
                &[ints("pads", &[1, 1, 1, 1])],
            ),
            raw("w", &[out, channels, 3, 3], code, &data),
            info(11, "x", 1, &[1, channels, 1, 1]),
            info(12, "y", 1, &[1, out, 1, 1]),
        ]);
        let x = small(&[1, channels, 1, 1]);
        let pixel = x.as_f32().unwrap().to_vec();
        let sum = |o: usize| {
            let terms = pixel.iter().enumerate();
            terms
                .map(|(c, x)| x * value((o * channels + c) * 9 + 4))
                .sum()
        };
        let expected: Vec<f32> = (0..out).map(sum).collect();
        assert_eq!(run(&convolution, x), expected);
    }
}

#[test]
fn a_safetensors_file_is_external_data_as_it_is() {
    let (k, n) = (301, 207);
    for code in CODES {
        let kind = if code == 10 { "F16" } else { "BF16" };
        let head = format!(
            "{{\"w\":{{\"dtype\":\"{kind}\",\"shape\":[{n},{k}],\"data_offsets\":[0,{}]}}}}",
            2 * k * n
        );
        let mut file = (head.len() as u64).to_le_bytes().to_vec();
        file.extend(head.as_bytes());
        let offset = file.len() as u64;
        file.extend(bytes(code, (0..k * n).map(value)));
        let weight = external("w", &[n, k], code, "unet/w.safetensors", offset);
        let graph = linear([1, k, n], weight);
        let files = Bytes::new().file("unet/w.safetensors", &file);
        let session = Session::load_blocking(&graph, &files, options()).unwrap();
        let x = small(&[1, 1, k]);
        let y = session.run_blocking(&[("x", x.clone())]).unwrap();
        let expected = by_outputs(x.as_f32().unwrap(), k, n);
        assert_eq!(y[0].1.to_f32_vec(), expected);
    }
}

#[test]
fn arithmetic_on_bfloat16_is_refused_by_name() {
    let graph = model(&[
        node("Add", &["x", "w"], "y"),
        raw("w", &[1], 16, &bytes(16, [1.0].into_iter())),
        info(11, "x", 16, &[4]),
        info(12, "y", 16, &[4]),
    ]);
    let error = Session::from_bytes_blocking(&graph, options()).unwrap_err();
    assert_eq!(error.kind(), onnx_gpu::ErrorKind::UnsupportedOp);
    assert!(error.to_string().contains("bfloat16"), "{error}");
}

/// The cost of a run, where the weights lie in a file that nobody reads.
fn cost(graph: &[u8], class: AdapterClass) -> Cost {
    dry_cost_beside(graph, &Bytes::new(), class, &|_, _| 64).unwrap()
}

#[test]
fn the_device_holds_large_weights_once_and_in_16_bits() {
    let (k, n) = (1024, 1536);
    let weight = (k * n * 2) as u64;
    for class in [AdapterClass::Hardware, AdapterClass::Software] {
        for code in CODES {
            let place = || external("w", &[n, k], code, "w.safetensors", 8);
            // As many rows as a request makes: what is prepared would lie beside the weight for good.
            let turned = cost(&linear([0, k, n], place()), class);
            let working = (64 * (k + n) * 4) as u64;
            assert!(turned.load_bytes <= weight + working, "{turned:?}");
            assert!(turned.total_bytes >= weight, "{turned:?}");
            assert_eq!(turned.dispatches, 1);
            let gemm = model(&[
                widened(),
                node_with("", "Gemm", &["x", "wide"], "y", &[attribute("transB", 1)]),
                place(),
                info(11, "x", 1, &[0, k]),
                info(12, "y", 1, &[0, n]),
            ]);
            assert!(cost(&gemm, class).load_bytes <= weight + working);
            let rows = model(&[
                widened(),
                node_with("", "Gather", &["wide", "x"], "y", &[attribute("axis", 0)]),
                place(),
                info(11, "x", 7, &[0]),
                info(12, "y", 1, &[0, k]),
            ]);
            assert!(cost(&rows, class).load_bytes <= weight + (64 * (k + 1) * 4) as u64);
            let convolution = model(&[
                widened(),
                node("Conv", &["x", "wide"], "y"),
                external("w", &[n, k, 1, 1], code, "w.safetensors", 8),
                info(11, "x", 1, &[1, k, 0, 1]),
                info(12, "y", 1, &[1, n, 0, 1]),
            ]);
            assert!(cost(&convolution, class).load_bytes <= weight + working);
        }
    }
    // The same graph with 32 bits takes twice the room.
    let place = external("w", &[n, k], 1, "w.safetensors", 8);
    let wide = model(&[
        node_with("", "Gemm", &["x", "w"], "y", &[attribute("transB", 1)]),
        place,
        info(11, "x", 1, &[64, k]),
        info(12, "y", 1, &[64, n]),
    ]);
    let wide = dry_cost_beside(&wide, &Bytes::new(), AdapterClass::Hardware, &|_, _| 1).unwrap();
    assert!(wide.total_bytes >= 2 * weight);
}
