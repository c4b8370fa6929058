// One invocation per output element.
{{common}}
{{each}}    if (i >= params.outputs) {
        return;
    }
    let output = i / params.runs;
    let base = kept_offset(output);
    let first = (i - output * params.runs) * params.run;
    let end = min(first + params.run, params.count);
    var a = initial();
    for (var r = first; r < end; r += 1u) {
        let b = lift(in_x[base + reduced_offset(r)], r - first);
        a = combine(a, b);
    }
    out[i] = finish(a, first);
}
