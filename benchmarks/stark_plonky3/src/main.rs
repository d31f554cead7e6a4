//! `stark-plonky3 PERMUTATIONS QUERIES POW_BITS`: prove and verify so many Keccak-f permutations once, with BabyBear,
//! Poseidon2 and FRI of rate 1/2, and print one line of JSON: rows, seconds to prove and to verify, and the proof's bytes.
//!
//! What is proved is less than what programs/stark proves: the permutations are independent of each other, and nothing
//! of them is public.

use std::time::Instant;

use p3_baby_bear::{BabyBear, Poseidon2BabyBear, default_babybear_poseidon2_16, default_babybear_poseidon2_24};
use p3_challenger::DuplexChallenger;
use p3_commit::ExtensionMmcs;
use p3_dft::Radix2DitParallel;
use p3_field::Field;
use p3_field::extension::BinomialExtensionField;
use p3_fri::{FriParameters, TwoAdicFriPcs};
use p3_keccak_air::{KeccakAir, generate_trace_rows};
use p3_merkle_tree::MerkleTreeMmcs;
use p3_symmetric::{PaddingFreeSponge, TruncatedPermutation};
use p3_uni_stark::{StarkConfig, prove, verify};

type Val = BabyBear;
type Challenge = BinomialExtensionField<Val, 4>;
type Permutation16 = Poseidon2BabyBear<16>;
type Permutation24 = Poseidon2BabyBear<24>;
type Hash = PaddingFreeSponge<Permutation24, 24, 16, 8>;
type Compress = TruncatedPermutation<Permutation16, 2, 8, 16>;
type ValMmcs = MerkleTreeMmcs<<Val as Field>::Packing, <Val as Field>::Packing, Hash, Compress, 8>;
type ChallengeMmcs = ExtensionMmcs<Val, Challenge, ValMmcs>;
type Challenger = DuplexChallenger<Val, Permutation24, 24, 16>;
type Pcs = TwoAdicFriPcs<Val, Radix2DitParallel<Val>, ValMmcs, ChallengeMmcs>;

fn main() {
    let numbers: Vec<usize> =
        std::env::args().skip(1).map(|text| text.parse().expect("PERMUTATIONS QUERIES POW_BITS are numbers")).collect();
    let [permutations, queries, pow_bits] = numbers[..] else { panic!("PERMUTATIONS QUERIES POW_BITS") };

    let hash = Hash::new(default_babybear_poseidon2_24());
    let mmcs = ValMmcs::new(hash, Compress::new(default_babybear_poseidon2_16()));
    let fri = FriParameters {
        log_blowup: 1,
        log_final_poly_len: 0,
        num_queries: queries,
        commit_proof_of_work_bits: 0,
        query_proof_of_work_bits: pow_bits,
        mmcs: ChallengeMmcs::new(mmcs.clone()),
    };
    let inputs = (0..permutations as u64).map(|index| std::array::from_fn(|lane| index + lane as u64)).collect();
    let trace = generate_trace_rows::<Val>(inputs, fri.log_blowup);
    let rows = trace.values.len() / trace.width;
    let pcs = Pcs::new(Radix2DitParallel::default(), mmcs, fri);
    let config = StarkConfig::<_, Challenge, _>::new(pcs, Challenger::new(default_babybear_poseidon2_24()));

    let started = Instant::now();
    let proof = prove(&config, &KeccakAir {}, trace, &[]);
    let proving = started.elapsed().as_secs_f64();
    let started = Instant::now();
    verify(&config, &KeccakAir {}, &proof, &[]).expect("Plonky3 takes its own proof");
    let verifying = started.elapsed().as_secs_f64();
    let bytes = postcard::to_allocvec(&proof).expect("a proof can be encoded").len();
    println!("{{\"rows\": {rows}, \"prove_s\": {proving}, \"verify_s\": {verifying}, \"bytes\": {bytes}}}");
}
