//! The instructions of the matrix unit (AMX), which the compiler offers under no name yet: whether it is here, the shapes of
//! its tiles, and the loops that multiply them, in assembly.

use std::arch::asm;
use std::arch::x86_64::{
    __cpuid_count, __m256bh, __m512, __m512i, _MM_HINT_T1, _mm_prefetch, _mm512_and_si512, _mm512_cvtpbh_ps,
    _mm512_set1_epi32, _mm512_slli_epi32,
};
use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::transmute;
use std::sync::LazyLock;

use wide::f32x16;

use super::processor::Processor;
use crate::matmul::tile::Tile;

/// Rows of a tile register, and words in each.
pub const SIDE: usize = 16;

/// Whether this processor has a matrix unit for bf16 that the system lets this program use.
pub fn here() -> bool {
    static HERE: LazyLock<bool> = LazyLock::new(|| {
        // CPUID leaf 7: AMX-BF16 and AMX-TILE; XCR0: the state of tiles is kept (SDM volume 1, section 18.2).
        // SAFETY: every x86-64 processor has CPUID (and newer compilers ask for no `unsafe`).
        #[allow(unused_unsafe)]
        let has = unsafe { __cpuid_count(7, 0) }.edx & (1 << 22 | 1 << 24) == 1 << 22 | 1 << 24;
        let kept = Processor::here().kept & (1 << 17 | 1 << 18) == 1 << 17 | 1 << 18;
        has && kept && allowed()
    });
    *HERE
}

/// Asks the system for the use of tiles, by all threads of this process: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
fn allowed() -> bool {
    let refused: i64;
    // SAFETY: a system call that reads and writes no memory; the two registers are those that it changes.
    unsafe {
        asm!("syscall", inlateout("rax") 158_i64 => refused, in("rdi") 0x1023_i64, in("rsi") 18_i64,
            out("rcx") _, out("r11") _, options(nostack));
    }
    refused == 0
}

/// Asks for the cache line that holds a number to be in the second-level cache: the first one is busy with tiles.
#[inline(always)]
pub fn fetch_second_level(number: &f32) {
    // SAFETY: as in `super::fetch`.
    unsafe { _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(number).cast()) }
}

/// The numbers in words of neighbours, as f32 in their order.
#[inline(always)]
pub fn numbers_along(words: f32x16) -> [f32x16; 2] {
    // SAFETY: as in `pairs`.
    unsafe { transmute::<f32x16, [__m256bh; 2]>(words).map(|half| transmute::<__m512, f32x16>(_mm512_cvtpbh_ps(half))) }
}

/// The lower and the upper numbers of words, as f32.
#[inline(always)]
pub fn numbers_across(words: f32x16) -> [f32x16; 2] {
    // SAFETY: as in `pairs`.
    unsafe {
        let words = transmute::<f32x16, __m512i>(words);
        let upper = _mm512_and_si512(words, _mm512_set1_epi32(-0x1_0000));
        [_mm512_slli_epi32::<16>(words), upper].map(|x| transmute::<__m512i, f32x16>(x))
    }
}

/// How the eight tiles are shaped: palette 1, each 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

thread_local! {
    /// Whether the tiles of this thread are shaped.
    static SHAPED: Cell<bool> = const { Cell::new(false) };
}

/// The tile registers of this thread, shaped for as long as this lives: one at a time, since it takes their shape with it.
pub struct Tiles(PhantomData<*const ()>);

/// What the unit writes is a tile of sums as lanes have it.
const _: () = assert!(size_of::<Tile<f32, 32>>() == 32 * 128);

