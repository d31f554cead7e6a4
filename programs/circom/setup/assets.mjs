// Leaves a circuit's three assets in the folder assets/: circuit.wasm, proving.zkey and verification_key.json.
//
//     node setup/assets.mjs CIRCUIT PROTOCOL demo POWER    compile circuits/CIRCUIT.circom, and make demo keys
//     node setup/assets.mjs CIRCUIT PROTOCOL own POWER     take own/CIRCUIT.wasm and own/CIRCUIT.zkey

import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { zKey } from "snarkjs";
import { makeDemoKey } from "./demo_setup.mjs";

const PROVING_KEY = "assets/proving.zkey";
const GENERATOR = "assets/circuit.wasm";

const [circuit, protocol, keys, power] = process.argv.slice(2);
mkdirSync("assets");
try {
    if (keys === "demo") {
        compile();
        await makeDemoKey(`compiled/${circuit}.r1cs`, protocol, Number(power), PROVING_KEY);
    } else {
        take(`own/${circuit}.wasm`, GENERATOR);
        take(`own/${circuit}.zkey`, PROVING_KEY);
    }
    const key = await zKey.exportVerificationKey(PROVING_KEY);
    if (key.protocol !== protocol) {
        throw new Error(`own/${circuit}.zkey is a key for ${key.protocol}: build with --set protocol=${key.protocol}`);
    }
    writeFileSync("assets/verification_key.json", `${JSON.stringify(key, null, 1)}\n`);
} catch (error) {
    process.stderr.write(`no ${keys} ${protocol} keys for the circuit ${circuit}: ${error.message}\n`);
    process.exit(1);
}
// The curve's threads would keep Node waiting.
process.exit(0);

function compile() {
    const source = `circuits/${circuit}.circom`;
    if (!existsSync(source)) {
        throw new Error(`there is no ${source}`);
    }
    mkdirSync("compiled");
    const compiler = ["node_modules/circom2/cli.js", source, "--r1cs", "--wasm", "--O2", "-o", "compiled"];
    const { status, stdout, stderr } = spawnSync(process.execPath, compiler, { encoding: "utf-8" });
    if (status !== 0) {
        throw new Error(`circom fails:\n${stdout}${stderr}`);
    }
    copyFileSync(`compiled/${circuit}_js/${circuit}.wasm`, GENERATOR);
}

function take(from, to) {
    if (!existsSync(from)) {
        throw new Error(`there is no ${from}: put it there, beside program.yaml`);
    }
    copyFileSync(from, to);
}
