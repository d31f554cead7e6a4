//! Says whether /mnt/proof/proof.bin proves the statement in /mnt/input/public.json. Exit codes: README.md.

use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

use keccak_chain::codec;
use keccak_chain::failure::{Failure, code, exit_with};
use keccak_chain::protocol::Protocol;
use keccak_chain::statement::Statement;
use keccak_chain::threads;

const PROOF_DIRECTORY: &str = "/mnt/proof";

fn main() {
    exit_with("verifier", run)
}

fn run() -> Result<String, Failure> {
    threads::use_the_tasks_cores();
    let statement = Statement::read(Path::new("/mnt/input/public.json"))?;
    let protocol = Protocol::new(statement)?;
    let bytes = read_proof(codec::encoded_bytes(&protocol))?;
    // The library promises errors, not panics. Should it ever break that promise, the bytes are still no proof.
    std::panic::set_hook(Box::new(|_| ()));
    catch_unwind(|| codec::decode(&protocol, &bytes).and_then(|proof| protocol.verify(&proof)))
        .unwrap_or_else(|_| Err("checking it ran into what no valid proof leads to".into()))
        .map_err(|problem| Failure::new(code::INVALID, format!("invalid: {problem}")))?;
    Ok(format!(
        "the proof is valid: {} permutations, {:.1} bits of proven security",
        protocol.statement.permutations, protocol.security_bits
    ))
}

/// At most one byte more than a proof has, however large the file is.
fn read_proof(expected: usize) -> Result<Vec<u8>, Failure> {
    let directory = Path::new(PROOF_DIRECTORY);
    if !directory.is_dir() {
        return Err(Failure::new(code::NOT_MOUNTED, format!("no proof is mounted at {PROOF_DIRECTORY}")));
    }
    let path = directory.join("proof.bin");
    let invalid = |problem: &str| Failure::new(code::INVALID, format!("invalid: {problem}"));
    if !path.is_file() {
        return Err(invalid("the prover left no proof.bin"));
    }
    let mut bytes = Vec::with_capacity(expected + 1);
    std::fs::File::open(&path)
        .and_then(|file| file.take(expected as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| invalid(&format!("proof.bin can't be read: {error}")))?;
    Ok(bytes)
}
