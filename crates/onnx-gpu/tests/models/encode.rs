//! Encodes ONNX models by the rules of the protobuf specification.

/// A protobuf number.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field that holds bytes.
pub fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    out.extend(varint(payload.len() as u64));
    out.extend_from_slice(payload);
    out
}

/// A field that holds an integer.
pub fn int(number: u8, value: i64) -> Vec<u8> {
    let mut out = vec![number << 3];
    out.extend(varint(value as u64));
    out
}

/// A node without attributes.
pub fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    node_with("", op, inputs, output, &[])
}

/// A node with attributes as [`attribute`] makes them.
pub fn node_with(
    domain: &str,
    op: &str,
    inputs: &[&str],
    output: &str,
    attributes: &[Vec<u8>],
) -> Vec<u8> {
    let mut out: Vec<u8> = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect();
    out.extend(field(2, output.as_bytes()));
    out.extend(field(4, op.as_bytes()));
    for attribute in attributes {
        out.extend(field(5, attribute));
    }
    out.extend(field(7, domain.as_bytes()));
    field(1, &out)
}

/// An integer attribute.
pub fn attribute(name: &str, value: i64) -> Vec<u8> {
    [field(1, name.as_bytes()), int(3, value), vec![0xa0, 1, 2]].concat()
}

/// An attribute of several integers.
pub fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let values = values.iter().flat_map(|&v| int(8, v));
    let body: Vec<u8> = field(1, name.as_bytes())
        .into_iter()
        .chain(values)
        .collect();
    [body, vec![0xa0, 1, 7]].concat()
}

/// A float attribute.
pub fn float(name: &str, value: f32) -> Vec<u8> {
    [
        field(1, name.as_bytes()),
        vec![0x15],
        value.to_le_bytes().to_vec(),
        vec![0xa0, 1, 1],
    ]
    .concat()
}

fn head(name: &str, dims: &[usize], code: i64) -> Vec<u8> {
    let mut out: Vec<u8> = dims.iter().flat_map(|&d| int(1, d as i64)).collect();
    out.extend(int(2, code));
    out.extend(field(8, name.as_bytes()));
    out
}

/// An initializer with raw data; `code` is ONNX's number of the element type.
pub fn raw(name: &str, dims: &[usize], code: i64, data: &[u8]) -> Vec<u8> {
    let mut out = head(name, dims, code);
    out.extend(field(9, data));
    field(5, &out)
}

/// An initializer of floats.
pub fn floats(name: &str, dims: &[usize], data: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    raw(name, dims, 1, &bytes)
}

/// An initializer in another file.
pub fn external(name: &str, dims: &[usize], code: i64, file: &str, offset: u64) -> Vec<u8> {
    let mut out = head(name, dims, code);
    for (key, value) in [("location", file), ("offset", &offset.to_string())] {
        let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
        out.extend(field(13, &entry));
    }
    out.extend(int(14, 1));
    field(5, &out)
}

/// An input (11) or output (12); a dimension of 0 is the symbol `n`.
pub fn info(number: u8, name: &str, code: i64, dims: &[usize]) -> Vec<u8> {
    let dims: Vec<u8> = dims
        .iter()
        .flat_map(|&d| {
            field(
                1,
                &if d == 0 {
                    field(2, b"n")
                } else {
                    int(1, d as i64)
                },
            )
        })
        .collect();
    let tensor = [int(1, code), field(2, &dims)].concat();
    field(
        number,
        &[field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat(),
    )
}

/// An input or output of floats whose shape is not declared.
pub fn open_info(number: u8, name: &str) -> Vec<u8> {
    let kind = field(2, &field(1, &int(1, 1)));
    field(number, &[field(1, name.as_bytes()), kind].concat())
}

/// An initializer of int64.
pub fn longs(name: &str, data: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    raw(name, &[data.len()], 7, &bytes)
}

/// A model of graph fields, opset 21 and `com.microsoft` 1.
pub fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    model_of(21, graph)
}

/// A model of graph fields, an operator set of ONNX and `com.microsoft` 1.
pub fn model_of(opset: i64, graph: &[Vec<u8>]) -> Vec<u8> {
    let microsoft = [field(1, b"com.microsoft"), int(2, 1)].concat();
    [
        int(1, 10),
        field(7, &graph.concat()),
        field(8, &int(2, opset)),
        field(8, &microsoft),
    ]
    .concat()
}
