//! Starts the CUDA prover where it can run, and says in a sentence why where it can't. Exit codes: ../../README.md.
//!
//! The prover needs the driver's library before its first line runs: without it the dynamic linker ends it with 127,
//! and without a GPU the library that it is made with stops it by a panic. So this program, which needs neither, looks
//! first, starts the prover as a child, and explains it if the child is killed.

mod driver;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

const PROVER: &str = "/prover-cuda";

/// The exit codes that the prover itself doesn't have.
pub mod code {
    pub const NO_DRIVER: i32 = 11;
    pub const NO_GPU: i32 = 12;
    pub const GPU_FAILED: i32 = 13;
}

pub struct Failure {
    pub code: i32,
    pub sentence: String,
}

/// Where NVIDIA's container runtimes, or hosts whose libraries are mounted as they are, put the driver's library.
const DRIVER_DIRECTORIES: [&str; 10] = [
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/run/opengl-driver/lib",
    "/usr/lib/wsl/lib",
];
const LIBRARY: &str = "libcuda.so.1";

fn main() {
    match run() {
        Ok(code) => exit(code),
        Err(failure) => {
            eprintln!("prover: {}", failure.sentence);
            exit(failure.code)
        }
    }
}

fn run() -> Result<i32, Failure> {
    let searched = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let library = find_library(&searched).ok_or_else(|| Failure {
        code: code::NO_DRIVER,
        sentence: format!(
            "no NVIDIA driver: {LIBRARY} is neither where NVIDIA's container runtimes put it nor in LD_LIBRARY_PATH; run \
             this image on a machine with a driver, with a GPU assigned to the task, or take the image for processors"
        ),
    })?;
    driver::check(&library)?;

    let directory = library.parent().unwrap_or(Path::new("/"));
    let path = std::env::join_paths(
        std::iter::once(directory.to_owned()).chain(std::env::split_paths(&searched).filter(|part| part.is_absolute())),
    )
    .unwrap_or_else(|_| directory.as_os_str().to_owned());
    let status = Command::new(PROVER)
        .env("LD_LIBRARY_PATH", path)
        .status()
        .map_err(|error| Failure { code: code::GPU_FAILED, sentence: format!("{PROVER} can't be started: {error}") })?;
    status.code().ok_or_else(|| Failure {
        code: code::GPU_FAILED,
        sentence: format!(
            "the proving process was ended by signal {}: the GPU was lost, or memory ran out",
            status.signal().unwrap_or_default()
        ),
    })
}

fn find_library(searched: &OsString) -> Option<PathBuf> {
    std::env::split_paths(searched)
        .filter(|directory| directory.is_absolute())
        .chain(DRIVER_DIRECTORIES.iter().map(PathBuf::from))
        .map(|directory| directory.join(LIBRARY))
        .find(|path| path.is_file())
}
