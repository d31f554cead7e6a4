//! `proof.bin`: the stage in eight bytes, such as `agg1leaf`, and plonky2's encoding of a proof with public inputs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::circuit::{Proof, Verifier};
use crate::statement::Stage;

pub const NAME: &str = "proof.bin";
/// Far more than any proof has.
pub const BYTES_MAX: u64 = 1 << 20;

const MARK_BYTES: usize = 8;

pub fn encode(stage: Stage, proof: &Proof) -> Vec<u8> {
    [mark(stage), proof.to_bytes()].concat()
}

/// The stage that a file claims to be of; None if it is no proof file.
pub fn stage_of(file: &[u8]) -> Option<Stage> {
    Stage::ALL.into_iter().find(|stage| file.starts_with(&mark(*stage)))
}

/// Decode and verify `file` as a proof by the circuit of `stage`, saying what is wrong with it.
///
/// Accepts one encoding of each proof: plonky2's reader also takes elements above the field's order and bytes at the
/// end. It was written for honest input, so a panic of it, or of the verification, means no more than a bad proof.
pub fn verify(file: &[u8], stage: Stage, verifier: &Verifier) -> Result<Proof, String> {
    match stage_of(file) {
        Some(found) if found == stage => {}
        Some(other) => return Err(format!("it is a {other}'s proof, not a {stage}'s")),
        None => return Err("it is no proof of this program".to_owned()),
    }
    let encoded = &file[MARK_BYTES..];
    let checked = catch_unwind(AssertUnwindSafe(|| {
        let proof = Proof::from_bytes(encoded.to_vec(), &verifier.common).map_err(|_| "it is cut off or malformed")?;
        if proof.to_bytes() != encoded {
            return Err("it isn't encoded as this program encodes proofs");
        }
        verifier.verify(proof.clone()).map_err(|_| "its proof doesn't hold")?;
        Ok(proof)
    }));
    checked.unwrap_or(Err("it is malformed")).map_err(str::to_owned)
}

fn mark(stage: Stage) -> Vec<u8> {
    [b"agg1", stage.name().as_bytes()].concat()
}
