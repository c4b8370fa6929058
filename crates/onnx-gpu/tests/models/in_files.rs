//! Constants that stay in their files: what a run gives is what it gives with all of them on the device, bit for bit, and the device
//! holds less.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use half::{bf16, f16};
use onnx_gpu::weights::Reading;
use onnx_gpu::{
    AdapterChoice, ErrorKind, Gpu, Options, Session, Stats, Tensor, WeightSource, dry_cost_within,
};

use super::encode::{attribute, external, floats, info, ints, longs, model, node, node_with};

/// The file of all weights here.
const FILE: &str = "weights.bin";
/// What kernels' parameters take, which no plan counts.
const PARAMETERS: u64 = 64 << 10;

/// Files in memory that are there after a moment, as those of a browser are, and that count what is read.
#[derive(Default)]
struct Slow {
    files: Mutex<HashMap<String, Vec<u8>>>,
    read: AtomicU64,
    /// No moment: what is planned without a device waits for nothing.
    at_once: AtomicBool,
}

/// Ready when asked the second time.
struct Moment(bool);

impl Future for Moment {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl WeightSource for Slow {
    fn size<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        let size = self.files.lock().unwrap()[file].len() as u64;
        Box::pin(async move { Ok(size) })
    }

    fn read<'a>(&'a self, file: &'a str, offset: u64, length: usize) -> Reading<'a, Cow<'a, [u8]>> {
        Box::pin(async move {
            Moment(self.at_once.load(Relaxed)).await;
            if file == FILE {
                self.read.fetch_add(length as u64, Relaxed);
            }
            let gone = || onnx_gpu::Error::new(ErrorKind::Io, "the file is gone");
            let files = self.files.lock().unwrap();
            let start = offset as usize;
            let bytes = files.get(file).ok_or_else(gone)?;
            Ok(Cow::Owned(bytes[start..start + length].to_vec()))
        })
    }
}

/// A graph over weights in one file.
#[derive(Default)]
struct Built {
    parts: Vec<Vec<u8>>,
    data: Vec<u8>,
}

/// Numbers between -1 and 1 that no two weights share.
fn number(seed: usize, i: usize) -> f32 {
    let mixed = (seed * 7919 + i).wrapping_mul(2_654_435_761) % 2001;
    mixed as f32 / 1000.0 - 1.0
}

impl Built {
    fn add(&mut self, parts: impl IntoIterator<Item = Vec<u8>>) {
        self.parts.extend(parts);
    }

    fn bytes(&mut self, name: &str, dims: &[usize], code: i64, bytes: &[u8]) {
        // A weight need not begin where a row or a page does.
        self.data.extend([0xee; 4]);
        let offset = self.data.len() as u64;
        self.parts.push(external(name, dims, code, FILE, offset));
        self.data.extend_from_slice(bytes);
    }

    fn weight(&mut self, name: &str, dims: &[usize], code: i64) {
        let seed = name.bytes().map(usize::from).sum();
        let n = (0..dims.iter().product::<usize>()).map(|i| number(seed, i));
        let bytes: Vec<u8> = match code {
            1 => n.flat_map(f32::to_le_bytes).collect(),
            10 => n.flat_map(|x| f16::from_f32(x).to_le_bytes()).collect(),
            16 => n.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
            2 => n.map(|x| (x * 127.0 + 128.0) as u8).collect(),
            3 => n.map(|x| (x * 127.0) as i8 as u8).collect(),
            other => panic!("type {other}"),
        };
        self.bytes(name, dims, code, &bytes);
    }

    /// Graph and file.
    fn done(self) -> (Vec<u8>, Arc<Slow>) {
        let graph = model(&self.parts);
        let files = HashMap::from([
            (FILE.to_owned(), self.data),
            ("model.onnx".to_owned(), graph.clone()),
        ]);
        let source = Slow {
            files: files.into(),
            ..Slow::default()
        };
        (graph, Arc::new(source))
    }
}

fn gpu() -> Gpu {
    pollster::block_on(Gpu::request(&AdapterChoice::Default)).unwrap()
}

fn open(source: &Arc<Slow>, options: Options) -> onnx_gpu::Result<Session> {
    let source: Arc<dyn WeightSource> = source.clone();
    pollster::block_on(Session::open_reading(source, "model.onnx", options))
}

