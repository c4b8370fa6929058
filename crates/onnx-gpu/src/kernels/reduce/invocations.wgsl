// One invocation per output element.
{{common}}
{{each}}    if (i >= params.outputs) {
        return;
    }
    let base = kept_offset(i);
    var a = initial();
    for (var r = 0u; r < params.count; r += 1u) {
        let b = lift(in_x[base + reduced_offset(r)], r);
        a = combine(a, b);
    }
    out[i] = finish(a);
}
