use onnx_gpu::kernels::strided_copy::{
    Pad, PadMode, StridedCopy, Trilu, fill, pad, strided_copy, trilu,
};

use crate::harness::{Data, indices, ints, run_onto, run_words};

fn counting(len: usize) -> Vec<i32> {
    (0..len as i32).map(|i| i + 1000).collect()
}

fn row_major(shape: &[usize]) -> Vec<i64> {
    (0..shape.len())
        .map(|i| shape[i + 1..].iter().product::<usize>() as i64)
        .collect()
}

fn check(g: &StridedCopy, in_len: usize, out_len: usize) {
    let x = counting(in_len);
    let before: Vec<i32> = (0..out_len as i32).map(|i| -i).collect();
    let mut expected = before.clone();
    for index in indices(&g.shape) {
        let at = |offset: i64, strides: &[i64]| {
            index
                .iter()
                .zip(strides)
                .fold(offset, |sum, (&i, s)| sum + i as i64 * s) as usize
        };
        expected[at(g.out_offset, &g.out_strides)] = x[at(g.in_offset, &g.in_strides)];
    }
    let launch = strided_copy(g).unwrap();
    let key = launch.key.clone();
    let got = ints(&run_onto(launch, &[Data::I(&x)], &Data::I(&before)));
    assert_eq!(got, expected, "{key} {g:?}");
}

#[test]
fn transposes_of_every_rank() {
    let shape = [2usize, 3, 1, 2, 3, 2, 1, 4];
    for rank in 1..=8 {
        let shape = &shape[..rank];
        let strides = row_major(shape);
        let perm: Vec<usize> = (0..rank).map(|i| (i * 3 + 1) % rank).collect();
        let distinct: std::collections::BTreeSet<_> = perm.iter().collect();
        let perm: Vec<usize> = if distinct.len() == rank {
            perm
        } else {
            (0..rank).rev().collect()
        };
        let out: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
        let len = shape.iter().product();
        check(
            &StridedCopy {
                in_offset: 0,
                in_strides: perm.iter().map(|&p| strides[p]).collect(),
                out_offset: 0,
                out_strides: row_major(&out),
                shape: out,
            },
            len,
            len,
        );
    }
}

#[test]
fn slices_concats_tiles_and_wide_runs() {
    // x[8:0:-3, 1:], into the second half of a concatenation.
    check(
        &StridedCopy {
            shape: vec![3, 4],
            in_offset: 8 * 5 + 1,
            in_strides: vec![-15, 1],
            out_offset: 4,
            out_strides: vec![8, 1],
        },
        50,
        24,
    );
    // Heads of an attention, [s, h, d] to [h, s, d], moved as vec4s.
    check(
        &StridedCopy {
            shape: vec![3, 5, 8],
            in_offset: 0,
            in_strides: vec![8, 24, 1],
            out_offset: 0,
            out_strides: vec![40, 8, 1],
        },
        120,
        120,
    );
    // A transpose whose output falls into runs of four, backwards and with an offset.
    check(
        &StridedCopy {
            shape: vec![5, 8],
            in_offset: 3 + 35,
            in_strides: vec![1, -5],
            out_offset: 4,
            out_strides: vec![12, 1],
        },
        43,
        60,
    );
    // Expand along the first and last axis.
    check(
        &StridedCopy {
            shape: vec![3, 2, 5],
            in_offset: 0,
            in_strides: vec![0, 1, 0],
            out_offset: 0,
            out_strides: vec![10, 5, 1],
        },
        2,
        30,
    );
    check(
        &StridedCopy {
            shape: vec![],
            in_offset: 2,
            in_strides: vec![],
            out_offset: 1,
            out_strides: vec![],
        },
        3,
        2,
    );
}

#[test]
fn fills() {
    for len in [1usize, 4, 257] {
        let expected = vec![0x3f80_0000u32; len];
        assert_eq!(
            run_words(fill(len, 0x3f80_0000).unwrap(), &[], len),
            expected
        );
    }
}

/// Position in an axis of `size` of a coordinate that may lie outside.
fn source(at: i64, size: i64, mode: PadMode) -> Option<i64> {
    match mode {
        PadMode::Constant(_) => (0..size).contains(&at).then_some(at),
        PadMode::Edge => Some(at.clamp(0, size - 1)),
        PadMode::Wrap => Some(at.rem_euclid(size)),
        PadMode::Reflect => {
            let mut at = at;
            while !(0..size).contains(&at) {
                at = if at < 0 { -at } else { 2 * (size - 1) - at };
            }
            Some(at)
        }
    }
}

#[test]
fn pads_of_every_mode() {
    for mode in [
        PadMode::Constant(77),
        PadMode::Reflect,
        PadMode::Edge,
        PadMode::Wrap,
    ] {
        for (begin, end) in [
            ([0, 1, 2], [1, 0, 2]),
            ([-1, 2, 0], [1, 2, -2]),
            ([0, 0, 3], [0, 0, 3]),
        ] {
            let g = Pad {
                shape: vec![2, 3, 4],
                begin: begin.to_vec(),
                end: end.to_vec(),
                mode,
            };
            let out = g.output().unwrap();
            let x = counting(24);
            let expected: Vec<i32> = indices(&out)
                .iter()
                .map(|index| {
                    let mut at = 0;
                    for (&i, (&size, begin)) in index.iter().zip(g.shape.iter().zip(&g.begin)) {
                        let size = size as i64;
                        match source(i as i64 - begin, size, mode) {
                            Some(i) => at = at * size + i,
                            None => return 77,
                        }
                    }
                    x[at as usize]
                })
                .collect();
            let got = ints(&run_words(pad(&g).unwrap(), &[Data::I(&x)], expected.len()));
            assert_eq!(got, expected, "{g:?}");
        }
    }
}

#[test]
fn triangles() {
    for (k, upper) in [
        (0, true),
        (1, true),
        (-1, true),
        (0, false),
        (2, false),
        (-2, false),
        (i64::MIN, true),
    ] {
        let g = Trilu {
            batch: 2,
            rows: 3,
            cols: 5,
            k,
            upper,
        };
        let x = counting(30);
        let expected: Vec<i32> = indices(&[2, 3, 5])
            .iter()
            .zip(&x)
            .map(|(i, &v)| {
                let ahead = i[2] as i64 - i[1] as i64;
                if (upper && ahead >= k) || (!upper && ahead <= k) {
                    v
                } else {
                    0
                }
            })
            .collect();
        let got = ints(&run_words(trilu(&g).unwrap(), &[Data::I(&x)], 30));
        assert_eq!(got, expected, "{g:?}");
    }
}
