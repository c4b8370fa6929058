//! Where the elements of a value lie in its buffer when that is not row by row: transposes, slices and expansions that
//! nobody has copied yet.

use crate::kernels::row_major;
use crate::kernels::strided_copy::StridedCopy;

/// Element `i` of the value, counted row by row over `dims`, is at `offset + Σ index·stride`.
///
/// The product of `dims` is the number of elements; `dims` need not be the value's shape, so a reshape keeps them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Layout {
    pub offset: i64,
    pub dims: Vec<usize>,
    pub strides: Vec<i64>,
}

/// A run of elements along one axis: how many, and the step between them.
pub(crate) type Run = (usize, i64);

impl Layout {
    /// Row by row.
    pub fn dense(shape: &[usize]) -> Self {
        Self::new(0, shape, &row_major(shape))
    }

    /// `dims` and `strides` in their shortest form.
    pub fn new(offset: i64, dims: &[usize], strides: &[i64]) -> Self {
        let mut out = Self {
            offset,
            dims: Vec::new(),
            strides: Vec::new(),
        };
        for (&dim, &stride) in dims.iter().zip(strides) {
            match (out.dims.last_mut(), out.strides.last_mut()) {
                _ if dim == 1 => {}
                (Some(last), Some(step)) if *step == stride * dim as i64 => {
                    *last *= dim;
                    *step = stride;
                }
                _ => {
                    out.dims.push(dim);
                    out.strides.push(stride);
                }
            }
        }
        out
    }

    /// Whether the elements lie row by row from the start.
    pub fn is_dense(&self) -> bool {
        self.offset == 0
            && match self.strides.as_slice() {
                [] => true,
                [step] => *step == 1,
                _ => false,
            }
    }

    /// The layout of what a copy that fills its output row by row would make.
    pub fn of_copy(copy: &StridedCopy) -> Self {
        Self::new(copy.in_offset, &copy.shape, &copy.in_strides)
    }

    /// The runs that make up each axis of `shape`, outermost first; none where an axis starts inside a run that cannot be cut.
    pub fn split(&self, shape: &[usize]) -> Option<Vec<Vec<Run>>> {
        let mut rest: Vec<Run> = self
            .dims
            .iter()
            .copied()
            .zip(self.strides.iter().copied())
            .collect();
        let mut axes = Vec::with_capacity(shape.len());
        for &dim in shape.iter().rev() {
            let mut runs = Vec::new();
            let mut open = dim;
            while open > 1 {
                let (count, step) = rest.pop()?;
                if open.is_multiple_of(count) {
                    runs.insert(0, (count, step));
                    open /= count;
                } else if count.is_multiple_of(open) {
                    runs.insert(0, (open, step));
                    rest.push((count / open, step * open as i64));
                    open = 1;
                } else {
                    return None;
                }
            }
            axes.push(runs);
        }
        axes.reverse();
        rest.is_empty().then_some(axes)
    }

    /// One step per axis of `shape`; none where an axis has several runs. Axes of length 1 step by 0.
    pub fn steps(&self, shape: &[usize]) -> Option<Vec<i64>> {
        self.split(shape)?
            .into_iter()
            .map(|runs| match runs.as_slice() {
                [] => Some(0),
                [(_, step)] => Some(*step),
                _ => None,
            })
            .collect()
    }

    /// The copy that reads this layout's buffer where `copy` reads the value; none where its steps cross the layout's axes.
    pub fn compose(&self, copy: &StridedCopy) -> Option<StridedCopy> {
        let sizes = row_major(&self.dims);
        let total: i64 = self.dims.iter().product::<usize>() as i64;
        if copy.in_offset < 0 || copy.in_offset >= total {
            return None;
        }
        // Coordinates of the first element, and how far below and above it the copy goes along each of the layout's axes.
        let start: Vec<i64> = sizes
            .iter()
            .zip(&self.dims)
            .map(|(&size, &dim)| copy.in_offset / size % dim as i64)
            .collect();
        let (mut low, mut high) = (start.clone(), start.clone());
        let mut out = StridedCopy {
            shape: Vec::new(),
            in_offset: self.offset
                + start
                    .iter()
                    .zip(&self.strides)
                    .map(|(at, step)| at * step)
                    .sum::<i64>(),
            in_strides: Vec::new(),
            out_offset: copy.out_offset,
            out_strides: Vec::new(),
        };
        for (axis, &count) in copy.shape.iter().enumerate() {
            let (step, out_step) = (copy.in_strides[axis], copy.out_strides[axis]);
            let mut runs = Vec::new();
            let mut open = count;
            let mut step = step;
            let mut out_step = out_step;
            while open > 1 {
                if step == 0 {
                    runs.push((open, 0, out_step));
                    break;
                }
                let at = sizes.iter().position(|&size| step % size == 0)?;
                let each = step / sizes[at];
                let room = (self.dims[at] as i64 / each.abs()).max(1) as usize;
                // Steps longer than half of an axis stay on it or lead nowhere.
                let fits = open <= room || room < 2 || !open.is_multiple_of(room) || each < 0;
                let take = if fits { open } else { room };
                let reach = each * (take as i64 - 1);
                if reach > 0 {
                    high[at] += reach;
                } else {
                    low[at] += reach;
                }
                if low[at] < 0 || high[at] >= self.dims[at] as i64 {
                    return None;
                }
                runs.push((take, each * self.strides[at], out_step));
                open /= take;
                step *= take as i64;
                out_step *= take as i64;
            }
            for (count, step, out_step) in runs.into_iter().rev() {
                out.shape.push(count);
                out.in_strides.push(step);
                out.out_strides.push(out_step);
            }
        }
        Some(out)
    }
}

