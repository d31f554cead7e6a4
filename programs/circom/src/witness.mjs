// From a circuit's inputs to its witness, with the generator that circom compiled to WebAssembly.

import { readFileSync } from "node:fs";
import { wtns } from "snarkjs";
import { describe, Exit, EXIT } from "./exit.mjs";

const DECIMAL = /^-?(0|[1-9][0-9]*)$/;
const HEXADECIMAL = /^0x[0-9a-fA-F]+$/;

// What circom's generator and its runtime say of inputs that don't fit, and what we say instead. None of it is a value.
const INPUT_ERRORS = [
    [/^Signal (.+) not found/, (name) => `the circuit has no input signal ${name}`],
    [/^Not enough values for input signal (.+)/, (name) => `${name} has too few values`],
    // A name that the circuit doesn't have is one of size zero to some generators.
    [/^Too many values for input signal (.+)/, (name) => `${name} has too many values, or is no input signal at all`],
    [/^Not all inputs have been set. Only (.+)/, (counts) => `it gives values to ${counts} input signals`],
];

/** input.json's values as bigints, nested as they were; the Error's message completes "input.json …". */
export function parseInputs(json, modulus) {
    if (json === null || typeof json !== "object" || Array.isArray(json)) {
        throw new Error("must be an object from the names of the circuit's input signals to their values");
    }
    return Object.fromEntries(Object.entries(json).map(([name, value]) => [name, parseValue(name, value, modulus)]));
}

function parseValue(name, value, modulus) {
    if (Array.isArray(value)) {
        return value.map((element) => parseValue(name, element, modulus));
    }
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
        throw new Error(`gives ${name} a number that JSON can't hold exactly: write it as a string`);
    }
    const text = String(value);
    if (typeof value === "boolean" || value === null || !(DECIMAL.test(text) || HEXADECIMAL.test(text))) {
        throw new Error(`must give ${name} whole numbers, strings of decimal digits, 0x… or lists of them`);
    }
    const number = BigInt(text);
    if (number >= modulus || number <= -modulus) {
        throw new Error(`gives ${name} a value that isn't below the field's order`);
    }
    return number;
}

/**
 * Check that the file is a generator of circom 2: those of circom 1 put values into what they say of an error. The
 * Error's message completes "<name> …".
 */
export function checkGenerator(path) {
    let names;
    try {
        names = WebAssembly.Module.exports(new WebAssembly.Module(readFileSync(path))).map(({ name }) => name);
    } catch {
        throw new Error("is not WebAssembly");
    }
    if (!names.includes("getVersion")) {
        throw new Error("is not a witness generator of circom 2");
    }
}

/**
 * The witness for `inputs` as snarkjs's in-memory file. Throws an Exit whose sentence holds no value.
 * `generator`: path of the WebAssembly module.
 */
export async function computeWitness(inputs, generator) {
    const witness = { type: "mem" };
    const { log, error, warn } = console;
    // A circuit's log() statements and the runtime's own reports print values, and a container's log is published.
    console.log = console.error = console.warn = () => {};
    try {
        await wtns.calculate(inputs, generator, witness);
    } catch (failure) {
        throw explain(failure);
    } finally {
        Object.assign(console, { log, error, warn });
    }
    return witness;
}

function explain(failure) {
    const reason = describe(failure).replace(/^Error: /, "");
    for (const [pattern, sentence] of INPUT_ERRORS) {
        const found = pattern.exec(reason);
        if (found !== null) {
            return new Exit(EXIT.INPUT, `input.json doesn't fit the circuit: ${sentence(found[1])}`);
        }
    }
    if (reason.startsWith("Assert Failed.")) {
        return new Exit(EXIT.NOT_SATISFIED, `the inputs don't satisfy the circuit: ${assertion(failure)}`);
    }
    return new Exit(EXIT.ASSETS, `the witness generator fails: ${reason}`);
}

/** Where the circuit's assertion stands, without the sentence that introduces it. */
function assertion(failure) {
    return failure.message.replace(/^.*Assert Failed\. */s, "").trim().split("\n").join(", ");
}

/** The public signals in a witness over `modulus`: its `count` elements after the constant one. Throws an Error. */
export function publicSignals(witness, count, modulus) {
    const view = new DataView(witness.data.buffer, witness.data.byteOffset, witness.data.byteLength);
    // wtns format 2 as circom's generator writes it: magic, version, section count, then the header's id and length,
    // the element size, the modulus, the number of elements, and the second section's id and length.
    const size = view.getUint32(24, true);
    const element = (at) => BigInt(`0x${Buffer.from(witness.data.slice(at, at + size)).reverse().toString("hex")}`);
    if (element(28) !== modulus) {
        throw new Error("the generator computes in another field than the proving key's");
    }
    if (view.getUint32(28 + size, true) <= count) {
        throw new Error("the generator's circuit has fewer signals than the proving key's");
    }
    const start = 28 + size + 4 + 12;
    return Array.from({ length: count }, (_, index) => element(start + (index + 1) * size));
}
