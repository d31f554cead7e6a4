//! Why a program stops: an exit code and one sentence.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub const INVALID: u8 = 1;
pub const CRASHED: u8 = 2;
pub const PUBLIC_INPUT: u8 = 3;
pub const CHILD: u8 = 4;
pub const NOT_SATISFIED: u8 = 5;
pub const CIRCUITS: u8 = 6;
pub const PROVING: u8 = 7;
pub const OUTPUT: u8 = 8;
pub const NO_PROOF: u8 = 9;
pub const USAGE: u8 = 64;

#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    sentence: String,
}

impl Failure {
    pub fn new(code: u8, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.sentence)
    }
}

/// The content of `path`. What is no file or longer than `most` bytes is an error of kind `Other`.
pub fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}
