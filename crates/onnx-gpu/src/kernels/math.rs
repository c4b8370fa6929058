//! WGSL texts of scalar functions on `vec4<f32>`, shared by the elementwise kernels and the fused activations.
//!
//! Bounds are written as selections: `clamp`, `min` and `max` may turn a NaN into a number.

/// `erf` as a rational function on [-4, 4] (the coefficients of XLA and Eigen), absolute error below 5e-7.
const ERF: &str = "
fn erf4(v: vec4<f32>) -> vec4<f32> {
    let x = select(v, sign(v) * 4.0, abs(v) > vec4<f32>(4.0));
    let z = x * x;
    var n = vec4<f32>(-2.72614225801306e-10);
    n = n * z + 2.77068142495902e-08;
    n = n * z - 2.10102402082508e-06;
    n = n * z - 5.69250639462346e-05;
    n = n * z - 7.34990630326855e-04;
    n = n * z - 2.95459980854025e-03;
    n = n * z - 1.60960333262415e-02;
    var d = vec4<f32>(-1.45660718464996e-05);
    d = d * z - 2.13374055278905e-04;
    d = d * z - 1.68282697438203e-03;
    d = d * z - 7.37332916720468e-03;
    d = d * z - 1.42647390514189e-02;
    let y = x * n / d;
    return select(y, sign(y), abs(y) > vec4<f32>(1.0));
}
";

/// `tanh` as a rational function on [-7.9, 7.9] (the coefficients of Eigen): no overflow, small values stay exact.
const TANH: &str = "
fn tanh4(v: vec4<f32>) -> vec4<f32> {
    let x = select(v, sign(v) * 7.9053111, abs(v) > vec4<f32>(7.9053111));
    let z = x * x;
    var n = vec4<f32>(-2.76076847742355e-16);
    n = n * z + 2.00018790482477e-13;
    n = n * z - 8.60467152213735e-11;
    n = n * z + 5.12229709037114e-08;
    n = n * z + 1.48572235717979e-05;
    n = n * z + 6.37261928875436e-04;
    n = n * z + 4.89352455891786e-03;
    var d = vec4<f32>(1.19825839466702e-06);
    d = d * z + 1.18534705686654e-04;
    d = d * z + 2.26843463243900e-03;
    d = d * z + 4.89352518554385e-03;
    let y = x * n / d;
    return select(y, sign(y), abs(y) > vec4<f32>(1.0));
}
";

/// Sine with a Cody-Waite reduction to [-pi/4, pi/4] (Cephes): drivers only promise 2^-11 on [-pi, pi].
const SIN: &str = "
fn sin4(v: vec4<f32>, quadrant: i32) -> vec4<f32> {
    let turns = round(v * 0.63661977236758);
    let q = (vec4<i32>(turns) + quadrant) & vec4<i32>(3);
    let r = ((v - turns * 1.5703125) - turns * 4.8375129699707e-4) - turns * 7.549789948768648e-8;
    let z = r * r;
    let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    let w = select(s, c, (q & vec4<i32>(1)) == vec4<i32>(1));
    return select(w, -w, (q & vec4<i32>(2)) == vec4<i32>(2));
}
";

/// `1 / (1 + exp(-x))` without overflow.
const SIGMOID: &str = "
fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    return 1.0 / (1.0 + exp(-select(x, sign(x) * 80.0, abs(x) > vec4<f32>(80.0))));
}
";

/// `log(1 + exp(x))`, accurate on both sides.
const SOFTPLUS: &str = "
fn softplus4(x: vec4<f32>) -> vec4<f32> {
    return max(x, vec4<f32>(0.0)) + log(1.0 + exp(-abs(x)));
}
";

/// `exp(x) - 1`, by its series near zero where the difference would cancel.
const EXPM1: &str = "
fn expm14(x: vec4<f32>) -> vec4<f32> {
    let near = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0)))));
    return select(exp(x) - 1.0, near, abs(x) < vec4<f32>(0.25));
}
";

/// `log(1 + x)`, by its atanh series near zero.
const LOG1P: &str = "
fn log1p4(x: vec4<f32>) -> vec4<f32> {
    let s = x / (2.0 + x);
    let z = s * s;
    let near = 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0))));
    return select(log(1.0 + x), near, abs(x) < vec4<f32>(0.25));
}
";

