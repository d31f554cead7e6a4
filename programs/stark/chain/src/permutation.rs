//! Keccak-f[1600] on 25 lanes, lane (x, y) at index x + 5 y (FIPS 202, section 3.3): to compute a chain quickly.
//!
//! The constraints in [`crate::air`] don't use it; a mistake here could only make an honest prover fail.

pub const LANES: usize = 25;
pub const ROUNDS: usize = 24;

pub type State = [u64; LANES];

/// The state after 24 rounds.
pub fn keccak_f(mut lanes: State) -> State {
    for constant in round_constants() {
        let parity: [u64; 5] = std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ lanes[x + 5 * y]));
        for (index, lane) in lanes.iter_mut().enumerate() {
            *lane ^= parity[(index + 4) % 5] ^ parity[(index + 1) % 5].rotate_left(1);
        }

        let mut moved = lanes;
        let (mut x, mut y) = (1, 0);
        for step in 0..24u32 {
            let source = lanes[x + 5 * y];
            (x, y) = (y, (2 * x + 3 * y) % 5);
            moved[x + 5 * y] = source.rotate_left((step + 1) * (step + 2) / 2 % 64);
        }

        for row in 0..5 {
            for x in 0..5 {
                let lane = |offset: usize| moved[5 * row + (x + offset) % 5];
                lanes[5 * row + x] = lane(0) ^ (!lane(1) & lane(2));
            }
        }
        lanes[0] ^= constant;
    }
    lanes
}

/// Step ι's constants, from the linear feedback shift register of FIPS 202, algorithm 5.
fn round_constants() -> [u64; ROUNDS] {
    let mut register = 1u16;
    std::array::from_fn(|_| {
        (0..7).fold(0, |constant, power| {
            let bit = u64::from(register & 1) << ((1 << power) - 1);
            register = (register << 1) ^ if register & 0x80 == 0 { 0 } else { 0x171 };
            constant | bit
        })
    })
}
