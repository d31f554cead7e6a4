pragma circom 2.1.0;

// `value` is in 0 .. 2^bits - 1.
template Range(bits) {
    signal input value;
    signal bit[bits];

    var sum = 0;
    for (var i = 0; i < bits; i++) {
        bit[i] <-- (value >> i) & 1;
        bit[i] * (bit[i] - 1) === 0;
        sum += bit[i] * 2 ** i;
    }
    sum === value;
}

// I know two factors of `product`, neither of them 1, each below 2^bits, so that the product doesn't wrap around.
template Factors(bits) {
    signal input product;
    signal input factor[2];
    signal inverse[2];

    for (var i = 0; i < 2; i++) {
        Range(bits)(factor[i]);
        inverse[i] <-- factor[i] == 1 ? 0 : 1 / (factor[i] - 1);
        (factor[i] - 1) * inverse[i] === 1;
    }
    // A log tells secrets; the prover's image keeps it to itself.
    log("factors", factor[0], factor[1]);
    factor[0] * factor[1] === product;
}

component main {public [product]} = Factors(64);