/// `pow` for any sign of the base: drivers compute `exp2(y * log2(x))`, which is NaN for negative `x`.
const POW: &str = "
fn pow4(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    let odd = (abs(y) % 2.0) == vec4<f32>(1.0);
    let whole = floor(y) == y;
    let magnitude = pow(abs(x), y);
    var r = select(magnitude, -magnitude, odd & (x < vec4<f32>(0.0)));
    r = select(r, sqrt(x), !whole & (x < vec4<f32>(0.0)));
    r = select(r, sqrt(x), y == vec4<f32>(0.5));
    r = select(r, x, y == vec4<f32>(1.0));
    r = select(r, x * x, y == vec4<f32>(2.0));
    r = select(r, x * x * x, y == vec4<f32>(3.0));
    r = select(r, 1.0 / x, y == vec4<f32>(-1.0));
    return select(r, vec4<f32>(1.0), y == vec4<f32>(0.0));
}
";

/// NaN by its bits: compilers may assume that comparisons see none.
const NAN: &str = "
fn nan4(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}
";

/// C's `fmod`, exact: long division of the significands (`a - b * trunc(a / b)` loses every digit of a large quotient).
const FMOD: &str = "
fn fmod1(a: f32, b: f32) -> f32 {
    let y = bitcast<u32>(b) & 0x7fffffffu;
    let sign = bitcast<u32>(a) & 0x80000000u;
    let x = bitcast<u32>(a) & 0x7fffffffu;
    if (y == 0u || y > 0x7f800000u || x >= 0x7f800000u) {
        return bitcast<f32>(sign | 0x7fc00000u);
    }
    if (x < y) {
        return a;
    }
    // Significands of 24 bits, also of subnormal numbers.
    var ex = max(i32(x >> 23u), 1);
    var ey = max(i32(y >> 23u), 1);
    var mx = (x & 0x7fffffu) | select(0u, 0x800000u, x >= 0x800000u);
    var my = (y & 0x7fffffu) | select(0u, 0x800000u, y >= 0x800000u);
    let up = 23u - firstLeadingBit(my);
    my = my << up;
    ey -= i32(up);
    let wide = 23u - firstLeadingBit(mx);
    mx = mx << wide;
    ex -= i32(wide);
    for (; ex > ey; ex -= 1) {
        mx = select(mx, mx - my, mx >= my) << 1u;
    }
    mx = select(mx, mx - my, mx >= my);
    if (mx == 0u) {
        return bitcast<f32>(sign);
    }
    let down = 23u - firstLeadingBit(mx);
    mx = mx << down;
    ey -= i32(down);
    if (ey < 1) {
        return bitcast<f32>(sign | (mx >> u32(1 - ey)));
    }
    return bitcast<f32>(sign | (mx & 0x7fffffu) | (u32(ey) << 23u));
}
fn fmod4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(fmod1(a.x, b.x), fmod1(a.y, b.y), fmod1(a.z, b.z), fmod1(a.w, b.w));
}
";

/// Python's `%` on floats: the sign of the divisor, also on a zero.
const FLOORED_MOD: &str = "
fn floored1(a: f32, b: f32) -> f32 {
    let r = fmod1(a, b);
    let sign = bitcast<u32>(b) & 0x80000000u;
    if (r == 0.0) {
        return bitcast<f32>(sign);
    }
    return select(r, r + b, (bitcast<u32>(r) & 0x80000000u) != sign);
}
fn floored4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(floored1(a.x, b.x), floored1(a.y, b.y), floored1(a.z, b.z), floored1(a.w, b.w));
}
";

/// Every helper by the call that needs it.
const HELPERS: [(&str, &str); 12] = [
    ("erf4(", ERF),
    ("tanh4(", TANH),
    ("sin4(", SIN),
    ("sigmoid4(", SIGMOID),
    ("softplus4(", SOFTPLUS),
    ("expm14(", EXPM1),
    ("log1p4(", LOG1P),
    ("pow4(", POW),
    ("nan4(", NAN),
    ("fmod4(", FMOD),
    ("floored4(", FMOD),
    ("floored4(", FLOORED_MOD),
];

/// The helper functions that `body` calls, directly.
pub(super) fn helpers(body: &str) -> String {
    HELPERS
        .iter()
        .filter(|(call, _)| body.contains(call))
        .map(|(_, text)| *text)
        .collect()
}
