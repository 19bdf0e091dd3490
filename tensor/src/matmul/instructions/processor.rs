//! What a processor can do, asked when the program runs: whether it is one that the program was built for.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// What a processor says of itself, and its system of it (SDM volume 2, CPUID; volume 1, section 13.3). The standard library's
/// detection takes what the program was built for as there without looking.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Leaf 0: whether the maker's name is GenuineIntel.
    pub intel: bool,
    /// Leaf 1, ECX.
    pub features: u32,
    /// Leaf 7, EBX.
    pub extended: u32,
    /// Leaf 7, first subleaf, EAX.
    pub more: u32,
    /// XCR0: the registers that the system keeps when threads change.
    pub kept: u64,
}

impl Processor {
    /// The one that this runs on.
    pub fn here() -> Self {
        // SAFETY: every x86-64 processor has CPUID (and newer compilers ask for no `unsafe`); XGETBV is there where bit 27
        // says that the system has enabled it.
        #[allow(unused_unsafe)]
        unsafe {
            let (first, features) = (__cpuid(0), __cpuid(1).ecx);
            let seventh = (first.eax >= 7).then(|| __cpuid_count(7, 0));
            Self {
                intel: [first.ebx, first.edx, first.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel",
                features,
                extended: seventh.map_or(0, |leaf| leaf.ebx),
                more: seventh.filter(|leaf| leaf.eax >= 1).map_or(0, |_| __cpuid_count(7, 1).eax),
                kept: if features & 1 << 27 == 0 { 0 } else { kept() },
            }
        }
    }

    /// What the program was built for and is not there, if anything.
    pub fn lacks(&self) -> Option<&'static str> {
        // The registers of an instruction set, as XCR0 counts them: those of 128 and 256 bits, and for AVX-512 also masks and both
        // parts of those of 512.
        const YMM: u64 = 0b110;
        const ZMM: u64 = 0b1110_0110;
        let Self { features, extended, more, kept, .. } = *self;
        [
            ("FMA", cfg!(target_feature = "fma"), features >> 12, YMM),
            ("AVX2", cfg!(target_feature = "avx2"), extended >> 5, YMM),
            ("BMI2", cfg!(target_feature = "bmi2"), extended >> 8, 0),
            ("AVX-512F", cfg!(target_feature = "avx512f"), extended >> 16, ZMM),
            ("AVX-512DQ", cfg!(target_feature = "avx512dq"), extended >> 17, ZMM),
            ("AVX-512CD", cfg!(target_feature = "avx512cd"), extended >> 28, ZMM),
            ("AVX-512BW", cfg!(target_feature = "avx512bw"), extended >> 30, ZMM),
            ("AVX-512VL", cfg!(target_feature = "avx512vl"), extended >> 31, ZMM),
            ("AVX-512BF16", cfg!(target_feature = "avx512bf16"), more >> 5, ZMM),
        ]
        .into_iter()
        .find(|&(_, built, has, state)| built && (has & 1 == 0 || kept & state != state))
        .map(|(name, ..)| name)
    }
}

/// XCR0. The system has to have enabled XGETBV.
#[target_feature(enable = "xsave")]
unsafe fn kept() -> u64 {
    // SAFETY: as the caller says.
    unsafe { _xgetbv(0) }
}
