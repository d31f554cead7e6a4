pragma circom 2.1.0;

include "mimc_constants.circom";

// One block of MiMC-5/110 as a hash: Miyaguchi-Preneel, keyed with `key`.
template Mimc() {
    signal input block;
    signal input key;
    signal output hash;

    var rounds = 110;
    var constants[rounds] = mimc_constants();
    signal square[rounds];
    signal fourth[rounds];
    signal state[rounds + 1];

    state[0] <== block;
    for (var i = 0; i < rounds; i++) {
        square[i] <== (state[i] + key + constants[i]) * (state[i] + key + constants[i]);
        fourth[i] <== square[i] * square[i];
        state[i + 1] <== fourth[i] * (state[i] + key + constants[i]);
    }
    // The cipher's last key addition, then the mode's block and key.
    hash <== state[rounds] + key + block + key;
}

// I know the preimage that `length` hashes under the public `salt` turn into `image`.
template Chain(length) {
    signal input preimage;
    signal input salt;
    signal output image;

    component hashes[length];
    signal state[length + 1];
    state[0] <== preimage;
    for (var i = 0; i < length; i++) {
        hashes[i] = Mimc();
        hashes[i].block <== state[i];
        hashes[i].key <== salt;
        state[i + 1] <== hashes[i].hash;
    }
    image <== state[length];
}
