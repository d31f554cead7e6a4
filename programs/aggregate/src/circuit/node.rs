//! Node: two leaves or nodes, the second beginning where the first ends.

use anyhow::{Result, ensure};
use plonky2::iop::target::BoolTarget;
use plonky2::iop::witness::{PartialWitness, WitnessWrite};
use plonky2::plonk::circuit_data::VerifierCircuitTarget;
use plonky2::plonk::proof::ProofWithPublicInputsTarget;

use super::public_inputs::{ClaimTarget, connect_node_data, register_node_data};
use super::{Builder, C, Circuit, D, Proof, Shape, VerifierData, shape};
use crate::chain::F;
use crate::statement::STEPS_BITS;

pub struct Node {
    pub circuit: Circuit,
    targets: Targets,
}

pub struct Targets {
    children: [ChildTarget; 2],
    node: VerifierCircuitTarget,
}

/// A proof that is verified in a circuit, with the leaf's verifier data or the node's.
pub struct ChildTarget {
    is_node: BoolTarget,
    proof: ProofWithPublicInputsTarget<D>,
}

/// A proof of a leaf or node, to be verified in a circuit.
pub struct Child {
    pub is_node: bool,
    pub proof: Proof,
}

impl Node {
    pub fn build(shape: &Shape, leaf: &VerifierData) -> Result<Self> {
        let (builder, targets) = define(shape, Some(leaf));
        let circuit = builder.build::<C>();
        ensure!(circuit.common == *shape, "a node hasn't the shape that it shares with a leaf");
        Ok(Self { circuit, targets })
    }

    /// Prove that both children are valid and join.
    pub fn prove(&self, children: &[Child; 2], node: &VerifierData) -> Result<Proof> {
        let mut witness = PartialWitness::new();
        for (target, child) in self.targets.children.iter().zip(children) {
            target.set(&mut witness, child)?;
        }
        witness.set_verifier_data_target(&self.targets.node, node)?;
        self.circuit.prove(witness)
    }
}

impl ChildTarget {
    /// Verify, in the circuit, a proof of `shape` that was made with `leaf` or with `node` and carries `node`.
    pub fn verify(
        builder: &mut Builder,
        shape: &Shape,
        leaf: &VerifierCircuitTarget,
        node: &VerifierCircuitTarget,
    ) -> Self {
        let is_node = builder.add_virtual_bool_target_safe();
        let proof = builder.add_virtual_proof_with_pis(shape);
        let verifier_data = builder.select_verifier_data(is_node, node, leaf);
        builder.verify_proof::<C>(&proof, &verifier_data, shape);
        connect_node_data(builder, &proof, node);
        Self { is_node, proof }
    }

    pub fn claim(&self) -> ClaimTarget {
        ClaimTarget::of(&self.proof)
    }

    pub fn set(&self, witness: &mut PartialWitness<F>, child: &Child) -> Result<()> {
        witness.set_bool_target(self.is_node, child.is_node)?;
        witness.set_proof_with_pis_target(&self.proof, &child.proof)
    }
}

/// Without `leaf` a circuit of the same shape that nothing is proved with.
pub fn define(shape: &Shape, leaf: Option<&VerifierData>) -> (Builder, Targets) {
    let mut builder = shape::builder();
    let cap_height = shape.config.fri_config.cap_height;
    let leaf = match leaf {
        Some(data) => builder.constant_verifier_data(data),
        None => builder.add_virtual_verifier_data(cap_height),
    };
    let node = builder.add_virtual_verifier_data(cap_height);
    let children = [(); 2].map(|()| ChildTarget::verify(&mut builder, shape, &leaf, &node));
    let [left, right] = [children[0].claim(), children[1].claim()];
    builder.connect_hashes(left.end, right.start);
    let steps = builder.add(left.steps, right.steps);
    builder.range_check(steps, STEPS_BITS);
    ClaimTarget { start: left.start, end: right.end, steps }.register(&mut builder);
    register_node_data(&mut builder, &node);
    shape::pad(&mut builder, Some(shape));
    (builder, Targets { children, node })
}
