//! The product against the plain loop, in every form: sizes, transposes, strides, starts, precisions, threads.

use super::bf16::Rounded;
use super::pack::Pack;
use super::small::{blocks_serial, multiply_rows};
use super::unit::{InUnit, SplitInUnit};
use super::*;
use crate::parallel::with_threads;
use crate::random::{Random, Stream};

const SIZES: [usize; 11] = [0, 1, 2, 4, 5, 12, 17, 32, 33, 97, 257];

/// The slow and obvious product.
fn plain([m, n, k]: [usize; 3], a: impl Fn(usize, usize) -> f64, b: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    (0..m * n).map(|at| (0..k).map(|p| a(at / n, p) * b(p, at % n)).sum()).collect()
}

fn numbers<T: Float>(n: usize, seed: u64) -> Vec<T> {
    let mut r = Random::new(seed, Stream::Other, 0);
    (0..n).map(|_| T::of(r.uniform() - 0.5)).collect()
}

fn full<T: Float>(x: T) -> f64 {
    x.f64()
}

fn rounded<T: Float>(x: T) -> f64 {
    half::bf16::from_f32(x.f64() as f32).to_f64()
}

/// All sizes and transposes, on all threads and on one, and as `P` packs, against the plain loop over `seen` operands.
fn agrees<T: Float, P: Pack<T>>(precision: Precision, tolerance: f64, seen: impl Fn(T) -> f64) {
    let sizes = SIZES.iter().flat_map(|&m| SIZES.iter().map(move |&n| (m, n, (m * 7 + n * 3) % 300)));
    // In the last two, rows lie as far apart as the first-level cache has ways.
    for (m, n, k) in sizes.chain([(13, 33, 1024), (29, 5, 2048), (33, 34, 4100)]) {
        let (a, b) = (numbers::<T>(m * k, 1), numbers::<T>(k * n, 2));
        let bias = numbers::<T>(n, 3);
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let mat_a = if ta { Mat::new(&a, k, m).t() } else { Mat::new(&a, m, k) };
            let mat_b = if tb { Mat::new(&b, n, k).t() } else { Mat::new(&b, k, n) };
            let want = plain(
                [m, n, k],
                |i, p| seen(if ta { a[p * m + i] } else { a[i * k + p] }),
                |p, j| seen(if tb { b[j * k + p] } else { b[p * n + j] }),
            );
            // C holds rubbish, a one everywhere, rubbish; the last has rows of its own length.
            let (mut all, mut more) = (vec![T::of(f64::NAN); m * n], vec![T::ONE; m * n]);
            let [mut this, mut this_more] = [T::of(f64::NAN), T::ONE].map(|x| vec![x; m * n]);
            let mut this_one = vec![T::of(7.0); m * (n + 3)];
            let stride = n + 3;
            let mut one = vec![T::of(7.0); m * stride];
            matmul(&mut all, mat_a, mat_b, precision);
            add_matmul(&mut more, mat_a, mat_b, precision);
            if k > 0 {
                blocks::<T, P>(&mut this, None, Start::Zero, mat_a, mat_b);
                blocks::<T, P>(&mut this_more, None, Start::There, mat_a, mat_b);
                blocks_serial::<T, P>(MatMut::strided(&mut this_one, m, n, stride), Start::Row(&bias), mat_a, mat_b);
            } else {
                (this, this_more, this_one) = (all.clone(), more.clone(), vec![]);
            }
            matmul_serial(MatMut::strided(&mut one, m, n, stride), Start::Row(&bias), mat_a, mat_b, precision);
            for (at, want) in want.iter().enumerate() {
                let (i, j) = (at / n, at % n);
                let mut got =
                    vec![all[at], more[at] - T::ONE, one[i * stride + j] - bias[j], this[at], this_more[at] - T::ONE];
                got.extend(this_one.get(i * stride + j).map(|&x| x - bias[j]));
                let got: Vec<f64> = got.into_iter().map(T::f64).collect();
                let close = got.iter().all(|x| (x - want).abs() < tolerance * (1.0 + k as f64).sqrt());
                assert!(close, "[{m}, {k}] x [{k}, {n}] {ta} {tb} at {i}, {j}: {got:?} {want}");
            }
            let beyond =
                one.chunks(stride).chain(this_one.chunks(stride)).all(|row| row[n..].iter().all(|&x| x == T::of(7.0)));
            assert!(beyond, "[{m}, {k}] x [{k}, {n}] wrote beyond its columns");
        }
    }
}

