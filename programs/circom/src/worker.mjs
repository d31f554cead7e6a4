// Stands in for the package web-worker, which starts a thread by running its own file again: in a bundle that file is
// the whole program. ffjavascript hands over its worker's source as a data: URL.

import { Worker as Thread } from "node:worker_threads";

const PRELUDE = `
const { parentPort } = require("node:worker_threads");
const self = {
    postMessage: (message, transfer) => parentPort.postMessage(message, transfer),
    close: () => parentPort.close(),
};
parentPort.on("message", (message) => self.onmessage({ data: message }));
`;

export default class Worker extends Thread {
    constructor(url) {
        super(PRELUDE + Buffer.from(url.slice(url.indexOf(",") + 1), "base64").toString(), { eval: true });
    }

    // A thread that dies emits "error", for which nobody listens: the program then crashes instead of waiting forever.
    addEventListener(event, listener) {
        this.on(event, listener);
    }
}
