//! A proof as a file: its field elements one after the other, each as four bytes, little-endian, below the modulus.
//!
//! Every length follows from the statement, so the file holds none, and there is nothing in it by which a reader could
//! be made to allocate or to loop. It holds neither the public values nor the height of the trace either: the reader
//! puts in what the statement says. For one statement all proofs have the same size.

use openvm_stark_sdk::config::baby_bear_poseidon2::{Digest, EF};
use openvm_stark_sdk::openvm_stark_backend::p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField32};
use openvm_stark_sdk::openvm_stark_backend::proof::{
    BatchConstraintProof, GkrProof, Proof, StackingProof, TraceVData, WhirProof,
};
use openvm_stark_sdk::p3_baby_bear::BabyBear;

use crate::protocol::{Config, Protocol, log_height};

const ELEMENT_BYTES: usize = 4;
const EXTENSION_DEGREE: usize = 4;

/// The bytes of `proof`, which is one of the statement's own: of the statement's shape.
pub fn encode(protocol: &Protocol, proof: &Proof<Config>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(encoded_bytes(protocol));
    visit(&mut proof.clone(), &mut |element| {
        bytes.extend(element.as_canonical_u32().to_le_bytes());
        Ok(())
    })
    .expect("writing into memory");
    bytes
}

/// The proof in `bytes`, or why there is none.
pub fn decode(protocol: &Protocol, bytes: &[u8]) -> Result<Proof<Config>, String> {
    let expected = encoded_bytes(protocol);
    if bytes.len() != expected {
        return Err(format!("it must have {expected} bytes for this statement, not {}", bytes.len()));
    }
    let mut proof = blank(protocol);
    let mut words = bytes.chunks_exact(ELEMENT_BYTES);
    visit(&mut proof, &mut |element| {
        let word = words.next().expect("as many words as elements");
        let value = u32::from_le_bytes(word.try_into().expect("four bytes"));
        if value >= BabyBear::ORDER_U32 {
            return Err(format!("{value} isn't an element of the field"));
        }
        *element = BabyBear::from_u32(value);
        Ok(())
    })?;
    Ok(proof)
}

/// How many bytes a proof of the statement has.
pub fn encoded_bytes(protocol: &Protocol) -> usize {
    let mut elements = 0;
    visit(&mut blank(protocol), &mut |_| {
        elements += 1;
        Ok(())
    })
    .expect("counting");
    elements * ELEMENT_BYTES
}

/// A proof of the statement's shape, with the statement's public values and zeros for everything that a prover chooses.
fn blank(protocol: &Protocol) -> Proof<Config> {
    let key = &protocol.verifying_key.inner;
    let (parameters, air) = (&key.params, &key.per_air[0]);
    let log_height = log_height(protocol.statement.permutations);
    let log_stacked = parameters.log_stacked_height();
    let skipped = (1usize << parameters.l_skip) - 1;
    let degree = key.max_constraint_degree() + 1;
    let openings_per_column = if air.params.need_rot { 2 } else { 1 };
    let columns = air.params.width.common_main;
    let stacked_columns = (columns << log_height).div_ceil(1 << log_stacked);
    let folded = 1usize << parameters.k_whir();
    let depth = log_stacked + parameters.log_blowup - parameters.k_whir();
    let queries: Vec<usize> = parameters.whir.rounds.iter().map(|round| round.num_queries).collect();
    let digests = |count: usize| vec![Digest::default(); count];

    Proof {
        common_main_commit: Digest::default(),
        trace_vdata: vec![Some(TraceVData { log_height, cached_commitments: Vec::new() })],
        public_values: vec![protocol.public_values()],
        gkr_proof: GkrProof {
            logup_pow_witness: BabyBear::ZERO,
            q0_claim: EF::ZERO,
            claims_per_layer: Vec::new(),
            sumcheck_polys: Vec::new(),
        },
        batch_constraint_proof: BatchConstraintProof {
            numerator_term_per_air: EF::zero_vec(1),
            denominator_term_per_air: EF::zero_vec(1),
            univariate_round_coeffs: EF::zero_vec(degree * skipped + 1),
            sumcheck_round_polys: vec![EF::zero_vec(degree); log_height - parameters.l_skip],
            column_openings: vec![vec![EF::zero_vec(columns * openings_per_column)]],
        },
        stacking_proof: StackingProof {
            univariate_round_coeffs: EF::zero_vec(2 * skipped + 1),
            sumcheck_round_polys: vec![[EF::ZERO; 2]; parameters.n_stack],
            stacking_openings: vec![EF::zero_vec(stacked_columns)],
        },
        whir_proof: WhirProof {
            mu_pow_witness: BabyBear::ZERO,
            whir_sumcheck_polys: vec![[EF::ZERO; 2]; parameters.num_whir_sumcheck_rounds()],
            codeword_commits: digests(queries.len() - 1),
            ood_values: EF::zero_vec(queries.len() - 1),
            folding_pow_witnesses: BabyBear::zero_vec(parameters.num_whir_sumcheck_rounds()),
            query_phase_pow_witnesses: BabyBear::zero_vec(queries.len()),
            initial_round_opened_rows: vec![vec![vec![BabyBear::zero_vec(stacked_columns); folded]; queries[0]]],
            initial_round_merkle_proofs: vec![vec![digests(depth); queries[0]]],
            codeword_opened_values: queries[1..].iter().map(|&count| vec![EF::zero_vec(folded); count]).collect(),
            codeword_merkle_proofs: (1..queries.len())
                .map(|round| vec![digests(depth - round); queries[round]])
                .collect(),
            final_poly: EF::zero_vec(1 << parameters.log_final_poly_len()),
        },
    }
}

