//! The prover: proves the statement in `public.json` and writes `proof.bin`.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::circuit::leaf::Leaf;
use crate::circuit::node::Node;
use crate::circuit::root::Root;
use crate::circuit::{Circuit, Proof};
use crate::circuits_folder::Circuits;
use crate::failure::{CIRCUITS, Failure, NOT_SATISFIED, OUTPUT, PROVING};
use crate::statement::{Claim, Stage};
use crate::{chain, children, proof_file, statement};

/// Prove what `input` states with the circuits in the folder `circuits`; a sentence on what was done.
pub fn prove(circuits: &Path, input: &Path, output: &Path) -> Result<String, Failure> {
    let statement = statement::load(input)?;
    let circuits = Circuits::load(circuits).map_err(unusable)?;
    let claim = statement.claim;
    let (proof, times) = match statement.stage {
        Stage::Leaf => leaf(&claim, &circuits),
        Stage::Node => node(&claim, input, &circuits),
        Stage::Root => root(&claim, input, &circuits),
    }?;
    let file = proof_file::encode(statement.stage, &proof);
    let path = output.join(proof_file::NAME);
    fs::write(&path, &file).map_err(|error| Failure::new(OUTPUT, format!("{}: {error}", path.display())))?;
    Ok(format!(
        "{}: {} steps, {} bytes; {times}; circuit {}",
        statement.stage,
        claim.steps,
        file.len(),
        circuits.digest(statement.stage)
    ))
}

fn leaf(claim: &Claim, circuits: &Circuits) -> Result<(Proof, String), Failure> {
    if chain::advance(claim.start, claim.steps) != claim.end {
        return Err(not_satisfied(format!("{} steps from the start don't lead to the end", claim.steps)));
    }
    let known = circuits.of(Stage::Leaf);
    let started = Instant::now();
    let leaf = Leaf::build(&known.common).map_err(unusable)?;
    finish(Stage::Leaf, circuits, &leaf.circuit, started, || leaf.prove(claim, &circuits.of(Stage::Node).verifier_only))
}

fn node(claim: &Claim, input: &Path, circuits: &Circuits) -> Result<(Proof, String), Failure> {
    let (left, first) = children::load(input, "left.bin", circuits)?;
    let (right, second) = children::load(input, "right.bin", circuits)?;
    if first.end != second.start {
        return Err(not_satisfied("right.bin doesn't begin where left.bin ends".to_owned()));
    }
    let together = Claim { start: first.start, end: second.end, steps: first.steps + second.steps };
    require(&together, claim, "left.bin and right.bin together prove")?;
    let known = circuits.of(Stage::Node);
    let started = Instant::now();
    let node = Node::build(&known.common, &circuits.of(Stage::Leaf).verifier_only).map_err(unusable)?;
    finish(Stage::Node, circuits, &node.circuit, started, || node.prove(&[left, right], &known.verifier_only))
}

fn root(claim: &Claim, input: &Path, circuits: &Circuits) -> Result<(Proof, String), Failure> {
    let (child, proved) = children::load(input, "child.bin", circuits)?;
    require(&proved, claim, "child.bin proves")?;
    let [leaf, node] = [Stage::Leaf, Stage::Node].map(|stage| circuits.of(stage));
    let started = Instant::now();
    let root = Root::build(&node.common, &leaf.verifier_only, &node.verifier_only);
    finish(Stage::Root, circuits, &root.circuit, started, || root.prove(&child))
}

/// Make a proof with the circuit that was built since `started`, and see that it is valid.
fn finish(
    stage: Stage,
    circuits: &Circuits,
    circuit: &Circuit,
    started: Instant,
    prove: impl FnOnce() -> Result<Proof>,
) -> Result<(Proof, String), Failure> {
    circuits.require(stage, circuit).map_err(unusable)?;
    let built = Instant::now();
    let proof = prove().and_then(|proof| circuit.verify(proof.clone()).map(|()| proof));
    let proof = proof.map_err(|error| Failure::new(PROVING, format!("no proof could be made: {error:#}")))?;
    let times = format!(
        "circuit built in {:.2} s, proved in {:.2} s",
        (built - started).as_secs_f64(),
        built.elapsed().as_secs_f64()
    );
    Ok((proof, times))
}

fn require(proved: &Claim, asked: &Claim, who: &str) -> Result<(), Failure> {
    let wrong = |what: &str, is: String, should: String| {
        Err(not_satisfied(format!("{who} a chain whose {what} is {is}, but public.json asks for {should}")))
    };
    if proved.start != asked.start {
        return wrong("start", chain::encode(proved.start), chain::encode(asked.start));
    }
    if proved.end != asked.end {
        return wrong("end", chain::encode(proved.end), chain::encode(asked.end));
    }
    if proved.steps != asked.steps {
        return wrong("number of steps", proved.steps.to_string(), asked.steps.to_string());
    }
    Ok(())
}

fn not_satisfied(sentence: String) -> Failure {
    Failure::new(NOT_SATISFIED, sentence)
}

fn unusable(error: anyhow::Error) -> Failure {
    Failure::new(CIRCUITS, format!("the image's circuits can't be used: {error:#}"))
}
