//! What a cheating prover may try: rows that hold together but for one thing. None of it may verify.
//!
//! Each case takes the rows of an honest prover and changes what one of our own constraints is about, consistently
//! otherwise, so that this constraint alone stands in its way.

use keccak_chain::air::{COUNT, DONE, WIDTH};
use keccak_chain::codec;
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::StarkEngine;
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use keccak_chain::openvm_stark_sdk::openvm_stark_backend::prover::{
    AirProvingContext, DeviceDataTransporter, ProvingContext,
};
use keccak_chain::openvm_stark_sdk::p3_baby_bear::BabyBear;
use keccak_chain::permutation::{ROUNDS, State, keccak_f};
use keccak_chain::protocol::Protocol;
use keccak_chain::statement::Statement;
use keccak_chain::trace::trace;

type Rows = RowMajorMatrix<BabyBear>;

const START: State = [7; 25];
/// Of `KeccakCols`: it comes after the flags of the 24 rounds.
const EXPORT: usize = ROUNDS;
/// 64 rows: two whole permutations and sixteen rounds of a third.
const ROWS: usize = 64;

fn after(start: State, permutations: u32) -> State {
    (0..permutations).fold(start, |state, _| keccak_f(state))
}

fn statement(start: State, permutations: u32, end: State) -> Statement {
    Statement { start, permutations, end }
}

fn honest(start: State, permutations: u32) -> Rows {
    trace(&statement(start, permutations, after(start, permutations))).expect("a true statement")
}

/// Whether `rows` make a proof that the verifier takes for `claim`.
fn is_accepted(claim: Statement, rows: Rows) -> bool {
    let protocol = Protocol::new(claim).expect("a claim within the limits");
    let key = protocol.engine.device().transport_pk_to_device(&protocol.proving_key);
    let context = AirProvingContext::simple(rows, protocol.public_values());
    let Ok(proof) = protocol.engine.prove(&key, ProvingContext::new(vec![(0, context)])) else { return false };
    let sent = codec::encode(&protocol, &proof);
    protocol.verify(&codec::decode(&protocol, &sent).expect("the statement's shape")).is_ok()
}

fn with(mut rows: Rows, change: impl Fn(usize, &mut [BabyBear])) -> Rows {
    rows.values.chunks_exact_mut(WIDTH).enumerate().for_each(|(index, row)| change(index, row));
    rows
}

/// Mark the end at the last row of these permutations, and count `done` up after each.
fn with_ends(rows: Rows, ends: &[usize]) -> Rows {
    with(rows, |index, row| {
        row[EXPORT] = BabyBear::from_bool(ends.iter().any(|end| end * ROUNDS == index + 1));
        row[DONE] = BabyBear::from_usize(ends.iter().filter(|&end| end * ROUNDS <= index).count());
    })
}

#[test]
fn a_true_statement_is_accepted_at_every_boundary_of_the_padding() {
    for permutations in [1, 2, 3, 5, 6] {
        assert!(is_accepted(statement(START, permutations, after(START, permutations)), honest(START, permutations)));
    }
}

#[test]
fn another_start_is_refused() {
    assert!(!is_accepted(statement([8; 25], 2, after(START, 2)), honest(START, 2)));
}

#[test]
fn another_end_is_refused() {
    assert!(!is_accepted(statement(START, 2, after(START, 1)), honest(START, 2)));
}

#[test]
fn start_and_end_can_not_change_places() {
    assert!(!is_accepted(statement(after(START, 2), 2, START), honest(START, 2)));
}

#[test]
fn one_permutation_can_not_pass_for_two() {
    let rows = with_ends(honest(START, 2), &[1]);

    assert!(!is_accepted(statement(START, 2, after(START, 1)), rows));
}

#[test]
fn a_count_that_begins_too_high_is_refused() {
    let rows = with(with_ends(honest(START, 2), &[1]), |_, row| row[COUNT] += BabyBear::ONE);

    assert!(!is_accepted(statement(START, 2, after(START, 1)), rows));
}

#[test]
fn a_count_that_skips_is_refused() {
    let rows = with(with_ends(honest(START, 2), &[1]), |index, row| {
        row[COUNT] = BabyBear::from_usize(if index < 12 { 1 } else { 2 + index / ROUNDS });
    });

    assert!(!is_accepted(statement(START, 2, after(START, 1)), rows));
}

#[test]
fn a_chain_can_not_be_broken_between_two_permutations() {
    let mut rows = honest(START, 2);
    let other = [9; 25];
    let second = honest(other, 2);
    rows.values[ROUNDS * WIDTH..].copy_from_slice(&second.values[..(ROWS - ROUNDS) * WIDTH]);
    let rows = with_ends(rows, &[2]);
    let rows = with(rows, |index, row| row[COUNT] = BabyBear::from_usize(1 + index / ROUNDS));

    assert!(!is_accepted(statement(START, 2, after(other, 1)), rows));
}

#[test]
fn a_chain_without_an_end_is_refused() {
    assert!(!is_accepted(statement(START, 2, [1; 25]), with_ends(honest(START, 2), &[])));
}

#[test]
fn an_end_can_not_be_done_before_the_first_row() {
    let rows = with(with_ends(honest(START, 2), &[]), |_, row| row[DONE] = BabyBear::ONE);

    assert!(!is_accepted(statement(START, 2, [1; 25]), rows));
}

#[test]
fn an_end_can_not_be_done_out_of_nothing() {
    let rows = with(with_ends(honest(START, 2), &[]), |index, row| row[DONE] = BabyBear::from_bool(index == ROWS - 1));

    assert!(!is_accepted(statement(START, 2, [1; 25]), rows));
}

#[test]
fn an_end_within_a_permutation_is_refused() {
    let rows = with(with_ends(honest(START, 2), &[]), |index, row| {
        row[EXPORT] = BabyBear::from_bool(index == ROUNDS + 4);
        row[DONE] = BabyBear::from_bool(index > ROUNDS + 4);
    });

    assert!(!is_accepted(statement(START, 2, after(START, 2)), rows));
}
