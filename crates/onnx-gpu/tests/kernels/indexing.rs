use onnx_gpu::kernels::gather::{Gather, gather, gather_elements, gather_nd};
use onnx_gpu::kernels::scan::{CumSum, cumsum, range};
use onnx_gpu::kernels::scatter::{scatter_elements, scatter_nd};
use onnx_gpu::kernels::{Elem, Format};

use crate::harness::{
    Data, assert_close, flat, floats, indices, ints, noise, run, run_onto, run_words,
};

fn counting(len: usize) -> Vec<i32> {
    (0..len as i32).map(|i| i + 1000).collect()
}

fn wrap(index: i32, size: usize) -> usize {
    if index < 0 {
        (index + size as i32) as usize
    } else {
        index as usize
    }
}

#[test]
fn gather_takes_slices_along_an_axis() {
    let picks = [0, -1, 3, 3, -5];
    for inner in [1, 3, 4, 8] {
        let g = Gather {
            outer: 2,
            axis: 5,
            inner,
            indices: 5,
        };
        let x = counting(10 * inner);
        let expected: Vec<i32> = indices(&[2, 5, inner])
            .iter()
            .map(|i| x[flat(&[i[0], wrap(picks[i[1]], 5), i[2]], &[2, 5, inner])])
            .collect();
        let got = run_words(
            gather(&g, Format::F32).unwrap(),
            &[Data::I(&x), Data::I(&picks)],
            expected.len(),
        );
        assert_eq!(ints(&got), expected);
    }
}

#[test]
fn gather_and_scatter_elements() {
    let (data, shape) = ([3usize, 4, 2], [2usize, 4, 2]);
    let x = counting(24);
    for axis in [0, 1, 2] {
        let shape = if axis == 0 { shape } else { data };
        let len = shape.iter().product::<usize>();
        // Distinct along the axis, so that a scatter has one answer.
        let picks: Vec<i32> = indices(&shape)
            .iter()
            .map(|i| {
                let size = data[axis] as i32;
                let at = (i[axis] as i32 + i.iter().sum::<usize>() as i32 - i[axis] as i32) % size;
                if i[0] % 2 == 0 { at } else { at - size }
            })
            .collect();
        let place = |i: &Vec<usize>, n: usize| {
            let mut at = i.clone();
            at[axis] = wrap(picks[n], data[axis]);
            flat(&at, &data)
        };
        let all = indices(&shape);
        let expected: Vec<i32> = all
            .iter()
            .enumerate()
            .map(|(n, i)| x[place(i, n)])
            .collect();
        let launch = gather_elements(&data, &shape, axis).unwrap();
        assert_eq!(
            ints(&run_words(launch, &[Data::I(&x), Data::I(&picks)], len)),
            expected
        );
        let updates: Vec<i32> = (0..len as i32).map(|i| -i - 1).collect();
        let mut expected = x.clone();
        for (n, i) in all.iter().enumerate() {
            expected[place(i, n)] = updates[n];
        }
        let launch = scatter_elements(&data, &shape, axis).unwrap();
        let got = run_onto(launch, &[Data::I(&picks), Data::I(&updates)], &Data::I(&x));
        assert_eq!(ints(&got), expected, "axis {axis}");
    }
}

#[test]
fn gather_nd_follows_the_onnx_examples() {
    // The examples 1, 2, 4 and 5 of the ONNX specification of GatherND.
    let x = [0, 1, 2, 3];
    let pairs = gather_nd(&[2, 2], &[2, 2], 0).unwrap();
    assert_eq!(
        ints(&run_words(pairs, &[Data::I(&x), Data::I(&[0, 0, 1, 1])], 2)),
        [0, 3]
    );
    let rows = gather_nd(&[2, 2], &[2, 1], 0).unwrap();
    assert_eq!(
        ints(&run_words(rows, &[Data::I(&x), Data::I(&[1, 0])], 4)),
        [2, 3, 0, 1]
    );
    let cube = [0, 1, 2, 3, 4, 5, 6, 7];
    let nested = gather_nd(&[2, 2, 2], &[2, 1, 2], 0).unwrap();
    assert_eq!(
        ints(&run_words(
            nested,
            &[Data::I(&cube), Data::I(&[0, 1, 1, 0])],
            4
        )),
        [2, 3, 4, 5]
    );
    let batched = gather_nd(&[2, 2, 2], &[2, 1], 1).unwrap();
    assert_eq!(
        ints(&run_words(batched, &[Data::I(&cube), Data::I(&[1, 0])], 4)),
        [2, 3, 4, 5]
    );
    let negative = gather_nd(&[2, 2], &[1, 2], 0).unwrap();
    assert_eq!(
        ints(&run_words(negative, &[Data::I(&x), Data::I(&[-1, -2])], 1)),
        [2]
    );
}

#[test]
fn scatter_nd_follows_the_onnx_example() {
    // Example 1 of the ONNX specification of ScatterND.
    let launch = scatter_nd(&[8], &[4, 1]).unwrap();
    let got = run_onto(
        launch,
        &[Data::I(&[4, 3, 1, 7]), Data::I(&[9, 10, 11, 12])],
        &Data::I(&[1, 2, 3, 4, 5, 6, 7, 8]),
    );
    assert_eq!(ints(&got), [1, 11, 3, 10, 9, 6, 7, 12]);
    let launch = scatter_nd(&[2, 3], &[1, 1]).unwrap();
    let got = run_onto(
        launch,
        &[Data::I(&[-1]), Data::I(&[7, 8, 9])],
        &Data::I(&[1, 2, 3, 4, 5, 6]),
    );
    assert_eq!(ints(&got), [1, 2, 3, 7, 8, 9]);
}

#[test]
fn ranges() {
    let ints_of = run_words(
        range(Elem::I32, 5, 10, (-3i32).cast_unsigned()).unwrap(),
        &[],
        5,
    );
    assert_eq!(ints(&ints_of), [10, 7, 4, 1, -2]);
    let halves = range(Elem::F32, 4, 1f32.to_bits(), 0.5f32.to_bits()).unwrap();
    assert_eq!(floats(&run_words(halves, &[], 4)), [1.0, 1.5, 2.0, 2.5]);
}

#[test]
fn cumulative_sums() {
    let shape = [3usize, 7, 5];
    let x = noise(105, 4);
    for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
        let g = CumSum {
            elem: Elem::F32,
            outer: 3,
            axis: 7,
            inner: 5,
            exclusive,
            reverse,
        };
        let expected: Vec<f64> = indices(&shape)
            .iter()
            .map(|i| {
                (0..7)
                    .filter(|&j| match (reverse, exclusive) {
                        (false, false) => j <= i[1],
                        (false, true) => j < i[1],
                        (true, false) => j >= i[1],
                        (true, true) => j > i[1],
                    })
                    .map(|j| f64::from(x[flat(&[i[0], j, i[2]], &shape)]))
                    .sum()
            })
            .collect();
        assert_close(
            &run(cumsum(&g).unwrap(), &[&x], 105),
            &expected,
            1e-6,
            1e-6,
            &format!("{g:?}"),
        );
    }
}