/// Every output's type, shape and bits.
fn bits(
    session: &Session,
    inputs: &[(&str, Tensor)],
) -> Vec<(String, onnx_gpu::DType, Vec<usize>, Vec<u32>)> {
    let outputs = session.run_blocking(inputs).unwrap();
    let outputs = outputs.into_iter().map(|(name, tensor)| {
        let values = tensor.to_f32_vec().into_iter().map(f32::to_bits).collect();
        (name, tensor.dtype(), tensor.shape().to_vec(), values)
    });
    outputs.collect()
}

/// Runs with every budget what a graph gives for each of `runs`, against all weights on the device; budgets are shares of the weights.
fn check_streamed(built: Built, runs: &[Vec<(&str, Tensor)>]) {
    let (graph, source) = built.done();
    let options = |gpu: &Gpu, weights_budget: Option<u64>| {
        Options::default()
            .with_gpu(gpu.clone())
            .with_weights_budget(weights_budget)
    };
    let own = gpu();
    let resident = Session::load_blocking(&graph, &*source, options(&own, None)).unwrap();
    let wanted: Vec<_> = runs.iter().map(|inputs| bits(&resident, inputs)).collect();
    let weights = resident.stats().weight_bytes;
    for share in [0, 2, 5, 10] {
        let own = gpu();
        let budget = weights * share / 10;
        let session = open(&source, options(&own, Some(budget))).unwrap();
        for round in 0..2 {
            for (inputs, wanted) in runs.iter().zip(&wanted) {
                source.read.store(0, Relaxed);
                let got = bits(&session, inputs);
                assert!(got == *wanted, "{share} tenths, round {round}");
                let stats = session.stats();
                // Types that the device holds as they are, so that bytes of the file are those of the device, but for whole words.
                let read = source.read.load(Relaxed);
                let brought = stats.streamed_bytes;
                assert!(brought.abs_diff(read) < 4096, "{brought} and {read}");
            }
        }
        let stats = session.stats();
        println!("{share} tenths of {weights}: {stats:?}");
        if share < 10 {
            assert!(stats.streamed_bytes > 0, "{stats:?}");
            assert!(stats.weight_bytes < weights, "{stats:?}");
        }
        let shapes: Vec<(&str, Vec<usize>)> = runs
            .last()
            .into_iter()
            .flatten()
            .map(|(name, tensor)| (*name, tensor.shape().to_vec()))
            .collect();
        let open = |name: &str, place: usize| {
            let shape = shapes.iter().find(|(input, _)| *input == name);
            shape.map_or(1, |(_, shape)| shape[place])
        };
        let class = own.class();
        source.at_once.store(true, Relaxed);
        let counted = dry_cost_within(&graph, &*source, class, Some(budget), &open).unwrap();
        source.at_once.store(false, Relaxed);
        assert_eq!(counted.streamed_bytes, stats.streamed_bytes);
        assert_eq!(counted.dispatches, stats.dispatches);
        // Plans of a session that streams are kept one at a time.
        let (held, most) = (own.stats().buffer_bytes, counted.total_bytes + PARAMETERS);
        assert!(share == 10 || held <= most, "{held}, counted {most}");
    }
}

fn x(dims: &[usize]) -> Tensor {
    let n = dims.iter().product();
    Tensor::f32(dims, (0..n).map(|i| number(1, i)).collect()).unwrap()
}

