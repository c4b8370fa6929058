// An index that may count from the end.
fn wrapped(index: i32, size: u32) -> i32 {
    return select(index, index + i32(size), index < 0);
}

// Where a wrapped index points, or the nearest element.
fn nearest(index: i32, size: u32) -> u32 {
    return u32(clamp(index, 0, i32(size) - 1));
}
