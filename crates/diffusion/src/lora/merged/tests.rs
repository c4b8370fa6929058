#![allow(clippy::unwrap_used)]
use std::collections::HashMap;

use pollster::block_on;
use proptest::prelude::*;

use super::*;
use crate::files::MemoryFiles;

const ROWS: usize = 5;
const WIDTH: usize = 7;
/// Bytes before, between and behind the two weights.
const GAP: usize = 3;

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn update(offset: usize, element: Element, down: usize, rank: usize, scale: f32) -> Update {
    let factor = |offset: usize| Factor {
        offset: offset as u64,
        element: Element::F32,
    };
    Update {
        graph: "denoiser".to_owned(),
        tensor: "a.weight".to_owned(),
        file: "w".to_owned(),
        offset: offset as u64,
        element,
        size: [ROWS, WIDTH],
        down: factor(down),
        up: factor(down + 4 * rank * WIDTH),
        rank,
        scale,
    }
}

fn added(update: &Update, weight: f32) -> Added {
    Added {
        file: "l".into(),
        update: Arc::new(update.clone()),
        weight,
    }
}

/// Small whole numbers, of which 16 bits hold every sum.
fn whole(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7 + seed * 5) % 11) as f32 - 5.0)
        .collect()
}

/// `w + weight * scale * up * down` by its definition.
fn sum(weight: &[f32], parts: &[(&[f32], usize, f32)]) -> Vec<f32> {
    let at = |i: usize| {
        let (row, column) = (i / WIDTH, i % WIDTH);
        let added = parts.iter().map(|(matrices, rank, factor)| {
            let (down, up) = matrices.split_at(rank * WIDTH);
            let product = (0..*rank).map(|k| up[row * rank + k] * down[k * WIDTH + column]);
            factor * product.sum::<f32>()
        });
        weight[i] + added.sum::<f32>()
    };
    (0..ROWS * WIDTH).map(at).collect()
}

proptest! {
    /// Whatever range is read, it is that part of the sums; what lies around the weights stays.
    #[test]
    fn every_range_is_a_part_of_the_sum(start in 0usize..240, length in 0usize..240, twice in any::<bool>()) {
        let (first, second) = (whole(ROWS * WIDTH, 1), whole(ROWS * WIDTH, 2));
        let (one, other) = (whole(2 * (ROWS + WIDTH), 3), whole(3 * (ROWS + WIDTH), 4));
        let halves: Vec<u8> = second.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        let gap = vec![0xAB; GAP];
        let file = [&*gap, &floats(&first), &gap, &halves, &gap].concat();
        let matrices = [floats(&one), floats(&other)].concat();
        let half_at = GAP + 4 * ROWS * WIDTH + GAP;
        let at_other = 4 * one.len();
        let updates = [
            update(GAP, Element::F32, 0, 2, 0.5),
            update(GAP, Element::F32, at_other, 3, 1.0),
            update(half_at, Element::F16, at_other, 3, 1.0),
        ];
        let files: Arc<dyn Files> = Arc::new(MemoryFiles(HashMap::from([("w".to_owned(), file.clone()), ("l".to_owned(), matrices)])));
        let used = [(0, 2.0), (1, 0.5), (2, -1.0)];
        let used = used.iter().filter(|(index, _)| twice || *index != 1);
        let merged = Merged::new(files, used.map(|(index, weight)| added(&updates[*index], *weight)));
        let mut parts = vec![(&*one, 2, 1.0)];
        if twice {
            parts.push((&*other, 3, 0.5));
        }
        let wanted_halves = sum(&second, &[(&other, 3, -1.0)]);
        let wanted_halves: Vec<u8> = wanted_halves.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        let wanted = [&*gap, &floats(&sum(&first, &parts)), &gap, &wanted_halves, &gap].concat();
        let start = start.min(file.len());
        let length = length.min(file.len() - start);
        let read = block_on(merged.read("w", start as u64, length)).unwrap();
        prop_assert_eq!(&*read, &wanted[start..start + length]);
    }
}

#[test]
fn what_overflows_the_type_is_refused() {
    let weight: Vec<u8> = vec![0; 2 * ROWS * WIDTH];
    let matrices = floats(&[100.0; ROWS + WIDTH]);
    let files: Arc<dyn Files> = Arc::new(MemoryFiles(HashMap::from([
        ("w".to_owned(), weight),
        ("l".to_owned(), matrices),
    ])));
    for (element, fine) in [(Element::F16, false), (Element::BF16, true)] {
        let update = update(0, element, 0, 1, 1.0);
        let merged = Merged::new(files.clone(), std::iter::once(added(&update, 10.0)));
        let read = block_on(merged.read("w", 0, 2 * ROWS * WIDTH));
        assert_eq!(read.is_ok(), fine);
        if let Err(error) = read {
            assert_eq!(*error.kind(), ErrorKind::InvalidRequest);
        }
    }
}