#[test]
fn awkward_sizes_and_transposes_agree_with_the_plain_loop() {
    agrees::<f64, Plain>(Precision::Full, 1e-14, full);
    agrees::<f32, Plain>(Precision::Full, 1e-6, full);
}

#[test]
fn bf16_is_the_plain_loop_over_rounded_operands() {
    agrees::<f32, bf16::Pairs>(Precision::Bf16, 1e-6, rounded);
    agrees::<f32, Rounded>(Precision::Bf16, 1e-6, rounded);
    agrees::<f64, Rounded>(Precision::Bf16, 1e-14, rounded);
}

#[test]
fn the_matrix_unit_multiplies_as_lanes_do() {
    if !unit::here() {
        return eprintln!("this processor has no matrix unit");
    }
    agrees::<f32, InUnit>(Precision::Bf16, 1e-6, rounded);
    agrees::<f32, SplitInUnit>(Precision::Full, 1e-6, full);
}

/// C ← A·B as `P` packs.
fn only<P: Pack<f32>>(c: &mut [f32], a: Mat<f32>, b: Mat<f32>) {
    blocks::<f32, P>(c, None, Start::Zero, a, b);
}

#[test]
fn the_matrix_unit_multiplies_numbers_in_full_more_exactly_than_lanes_do() {
    if !unit::here() {
        return;
    }
    for [m, n, k] in [[33, 65, 100], [50, 40, 3000]] {
        // Of very different size, row by row and column by column.
        let spread = |x: f32, i: usize| x * 10.0f32.powi((i % 21) as i32 - 10);
        let a: Vec<f32> = numbers(m * k, 1).into_iter().enumerate().map(|(at, x)| spread(x, at / k)).collect();
        let b: Vec<f32> = numbers(k * n, 2).into_iter().enumerate().map(|(at, x)| spread(x, at % n)).collect();
        let size = plain([m, n, k], |i, p| a[i * k + p].f64().abs(), |p, j| b[p * n + j].f64().abs());
        let want = plain([m, n, k], |i, p| a[i * k + p].f64(), |p, j| b[p * n + j].f64());
        let worst = |product: fn(&mut [f32], Mat<f32>, Mat<f32>)| {
            let mut c = vec![f32::NAN; m * n];
            product(&mut c, Mat::new(&a, m, k), Mat::new(&b, k, n));
            c.iter().zip(&want).zip(&size).map(|((c, want), size)| (c.f64() - want).abs() / size).fold(0.0, f64::max)
        };
        let (lanes, unit) = (worst(only::<Plain>), worst(only::<SplitInUnit>));
        assert!(unit < lanes, "[{m}, {k}] x [{k}, {n}]: {unit:e} in the unit, {lanes:e} in lanes");
    }
}

#[test]
fn what_a_buffer_held_before_and_what_is_not_finite_stay_where_they_are() {
    fn check<P: Pack<f32>>() {
        let [m, n, k] = [5, 37, 33];
        let (bad, mut c) = (vec![f32::NAN; 40 * 40], vec![0.0; m * n]);
        let (a, b) = (numbers::<f32>(m * k, 1), numbers::<f32>(k * n, 2));
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut product = |a: &[f32], b: &[f32]| {
                let mat_a = if ta { Mat::new(a, k, m).t() } else { Mat::new(a, m, k) };
                let mat_b = if tb { Mat::new(b, n, k).t() } else { Mat::new(b, k, n) };
                only::<P>(&mut c, mat_a, mat_b);
                c.clone()
            };
            let at = |i: usize, p: usize| if ta { p * m + i } else { i * k + p };
            // The buffers that the product is packed into were full of NaN.
            product(&bad[..m * k], &bad[..k * n]);
            let good = product(&a, &b);
            assert!(good.iter().all(|c| c.is_finite()), "{ta} {tb}");
            // A row of A reaches its row of C, and a column of B its column.
            let (mut a, mut b) = (a.clone(), b.clone());
            (a[at(2, 7)], b[if tb { 3 * k + 7 } else { 7 * n + 3 }]) = (f32::NAN, f32::NAN);
            for (at, (c, good)) in product(&a, &b).iter().zip(&good).enumerate() {
                let reached = at / n == 2 || at % n == 3;
                assert!(if reached { c.is_nan() } else { c == good }, "{ta} {tb} at {at}: {c} {good}");
            }
        }
    }
    check::<Plain>();
    check::<bf16::Pairs>();
    if unit::here() {
        check::<InUnit>();
        check::<SplitInUnit>();
    }
}

