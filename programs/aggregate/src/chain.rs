//! The chain: a state of four Goldilocks elements, hashed again and again with Poseidon.

use plonky2::field::goldilocks_field::GoldilocksField;
use plonky2::field::types::{Field, Field64, PrimeField64};
use plonky2::hash::hash_types::HashOut;
use plonky2::hash::poseidon::PoseidonHash;
use plonky2::plonk::config::Hasher;

pub type F = GoldilocksField;

/// A state of the chain. One step replaces it by the first four elements of the Poseidon permutation of
/// (state, 0, 0, 0, 0, 0, 0, 0, 0).
pub type State = HashOut<F>;

const ELEMENTS: usize = 4;
const DIGITS: usize = 16;

/// The state `steps` steps after `start`.
pub fn advance(start: State, steps: u64) -> State {
    (0..steps).fold(start, |state, _| PoseidonHash::hash_no_pad(&state.elements))
}

/// `0x` and 64 lower-case hexadecimal digits: the four elements in order, each big-endian.
pub fn encode(state: State) -> String {
    let digits: String = state.elements.iter().map(|element| format!("{:016x}", element.to_canonical_u64())).collect();
    format!("0x{digits}")
}

/// The state that `text` spells in the only accepted way; None for anything else.
pub fn decode(text: &str) -> Option<State> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let allowed = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != ELEMENTS * DIGITS || !digits.iter().all(allowed) {
        return None;
    }
    let mut state = State::ZERO;
    for (element, chunk) in state.elements.iter_mut().zip(digits.chunks_exact(DIGITS)) {
        let value = u64::from_str_radix(std::str::from_utf8(chunk).ok()?, 16).ok()?;
        if value >= F::ORDER {
            return None;
        }
        *element = F::from_canonical_u64(value);
    }
    Some(state)
}
