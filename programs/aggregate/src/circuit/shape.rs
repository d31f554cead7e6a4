//! The shape that leaves and nodes share, so that a node can verify both.

use plonky2::gates::noop::NoopGate;
use plonky2::plonk::circuit_data::CircuitConfig;

use super::{Builder, C, Shape, leaf, node};

/// Rows of a leaf and of a node, as a power of two: two verifications in the circuit don't fit 2^12.
const DEGREE_BITS: usize = 13;

pub fn builder() -> Builder {
    Builder::new(CircuitConfig::standard_recursion_config())
}

/// Give the circuit so far every gate of `shape` and the rows that it lacks.
pub fn pad(builder: &mut Builder, shape: Option<&Shape>) {
    for gate in shape.iter().flat_map(|shape| &shape.gates) {
        builder.add_gate_to_gate_set(gate.clone());
    }
    // `build` fills up to the next power of two.
    while builder.num_gates() <= 1 << (DEGREE_BITS - 1) {
        builder.add_gate(NoopGate, vec![]);
    }
}

/// The shape of a node that verifies proofs of that very shape: a fixed point, found from a leaf without a node's gates.
pub fn find() -> Shape {
    let mut shape = leaf::define(None).0.build_with_options::<C>(false).common;
    loop {
        let verifying = node::define(&shape, None).0.build_with_options::<C>(false).common;
        if verifying == shape {
            return shape;
        }
        shape = verifying;
    }
}