impl Tiles {
    pub fn new() -> Self {
        assert!(here(), "this processor has no matrix unit");
        assert!(!SHAPED.replace(true), "the tiles of this thread are in use");
        static SHAPES: Shapes = Shapes {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        // SAFETY: the unit is here and may be used; the shapes are 64 bytes as the instruction reads them.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const SHAPES, options(nostack, readonly)) };
        Self(PhantomData)
    }

    /// sums ← A·B for `height` rows of A, up to 32, whose rows lie `stride` words apart, and a panel of B. Both consist of
    /// groups of sixteen words for each of N parts: one, or three, which stand for numbers in full. Of A as many rows are
    /// read as fill tiles. On the way it asks for the words from `soon` on, a quarter as many as B has, to be in the
    /// second-level cache.
    #[inline(always)]
    pub fn multiply<const N: usize>(
        &self,
        sums: &mut Tile<f32, 32>,
        a: &[f32],
        stride: usize,
        b: &[f32x16],
        height: usize,
        soon: *const f32x16,
    ) {
        const { assert!(N == 1 || N == 3) };
        let groups = b.len() / (2 * SIDE * N);
        // The lower half of a low tile is its upper half again.
        let lower = if height > SIDE { SIDE * stride } else { 0 };
        let end = lower + (SIDE - 1) * stride + groups * SIDE * N;
        assert!(groups > 0 && end <= a.len(), "the rows of A are shorter than the panel of B");
        let (sums, a, b) = (sums.as_mut_ptr().cast(), [a.as_ptr(), a[lower..].as_ptr()], b.as_ptr().cast());
        let soon = soon.cast();
        // SAFETY: the tiles are shaped, since `self` lives; A, from both pointers, and B hold all groups; the sums are 32
        // rows of 128 bytes, as many as are written.
        unsafe {
            match N {
                1 => one_part(sums, a, stride, [b, soon], groups),
                _ => three_parts(sums, a, stride, [b, soon], groups),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles were shaped by `new`, so the instruction is here. Without their state, threads change cheaply.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
        SHAPED.set(false);
    }
}

// Of the eight tiles, 0 to 3 are sums, 4 and 5 the upper and lower rows of A, 6 and 7 the left and right columns of B. A group
// has of a row of A 64 bytes for each part, of B 16 rows of 128.
//
// On virtual machines each core's unit was fast for moments and slow for others, as if another thread shared the core then.
// Fast, it multiplies two tiles in 16 cycles, in whatever order, with loads beside. Slow, an instruction waits the longer, the
// more tiles hold something: a loop of products into one or two tiles of sums ran at nearly full speed, into four it took 1.35
// times as long, and every load in between added its own time. The likely reason: each instruction needs a spare register for
// its result, tiles of zeros need none, and two threads share what there is. Hence:
//
// - A tile is cleared behind its last product and loaded just before its next one. That took 0.83 to 0.90 of the time when
//   slow, and as long as before when fast. Two tiles of sums instead of four took less still with A and B in the first-level
//   cache, but from the second-level one, which then has more to give, as long when slow and a third longer when fast.
// - Between two instructions of the unit stand eight others, whatever they are: else those that enter the pipeline together
//   wait for each other, when slow for 1.65 times as long (six do, four do not).

/// Instructions in between that do nothing.
macro_rules! idle {
    () => {
        "\n .rept 8\n nop\n .endr\n"
    };
}

/// Instructions in between that ask for what comes next: for an eighth of a part of the next group, in the first-level cache,
/// and for one line from `soon` on, in the second-level one.
macro_rules! ahead {
    () => {
        "\n .rept 4
            prefetcht0 [{next_a}]
            add {next_a}, {a_row}
            prefetcht0 [{next_b}]
            add {next_b}, 64
            .endr
            prefetcht1 [{soon}]
            add {soon}, 64\n"
    };
}

/// Loads a part of the upper or lower rows of A.
macro_rules! load_a {
    (4, $part:literal, $between:ident) => {
        concat!("tileloadd tmm4, [{a} + {a_row} + 64 * ", $part, " - 64]", $between!())
    };
    (5, $part:literal, $between:ident) => {
        concat!("tileloadd tmm5, [{lower} + {a_row} + 64 * ", $part, " - 64]", $between!())
    };
}

/// Loads a part of the left or right columns of B.
macro_rules! load_b {
    (6, $part:literal, $between:ident) => {
        concat!("tileloadd tmm6, [{b} + {b_row} + 2048 * ", $part, " - 2048]", $between!())
    };
    (7, $part:literal, $between:ident) => {
        concat!("tileloadd tmm7, [{b} + {b_row} + 2048 * ", $part, " - 1984]", $between!())
    };
}

/// A tile of sums plus the product of a tile of A and one of B.
macro_rules! multiply {
    (4, 6) => {
        concat!("tdpbf16ps tmm0, tmm4, tmm6", ahead!())
    };
    (4, 7) => {
        concat!("tdpbf16ps tmm1, tmm4, tmm7", ahead!())
    };
    (5, 6) => {
        concat!("tdpbf16ps tmm2, tmm5, tmm6", ahead!())
    };
    (5, 7) => {
        concat!("tdpbf16ps tmm3, tmm5, tmm7", ahead!())
    };
}

/// Zeros in a tile that was read for the last time.
macro_rules! clear {
    ($tile:literal) => {
        concat!("tilezero tmm", $tile)
    };
}

/// To the next part of the next group, after eight times [`ahead`].
macro_rules! next_part {
    () => {
        "sub {next_a}, {back}"
    };
}

/// A function that computes the tiles of sums over all groups of so many parts: what it does with a group.
macro_rules! products_of_groups {
    ($(#[$doc:meta])* $name:ident, $parts:literal, [$($line:expr),+ $(,)?]) => {
        $(#[$doc])*
        #[inline(never)]
        unsafe fn $name(
            sums: *mut f32,
            [a, lower]: [*const f32; 2],
            stride: usize,
            [b, soon]: [*const f32; 2],
            groups: usize,
        ) {
            let a_row = 4 * stride;
            // SAFETY: as the caller says; nothing but the sums is written. What is asked for need not be there.
            unsafe {
                asm!(
                    "tilezero tmm0\n tilezero tmm1\n tilezero tmm2\n tilezero tmm3",
                    "2:",
                    $($line,)+
                    concat!("add {a}, 64 * ", $parts, "\n add {lower}, 64 * ", $parts, "\n add {b}, 2048 * ", $parts),
                    "dec {groups}",
                    "jnz 2b",
                    "tilestored [{sums} + {b_row}], tmm0\n tilestored [{sums} + {b_row} + 64], tmm1",
                    "tilestored [{sums} + {b_row} + 2048], tmm2\n tilestored [{sums} + {b_row} + 2112], tmm3",
                    a = inout(reg) a => _,
                    lower = inout(reg) lower => _,
                    b = inout(reg) b => _,
                    next_a = inout(reg) a.wrapping_byte_add(64 * $parts) => _,
                    next_b = inout(reg) b.wrapping_byte_add(2048 * $parts) => _,
                    soon = inout(reg) soon => _,
                    groups = inout(reg) groups => _,
                    a_row = in(reg) a_row,
                    back = in(reg) 32 * a_row - 64,
                    b_row = in(reg) 128_usize,
                    sums = in(reg) sums,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

// For each part `ahead` stands eight times: of one part behind all loads and products, of three behind the 24 products, and
// there loads have `idle`.

products_of_groups!(
    /// One part: A·B.
    one_part, 1, [
        load_a!(4, 1, ahead), load_b!(6, 1, ahead), multiply!(4, 6), load_b!(7, 1, ahead), multiply!(4, 7), clear!(4),
        load_a!(5, 1, ahead), multiply!(5, 7), clear!(7), multiply!(5, 6), clear!(5), clear!(6), next_part!(),
    ]
);

products_of_groups!(
    /// Three parts: A₁B₃ + A₁B₂ + A₂B₂ + A₂B₁ + A₁B₁ + A₃B₁, in an order in which few tiles change from one to the next.
    three_parts, 3, [
        // A₁B₃
        load_a!(4, 1, idle), load_b!(6, 3, idle), multiply!(4, 6), load_a!(5, 1, idle), multiply!(5, 6), clear!(6),
        load_b!(7, 3, idle), multiply!(4, 7), multiply!(5, 7), clear!(7),
        // A₁B₂
        load_b!(6, 2, idle), multiply!(4, 6), load_b!(7, 2, idle), multiply!(4, 7), clear!(4),
        multiply!(5, 6), multiply!(5, 7), clear!(5), next_part!(),
        // A₂B₂
        load_a!(4, 2, idle), multiply!(4, 6), load_a!(5, 2, idle), multiply!(5, 6), clear!(6),
        multiply!(4, 7), multiply!(5, 7), clear!(7),
        // A₂B₁
        load_b!(6, 1, idle), multiply!(4, 6), load_b!(7, 1, idle), multiply!(4, 7), clear!(4),
        multiply!(5, 6), multiply!(5, 7), clear!(5), next_part!(),
        // A₁B₁
        load_a!(4, 1, idle), multiply!(4, 6), multiply!(4, 7), clear!(4),
        load_a!(5, 1, idle), multiply!(5, 6), multiply!(5, 7), clear!(5),
        // A₃B₁
        load_a!(4, 3, idle), multiply!(4, 6), multiply!(4, 7), clear!(4),
        load_a!(5, 3, idle), multiply!(5, 6), clear!(6), multiply!(5, 7), clear!(5), clear!(7), next_part!(),
    ]
);
