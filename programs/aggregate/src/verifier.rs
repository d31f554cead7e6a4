//! The verifier: says whether `proof.bin` proves the statement in `public.json`.

use std::io;
use std::path::Path;

use crate::circuit::public_inputs::{claim_values, node_data_values};
use crate::circuits_folder::Circuits;
use crate::failure::{CIRCUITS, Failure, INVALID, NO_PROOF, read_bounded};
use crate::statement::{Stage, Statement};
use crate::{proof_file, statement};

/// Verify the proof in the folder `proof` for what `input` states; a sentence on what it proves.
pub fn verify(circuits: &Path, input: &Path, proof: &Path) -> Result<String, Failure> {
    let statement = statement::load(input)?;
    let circuits = Circuits::load(circuits)
        .map_err(|error| Failure::new(CIRCUITS, format!("the image's circuits can't be read: {error:#}")))?;
    if !proof.is_dir() {
        return Err(Failure::new(NO_PROOF, format!("no proof is mounted at {}", proof.display())));
    }
    let invalid = |why: &str| Failure::new(INVALID, format!("invalid: {why}"));
    let named = |error: &io::Error| format!("{}: {error}", proof_file::NAME);
    let file =
        read_bounded(&proof.join(proof_file::NAME), proof_file::BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => invalid(&format!("the prover left no {}", proof_file::NAME)),
            io::ErrorKind::Other => invalid(&named(&error)),
            _ => Failure::new(NO_PROOF, named(&error)),
        })?;
    let Statement { stage, claim } = statement;
    let given = proof_file::verify(&file, stage, circuits.of(stage)).map_err(|why| invalid(&why))?.public_inputs;
    let mut expected = claim_values(&claim);
    if stage != Stage::Root {
        // A node can't know its own verifier data, so it takes them from here; this is where they are checked.
        expected.extend(node_data_values(&circuits.of(Stage::Node).verifier_only));
    }
    if given != expected {
        return Err(invalid("it is the proof of another statement"));
    }
    Ok(format!("the proof is valid: {} steps, {stage} circuit {}", claim.steps, circuits.digest(stage)))
}
