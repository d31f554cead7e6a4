pragma circom 2.1.0;

include "mimc.circom";

component main {public [salt]} = Chain(5);
