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

/// Sine with a Cody-Waite reduction to [-pi/4, pi/4] (Cephes): drivers only promise 2^-11 on [-pi, pi]. It has digits for some
/// hundred turns; beyond, [`FAR_ANGLE`] finds the rest.
const SIN: &str = "
fn sin4(v: vec4<f32>, quadrant: i32) -> vec4<f32> {
    let turns = round(v * 0.63661977236758);
    var q = vec4<i32>(turns);
    var r = ((v - turns * 1.5703125) - turns * 4.8375129699707e-4) - turns * 7.549789948768648e-8;
    if (any(abs(v) > vec4<f32>(1000.0))) {
        for (var i = 0u; i < 4u; i += 1u) {
            if (abs(v[i]) > 1000.0) {
                let far = far_angle(v[i]);
                r[i] = far.rest;
                q[i] = far.quadrant;
            }
        }
    }
    q = (q + quadrant) & vec4<i32>(3);
    let z = r * r;
    let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
    let c = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
    let w = select(s, c, (q & vec4<i32>(1)) == vec4<i32>(1));
    return select(w, -w, (q & vec4<i32>(2)) == vec4<i32>(2));
}
";

/// The rest of an angle after whole quarter turns, and their number, by Payne and Hanek's method: of the product with 1/2π only the
/// bits around the point are computed, from those bits of 1/2π that lie there.
const FAR_ANGLE: &str = "
struct Angle {
    rest: f32,
    quadrant: i32,
}

// 32 zeros and the first bits of 1/2π.
const TURNS = array<u32, 7>(0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u, 0x36d8a566u, 0x4f10e410u);

// The high and the low word of a product.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let a0 = a & 0xffffu;
    let a1 = a >> 16u;
    let b0 = b & 0xffffu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let middle = a1 * b0 + (low >> 16u);
    let other = a0 * b1 + (middle & 0xffffu);
    return vec2<u32>(a1 * b1 + (middle >> 16u) + (other >> 16u), (other << 16u) | (low & 0xffffu));
}

fn far_angle(x: f32) -> Angle {
    let bits = bitcast<u32>(x);
    let size = bits & 0x7fffffffu;
    if (size >= 0x7f800000u) {
        return Angle(bitcast<f32>(size | 0x7fc00000u), 0);
    }
    // x = mantissa · 2^(shift - 32), a number of 32 bits and at least 2^9.
    let mantissa = ((bits & 0x7fffffu) | 0x800000u) << 8u;
    let shift = (size >> 23u) - 126u;
    var table = TURNS;
    let first = shift / 32u;
    let by = shift % 32u;
    var words = array<u32, 3>();
    for (var i = 0u; i < 3u; i += 1u) {
        let high = table[first + i];
        let next = table[min(first + i + 1u, 6u)];
        words[i] = select((high << by) | (next >> ((32u - by) & 31u)), high, by == 0u);
    }
    // The fraction of a turn in 64 bits.
    let lowest = wide_product(mantissa, words[2]);
    let middle = wide_product(mantissa, words[1]);
    let fraction = middle.y + lowest.x;
    let carry = select(0u, 1u, fraction < lowest.x);
    let whole = mantissa * words[0] + middle.x + carry;
    // Its first two bits count quarter turns.
    var quadrant = i32(whole >> 30u);
    var high = (whole << 2u) | (fraction >> 30u);
    var low = fraction << 2u;
    let negative = high >= 0x80000000u;
    if (negative) {
        quadrant += 1;
        low = ~low + 1u;
        high = ~high + select(0u, 1u, low == 0u);
    }
    var rest = (f32(high) * 2.3283064365386963e-10 + f32(low) * 5.421010862427522e-20) * 1.5707963267948966;
    let minus = bits != size;
    rest = select(rest, -rest, negative != minus);
    return Angle(rest, select(quadrant, -quadrant, minus));
}
";