/// Cuts lists of runs over the same elements so that all have the same counts; none where that is impossible.
pub(crate) fn refine(lists: &[Vec<Run>]) -> Option<(Vec<usize>, Vec<Vec<i64>>)> {
    let mut rest: Vec<Vec<Run>> = lists.to_vec();
    for list in &mut rest {
        list.retain(|&(count, _)| count != 1);
    }
    let mut counts = Vec::new();
    let mut steps = vec![Vec::new(); lists.len()];
    while rest.iter().any(|list| !list.is_empty()) {
        let smallest = rest
            .iter()
            .map(|list| list.last().map(|&(count, _)| count))
            .min()??;
        for (list, steps) in rest.iter_mut().zip(&mut steps) {
            let (count, step) = list.pop()?;
            if !count.is_multiple_of(smallest) {
                return None;
            }
            if count > smallest {
                list.push((count / smallest, step * smallest as i64));
            }
            steps.push(step);
        }
        counts.push(smallest);
    }
    counts.reverse();
    for list in &mut steps {
        list.reverse();
    }
    Some((counts, steps))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn transpose(shape: &[usize], perm: &[usize]) -> StridedCopy {
        let strides = row_major(shape);
        let out: Vec<usize> = perm.iter().map(|&p| shape[p]).collect();
        StridedCopy {
            in_offset: 0,
            in_strides: perm.iter().map(|&p| strides[p]).collect(),
            out_offset: 0,
            out_strides: row_major(&out),
            shape: out,
        }
    }

    /// Buffer positions in the order of the value's elements.
    fn positions(offset: i64, dims: &[usize], strides: &[i64]) -> Vec<i64> {
        let mut all = vec![offset];
        for (&dim, &step) in dims.iter().zip(strides) {
            all = all
                .into_iter()
                .flat_map(|at| (0..dim as i64).map(move |i| at + i * step))
                .collect();
        }
        all
    }

    #[test]
    fn a_transpose_of_a_transpose_is_dense() {
        let there = Layout::of_copy(&transpose(&[2, 3, 4], &[2, 0, 1]));
        assert!(!there.is_dense());
        let back = there.compose(&transpose(&[4, 2, 3], &[1, 2, 0])).unwrap();
        assert!(Layout::of_copy(&back).is_dense());
    }

    #[test]
    fn composition_reads_the_same_elements() {
        // [6, 4] seen as [2, 3, 4], heads moved first, merged to [3, 8], then every second column from the third.
        let first = Layout::of_copy(&transpose(&[2, 3, 4], &[1, 0, 2]));
        let slice = StridedCopy {
            shape: vec![3, 3],
            in_offset: 2,
            in_strides: vec![8, 2],
            out_offset: 0,
            out_strides: vec![3, 1],
        };
        let all = positions(first.offset, &first.dims, &first.strides);
        let wanted: Vec<i64> = positions(2, &[3, 3], &[8, 2])
            .into_iter()
            .map(|i| all[i as usize])
            .collect();
        // The columns 2, 4, 6 cross from the first half into the second: no single step reads them.
        assert!(first.compose(&slice).is_none());
        assert_eq!(wanted, [2, 12, 14, 6, 16, 18, 10, 20, 22]);
        let halves = StridedCopy {
            shape: vec![3, 8],
            in_offset: 0,
            in_strides: vec![8, 1],
            out_offset: 0,
            out_strides: vec![8, 1],
        };
        let read = first.compose(&halves).unwrap();
        assert_eq!(
            positions(read.in_offset, &read.shape, &read.in_strides),
            all
        );
    }

    /// Found by fuzzing: such a step was tried for ever.
    #[test]
    fn steps_longer_than_half_an_axis_are_read_or_refused() {
        let turned = Layout::new(0, &[5, 4], &[1, 5]);
        let every = |count: usize, step: i64| StridedCopy {
            shape: vec![count],
            in_offset: 0,
            in_strides: vec![step],
            out_offset: 0,
            out_strides: vec![1],
        };
        let read = turned.compose(&every(2, 12)).unwrap();
        assert_eq!(
            positions(read.in_offset, &read.shape, &read.in_strides),
            [0, 3]
        );
        assert!(turned.compose(&every(2, 20)).is_none());
    }

    #[test]
    fn axes_are_cut_out_of_runs() {
        let heads = Layout::of_copy(&transpose(&[1, 5, 2, 4], &[0, 2, 1, 3]));
        assert_eq!(heads.steps(&[2, 5, 4]).unwrap(), [4, 8, 1]);
        assert_eq!(
            heads.split(&[10, 4]).unwrap(),
            [vec![(2, 4), (5, 8)], vec![(4, 1)]]
        );
        assert!(heads.split(&[5, 8]).is_none());
        assert_eq!(Layout::dense(&[6, 4]).steps(&[3, 8]).unwrap(), [8, 1]);
    }

    #[test]
    fn runs_are_refined_to_common_counts() {
        let (counts, steps) = refine(&[vec![(10, 3)], vec![(2, 100), (5, 1)]]).unwrap();
        assert_eq!(counts, [2, 5]);
        assert_eq!(steps, [vec![15, 3], vec![100, 1]]);
        assert!(refine(&[vec![(6, 1)], vec![(4, 1)]]).is_none());
        assert!(refine(&[vec![(3, 1), (2, 1)], vec![(2, 1), (3, 1)]]).is_none());
    }
}
