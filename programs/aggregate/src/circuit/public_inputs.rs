//! What a circuit says: start (4 elements), end (4), steps (1); of a leaf and node also the node's verifier data.

use plonky2::field::types::Field;
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::iop::target::Target;
use plonky2::plonk::circuit_data::VerifierCircuitTarget;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::{Builder, D, VerifierData};
use crate::chain::F;
use crate::statement::Claim;

/// A claim inside a circuit.
#[derive(Clone, Copy)]
pub struct ClaimTarget {
    pub start: HashOutTarget,
    pub end: HashOutTarget,
    pub steps: Target,
}

impl ClaimTarget {
    const LENGTH: usize = 9;

    pub fn register(&self, builder: &mut Builder) {
        builder.register_public_inputs(&self.start.elements);
        builder.register_public_inputs(&self.end.elements);
        builder.register_public_input(self.steps);
    }

    pub fn of(proof: &ProofWithPublicInputsTarget<D>) -> Self {
        let given = &proof.public_inputs;
        let state = |from: usize| HashOutTarget { elements: std::array::from_fn(|i| given[from + i]) };
        Self { start: state(0), end: state(4), steps: given[8] }
    }
}

/// Demand that `proof`, of a leaf or node, carries `node`.
pub fn connect_node_data(builder: &mut Builder, proof: &ProofWithPublicInputsTarget<D>, node: &VerifierCircuitTarget) {
    let carried = &proof.public_inputs[ClaimTarget::LENGTH..];
    let expected = flatten(node);
    assert_eq!(carried.len(), expected.len(), "a leaf's and node's public inputs are a claim and verifier data");
    for (carried, expected) in carried.iter().zip(expected) {
        builder.connect(*carried, expected);
    }
}

pub fn register_node_data(builder: &mut Builder, node: &VerifierCircuitTarget) {
    builder.register_public_inputs(&flatten(node));
}

fn flatten(data: &VerifierCircuitTarget) -> Vec<Target> {
    let cap = data.constants_sigmas_cap.0.iter().flat_map(|hash| hash.elements);
    data.circuit_digest.elements.into_iter().chain(cap).collect()
}

pub fn claim_values(claim: &Claim) -> Vec<F> {
    let states = claim.start.elements.into_iter().chain(claim.end.elements);
    states.chain([F::from_canonical_u64(claim.steps)]).collect()
}

pub fn node_data_values(node: &VerifierData) -> Vec<F> {
    let cap = node.constants_sigmas_cap.0.iter().flat_map(|hash| hash.elements);
    node.circuit_digest.elements.into_iter().chain(cap).collect()
}