/// Arcsine, arccosine and arctangent by polynomials (Cephes): drivers only promise 2^-11.
const ARC: &str = "
fn half_arc(x: vec4<f32>) -> vec4<f32> {
    let z = x * x;
    return x + x * z * (1.6666752422e-1 + z * (7.4953002686e-2 + z * (4.5470025998e-2 + z * (2.4181311049e-2 + z * 4.2163199048e-2))));
}
fn arcsine4(x: vec4<f32>) -> vec4<f32> {
    let a = abs(x);
    let far = 1.5707963268 - 2.0 * half_arc(sqrt(0.5 - 0.5 * a));
    return select(half_arc(x), select(far, -far, x < vec4<f32>(0.0)), a > vec4<f32>(0.5));
}
fn arccosine4(x: vec4<f32>) -> vec4<f32> {
    let a = abs(x);
    let far = 2.0 * half_arc(sqrt(0.5 - 0.5 * a));
    return select(1.5707963268 - half_arc(x), select(far, 3.1415926536 - far, x < vec4<f32>(0.0)), a > vec4<f32>(0.5));
}
fn arctangent4(v: vec4<f32>) -> vec4<f32> {
    let a = abs(v);
    let far = a > vec4<f32>(2.414213562);
    let middle = a > vec4<f32>(0.4142135624);
    let x = select(select(a, (a - 1.0) / (a + 1.0), middle), -1.0 / a, far);
    let from_angle = select(select(vec4<f32>(0.0), vec4<f32>(0.7853981634), middle), vec4<f32>(1.5707963268), far);
    let z = x * x;
    let y = from_angle + (x + x * z * (-3.33329491539e-1 + z * (1.99777106478e-1 + z * (-1.38776856032e-1 + z * 8.05374449538e-2))));
    return select(y, -y, v < vec4<f32>(0.0));
}
";

/// Hyperbolic sine and cosine, whose halves are finite where the exponential is not.
const HYPERBOLIC: &str = "
fn hyperbolic4(x: vec4<f32>, sine: bool) -> vec4<f32> {
    let root = exp(0.5 * abs(x));
    let far = (0.5 * root) * root;
    if (sine) {
        let near = 0.5 * (expm14(x) - expm14(-x));
        return select(near, select(far, -far, x < vec4<f32>(0.0)), abs(x) > vec4<f32>(20.0));
    }
    return far + 0.5 / (root * root);
}
";

/// Inverse hyperbolic sine and cosine, also of numbers whose square is infinite.
const INVERSE: &str = "
fn inverse4(x: vec4<f32>, sine: bool) -> vec4<f32> {
    let far = log(abs(x)) + 0.69314718;
    if (sine) {
        let a = select(abs(x), vec4<f32>(1.0), abs(x) > vec4<f32>(1e4));
        let near = log1p4(a + a * a / (1.0 + sqrt(1.0 + a * a)));
        let size = select(near, far, abs(x) > vec4<f32>(1e4));
        return select(size, -size, x < vec4<f32>(0.0));
    }
    let t = x - 1.0;
    let near = log1p4(t + sqrt(t * t + 2.0 * t));
    let none = bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) | vec4<u32>(0x7fc00000u));
    return select(select(near, far, x > vec4<f32>(1e4)), none, x < vec4<f32>(1.0));
}
";

/// `1 / (1 + exp(-x))` without overflow, and without a floor for negative numbers.
const SIGMOID: &str = "
fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    return select(vec4<f32>(1.0), e, x < vec4<f32>(0.0)) / (1.0 + e);
}
";

