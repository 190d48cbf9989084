// SPDX-License-Identifier: Apache-2.0
// Opens a trace in Perfetto's trace processor and answers SQL: one line of JSON, a list of rows for
// each query.
//	node trace-processor.mjs FOLDER TRACE QUERY...
// FOLDER has the WASM, its glue code, and the engine that talks to it (scripts/get-consumers). Made
// for a worker in a browser, so it is given what it looks for there, at three places in its text.
import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import { pathToFileURL } from "node:url";

const [, , folder, trace, ...queries] = process.argv;
const url = name => pathToFileURL(path.join(folder, name)).href;
const define = (name, value) =>
	Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });

console.log = console.warn = () => {}; // progress, and of rows without columns
define("self", globalThis);
define("location", { href: url("") });
define("WorkerGlobalScope", function () {});
define("wasmBinary", new Uint8Array(fs.readFileSync(path.join(folder, "trace_processor.wasm"))));

let glue = fs.readFileSync(path.join(folder, "engine_bundle.node.js"), "utf8");
for (const [from, to] of [
	["this.useMemory64 = hasMemory64Support();", "this.useMemory64 = false;"],
	["locateFile: (s) => s,", "locateFile: (s) => s, wasmBinary: globalThis.wasmBinary,"],
	["const wasmBridge = new wasm_bridge_1.WasmBridge();",
		"const wasmBridge = globalThis.bridge = new wasm_bridge_1.WasmBridge();"],
]) {
	if (!glue.includes(from))
		throw new Error(`the glue code has no "${from}"`);
	glue = glue.replace(from, to);
}
const { EngineBase } = await import(url("engine.mjs"));
vm.runInThisContext(glue, { filename: "engine_bundle.node.js" });
const channel = new MessageChannel();
globalThis.bridge.initialize(channel.port1);

class Engine extends EngineBase {
	mode = "WASM";
	id = "trace-processor";
	constructor(port) {
		super();
		this.port = port;
		port.onmessage = event => {
			if (event.data instanceof Uint8Array)
				this.onRpcResponseBytes(event.data);
		};
	}
	rpcSendRequestBytes(data) {
		this.port.postMessage(data);
	}
}

const engine = new Engine(channel.port2);
while (!globalThis.bridge.reqBufferAddr) // it may not be asked before it is up
	await new Promise(done => setTimeout(done, 10));
await engine.parse(new Uint8Array(fs.readFileSync(trace)));
await engine.notifyEof();
const answers = [];
for (const query of queries) {
	const result = await engine.query(query);
	if (result.error())
		throw new Error(`${query}: ${result.error()}`);
	const rows = [];
	for (const it = result.iter({}); it.valid(); it.next())
		rows.push(Object.fromEntries(result.columns().map(name => {
			const value = it.get(name);
			return [name, typeof value === "bigint" ? Number(value) : value];
		})));
	answers.push(rows);
}
fs.writeSync(1, JSON.stringify(answers) + "\n");
process.exit(0);
