// Numbers as snarkjs writes them: decimal strings. One number has one spelling here; values at or above the modulus,
// which would be read as another number's, have none.

const DECIMAL = /^(0|[1-9][0-9]{0,154})$/;

/** The number that `text` spells, below `modulus`; null if it doesn't. */
export function parseDecimal(text, modulus) {
    if (typeof text !== "string" || !DECIMAL.test(text)) {
        return null;
    }
    const value = BigInt(text);
    return value < modulus ? value : null;
}

/** The public signals in parsed JSON; the Error's message completes "public.json …". */
export function parsePublicSignals(json, count, modulus) {
    if (!Array.isArray(json)) {
        throw new Error("must be a list of decimal strings, as snarkjs writes it");
    }
    if (json.length !== count) {
        throw new Error(`has ${json.length} public signals, but the circuit has ${count}`);
    }
    return json.map((text, index) => {
        const value = parseDecimal(text, modulus);
        if (value === null) {
            throw new Error(
                `must hold decimal strings without leading zeros, below the field's order: signal ${index} isn't one`,
            );
        }
        return value;
    });
}
