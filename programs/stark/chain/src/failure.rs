//! How a program ends that can't do its work: a sentence for people and an exit code for machines.

use std::fmt::Display;

/// The exit codes, as README.md states them.
pub mod code {
    pub const INVALID: i32 = 1;
    pub const CRASHED: i32 = 2;
    pub const STATEMENT: i32 = 3;
    pub const FALSE_STATEMENT: i32 = 5;
    pub const NO_PROOF: i32 = 7;
    pub const CANNOT_WRITE: i32 = 8;
    pub const NOT_MOUNTED: i32 = 9;
    pub const PROCESSOR: i32 = 10;
    pub const GPU_FAILED: i32 = 13;
}

#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub sentence: String,
}

impl Failure {
    pub fn new(code: i32, sentence: impl Display) -> Self {
        Self { code, sentence: sentence.to_string() }
    }
}

/// Print what `work` has to say, or why it failed, and exit.
///
/// The images are compiled for x86-64-v3. On an older processor the first vector instruction would end the process with
/// a signal that explains nothing, so this is asked before anything else runs.
pub fn exit_with(program: &str, work: fn() -> Result<String, Failure>) -> ! {
    let result = match missing_feature() {
        None => std::panic::catch_unwind(work)
            .unwrap_or_else(|_| Err(Failure::new(code::CRASHED, "crashed, at what is printed above"))),
        Some(feature) => Err(Failure::new(
            code::PROCESSOR,
            format!("this image needs a processor with {feature} (x86-64-v3: Intel since Haswell, AMD since Zen)"),
        )),
    };
    match result {
        Ok(sentence) => {
            println!("{program}: {sentence}");
            std::process::exit(0)
        }
        Err(failure) => {
            eprintln!("{program}: {}", failure.sentence);
            std::process::exit(failure.code)
        }
    }
}

/// What the processor lacks of what the compiler was allowed to use. Asked of CPUID itself, because
/// `is_x86_feature_detected!` is true at compile time for whatever the compiler was allowed to use.
fn missing_feature() -> Option<&'static str> {
    use std::arch::x86_64::__cpuid_count;

    let basic = __cpuid_count(1, 0);
    let extended = __cpuid_count(7, 0);
    let wanted = [
        ("FMA", basic.ecx, 12),
        ("MOVBE", basic.ecx, 22),
        ("AVX enabled by the operating system", basic.ecx, 27),
        ("AVX", basic.ecx, 28),
        ("BMI1", extended.ebx, 3),
        ("AVX2", extended.ebx, 5),
        ("BMI2", extended.ebx, 8),
    ];
    wanted.into_iter().find(|(_, register, bit)| register >> bit & 1 == 0).map(|(name, _, _)| name)
}
