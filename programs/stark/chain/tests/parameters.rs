//! What follows from a number of permutations, for every height that a trace can have.

use keccak_chain::codec::encoded_bytes;
use keccak_chain::protocol::{Protocol, log_height};
use keccak_chain::statement::{PERMUTATIONS_MAX, Statement};

#[test]
fn every_height_gives_a_hundred_bits_and_a_proof_of_bounded_size() {
    let heights = 5..=20;
    for height in heights {
        let permutations = (1u32 << height) / 24;
        assert_eq!((log_height(permutations), log_height(permutations + 1)), (height, height + 1));

        let protocol = Protocol::new(Statement { start: [0; 25], permutations, end: [0; 25] }).expect("100 bits");

        assert!(protocol.security_bits >= 100.0);
        assert!((200_000..4 << 20).contains(&encoded_bytes(&protocol)));
    }
    assert_eq!(log_height(PERMUTATIONS_MAX), 20);
}
