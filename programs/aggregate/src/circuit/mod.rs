//! The three circuits.
//!
//! A leaf and a node have the same shape (plonky2's common data: size, gates, number of public inputs), so a node's
//! child can be either, and a proof says by its verifier data alone which circuit made it. Nobody can write a circuit's
//! own verifier data into it; so both carry the node's among their public inputs, a node demands that its children
//! carry the same, and whoever verifies a leaf or node compares them with the real ones. Root does so in its circuit.

pub mod leaf;
pub mod node;
pub mod public_inputs;
pub mod root;
pub mod shape;

use plonky2::plonk::circuit_data::{CommonCircuitData, VerifierCircuitData, VerifierOnlyCircuitData};
use plonky2::plonk::config::PoseidonGoldilocksConfig;
use plonky2::plonk::proof::ProofWithPublicInputs;

use crate::chain::F;

pub const D: usize = 2;
pub type C = PoseidonGoldilocksConfig;
pub type Builder = plonky2::plonk::circuit_builder::CircuitBuilder<F, D>;
pub type Circuit = plonky2::plonk::circuit_data::CircuitData<F, C, D>;
pub type Shape = CommonCircuitData<F, D>;
pub type VerifierData = VerifierOnlyCircuitData<C, D>;
pub type Verifier = VerifierCircuitData<F, C, D>;
pub type Proof = ProofWithPublicInputs<F, C, D>;