#[test]
fn products_of_every_type_of_float_are_the_same_in_turns() {
    let mut built = Built::default();
    built.weight("plain", &[256, 256], 1);
    built.weight("half", &[256, 259], 10);
    built.weight("brain", &[331, 259], 16);
    built.weight("back", &[331, 256], 1);
    built.weight("added", &[1, 70_001], 10);
    let cast = |from: &str, to: &str| node_with("", "Cast", &[from], to, &[attribute("to", 1)]);
    built.add([
        node("MatMul", &["x", "plain"], "a"),
        cast("half", "half32"),
        node("MatMul", &["a", "half32"], "b"),
        cast("brain", "brain32"),
        node_with(
            "",
            "Transpose",
            &["brain32"],
            "turned",
            &[ints("perm", &[1, 0])],
        ),
        node("MatMul", &["b", "turned"], "c"),
        node("MatMul", &["c", "back"], "d"),
        // The first one again, long after its place was taken.
        node("MatMul", &["d", "plain"], "e"),
        node("Relu", &["e"], "f"),
        cast("added", "added32"),
        node("Add", &["added32", "k"], "h"),
        info(11, "x", 1, &[0, 256]),
        info(11, "k", 1, &[1, 1]),
        info(12, "f", 1, &[0, 256]),
        info(12, "h", 1, &[1, 70_001]),
    ]);
    let k = || Tensor::f32([1, 1], vec![0.25]).unwrap();
    check_streamed(
        built,
        &[
            vec![("x", x(&[1, 256])), ("k", k())],
            vec![("x", x(&[37, 256])), ("k", k())],
        ],
    );
}

#[test]
fn products_of_blocks_are_the_same_in_turns() {
    const K: usize = 1024;
    const N: usize = 256;
    let mut built = Built::default();
    let mut from = "x".to_owned();
    for (index, (bits, zeros)) in [(4, false), (8, false), (4, true), (8, true)]
        .into_iter()
        .enumerate()
    {
        let [q, s, z, y, w] = ["q", "s", "z", "y", "w"].map(|name| format!("{name}{index}"));
        built.weight(&q, &[N, K / 32, 32 * bits / 8], 2);
        built.weight(&s, &[N * K / 32], 1);
        let mut inputs = vec![&*from, &q, &s];
        if zeros {
            built.weight(&z, &[N * K / 32 * bits / 8], 2);
            inputs.push(&z);
        }
        let attributes = [
            ("K", K as i64),
            ("N", N as i64),
            ("bits", bits as i64),
            ("block_size", 32),
        ];
        let attributes = attributes.map(|(name, value)| attribute(name, value));
        built.weight(&w, &[N, K], 10);
        let wide = format!("{w}wide");
        built.add([
            node_with("com.microsoft", "MatMulNBits", &inputs, &y, &attributes),
            node_with("", "Cast", &[&w], &wide, &[attribute("to", 1)]),
        ]);
        let next = format!("x{index}");
        built.add([node("MatMul", &[&y, &wide], &next)]);
        from = next;
    }
    built.add([
        node("Tanh", &[&from], "out"),
        info(11, "x", 1, &[0, K]),
        info(12, "out", 1, &[0, K]),
    ]);
    check_streamed(built, &[vec![("x", x(&[1, K]))], vec![("x", x(&[23, K]))]]);
}

#[test]
fn convolutions_are_the_same_in_turns() {
    let mut built = Built::default();
    built.weight("first", &[96, 64, 3, 3], 10);
    built.weight("whole", &[160, 96, 3, 3], 3);
    built.weight("point", &[192, 160, 1, 1], 1);
    built.weight("back", &[192, 64, 2, 2], 1);
    let pads = || [ints("pads", &[1, 1, 1, 1])];
    built.add([
        node_with("", "Cast", &["first"], "first32", &[attribute("to", 1)]),
        node_with("", "Conv", &["x", "first32"], "a", &pads()),
        floats("s", &[160], &[0.01; 160]),
        node_with(
            "",
            "DequantizeLinear",
            &["whole", "s"],
            "whole32",
            &[attribute("axis", 0)],
        ),
        node_with("", "Conv", &["a", "whole32"], "b", &pads()),
        node("Conv", &["b", "point"], "c"),
        node_with(
            "",
            "ConvTranspose",
            &["c", "back"],
            "y",
            &[ints("strides", &[2, 2])],
        ),
        info(11, "x", 1, &[1, 64, 9, 7]),
        info(12, "y", 1, &[1, 64, 18, 14]),
    ]);
    check_streamed(built, &[vec![("x", x(&[1, 64, 9, 7]))]]);
}

