use super::*;

/// Vectors of Random123's `kat_vectors`, lines `philox4x32 10`.
#[test]
fn philox_known_answers() {
    for (counter, key, expected) in [
        (
            [0; 4],
            [0; 2],
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
        ),
        (
            [u32::MAX; 4],
            [u32::MAX; 2],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
        ),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ] {
        assert_eq!(philox4x32_10(counter, key), expected);
    }
}

/// `torch.manual_seed(0); torch.randn(8, 8, device="cuda")` as printed by PyTorch 2.2.0, first rows.
#[test]
fn matches_pytorch_on_cuda() {
    let printed = [
        -0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284, //
        -1.0745, -0.3631, -1.6711, 2.2655, 0.3117, -0.1842, 1.2866, 1.1820, //
        -0.1271, 1.2169, 1.4353, 1.0605, -0.4941, -1.4244, -0.7244, -1.2973,
    ];
    for (ours, torch) in randn(0, 0, printed.len()).into_iter().zip(printed) {
        assert!((ours - torch).abs() <= 6e-5, "{ours} against {torch}");
    }
}

/// The documented output of A1111's NumPy imitation of that generator, eight digits.
#[test]
fn matches_the_numpy_imitation() {
    let documented = [
        -0.924_662_6,
        -0.425_344_15,
        -2.643_845_7,
        0.145_183_88,
        -0.120_866_47,
        -0.579_725_6,
        -0.622_851_2,
        -0.328_387_1,
        -1.074_542_3,
        -0.363_144_07,
        -1.671_050_7,
        2.265_505,
    ];
    for (ours, numpy) in randn(0, 0, documented.len()).into_iter().zip(documented) {
        let numpy: f32 = numpy;
        assert!((ours - numpy).abs() <= 1e-6, "{ours} against {numpy}");
    }
}

#[test]
fn extreme_words_stay_finite() {
    for x in [0, 1, u32::MAX - 1, u32::MAX] {
        for y in [0, 1, u32::MAX / 4, u32::MAX] {
            assert!(box_muller_sine(x, y).is_finite(), "{x} {y}");
        }
    }
}

/// Kolmogorov-Smirnov distance from the normal distribution below the 0.1 % critical value 1.949 / sqrt(n);
/// mean and variance within four standard errors.
#[test]
fn values_are_standard_normal() {
    const N: usize = 100_000;
    for seed in [0, 1, 42, u64::MAX] {
        for draw in [0, 7] {
            let mut values = randn(seed, draw, N);
            let n = N as f64;
            let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let variance = values
                .iter()
                .map(|&x| (f64::from(x) - mean).powi(2))
                .sum::<f64>()
                / (n - 1.0);
            assert!(mean.abs() < 4.0 / n.sqrt(), "mean {mean}");
            assert!(
                (variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(),
                "variance {variance}"
            );
            values.sort_by(f32::total_cmp);
            let distance = values
                .iter()
                .enumerate()
                .map(|(i, &x)| {
                    let p = 0.5 * libm::erfc(-f64::from(x) / std::f64::consts::SQRT_2);
                    (p - i as f64 / n).max((i + 1) as f64 / n - p)
                })
                .fold(0.0, f64::max);
            assert!(distance < 1.949 / n.sqrt(), "KS distance {distance}");
        }
    }
}

#[test]
fn seeds_draws_and_neighbours_are_unrelated() {
    const N: usize = 20_000;
    let base = randn(1, 0, N);
    let others = [
        randn(2, 0, N),
        randn(1, 1, N),
        randn(1 | 1 << 32, 0, N),
        base[1..].to_vec(),
    ];
    for other in others {
        let n = other.len() as f64;
        let correlation = base
            .iter()
            .zip(&other)
            .map(|(a, b)| f64::from(a * b))
            .sum::<f64>()
            / n;
        assert!(correlation.abs() < 4.0 / n.sqrt(), "{correlation}");
    }
}

/// The length of what lies between two noises is that of a noise, its ends are the noises, and the middle is as far from one as
/// from the other.
#[test]
fn noise_turns_along_the_sphere() {
    let (a, b) = (randn(1, 0, 4096), randn(2, 0, 4096));
    let length = |x: &[f32]| x.iter().map(|x| f64::from(x * x)).sum::<f64>().sqrt();
    assert_eq!(turned(&a, &b, 0.0), a);
    let last = turned(&a, &b, 1.0);
    assert!(last.iter().zip(&b).all(|(x, y)| (x - y).abs() < 1e-6));
    for share in [0.25, 0.5, 0.9] {
        let between = length(&turned(&a, &b, share));
        assert!((between / length(&a) - 1.0).abs() < 0.03, "{between}");
    }
    let middle = turned(&a, &b, 0.5);
    let far = |x: &[f32]| {
        let apart: Vec<f32> = middle.iter().zip(x).map(|(m, x)| m - x).collect();
        length(&apart)
    };
    assert!((far(&a) / far(&b) - 1.0).abs() < 0.03);
    // Linear mixing would lose length: the mean of two noises has 1/√2 of it.
    let mean: Vec<f32> = a.iter().zip(&b).map(|(a, b)| (a + b) / 2.0).collect();
    assert!(length(&mean) < 0.75 * length(&a));
    assert_eq!(turned(&a, &a, 0.5), a);
}