#[test]
fn numbers_in_full_keep_their_last_bit_in_the_matrix_unit() {
    if !unit::here() {
        return;
    }
    // Times a power of two, nothing is rounded: 24 bits of mantissa are three parts.
    let x = numbers::<f32>(40 * 40, 9);
    let twice: Vec<f32> = (0..40 * 40).map(|at| if at / 40 == at % 40 { 2.0 } else { 0.0 }).collect();
    let [mut left, mut right] = [(); 2].map(|()| vec![0.0; 40 * 40]);
    only::<SplitInUnit>(&mut left, Mat::new(&x, 40, 40), Mat::new(&twice, 40, 40));
    only::<SplitInUnit>(&mut right, Mat::new(&twice, 40, 40), Mat::new(&x, 40, 40));
    assert!(left == right && left.iter().zip(&x).all(|(y, x)| *y == 2.0 * x));
}

#[test]
fn bf16_in_software_gives_what_the_processor_gives() {
    for [m, n, k] in [[5, 40, 33], [97, 65, 2000]] {
        let (a, b) = (numbers::<f32>(m * k, 1), numbers::<f32>(k * n, 2));
        for ta in [false, true] {
            let (mut soft, mut hard) = (vec![0.0; m * n], vec![0.0; m * n]);
            let (a, b) = (if ta { Mat::new(&a, k, m).t() } else { Mat::new(&a, m, k) }, Mat::new(&b, k, n));
            only::<Rounded>(&mut soft, a, b);
            only::<bf16::Pairs>(&mut hard, a, b);
            let worst = soft.iter().zip(&hard).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-6 * (k as f32).sqrt(), "{worst}");
        }
    }
}

#[test]
fn rounding_to_bf16_is_that_of_the_half_crate() {
    let mut random = Random::new(4, Stream::Other, 0);
    let special =
        [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1.003_906_2, 1.011_718_8];
    let numbers = special.into_iter().chain((0..100_000).map(|_| f32::from_bits(random.u32())));
    for x in numbers.filter(|x| !x.is_nan()) {
        assert_eq!(bf16::round(x).to_bits(), half::bf16::from_f32(x).to_f32().to_bits(), "{x}");
    }
    assert!(bf16::round(f32::from_bits(0x7fff_ffff)).is_nan());
}

#[test]
fn blocks_beyond_the_first_agree_too() {
    for [m, n, k] in [[3, BLOCK / 300 + 50, 300], [70, 40, 2 * 1024 + 5], [2 * 48 + 1, 33, 1024 + 1]] {
        let (a, b) = (numbers::<f64>(m * k, 3), numbers::<f64>(k * n, 4));
        let (mut c, mut one) = (vec![0.0; m * n], vec![0.0; m * n]);
        matmul(&mut c, Mat::new(&a, m, k), Mat::new(&b, k, n), Precision::Full);
        let (mat_a, mat_b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
        matmul_serial(MatMut::new(&mut one, m, n), Start::Zero, mat_a, mat_b, Precision::Full);
        let want = plain([m, n, k], |i, p| a[i * k + p], |p, j| b[p * n + j]);
        assert!(c.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-12));
        assert!(one.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-12));
    }
}

