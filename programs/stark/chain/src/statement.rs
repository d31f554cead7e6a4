//! The public statement, as the requester gives it in public.json.

use std::path::Path;

use serde::Deserialize;

use crate::failure::{Failure, code};
use crate::permutation::{LANES, State};

/// As many permutations of 24 rows as fit into 2^20 rows.
pub const PERMUTATIONS_MAX: u32 = (1 << 20) / 24;

const FILE_BYTES_MAX: u64 = 4096;
const HEX_DIGITS: usize = 16 * LANES;

/// `permutations` times Keccak-f[1600] turn `start` into `end`.
#[derive(Debug)]
pub struct Statement {
    pub start: State,
    pub permutations: u32,
    pub end: State,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    start: String,
    permutations: u32,
    end: String,
}

impl Statement {
    /// The statement in the file `path`; fails with [`code::STATEMENT`] unless the file is exactly what it must be.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |problem: String| Failure::new(code::STATEMENT, format!("{}: {problem}", path.display()));
        let metadata = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
            return Err(wrong(format!("must be a file of at most {FILE_BYTES_MAX} bytes")));
        }
        let content = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let file: File = serde_json::from_slice(&content).map_err(|error| wrong(error.to_string()))?;
        if !(1..=PERMUTATIONS_MAX).contains(&file.permutations) {
            return Err(wrong(format!("permutations must be from 1 to {PERMUTATIONS_MAX}, not {}", file.permutations)));
        }
        Ok(Self {
            start: state(&file.start).map_err(|problem| wrong(format!("start {problem}")))?,
            permutations: file.permutations,
            end: state(&file.end).map_err(|problem| wrong(format!("end {problem}")))?,
        })
    }
}

/// The lanes in 200 bytes of hexadecimal, each lane little-endian as in FIPS 202, section 3.1.2.
fn state(text: &str) -> Result<State, String> {
    let problem = || format!("must be 0x and {HEX_DIGITS} lower-case hexadecimal digits");
    let digits = text.strip_prefix("0x").ok_or_else(problem)?.as_bytes();
    if digits.len() != HEX_DIGITS || digits.iter().any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(problem());
    }
    let value = |digit: u8| u64::from(if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 });
    let byte = |index: usize| value(digits[2 * index]) << 4 | value(digits[2 * index + 1]);
    Ok(std::array::from_fn(|lane| (0..8).fold(0, |sum, place| sum | byte(8 * lane + place) << (8 * place))))
}
