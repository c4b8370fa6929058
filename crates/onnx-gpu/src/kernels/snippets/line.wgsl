// Element `i` of `[outer, axis, inner]` along each of the three.
struct Spot {
    outer: u32,
    place: u32,
    lane: u32,
}

fn spot(i: u32, axis: u32, inner: u32) -> Spot {
    let row = i / inner;
    let outer = row / axis;
    return Spot(outer, row - outer * axis, i - row * inner);
}
