//! Leaf: a chunk of the chain, of 1 to `LEAF_STEPS_MAX` steps.

use anyhow::{Result, ensure};
use plonky2::hash::hash_types::HashOutTarget;
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::iop::target::BoolTarget;
use plonky2::iop::witness::{PartialWitness, WitnessWrite};
use plonky2::plonk::circuit_data::VerifierCircuitTarget;

use super::public_inputs::{ClaimTarget, register_node_data};
use super::{Builder, C, Circuit, Proof, Shape, VerifierData, shape};
use crate::statement::{Claim, LEAF_STEPS_MAX};

pub struct Leaf {
    pub circuit: Circuit,
    targets: Targets,
}

pub struct Targets {
    start: HashOutTarget,
    /// Whether the second, third, … step is made.
    made: Vec<BoolTarget>,
    node: VerifierCircuitTarget,
}

impl Leaf {
    pub fn build(shape: &Shape) -> Result<Self> {
        let (builder, targets) = define(Some(shape));
        let circuit = builder.build::<C>();
        ensure!(circuit.common == *shape, "a leaf hasn't the shape that it shares with a node");
        Ok(Self { circuit, targets })
    }

    /// Prove `claim`, which must be true. The leaf's statement doesn't depend on `node`; it hands it on.
    pub fn prove(&self, claim: &Claim, node: &VerifierData) -> Result<Proof> {
        let mut witness = PartialWitness::new();
        witness.set_hash_target(self.targets.start, claim.start)?;
        for (step, made) in (2..).zip(&self.targets.made) {
            witness.set_bool_target(*made, step <= claim.steps)?;
        }
        witness.set_verifier_data_target(&self.targets.node, node)?;
        self.circuit.prove(witness)
    }
}

pub fn define(shape: Option<&Shape>) -> (Builder, Targets) {
    let mut builder = shape::builder();
    let start = builder.add_virtual_hash();
    let mut state = hash(&mut builder, start);
    let mut steps = builder.one();
    let mut before = builder._true();
    let mut made = Vec::new();
    for _ in 1..LEAF_STEPS_MAX {
        let this = builder.add_virtual_bool_target_safe();
        // No step comes after one that isn't made, so that each number of steps has one witness.
        let both = builder.and(before, this);
        builder.connect(both.target, this.target);
        let next = hash(&mut builder, state);
        for (element, next) in state.elements.iter_mut().zip(next.elements) {
            *element = builder.select(this, next, *element);
        }
        steps = builder.add(steps, this.target);
        before = this;
        made.push(this);
    }
    ClaimTarget { start, end: state, steps }.register(&mut builder);
    let node = builder.add_virtual_verifier_data(builder.config.fri_config.cap_height);
    register_node_data(&mut builder, &node);
    shape::pad(&mut builder, shape);
    (builder, Targets { start, made, node })
}

fn hash(builder: &mut Builder, state: HashOutTarget) -> HashOutTarget {
    builder.hash_n_to_hash_no_pad::<PoseidonHash>(state.elements.to_vec())
}
