//! What a processor can do, asked when the program runs: whether it is one that the program was built for.

use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// What a processor says of itself, and its system of it (SDM volume 2, CPUID; volume 1, section 13.3). The standard library's
/// detection takes what the program was built for as there without looking.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Whether the maker's name, of leaf 0, is GenuineIntel.
    pub intel: bool,
    /// The words whose bits are instruction sets: of leaf 1 ECX; of leaf 7 EBX, ECX and EDX; of its first subleaf EAX; of leaf
    /// 8000_0001h ECX.
    pub sets: [u32; 6],
    /// XCR0: the registers that the system keeps when threads change.
    pub kept: u64,
}

/// An instruction set that compilers use by themselves.
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// Whether the program was built for it.
    pub built: bool,
    /// Which of [`Processor::sets`] has it, and its bit there.
    pub at: [usize; 2],
    /// Its registers, as XCR0 counts them.
    registers: u64,
}

/// Those of 128 and 256 bits; and for AVX-512 also masks and both parts of those of 512.
const YMM: u64 = 0b110;
const ZMM: u64 = 0b1110_0110;

macro_rules! sets {
    ($($name:literal $feature:literal $at:expr, $registers:expr;)*) => {
        [$(Set { name: $name, built: cfg!(target_feature = $feature), at: $at, registers: $registers }),*]
    };
}

/// What `target-cpu=native` may have chosen where the program was built.
pub const SETS: [Set; 28] = sets! {
    "SSE4.2" "sse4.2" [0, 20], 0;
    "MOVBE" "movbe" [0, 22], 0;
    "POPCNT" "popcnt" [0, 23], 0;
    "AVX" "avx" [0, 28], YMM;
    "F16C" "f16c" [0, 29], YMM;
    "FMA" "fma" [0, 12], YMM;
    "BMI1" "bmi1" [1, 3], 0;
    "AVX2" "avx2" [1, 5], YMM;
    "BMI2" "bmi2" [1, 8], 0;
    "AVX-512F" "avx512f" [1, 16], ZMM;
    "AVX-512DQ" "avx512dq" [1, 17], ZMM;
    "ADX" "adx" [1, 19], 0;
    "AVX-512IFMA" "avx512ifma" [1, 21], ZMM;
    "AVX-512CD" "avx512cd" [1, 28], ZMM;
    "AVX-512BW" "avx512bw" [1, 30], ZMM;
    "AVX-512VL" "avx512vl" [1, 31], ZMM;
    "AVX-512VBMI" "avx512vbmi" [2, 1], ZMM;
    "AVX-512VBMI2" "avx512vbmi2" [2, 6], ZMM;
    "GFNI" "gfni" [2, 8], 0;
    "VAES" "vaes" [2, 9], YMM;
    "VPCLMULQDQ" "vpclmulqdq" [2, 10], YMM;
    "AVX-512VNNI" "avx512vnni" [2, 11], ZMM;
    "AVX-512BITALG" "avx512bitalg" [2, 12], ZMM;
    "AVX-512VPOPCNTDQ" "avx512vpopcntdq" [2, 14], ZMM;
    "AVX-512FP16" "avx512fp16" [3, 23], ZMM;
    "AVX-VNNI" "avxvnni" [4, 4], YMM;
    "AVX-512BF16" "avx512bf16" [4, 5], ZMM;
    "LZCNT" "lzcnt" [5, 5], 0;
};

impl Processor {
    /// The one that this runs on.
    pub fn here() -> Self {
        // SAFETY: every x86-64 processor has CPUID (and newer compilers ask for no `unsafe`); XGETBV is there where bit 27
        // says that the system has enabled it.
        #[allow(unused_unsafe)]
        unsafe {
            let (first, features) = (__cpuid(0), __cpuid(1).ecx);
            let seventh = (first.eax >= 7).then(|| __cpuid_count(7, 0));
            let [ebx, ecx, edx] = seventh.map_or([0; 3], |leaf| [leaf.ebx, leaf.ecx, leaf.edx]);
            let more = seventh.filter(|leaf| leaf.eax >= 1).map_or(0, |_| __cpuid_count(7, 1).eax);
            let above = if __cpuid(0x8000_0000).eax > 0x8000_0000 { __cpuid(0x8000_0001).ecx } else { 0 };
            Self {
                intel: [first.ebx, first.edx, first.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel",
                sets: [features, ebx, ecx, edx, more, above],
                kept: if features & 1 << 27 == 0 { 0 } else { kept() },
            }
        }
    }

    /// What the program was built for and is not there, if anything.
    pub fn lacks(&self) -> Option<&'static str> {
        let has = |set: &Set| self.sets[set.at[0]] >> set.at[1] & 1 == 1 && self.kept & set.registers == set.registers;
        SETS.iter().find(|set| set.built && !has(set)).map(|set| set.name)
    }
}

/// XCR0. The system has to have enabled XGETBV.
#[target_feature(enable = "xsave")]
unsafe fn kept() -> u64 {
    // SAFETY: as the caller says.
    unsafe { _xgetbv(0) }
}