#[test]
fn what_is_prepared_of_weights_and_weights_that_are_outputs_are_the_same_in_turns() {
    let mut built = Built::default();
    built.weight("levels", &[320, 256], 3);
    built.weight("plain", &[300, 100], 1);
    built.weight("half", &[50_000], 10);
    built.add([
        floats("s", &[], &[0.02]),
        node("DequantizeLinear", &["levels", "s"], "w"),
        node("MatMul", &["x", "w"], "y"),
        node("Identity", &["plain"], "p"),
        node("Identity", &["half"], "h"),
        info(11, "x", 1, &[0, 320]),
        info(12, "y", 1, &[0, 256]),
        info(12, "p", 1, &[300, 100]),
        info(12, "h", 10, &[50_000]),
    ]);
    let (graph, source) = built.done();
    let input = || [("x", x(&[3, 320]))];
    let resident = Session::load_blocking(&graph, &*source, super::options()).unwrap();
    let streamed = open(&source, super::options().with_weights_budget(Some(0)));
    let streamed = streamed.unwrap();
    for _ in 0..2 {
        assert!(bits(&streamed, &input()) == bits(&resident, &input()));
    }
    assert_eq!(
        streamed.stats().streamed_bytes,
        320 * 256 + 120_000 + 100_000
    );
}

/// A source that is gone fails a run with its own words, and the next run goes on where it is back.
#[test]
fn a_file_that_goes_away_between_runs_is_an_error() {
    let mut built = Built::default();
    for name in ["u", "v", "w"] {
        built.weight(name, &[256, 256], 1);
    }
    built.add([
        node("MatMul", &["x", "u"], "a"),
        node("MatMul", &["a", "v"], "b"),
        node("MatMul", &["b", "w"], "y"),
        info(11, "x", 1, &[1, 256]),
        info(12, "y", 1, &[1, 256]),
    ]);
    let (_, source) = built.done();
    let options = super::options().with_weights_budget(Some(0));
    let session = open(&source, options).unwrap();
    let input = [("x", x(&[1, 256]))];
    let before = bits(&session, &input);
    let file = source.files.lock().unwrap().remove(FILE).unwrap();
    let failed = session.run_blocking(&input).map(|_| ());
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.to_string().contains("gone"), "{error}");
    source.files.lock().unwrap().insert(FILE.to_owned(), file);
    assert!(bits(&session, &input) == before);
}

const WORDS: usize = 5000;
const WIDTH: usize = 65;

/// `y` are rows of a table by the input `ids`, and by what is left of them behind its second half.
fn table(code: i64, beside: &[Vec<u8>]) -> (Vec<u8>, Arc<Slow>) {
    let mut built = Built::default();
    built.weight("table", &[WORDS, WIDTH], code);
    built.weight("rest", &[WORDS, WIDTH], code);
    built.weight("w", &[WIDTH, 300], 1);
    built.add([
        longs("first", &[WORDS as i64 / 2]),
        longs("zero", &[0]),
        node_with("", "Cast", &["table"], "wide", &[attribute("to", 1)]),
        node("Gather", &["wide", "ids"], "rows"),
        node("Sub", &["ids", "first"], "behind"),
        node("Max", &["behind", "zero"], "own"),
        node("Gather", &["rest", "own"], "others"),
        node_with("", "Cast", &["others"], "others32", &[attribute("to", 1)]),
        node("Add", &["rows", "others32"], "sum"),
        node("MatMul", &["sum", "w"], "y"),
        info(11, "ids", 7, &[1, 0]),
        info(12, "y", 1, &[1, 0, 300]),
    ]);
    built.add(beside.to_vec());
    built.done()
}

