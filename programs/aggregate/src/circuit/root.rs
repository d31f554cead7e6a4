//! Root: one leaf or node, verified in a circuit of fewer rows whose proofs are smaller.

use anyhow::Result;
use plonky2::fri::FriConfig;
use plonky2::fri::reduction_strategies::FriReductionStrategy;
use plonky2::iop::witness::PartialWitness;
use plonky2::plonk::circuit_data::CircuitConfig;

use super::node::{Child, ChildTarget};
use super::{Builder, C, Circuit, Proof, Shape, VerifierData};

pub struct Root {
    pub circuit: Circuit,
    child: ChildTarget,
}

impl Root {
    pub fn build(shape: &Shape, leaf: &VerifierData, node: &VerifierData) -> Self {
        let mut builder = Builder::new(config());
        let leaf = builder.constant_verifier_data(leaf);
        let node = builder.constant_verifier_data(node);
        let child = ChildTarget::verify(&mut builder, shape, &leaf, &node);
        child.claim().register(&mut builder);
        Self { circuit: builder.build::<C>(), child }
    }

    pub fn prove(&self, child: &Child) -> Result<Proof> {
        let mut witness = PartialWitness::new();
        self.child.set(&mut witness, child)?;
        self.circuit.prove(witness)
    }
}

/// A lower rate and fewer queries at the same security: 5 * 17 + 16 bits, where leaves and nodes have 3 * 28 + 16. That
/// takes longer and makes a smaller proof. A third constant a row makes the verification fit 2^12 rows.
fn config() -> CircuitConfig {
    CircuitConfig {
        num_constants: 3,
        fri_config: FriConfig {
            rate_bits: 5,
            cap_height: 3,
            proof_of_work_bits: 16,
            reduction_strategy: FriReductionStrategy::MinSize(None),
            num_query_rounds: 17,
        },
        ..CircuitConfig::standard_recursion_config()
    }
}
