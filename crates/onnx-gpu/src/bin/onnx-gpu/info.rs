//! `onnx-gpu info`.

use std::collections::{BTreeMap, BTreeSet};

use onnx_gpu::kernels::AdapterClass;
use onnx_gpu::proto::{AttributeValue, Initializer, Model, Node, ValueInfo};
use onnx_gpu::weights::Folder;
use onnx_gpu::{OPSETS, Passes, Report, Result, dry_dispatches, is_supported};

/// Prints what a model declares.
pub fn print(bytes: &[u8]) -> Result<()> {
    let model = Model::parse(bytes)?;
    println!("IR version {}, by {}", model.ir_version, model.producer);
    for (domain, version) in &model.opsets {
        let name = if domain.is_empty() { "ai.onnx" } else { domain };
        let known = name != "ai.onnx" || OPSETS.contains(version);
        println!(
            "operator set {name} {version}{}",
            if known { "" } else { " (not supported)" }
        );
    }
    let graph = &model.graph;
    let constants: Vec<&str> = graph.initializers.iter().map(|i| i.name.as_str()).collect();
    for info in &graph.inputs {
        if !constants.contains(&info.name.as_str()) {
            println!("input {}", declaration(info));
        }
    }
    for info in &graph.outputs {
        println!("output {}", declaration(info));
    }
    let mut inside = Content::default();
    inside.add(&graph.nodes, &graph.initializers);
    println!(
        "{} nodes{}, {} initializers of {} elements",
        inside.nodes,
        match inside.nodes - graph.nodes.len() {
            0 => String::new(),
            deeper => format!(" ({deeper} of them in branches)"),
        },
        inside.initializers,
        inside.elements
    );
    let mut listed: Vec<_> = inside.operators.into_iter().collect();
    listed.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let mut missing = 0;
    for ((domain, op), count) in listed {
        let supported = is_supported(domain, op);
        missing += usize::from(!supported);
        let name = if domain.is_empty() {
            op.to_owned()
        } else {
            format!("{domain}::{op}")
        };
        println!(
            "{count:6}  {name}{}",
            if supported { "" } else { "  NOT SUPPORTED" }
        );
    }
    println!("unsupported operators: {missing}");
    Ok(())
}

/// What a graph and the graphs inside its nodes hold.
#[derive(Default)]
struct Content<'a> {
    nodes: usize,
    initializers: usize,
    elements: usize,
    /// Nodes by domain and operator.
    operators: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Content<'a> {
    fn add(&mut self, nodes: &'a [Node], initializers: &[Initializer]) {
        self.nodes += nodes.len();
        self.initializers += initializers.len();
        self.elements += initializers
            .iter()
            .map(Initializer::elements)
            .sum::<usize>();
        for node in nodes {
            *self.operators.entry((&node.domain, &node.op)).or_default() += 1;
            for attribute in &node.attributes {
                if let AttributeValue::Graph(graph) = &attribute.value {
                    self.add(&graph.nodes, &graph.initializers);
                }
            }
        }
    }
}

/// Prints nodes and dispatches without any pass and with the given ones.
pub fn print_fused(bytes: &[u8], files: &Folder, passes: Passes) -> Result<()> {
    let class = AdapterClass::Software;
    let before = Report::new(bytes, files, Passes::NONE, class)?;
    let after = Report::new(bytes, files, passes, class)?;
    println!("{:>7} {:>7}  node", "before", "after");
    rows(&before.operators, &after.operators);
    println!("{:>7} {:>7}  nodes", before.nodes(), after.nodes());
    if let (Some(was), Some(is)) = (&before.kernels, &after.kernels) {
        println!("{:>7} {:>7}  dispatch", "before", "after");
        rows(was, is);
        let [was, is] = [was, is].map(|kernels| kernels.values().sum::<usize>());
        println!("{was:>7} {is:>7}  dispatches per run");
    } else {
        println!("dispatches depend on the shapes of the inputs");
    }
    for (was, is, what) in [
        (
            before.working_bytes,
            after.working_bytes,
            "inputs and intermediate results",
        ),
        (before.weight_bytes, after.weight_bytes, "weights"),
        (
            before.largest_buffer,
            after.largest_buffer,
            "the largest buffer",
        ),
    ] {
        if let (Some(was), Some(is)) = (was, is) {
            println!(
                "{:>7.1} {:>7.1}  MB of {what}",
                was as f64 / 1e6,
                is as f64 / 1e6
            );
        }
    }
    Ok(())
}

/// Most kinds of dispatches that are listed.
const LISTED: usize = 20;

/// Prints what the dispatches of each kernel move and compute, then the kinds that move most together.
pub fn print_dispatches(
    bytes: &[u8],
    files: &Folder,
    shapes: &[(String, Vec<usize>)],
) -> Result<()> {
    let open = |name: &str, place: usize| {
        let given = shapes.iter().find(|(input, _)| input == name);
        let size = given.and_then(|(_, sizes)| sizes.get(place));
        size.copied().unwrap_or(1)
    };
    let all = dry_dispatches(bytes, files, AdapterClass::Hardware, &open)?;
    let mut families: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for dispatch in &all {
        let [count, moved, flops] = families.entry(dispatch.label).or_default();
        *count += 1;
        *moved += dispatch.bytes;
        *flops += dispatch.flops;
    }
    println!("  count         MB      GFLOP  kernel");
    for (label, [count, moved, flops]) in families {
        println!(
            "{count:>7} {:>10.1} {:>10.2}  {label}",
            moved as f64 / 1e6,
            flops as f64 / 1e9
        );
    }
    let mut alike: BTreeMap<(u64, u64, String), u64> = BTreeMap::new();
    for dispatch in all {
        *alike
            .entry((dispatch.bytes, dispatch.flops, dispatch.key))
            .or_default() += 1;
    }
    let mut listed: Vec<_> = alike.into_iter().collect();
    listed.sort_by_key(|((bytes, ..), count)| std::cmp::Reverse(bytes * count));
    println!("  count    MB each GFLOP each   FLOP/byte  dispatches that are alike");
    for ((bytes, flops, key), count) in listed.iter().take(LISTED) {
        println!(
            "{count:>7} {:>10.1} {:>10.2} {:>11.1}  {key}",
            *bytes as f64 / 1e6,
            *flops as f64 / 1e9,
            *flops as f64 / (*bytes).max(1) as f64,
        );
    }
    Ok(())
}

fn rows<K: Ord + std::fmt::Display>(before: &BTreeMap<K, usize>, after: &BTreeMap<K, usize>) {
    let names: BTreeSet<&K> = before.keys().chain(after.keys()).collect();
    for name in names {
        let count = |map: &BTreeMap<K, usize>| map.get(name).copied().unwrap_or(0);
        println!("{:>7} {:>7}  {name}", count(before), count(after));
    }
}

fn declaration(info: &ValueInfo) -> String {
    let shape = match &info.shape {
        Some(dims) => dims
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        None => "any rank".into(),
    };
    format!("{}: {} [{shape}]", info.name, info.dtype)
}
