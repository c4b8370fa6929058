//! What moves elements: copies, gathers, scatters, scans, windows.

use onnx_gpu::kernels::gather::{Gather, gather, gather_elements, gather_nd};
use onnx_gpu::kernels::gather_blocks::{GatherBlocks, Integers, ZeroPoint, gather_blocks};
use onnx_gpu::kernels::operand::Scales;
use onnx_gpu::kernels::pool::{Pool, PoolOp, pool};
use onnx_gpu::kernels::resample::{Resample, resample};
use onnx_gpu::kernels::resize::{CoordinateMode, Interpolation, NearestMode, Resize, resize};
use onnx_gpu::kernels::scan::{CumSum, cumsum, range};
use onnx_gpu::kernels::scatter::{
    Reduction, scatter_elements, scatter_elements_with, scatter_nd, scatter_nd_with,
};
use onnx_gpu::kernels::strided_copy::{
    Pad, PadMode, StridedCopy, Trilu, fill, pad, strided_copy, strided_halves, trilu,
};
use onnx_gpu::kernels::top_k::{TopK, top_k};
use onnx_gpu::kernels::{Elem, Format, Launch};

pub fn moves(all: &mut Vec<Launch>) {
    for inner in [3, 4] {
        let copy = StridedCopy {
            shape: vec![2, inner],
            in_offset: 0,
            in_strides: vec![0, 1],
            out_offset: 0,
            out_strides: vec![inner as i64, 1],
        };
        all.push(strided_copy(&copy).unwrap());
        all.push(
            gather(
                &Gather {
                    outer: 2,
                    axis: 3,
                    inner,
                    indices: 2,
                },
                Format::F32,
            )
            .unwrap(),
        );
    }
    for bits in [4, 8] {
        for signed in [false, true] {
            let elements = Integers { bits, signed };
            for (scales, zeros) in [
                (Scales::F32, ZeroPoint::Number(8)),
                (Scales::F16, ZeroPoint::Stored(elements)),
            ] {
                let g = GatherBlocks {
                    outer: 1,
                    axis: 3,
                    inner: 32,
                    indices: 2,
                    q_axis: 32,
                    q_inner: 1,
                    block: 16,
                    elements,
                    scales,
                    scale_row: 2,
                    zero_row: 2,
                    zeros,
                };
                all.push(gather_blocks(&g).unwrap());
            }
        }
    }
    let transpose = StridedCopy {
        shape: vec![2, 4],
        in_offset: 0,
        in_strides: vec![1, 2],
        out_offset: 0,
        out_strides: vec![4, 1],
    };
    all.push(strided_copy(&transpose).unwrap());
    all.push(strided_halves(&transpose).unwrap());
    let around = Pad {
        shape: vec![3],
        begin: vec![1],
        end: vec![1],
        mode: PadMode::Edge,
    };
    all.extend([
        fill(5, 0).unwrap(),
        pad(&around).unwrap(),
        trilu(&Trilu {
            batch: 1,
            rows: 2,
            cols: 2,
            k: 0,
            upper: true,
        })
        .unwrap(),
        gather_elements(&[3], &[2], 0).unwrap(),
        gather_nd(&[3], &[2, 1], 0).unwrap(),
        scatter_elements(&[3], &[2], 0).unwrap(),
        scatter_nd(&[3], &[2, 1]).unwrap(),
    ]);
    for elem in [Elem::F32, Elem::I32, Elem::U32] {
        let g = TopK {
            elem,
            outer: 1,
            axis: 3,
            inner: 1,
            k: 2,
            largest: true,
        };
        all.push(top_k(&g).unwrap());
    }
    let g = Resample {
        outer: 1,
        input: 3,
        output: 2,
        inner: 1,
        taps: 4,
    };
    all.push(resample(&g).unwrap());
    for elem in [Elem::F32, Elem::I32] {
        for reduction in [
            Reduction::Add,
            Reduction::Mul,
            Reduction::Max,
            Reduction::Min,
        ] {
            all.push(scatter_elements_with(reduction, elem, &[3], &[2], 0).unwrap());
            all.push(scatter_nd_with(reduction, elem, &[3], &[2, 1]).unwrap());
        }
        all.push(range(elem, 3, 0, 1).unwrap());
        let g = CumSum {
            elem,
            outer: 1,
            axis: 3,
            inner: 1,
            exclusive: false,
            reverse: false,
        };
        all.push(cumsum(&g).unwrap());
    }
    for interpolation in [
        Interpolation::Linear,
        Interpolation::Nearest(NearestMode::Floor),
    ] {
        let g = Resize {
            planes: 1,
            input: [2, 2],
            output: [4, 4],
            scales: [2.0; 2],
            coordinates: CoordinateMode::Asymmetric,
            interpolation,
        };
        all.push(resize(&g).unwrap());
    }
    for op in [
        PoolOp::Max,
        PoolOp::Average {
            count_include_pad: false,
        },
        PoolOp::Average {
            count_include_pad: true,
        },
    ] {
        let g = Pool {
            op,
            planes: 1,
            input: [4, 4],
            output: [2, 2],
            kernel: [2; 2],
            strides: [2; 2],
            pads: [0; 4],
            dilations: [1; 2],
        };
        all.push(pool(&g).unwrap());
    }
}
