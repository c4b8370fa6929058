#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// Encodes one length-delimited field by the rules of the protobuf specification.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut len = payload.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(payload);
    out
}

fn int(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn model(graph: &[u8]) -> Vec<u8> {
    let opset = int(2, 18);
    [int(1, 8), field(7, graph), field(8, &opset)].concat()
}

#[test]
fn reads_a_hand_encoded_model() {
    let weight = [
        int(1, 2),
        int(2, 1),
        field(8, b"w"),
        field(9, &[0, 0, 128, 63, 0, 0, 0, 192]),
    ]
    .concat();
    let attribute = [field(1, b"axis"), int(3, 1), vec![0xa0, 0x01, 2]].concat();
    let node = [
        field(1, b"x"),
        field(1, b"w"),
        field(2, b"y"),
        field(4, b"Add"),
        field(5, &attribute),
    ]
    .concat();
    let dims = [field(1, &int(1, 2)), field(1, &field(2, b"n"))].concat();
    let info = [
        field(1, b"x"),
        field(2, &field(1, &[int(1, 1), field(2, &dims)].concat())),
    ]
    .concat();
    let graph = [field(1, &node), field(5, &weight), field(11, &info)].concat();
    let parsed = Model::parse(&model(&graph)).unwrap();
    assert_eq!(parsed.ir_version, 8);
    assert_eq!(parsed.opsets, [(String::new(), 18)]);
    assert_eq!(parsed.graph.nodes[0].op, "Add");
    assert!(matches!(
        parsed.graph.nodes[0].attributes[0].value,
        AttributeValue::Int(1)
    ));
    let weight = &parsed.graph.initializers[0];
    assert_eq!(
        (weight.name.as_str(), weight.shape.as_slice()),
        ("w", &[2][..])
    );
    let Contents::Stored(location) = &weight.contents else {
        panic!("{weight:?}")
    };
    let file = model(&graph);
    let raw = &file[location.offset as usize..][..location.length as usize];
    let tensor = weight.storage.tensor(&weight.shape, raw).unwrap();
    assert_eq!(tensor.as_f32().unwrap(), &[1.0, -2.0]);
    assert_eq!(
        parsed.graph.inputs[0].shape.as_deref().unwrap(),
        [Dim::Fixed(2), Dim::Symbol("n".into())]
    );
}

#[test]
fn every_truncation_is_an_error_or_a_shorter_model() {
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Relu")].concat();
    let whole = model(&field(1, &node));
    for end in 0..whole.len() {
        if let Err(error) = Model::parse(&whole[..end]) {
            assert_eq!(error.kind(), ErrorKind::Parse);
        }
    }
}

#[test]
fn a_length_beyond_the_file_allocates_nothing() {
    let bytes = [0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    assert_eq!(Model::parse(&bytes).unwrap_err().kind(), ErrorKind::Parse);
}

#[test]
fn huge_and_negative_dimensions_are_refused_before_allocation() {
    let max = [0xff; 8];
    let huge = [
        vec![0x08],
        max.to_vec(),
        vec![0x7f, 0x08],
        max.to_vec(),
        vec![0x7f],
        int(2, 1),
    ]
    .concat();
    let error = Model::parse(&model(&field(5, &huge))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    let negative = [vec![0x08], vec![0xff; 9], vec![0x01], int(2, 1)].concat();
    let error = Model::parse(&model(&field(5, &negative))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse);
    let hollow = [int(1, 100), int(2, 1)].concat();
    let error = Model::parse(&model(&field(5, &hollow))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Parse);
}

/// A tensor of two floats in another file.
fn outside(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tensor = [int(1, 2), int(2, 1), field(8, b"big"), int(14, 1)].concat();
    for (key, value) in entries {
        let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
        tensor.extend(field(13, &entry));
    }
    tensor
}

fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    model(&field(5, &outside(entries)))
}

/// `onnx.save_model(..., convert_attribute=True)` moves the tensors of attributes out, too.
#[test]
fn a_constant_in_another_file_is_an_initializer() {
    let tensor = outside(&[("location", "w.bin"), ("offset", "8"), ("length", "8")]);
    let value = [field(1, b"value"), field(5, &tensor), vec![0xa0, 0x01, 4]].concat();
    let node = |op: &[u8]| [field(2, b"y"), field(4, op), field(5, &value)].concat();
    let parsed = Model::parse(&model(&field(1, &node(b"Constant")))).unwrap();
    assert!(parsed.graph.nodes.is_empty());
    let [weight] = &parsed.graph.initializers[..] else {
        panic!("no initializer")
    };
    assert_eq!((&*weight.name, &*weight.shape), ("y", &[2][..]));
    assert!(
        matches!(&weight.contents, Contents::Stored(l) if l.offset == 8 && l.file.as_deref() == Some("w.bin"))
    );
    let error = Model::parse(&model(&field(1, &node(b"ConstantOfShape")))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
}

#[test]
fn external_data_are_located() {
    let file = external(&[("location", "a/w.bin"), ("offset", "64"), ("length", "8")]);
    let parsed = Model::parse(&file).unwrap();
    let Contents::Stored(location) = &parsed.graph.initializers[0].contents else {
        panic!("not external")
    };
    assert_eq!(location.file.as_deref(), Some("a/w.bin"));
    assert_eq!((location.offset, location.length), (64, 8));
}

#[test]
fn external_data_outside_the_folder_or_of_another_size_are_refused() {
    for path in [
        "",
        "/etc/passwd",
        "../w",
        "a/../../w",
        "a/..",
        "..",
        "a//b",
        "a\\..\\w",
        "C:w",
        "http://x/w",
        "w?x",
        "w#x",
        "%2e%2e/w",
        "w\0",
    ] {
        let error = Model::parse(&external(&[("location", path)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel, "{path:?}");
        assert!(error.to_string().contains("'big'"), "{error}");
    }
    let location = ("location", "w");
    for entries in [
        vec![],
        vec![location, ("length", "9")],
        vec![location, ("length", "-8")],
        vec![location, ("offset", "18446744073709551615")],
        vec![location, ("offset", "1e3")],
    ] {
        let error = Model::parse(&external(&entries)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Parse, "{entries:?}");
    }
}

#[test]
fn four_bit_integers_are_two_per_byte_low_half_first() {
    let tensor = Storage::I4.tensor(&[3], &[0x7f, 0x08]).unwrap();
    assert_eq!(tensor.as_i8().unwrap(), &[-1, 7, -8]);
    let tensor = Storage::U4.tensor(&[3], &[0x7f, 0x08]).unwrap();
    assert_eq!(tensor.as_u8().unwrap(), &[15, 7, 8]);
    assert!(Storage::U4.tensor(&[3], &[0]).is_err());
}

#[test]
fn functions_are_refused() {
    let functions = [vec![0xca, 0x01, 0], model(&[])].concat();
    let error = Model::parse(&functions).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedOp);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Model::parse(&bytes);
        let _ = Model::parse(&model(&bytes));
        let _ = Model::parse(&model(&field(5, &bytes)));
        let _ = Model::parse(&model(&field(1, &bytes)));
    }
}
