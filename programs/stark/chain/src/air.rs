//! The constraints. README.md says why they bind the whole statement.
//!
//! One row is one round of Keccak-f, 24 rows are one permutation. Plonky3's `KeccakAir` fills the first columns: it
//! makes every row a true round, and every 24 rows a true permutation of the state that stands in their first row. What
//! it leaves open is what goes into the permutations, how many there are and what comes out; that is added here, with
//! two more columns:
//!
//! * `count`: which permutation this row belongs to, from 1;
//! * `done`: whether the end was before this row.
//!
//! The end itself is marked by `KeccakAir`'s `export`, which it constrains to 0 or 1, and to 0 outside of last rounds.

use std::borrow::Borrow;

use openvm_stark_sdk::openvm_stark_backend::air_builders::sub::SubAirBuilder;
use openvm_stark_sdk::openvm_stark_backend::p3_air::{Air, AirBuilder, AirBuilderWithPublicValues, BaseAir};
use openvm_stark_sdk::openvm_stark_backend::p3_field::PrimeCharacteristicRing;
use openvm_stark_sdk::openvm_stark_backend::p3_matrix::Matrix;
use openvm_stark_sdk::openvm_stark_backend::{BaseAirWithPublicValues, PartitionedBaseAir};
use openvm_stark_sdk::p3_baby_bear::BabyBear;
use p3_keccak_air::{KeccakAir, KeccakCols, NUM_KECCAK_COLS, NUM_ROUNDS_MIN_1, U64_LIMBS};

use crate::permutation::{LANES, State};
use crate::statement::Statement;

pub const COUNT: usize = NUM_KECCAK_COLS;
pub const DONE: usize = NUM_KECCAK_COLS + 1;
pub const WIDTH: usize = NUM_KECCAK_COLS + 2;

const STATE_LIMBS: usize = LANES * U64_LIMBS;
/// The start, the end, and the number of permutations.
pub const PUBLIC_VALUES: usize = 2 * STATE_LIMBS + 1;

#[derive(Debug)]
pub struct ChainAir;

impl<F> BaseAir<F> for ChainAir {
    fn width(&self) -> usize {
        WIDTH
    }
}

impl<F> BaseAirWithPublicValues<F> for ChainAir {
    fn num_public_values(&self) -> usize {
        PUBLIC_VALUES
    }
}

impl<F> PartitionedBaseAir<F> for ChainAir {}

impl<AB: AirBuilderWithPublicValues> Air<AB> for ChainAir {
    fn eval(&self, builder: &mut AB) {
        KeccakAir {}.eval(&mut SubAirBuilder::<AB, KeccakAir, AB::F>::new(builder, 0..NUM_KECCAK_COLS));

        let main = builder.main();
        let (row, next_row) =
            (main.row_slice(0).expect("a window has two rows"), main.row_slice(1).expect("a window has two rows"));
        let keccak: &KeccakCols<AB::Var> = row[..NUM_KECCAK_COLS].borrow();
        let next_keccak: &KeccakCols<AB::Var> = next_row[..NUM_KECCAK_COLS].borrow();
        let (count, done) = (row[COUNT].clone(), row[DONE].clone());
        let (next_count, next_done) = (next_row[COUNT].clone(), next_row[DONE].clone());
        let public: Vec<AB::Expr> = builder.public_values().iter().map(|&value| value.into()).collect();
        let (start, end, permutations) =
            (&public[..STATE_LIMBS], &public[STATE_LIMBS..2 * STATE_LIMBS], public[2 * STATE_LIMBS].clone());
        let last_round = keccak.step_flags[NUM_ROUNDS_MIN_1].clone();
        let is_end = keccak.export.clone();

        builder.when_first_row().assert_one(count.clone());
        builder.when_first_row().assert_zero(done.clone());
        builder.when_transition().assert_eq(next_count, count.clone() + last_round.clone());
        builder.when_transition().assert_eq(next_done, done.clone() + is_end.clone());
        builder.when_last_row().assert_one(done);
        builder.when(is_end.clone()).assert_eq(count, permutations);

        for limb in 0..STATE_LIMBS {
            let (y, x, part) = (limb / 20, limb / U64_LIMBS % 5, limb % U64_LIMBS);
            let output = keccak.a_prime_prime_prime(y, x, part);
            builder.when_first_row().assert_eq(keccak.preimage[y][x][part].clone(), start[limb].clone());
            builder
                .when_transition()
                .when(last_round.clone())
                .assert_eq(next_keccak.preimage[y][x][part].clone(), output.clone());
            builder.when(is_end.clone()).assert_eq(output, end[limb].clone());
        }
    }
}

/// The statement in the order in which the constraints take it: lanes by index, each as four limbs, the lowest first.
pub fn public_values(statement: &Statement) -> Vec<BabyBear> {
    let limbs = |state: &State| {
        state
            .iter()
            .flat_map(|lane| (0..U64_LIMBS).map(move |part| BabyBear::from_u16((lane >> (16 * part)) as u16)))
            .collect::<Vec<_>>()
    };
    let mut values = limbs(&statement.start);
    values.extend(limbs(&statement.end));
    values.push(BabyBear::from_u32(statement.permutations));
    values
}
