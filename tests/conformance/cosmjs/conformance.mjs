// Uses a Proofmill network through CosmJS as any wallet would, and prints what it found as one JSON object.
//
// Its input, as JSON on standard input: rpc (URL), mnemonic, key (hexadecimal), recipient and stranger (addresses),
// amount (umill), protos (folder), programId (hexadecimal) and inputs ({name, base64, audience}).

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import path from "node:path";

import { DirectSecp256k1HdWallet, DirectSecp256k1Wallet, Registry } from "@cosmjs/proto-signing";
import {
  GasPrice,
  QueryClient,
  SigningStargateClient,
  StargateClient,
  calculateFee,
  createProtobufRpcClient,
  defaultRegistryTypes,
} from "@cosmjs/stargate";
import { connectComet } from "@cosmjs/tendermint-rpc";
import protobuf from "protobufjs";

const given = JSON.parse(readFileSync(0, "utf-8"));
const gasPrice = GasPrice.fromString("0.025umill");
const runTaskUrl = "/proofmill.task.v1.MsgRunTask";

function loadProtos() {
  const root = new protobuf.Root();
  // The annotations only say where REST answers.
  root.resolvePath = (_, target) => (target.startsWith("google/api/") ? null : path.join(given.protos, target));
  return root.loadSync(["proofmill/task/v1/tx.proto", "proofmill/task/v1/query.proto"]);
}

// Whatever has bigints or bytes in it, as JSON can say it.
function plain(value) {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object")
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
  return value;
}

async function refusal(promise) {
  try {
    const result = await promise;
    return result?.code ? { delivered: true, code: result.code, log: result.rawLog } : null;
  } catch (error) {
    return { delivered: false, code: error.code ?? null, codespace: error.codespace ?? null, log: error.message };
  }
}

async function ask(client) {
  return {
    chainId: await client.getChainId(),
    height: await client.getHeight(),
    blockChainId: (await client.getBlock(1)).header.chainId,
    balance: await client.getBalance(given.recipient, "umill"),
    stranger: await client.getAccount(given.stranger),
    strangersBalance: await client.getBalance(given.stranger, "umill"),
    strangersBalances: await client.getAllBalances(given.stranger),
    unknownTx: await client.getTx("00".repeat(32)),
  };
}

async function send(client, sender) {
  const coins = [{ denom: "umill", amount: given.amount }];
  const before = {
    account: await client.getAccount(sender),
    all: await client.getAllBalances(sender),
    recipient: await client.getBalance(given.recipient, "umill"),
  };
  const message = {
    typeUrl: "/cosmos.bank.v1beta1.MsgSend",
    value: { fromAddress: sender, toAddress: given.recipient, amount: coins },
  };
  const gas = await client.simulate(sender, [message], "a note");
  const fee = calculateFee(gas, gasPrice);
  const result = await client.sendTokens(sender, given.recipient, coins, fee, "a note");
  const found = await client.getTx(result.transactionHash);
  return {
    before,
    gas,
    fee: fee.amount[0].amount,
    result: { ...result, events: result.events.length },
    bytesHash: createHash("sha256").update(found.tx).digest("hex").toUpperCase(),
    found: { height: found.height, code: found.code, hash: found.hash, gasUsed: found.gasUsed },
    searched: (await client.searchTx([{ key: "tx.height", value: result.height }])).map((one) => one.hash),
    after: {
      sequence: await client.getSequence(sender),
      all: await client.getAllBalances(sender),
      recipient: await client.getBalance(given.recipient, "umill"),
    },
  };
}

