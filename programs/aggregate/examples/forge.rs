//! Makes the hardest negative vector of the tests: `cargo run --release --example forge -- FILE`.
//!
//! A proof that the real node circuit accepts, of a claim that is false. Its children come from a circuit of the right
//! shape that checks nothing, and the node carries that circuit's verifier data where its own should be. Nothing inside
//! the proof is wrong; only a verifier that knows the node's verifier data can tell.

use std::fs;

use aggregate::chain::State;
use aggregate::circuit::node::{Child, Node};
use aggregate::circuit::public_inputs::{ClaimTarget, register_node_data};
use aggregate::circuit::{C, shape};
use aggregate::circuits_folder::Circuits;
use aggregate::proof_file;
use aggregate::statement::Stage;
use anyhow::{Context, Result, ensure};
use plonky2::field::types::Field;
use plonky2::iop::witness::{PartialWitness, WitnessWrite};

fn main() -> Result<()> {
    let file = std::env::args_os().nth(1).context("usage: forge FILE")?;
    let circuits = Circuits::find()?;
    let shape = &circuits.of(Stage::Node).common;

    let mut builder = shape::builder();
    let claim = ClaimTarget {
        start: builder.add_virtual_hash(),
        end: builder.add_virtual_hash(),
        steps: builder.add_virtual_target(),
    };
    claim.register(&mut builder);
    let carried = builder.add_virtual_verifier_data(builder.config.fri_config.cap_height);
    register_node_data(&mut builder, &carried);
    shape::pad(&mut builder, Some(shape));
    let anything = builder.build::<C>();
    ensure!(anything.common == *shape, "the circuit that checks nothing has another shape");

    let state = |value: u64| State { elements: [Field::from_canonical_u64(value); 4] };
    let pretend = |start: u64, end: u64| {
        let mut witness = PartialWitness::new();
        witness.set_hash_target(claim.start, state(start))?;
        witness.set_hash_target(claim.end, state(end))?;
        witness.set_target(claim.steps, Field::ONE)?;
        witness.set_verifier_data_target(&carried, &anything.verifier_only)?;
        anyhow::Ok(Child { is_node: true, proof: anything.prove(witness)? })
    };
    let node = Node::build(shape, &circuits.of(Stage::Leaf).verifier_only)?;
    let forged = node.prove(&[pretend(1, 2)?, pretend(2, 3)?], &anything.verifier_only)?;
    circuits.of(Stage::Node).verify(forged.clone()).context("the forged proof doesn't hold: it shows nothing")?;
    fs::write(file, proof_file::encode(Stage::Node, &forged))?;
    Ok(())
}