#[test]
fn a_part_of_a_wider_matrix_is_read_where_it_stands() {
    let (wide, b) = (numbers::<f64>(9 * 20, 5), numbers::<f64>(6 * 4, 6));
    for transposed in [false, true] {
        let part = Mat::strided(&wide[7..], 9, 6, 20);
        let (a, rows) = if transposed { (Mat::strided(&wide[7..], 6, 9, 20).t(), 9) } else { (part, 9) };
        let mut c = vec![0.0; rows * 4];
        matmul(&mut c, a, Mat::new(&b, 6, 4), Precision::Full);
        let at = |i: usize, p: usize| if transposed { wide[7 + p * 20 + i] } else { wide[7 + i * 20 + p] };
        let want = plain([rows, 4, 6], at, |p, j| b[p * 4 + j]);
        assert!(c.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-14));
    }
}

#[test]
fn one_row_times_halved_weights_is_the_product_in_bf16() {
    for [n, k] in [[1, 1], [33, 70], [300, 1000], [0, 5]] {
        let (x, b, bias) = (numbers::<f32>(k, 1), numbers::<f32>(k * n, 2), numbers::<f32>(n, 3));
        let half: Vec<half::bf16> = b.iter().map(|b| b.half()).collect();
        for tb in [false, true] {
            let (mut got, mut want) = (vec![0.0; n], vec![0.0; n]);
            let (halved, full) = if tb {
                (Mat::new(&half, n, k).t(), Mat::new(&b, n, k).t())
            } else {
                (Mat::new(&half, k, n), Mat::new(&b, k, n))
            };
            vector_matmul_half(&mut got, Start::Row(&bias), &x, halved);
            matmul_onto(&mut want, Start::Row(&bias), Mat::new(&x, 1, k), full, Precision::Bf16);
            let close = got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6 * (1.0 + k as f32).sqrt());
            assert!(close, "{n} {k} {tb}");
        }
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let (m, n, k) = (131, 70, 2000);
    let (a, b) = (numbers::<f32>(m * k, 5), numbers::<f32>(k * n, 6));
    let in_unit = [only::<InUnit>, only::<SplitInUnit>].into_iter().filter(|_| unit::here());
    for each in [only::<Plain>, only::<bf16::Pairs>].into_iter().chain(in_unit) {
        let product = |threads| {
            let mut c = vec![0.0; m * n];
            with_threads(threads, || each(&mut c, Mat::new(&a, m, k), Mat::new(&b, k, n)));
            c
        };
        let one = product(1);
        assert!([2, 3, 5, 8].iter().all(|&threads| product(threads) == one));
    }
}

#[test]
fn a_batch_gives_each_product_of_its_own() {
    let (a, b) = (numbers::<f64>(3 * 4 * 5, 7), numbers::<f64>(3 * 6 * 5, 8));
    let mut c = vec![0.0; 3 * 4 * 6];
    add_matmul_batched(&mut c, Batch::new(&a, 3, 4, 5), Batch::new(&b, 3, 6, 5).t(), Precision::Full);
    for i in 0..3 {
        let mut one = vec![0.0; 24];
        let (a, b) = (Mat::new(&a[i * 20..][..20], 4, 5), Mat::new(&b[i * 30..][..30], 6, 5).t());
        matmul(&mut one, a, b, Precision::Full);
        assert!(c[i * 24..][..24].iter().zip(&one).all(|(x, y)| (x - y).abs() < 1e-14));
    }
}

#[test]
#[should_panic(expected = "[2, 3] times [4, 5]: the inner lengths differ")]
fn a_product_that_does_not_fit_names_both_shapes() {
    let (a, b) = ([0.0; 6], [0.0; 20]);
    matmul(&mut [0.0f32; 10], Mat::new(&a, 2, 3), Mat::new(&b, 4, 5), Precision::Full);
}