fn ids(list: &[i64]) -> [(&'static str, Tensor); 1] {
    [("ids", Tensor::i64([1, list.len()], list.to_vec()).unwrap())]
}

#[test]
fn rows_are_read_where_indices_follow_from_an_input() {
    let many: Vec<i64> = (0..77).map(|i| i * i % WORDS as i64).collect();
    let lists: [&[i64]; 4] = [&[0], &[4999, 3, 3, 4, 5, -1, 2500, -5000], &[7; 40], &many];
    for code in [1, 10, 16] {
        let (graph, source) = table(code, &[]);
        let resident = Session::load_blocking(&graph, &*source, super::options()).unwrap();
        let own = gpu();
        let options = Options::default()
            .with_gpu(own.clone())
            .with_least_table(1 << 17);
        let session = open(&source, options).unwrap();
        let size = if code == 1 { 4 } else { 2 };
        for list in lists {
            source.read.store(0, Relaxed);
            assert!(
                bits(&session, &ids(list)) == bits(&resident, &ids(list)),
                "{list:?}"
            );
            let read = source.read.load(Relaxed);
            assert!(
                read <= (2 * list.len() * WIDTH * size) as u64,
                "{read} bytes for {} rows of two tables",
                list.len()
            );
        }
        let (held, table) = (own.stats().peak_buffer_bytes, WORDS * WIDTH * size);
        assert!(held < table as u64, "{held} of {table}");
        for wrong in [WORDS as i64, -(WORDS as i64) - 1, i64::MIN] {
            let error = session.run_blocking(&ids(&[3, wrong])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
        assert!(bits(&session, &ids(&[1])) == bits(&resident, &ids(&[1])));
    }
}

/// A table that is used for something else too, or is small, is on the device as ever.
#[test]
fn other_tables_are_on_the_device() {
    let tied = [
        node_with(
            "",
            "Transpose",
            &["table"],
            "turned",
            &[ints("perm", &[1, 0])],
        ),
        node_with("", "Cast", &["turned"], "turned32", &[attribute("to", 1)]),
        node("MatMul", &["sum", "turned32"], "scores"),
        info(12, "scores", 1, &[1, 0, WORDS]),
    ];
    let bytes = |beside: &[Vec<u8>], least_table| {
        let (graph, source) = table(10, beside);
        let resident = Session::load_blocking(&graph, &*source, super::options()).unwrap();
        let options = super::options().with_least_table(least_table);
        let session = open(&source, options).unwrap();
        assert!(bits(&session, &ids(&[9, 4321])) == bits(&resident, &ids(&[9, 4321])));
        resident.stats().weight_bytes - session.stats().weight_bytes
    };
    let table = (WORDS * WIDTH * 2) as u64;
    // What indices are compared with goes as well.
    let near = |saved: u64, wanted: u64| (wanted..wanted + 64).contains(&saved);
    assert!(near(bytes(&[], table), 2 * table));
    assert!(near(bytes(&tied, table), table));
    assert_eq!(bytes(&[], table + 1), 0);
}

/// The built-in model's graphs, as a package's files hold them.
#[test]
fn whole_networks_are_the_same_in_turns() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/glyph");
    for name in ["text_encoder.onnx", "denoiser.onnx", "decoder.onnx"] {
        let source: Arc<dyn WeightSource> = Arc::new(onnx_gpu::weights::Folder::new(folder));
        let resident = pollster::block_on(Session::open(&*source, name, super::options())).unwrap();
        let inputs: Vec<(&str, Tensor)> = resident
            .inputs()
            .iter()
            .map(|info| {
                let dims = info.shape.iter().flatten();
                let shape: Vec<usize> = dims
                    .map(|dim| match dim {
                        onnx_gpu::Dim::Fixed(size) => *size,
                        onnx_gpu::Dim::Symbol(_) => 1,
                    })
                    .collect();
                let n = shape.iter().product();
                let tensor = match info.dtype {
                    onnx_gpu::DType::I64 => Tensor::i64(shape, vec![1; n]).unwrap(),
                    _ => x(&shape),
                };
                (info.name.as_str(), tensor)
            })
            .collect();
        let wanted = bits(&resident, &inputs);
        for budget in [0, 4 << 20] {
            let options = super::options().with_weights_budget(Some(budget));
            let session = pollster::block_on(Session::open_reading(source.clone(), name, options));
            let session = session.unwrap();
            assert!(bits(&session, &inputs) == wanted, "{name}, {budget}");
            println!("{name}: {:?}\n  {:?}", resident.stats(), session.stats());
            let (here, there) = (session.stats(), resident.stats());
            assert!(here.streamed_bytes > 0, "{name}");
            assert!(here.weight_bytes * 3 < there.weight_bytes * 2, "{name}");
            // What is made of a weight is there while it is needed.
            let in_all = |stats: Stats| stats.weight_bytes + stats.peak_bytes;
            let saves = name != "denoiser.onnx" || in_all(here) * 3 < in_all(there);
            assert!(saves, "{name}: {here:?}");
        }
    }
}
