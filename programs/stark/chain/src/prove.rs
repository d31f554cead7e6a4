//! What every prover does around the proving itself, whatever it proves with.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use openvm_stark_sdk::openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_sdk::openvm_stark_backend::proof::Proof;
use openvm_stark_sdk::p3_baby_bear::BabyBear;

use crate::air::WIDTH;
use crate::codec;
use crate::failure::{Failure, code};
use crate::protocol::{Config, Protocol, log_height};
use crate::statement::Statement;
use crate::threads;
use crate::trace::trace;

/// Prove the statement in /mnt/input/public.json by `prove` and write /mnt/output/proof.bin. Where `prove` fails, the exit
/// code is `failed`.
///
/// What `prove` gives is verified first: no output is better than one that the network refuses, and memory that flips a
/// bit, of a GPU above all, is what it protects from.
pub fn prove_with(
    failed: i32,
    prove: impl FnOnce(&Protocol, RowMajorMatrix<BabyBear>) -> Result<Proof<Config>, String>,
) -> Result<String, Failure> {
    threads::use_the_tasks_cores();
    let statement = Statement::read(Path::new("/mnt/input/public.json"))?;
    let trace = trace(&statement)?;
    let protocol = Protocol::new(statement)?;
    let (bytes, seconds) = catch_unwind(AssertUnwindSafe(|| {
        let started = Instant::now();
        let proof = prove(&protocol, trace)?;
        let seconds = started.elapsed().as_secs_f64();
        protocol.verify(&proof)?;
        Ok((codec::encode(&protocol, &proof), seconds))
    }))
    .unwrap_or_else(|_| Err("the prover stopped at what is printed above".into()))
    .map_err(|problem: String| Failure::new(failed, format!("no proof could be made: {problem}")))?;
    std::fs::write("/mnt/output/proof.bin", &bytes).map_err(|error| {
        Failure::new(code::CANNOT_WRITE, format!("/mnt/output/proof.bin can't be written: {error}"))
    })?;
    let permutations = protocol.statement.permutations;
    Ok(format!(
        "{permutations} permutations, {} rows of {WIDTH} columns, proved in {seconds:.3} s, {} bytes",
        1usize << log_height(permutations),
        bytes.len()
    ))
}