#[test]
fn what_follows_a_product_is_done_once_to_every_element() {
    for [m, n, k] in [[1, 40, 33], [3, BLOCK / 30 + 50, 30], [2 * 48 + 1, 33, 1024 + 1], [5, 7, 0]] {
        let (a, b, bias) = (numbers::<f64>(m * k, 3), numbers::<f64>(k * n, 4), numbers::<f64>(n, 5));
        let [mut want, mut c, mut y] = [(); 3].map(|()| vec![7.0; m * n]);
        let (mat_a, mat_b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
        matmul_onto(&mut want, Start::Row(&bias), mat_a, mat_b, Precision::Full);
        matmul_map([&mut c, &mut y], Start::Row(&bias), mat_a, mat_b, Precision::Full, |x| x + x);
        assert_eq!(c, want);
        assert!(y.iter().zip(&want).all(|(y, c)| *y == 2.0 * c), "[{m}, {k}] x [{k}, {n}]");
    }
}

#[test]
fn a_packed_b_gives_what_the_product_gives_also_for_its_first_rows_and_columns() {
    fn check<P: Pack<f32>>() {
        let (k, n) = (1026, 37);
        let (a, b) = (numbers::<f32>(1026 * 29, 1), numbers::<f32>(k * n, 2));
        let packed = panels::<f32, P>(Mat::new(&b, k, n), 0..n, 0..k, false);
        for (m, k, n) in [(29, 1026, 37), (13, 1024, 37), (1, 32, 33), (5, 2, 1)] {
            let first = Mat::strided(&b, k, n, 37);
            for a in [Mat::strided(&a, m, k, 1026), Mat::strided(&a, k, m, 29).t()] {
                let (mut want, mut got) = (vec![0.5; m * n], vec![0.5; m * n]);
                blocks::<f32, P>(&mut want, None, Start::There, a, first);
                multiply_rows::<f32, P>(MatMut::new(&mut got, m, n), Start::There, a, 0..k, &packed);
                let close = got.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-4);
                assert!(close, "[{m}, {k}] x [{k}, {n}]");
            }
        }
    }
    check::<Plain>();
    check::<bf16::Pairs>();
    if unit::here() {
        check::<InUnit>();
        check::<SplitInUnit>();
    }
    for precision in [Precision::Full, Precision::Bf16] {
        let (a, b) = (numbers::<f32>(7 * 64, 1), numbers::<f32>(66 * 9, 2));
        let packed = Packed::new(Mat::new(&b, 66, 9), precision);
        for k in [64, 0] {
            let (mut want, mut got) = (vec![0.5; 7 * 9], vec![0.5; 7 * 9]);
            let a = Mat::new(&a[..7 * k], 7, k);
            add_matmul(&mut want, a, Mat::strided(&b, k, 9, 9), precision);
            matmul_packed(MatMut::new(&mut got, 7, 9), Start::There, a, &packed);
            assert!(got.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-5), "{precision:?} {k}");
        }
    }
}

#[test]
fn tasks_are_whole_tiles_of_the_number_that_leaves_the_busiest_thread_least_to_do() {
    // Tiles of the thread that has most of them, when tasks are dealt out in turn.
    let busiest = |tiles: usize, run: usize, threads: usize| {
        let mut each = vec![0; threads];
        (0..tiles).for_each(|tile| each[tile / run % threads] += 1);
        each.into_iter().max().unwrap_or(0)
    };
    fn check<P: Pack<f32>>(m: usize, threads: usize, busiest: impl Fn(usize, usize, usize) -> usize) {
        let (tiles, run) = (m.div_ceil(P::ROWS), run::<f32, P>(m, threads));
        let fits = run.is_multiple_of(P::ROWS) && (P::ROWS..=P::TASK).contains(&run);
        assert!(fits, "{m} rows, {threads} threads: {run}");
        let busy = m.div_ceil(run) >= P::SHARES.div_ceil(2) * threads;
        let even = busiest(tiles, run / P::ROWS, threads) <= busiest(tiles, 1, threads);
        assert!(busy || even, "{m} rows, {threads} threads: {run}");
        for other in (2..=P::TASK / P::ROWS).filter(|other| tiles.div_ceil(*other) >= P::SHARES * threads) {
            let (here, there) = (busiest(tiles, run / P::ROWS, threads), busiest(tiles, other, threads));
            assert!(here <= there, "{m} rows, {threads} threads: {run} or {other} tiles");
        }
    }
    for (m, threads) in (1..2000).step_by(7).flat_map(|m| [1, 2, 3, 8].map(|threads| (m, threads))) {
        check::<Plain>(m, threads, busiest);
        check::<SplitInUnit>(m, threads, busiest);
    }
}
