//! Proofs of other tasks that are a node's or root's input.

use std::path::Path;

use plonky2::field::types::PrimeField64;

use crate::bundle;
use crate::chain::State;
use crate::circuit::node::Child;
use crate::circuit::public_inputs::node_data_values;
use crate::circuits_folder::Circuits;
use crate::failure::{CHILD, Failure, read_bounded};
use crate::proof_file;
use crate::statement::{Claim, Stage};

/// A bundle has a header and padding around the file.
const BYTES_MAX: u64 = proof_file::BYTES_MAX + (64 << 10);

/// Read the proof in the file `name`, which must be a valid one of a leaf or node, and what it proves.
pub fn load(directory: &Path, name: &str, circuits: &Circuits) -> Result<(Child, Claim), Failure> {
    let path = directory.join(name);
    let bad = |why: String| Failure::new(CHILD, format!("{}: {why}", path.display()));
    let file = read_bounded(&path, BYTES_MAX).map_err(|error| bad(error.to_string()))?;
    let file = bundle::single_file(&file, proof_file::NAME).unwrap_or(&file);
    let stage = match proof_file::stage_of(file) {
        Some(Stage::Root) => return Err(bad("it is a root's proof, which nothing can be built on".to_owned())),
        Some(stage) => stage,
        None => return Err(bad("it is neither a proof.bin of this program nor a proof's bundle with one".to_owned())),
    };
    let proof = proof_file::verify(file, stage, circuits.of(stage)).map_err(bad)?;
    let claim = Claim {
        start: State::from_partial(&proof.public_inputs[..4]),
        end: State::from_partial(&proof.public_inputs[4..8]),
        steps: proof.public_inputs[8].to_canonical_u64(),
    };
    if proof.public_inputs[9..] != node_data_values(&circuits.of(Stage::Node).verifier_only) {
        return Err(bad("it was made for nodes of another program".to_owned()));
    }
    Ok((Child { is_node: stage == Stage::Node, proof }, claim))
}