async function refusals(client, sender) {
  const coins = (amount) => [{ denom: "umill", amount }];
  const stranger = await DirectSecp256k1HdWallet.generate(12, { prefix: "mill" });
  const poor = await SigningStargateClient.connectWithSigner(given.rpc, stranger, { gasPrice });
  const [{ address }] = await stranger.getAccounts();
  return {
    tooMuch: await refusal(client.sendTokens(sender, given.recipient, coins("999999999999999"), "auto")),
    noFee: await refusal(client.sendTokens(sender, given.recipient, coins("1"), { amount: [], gas: "200000" })),
    littleGas: await refusal(client.sendTokens(sender, given.recipient, coins("1"), calculateFee(1, gasPrice))),
    otherDenom: await refusal(
      client.sendTokens(sender, given.recipient, [{ denom: "uatom", amount: "1" }], calculateFee(200000, gasPrice)),
    ),
    noAccount: await refusal(poor.sendTokens(address, given.recipient, coins("1"), calculateFee(200000, gasPrice))),
  };
}

async function runTask(client, sender, root) {
  const type = root.lookupType("proofmill.task.v1.MsgRunTask");
  const value = {
    user: sender,
    programId: Buffer.from(given.programId, "hex"),
    inputs: given.inputs.map(({ name, base64, audience }) => {
      const inline = Buffer.from(base64, "base64");
      return {
        name,
        inline,
        sha256: createHash("sha256").update(inline).digest(),
        size: inline.length,
        audience: root.lookupEnum("proofmill.types.v1.Audience").values[audience],
      };
    }),
    timeLimitS: 60,
    redundancy: 1,
    maxFee: 1_000_000,
    queueTimeoutS: 600,
  };
  const result = await client.signAndBroadcast(sender, [{ typeUrl: runTaskUrl, value }], "auto");
  if (result.code) throw new Error(`the run was refused: ${result.rawLog}`);
  const [answer] = result.msgResponses;
  const response = root.lookupType("proofmill.task.v1.MsgRunTaskResponse").decode(answer.value);
  const message = type.encode(type.create(value)).finish();
  return {
    typeUrl: answer.typeUrl,
    taskId: Number(response.taskId),
    fee: Number(response.fee),
    height: result.height,
    message: Buffer.from(message).toString("hex"),
  };
}

async function followTask(root, taskId) {
  const ask = createProtobufRpcClient(new QueryClient(await connectComet(given.rpc)));
  const requests = root.lookupType("proofmill.task.v1.QueryTaskRequest");
  const answers = root.lookupType("proofmill.task.v1.QueryTaskResponse");
  const statuses = root.lookupEnum("proofmill.task.v1.TaskStatus").values;
  const seen = [];
  for (;;) {
    const request = requests.encode(requests.create({ taskId })).finish();
    const answer = answers.decode(await ask.request("proofmill.task.v1.Query", "Task", request));
    const { status, payouts } = answer.task.progress;
    if (seen.at(-1) !== status) seen.push(status);
    if (status >= statuses.TASK_STATUS_DONE)
      return { seen, status, paid: payouts.map((one) => Number(one.ucredit)) };
    await new Promise((resume) => setTimeout(resume, 300));
  }
}

const root = loadProtos();
const registry = new Registry(defaultRegistryTypes);
registry.register(runTaskUrl, root.lookupType("proofmill.task.v1.MsgRunTask"));

const words = await DirectSecp256k1HdWallet.fromMnemonic(given.mnemonic, { prefix: "mill" });
const wallet = await DirectSecp256k1Wallet.fromKey(Buffer.from(given.key, "hex"), "mill");
const [{ address: sender }] = await wallet.getAccounts();

const reader = await StargateClient.connect(given.rpc);
const client = await SigningStargateClient.connectWithSigner(given.rpc, wallet, { gasPrice, registry });

const report = { sender, addressOfWords: (await words.getAccounts())[0].address };
report.asked = await ask(reader);
report.sent = await send(client, sender);
report.refused = await refusals(client, sender);
report.run = await runTask(client, sender, root);
report.task = await followTask(root, report.run.taskId);
report.creditsAfter = await client.getBalance(sender, "ucredit");
process.stdout.write(JSON.stringify(plain(report)));
process.exit(0); // open connections would keep it
