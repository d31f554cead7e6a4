//! What a prover fills the rows with.

use openvm_stark_sdk::openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_sdk::openvm_stark_backend::p3_matrix::dense::RowMajorMatrix;
use openvm_stark_sdk::p3_baby_bear::BabyBear;
use p3_keccak_air::{KeccakCols, NUM_KECCAK_COLS, generate_trace_rows};
use rayon::prelude::*;
use std::borrow::BorrowMut;

use crate::air::{COUNT, DONE, WIDTH};
use crate::failure::{Failure, code};
use crate::permutation::{ROUNDS, State, keccak_f};
use crate::protocol::log_height;
use crate::statement::Statement;

/// `generate_trace_rows` rounds up to a power of two, so this many at once waste the least: 1008 rows of 1024.
const PERMUTATIONS_AT_ONCE: usize = 42;

/// The rows that prove `statement`, or [`code::FALSE_STATEMENT`] where there are none.
///
/// The rows after the end go on with the chain, because the constraints hold for them too.
pub fn trace(statement: &Statement) -> Result<RowMajorMatrix<BabyBear>, Failure> {
    let height = 1usize << log_height(statement.permutations);
    let permutations = statement.permutations as usize;
    let inputs = chain(statement.start, height.div_ceil(ROUNDS));
    // There is one more than `permutations`, since a power of two isn't a multiple of 24.
    if inputs[permutations] != statement.end {
        return Err(Failure::new(
            code::FALSE_STATEMENT,
            format!("{permutations} permutations of the start don't lead to the end: the statement is false"),
        ));
    }
    let mut values = BabyBear::zero_vec(height * WIDTH);
    values
        .par_chunks_mut(PERMUTATIONS_AT_ONCE * ROUNDS * WIDTH)
        .zip(inputs.par_chunks(PERMUTATIONS_AT_ONCE))
        .enumerate()
        .for_each(|(index, (rows, inputs))| {
            let first = index * PERMUTATIONS_AT_ONCE;
            let mut rounds = generate_trace_rows::<BabyBear>(inputs.to_vec(), 0);
            for (round, row) in rows.chunks_exact_mut(WIDTH).enumerate() {
                let permutation = first + round / ROUNDS + 1;
                let is_end = permutation == permutations && round % ROUNDS == ROUNDS - 1;
                let source = &mut rounds.values[round * NUM_KECCAK_COLS..(round + 1) * NUM_KECCAK_COLS];
                let keccak: &mut KeccakCols<BabyBear> = source.borrow_mut();
                keccak.export = BabyBear::from_bool(is_end);
                row[..NUM_KECCAK_COLS].copy_from_slice(source);
                row[COUNT] = BabyBear::from_usize(permutation);
                row[DONE] = BabyBear::from_bool(permutation > permutations);
            }
        });
    Ok(RowMajorMatrix::new(values, WIDTH))
}

/// The inputs of the first `length` permutations.
fn chain(start: State, length: usize) -> Vec<State> {
    std::iter::successors(Some(start), |state| Some(keccak_f(*state))).take(length).collect()
}