type Step<'a> = dyn FnMut(&mut BabyBear) -> Result<(), String> + 'a;

/// Take every element that a prover chooses, in the file's order. Stops at the first error.
fn visit(proof: &mut Proof<Config>, step: &mut Step) -> Result<(), String> {
    let Proof {
        common_main_commit,
        trace_vdata: _,   // the statement's
        public_values: _, // the statement's
        gkr_proof,
        batch_constraint_proof: batch,
        stacking_proof: stacking,
        whir_proof: whir,
    } = proof;
    base(common_main_commit, step)?;
    base([&mut gkr_proof.logup_pow_witness], step)?;
    extension([&mut gkr_proof.q0_claim], step)?;

    extension(&mut batch.numerator_term_per_air, step)?;
    extension(&mut batch.denominator_term_per_air, step)?;
    extension(&mut batch.univariate_round_coeffs, step)?;
    extension(batch.sumcheck_round_polys.iter_mut().flatten(), step)?;
    extension(batch.column_openings.iter_mut().flatten().flatten(), step)?;

    extension(&mut stacking.univariate_round_coeffs, step)?;
    extension(stacking.sumcheck_round_polys.iter_mut().flatten(), step)?;
    extension(stacking.stacking_openings.iter_mut().flatten(), step)?;

    base([&mut whir.mu_pow_witness], step)?;
    extension(whir.whir_sumcheck_polys.iter_mut().flatten(), step)?;
    base(whir.codeword_commits.iter_mut().flatten(), step)?;
    extension(&mut whir.ood_values, step)?;
    base(&mut whir.folding_pow_witnesses, step)?;
    base(&mut whir.query_phase_pow_witnesses, step)?;
    base(whir.initial_round_opened_rows.iter_mut().flatten().flatten().flatten(), step)?;
    base(whir.initial_round_merkle_proofs.iter_mut().flatten().flatten().flatten(), step)?;
    extension(whir.codeword_opened_values.iter_mut().flatten().flatten(), step)?;
    base(whir.codeword_merkle_proofs.iter_mut().flatten().flatten().flatten(), step)?;
    extension(&mut whir.final_poly, step)
}

fn base<'a>(elements: impl IntoIterator<Item = &'a mut BabyBear>, step: &mut Step) -> Result<(), String> {
    elements.into_iter().try_for_each(step)
}

fn extension<'a>(elements: impl IntoIterator<Item = &'a mut EF>, step: &mut Step) -> Result<(), String> {
    for element in elements {
        let mut coefficients: [BabyBear; EXTENSION_DEGREE] =
            std::array::from_fn(|index| element.as_basis_coefficients_slice()[index]);
        base(&mut coefficients, step)?;
        *element = EF::from_basis_coefficients_fn(|index| coefficients[index]);
    }
    Ok(())
}