/// `log(1 + exp(x))`, accurate on both sides.
const SOFTPLUS: &str = "
fn softplus4(x: vec4<f32>) -> vec4<f32> {
    return max(x, vec4<f32>(0.0)) + log1p4(exp(-abs(x)));
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

/// C's `pow`: drivers compute `exp2(y * log2(x))`, which is NaN for negative `x` and anything at the ends.
const POW: &str = "
fn pow4(x: vec4<f32>, y: vec4<f32>) -> vec4<f32> {
    let zero = vec4<u32>(0u);
    let infinity = vec4<u32>(0x7f800000u);
    let x_bits = bitcast<vec4<u32>>(x);
    let x_size = x_bits & vec4<u32>(0x7fffffffu);
    let y_size = bitcast<vec4<u32>>(y) & vec4<u32>(0x7fffffffu);
    let a = abs(x);
    let negative = x_bits != x_size;
    let odd = (abs(y) % 2.0) == vec4<f32>(1.0);
    let whole = floor(y) == y;
    var r = pow(a, y);
    r = select(r, sqrt(a), y == vec4<f32>(0.5));
    r = select(r, a, y == vec4<f32>(1.0));
    r = select(r, a * a, y == vec4<f32>(2.0));
    r = select(r, a * a * a, y == vec4<f32>(3.0));
    r = select(r, 1.0 / a, y == vec4<f32>(-1.0));
    let end = (x_size == zero) | (x_size == infinity);
    let large = (x_size == infinity) == (y > vec4<f32>(0.0));
    r = select(r, bitcast<vec4<f32>>(select(zero, infinity, large)), end);
    let grows = (a > vec4<f32>(1.0)) == (y > vec4<f32>(0.0));
    r = select(r, bitcast<vec4<f32>>(select(zero, infinity, grows)), y_size == infinity);
    r = select(r, -r, odd & negative);
    let none = (negative & !whole & !end) | (x_size > infinity) | (y_size > infinity);
    r = select(r, bitcast<vec4<f32>>(x_size | vec4<u32>(0x7fc00000u)), none);
    let one = (x == vec4<f32>(1.0)) | (y_size == zero) | ((a == vec4<f32>(1.0)) & (y_size == infinity));
    return select(r, vec4<f32>(1.0), one);
}
";

/// NaN by its bits: compilers may assume that comparisons see none.
const NAN: &str = "
fn nan4(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
}
";

/// To the nearest number of 16 bits, on the bits: `quantizeToF16` leaves open what overflows and drops subnormal numbers.
const HALF: &str = "
fn half4(x: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(x);
    let sign = bits & vec4<u32>(0x80000000u);
    let size = bits & vec4<u32>(0x7fffffffu);
    let odd = (size >> vec4<u32>(13u)) & vec4<u32>(1u);
    let normal = (size + vec4<u32>(0xfffu) + odd) & vec4<u32>(0xffffe000u);
    // Below 2^-14 the numbers are multiples of 2^-24.
    let small = bitcast<vec4<u32>>(round(abs(x) * 16777216.0) * 5.9604644775390625e-8);
    var y = select(normal, small, size < vec4<u32>(0x38800000u));
    y = select(y, vec4<u32>(0x7f800000u), size >= vec4<u32>(0x477ff000u));
    y = select(y, size, size > vec4<u32>(0x7f800000u));
    return bitcast<vec4<f32>>(sign | y);
}
";

/// To the nearest number of the upper 16 bits, half to even; what overflows is infinite, and NaN stays NaN.
const BRAIN: &str = "
fn brain4(x: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(x);
    let odd = (bits >> vec4<u32>(16u)) & vec4<u32>(1u);
    let near = (bits + vec4<u32>(0x7fffu) + odd) & vec4<u32>(0xffff0000u);
    let nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return bitcast<vec4<f32>>(select(near, (bits & vec4<u32>(0xffff0000u)) | vec4<u32>(0x400000u), nan));
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
const HELPERS: [(&str, &str); 23] = [
    ("arcsine4(", ARC),
    ("arccosine4(", ARC),
    ("arctangent4(", ARC),
    ("half4(", HALF),
    ("brain4(", BRAIN),
    ("erf4(", ERF),
    ("tanh4(", TANH),
    ("sin4(", FAR_ANGLE),
    ("sin4(", SIN),
    ("hyperbolic4(", EXPM1),
    ("hyperbolic4(", HYPERBOLIC),
    ("inverse4(", LOG1P),
    ("inverse4(", INVERSE),
    ("sigmoid4(", SIGMOID),
    ("softplus4(", LOG1P),
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
