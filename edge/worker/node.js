// A listener for the servers of `node:http` and `node:https`.
import { readFileSync } from "node:fs";
import * as glue from "../wasm/gate_bg.js";
import { Gate } from "./gate.js";
import { service } from "./fetch.js";

const module = new WebAssembly.Module(readFileSync(new URL("../wasm/gate_bg.wasm", import.meta.url)));
const { exports } = new WebAssembly.Instance(module, { "./gate_bg.js": glue });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();

export { service };

/** Puts the gate before a listener. Without `peerHeader` the peer is whoever is connected. */
export function guarded(config, listener, { peerHeader, bindings, env = process.env, ...memories } = {}) {
  const gate = new Gate(config, { env: { ...env, ...bindings }, ...memories });
  return async (request, response) => {
    const { headers, socket } = request;
    const leaves = new AbortController();
    const leave = () => leaves.abort();
    response.once("close", leave);
    const facts = {
      peer: peerHeader ? headers[peerHeader] : socket.remoteAddress,
      port: socket.localPort,
      path: request.url,
      method: request.method,
      host: headers.host,
      accept: headers.accept,
      contentType: headers["content-type"],
    };
    let decision;
    try {
      decision = await gate.decide(facts, { waitUntil: () => {}, signal: leaves.signal });
    } catch (problem) {
      if (leaves.signal.aborted) return;
      throw problem;
    } finally {
      response.off("close", leave);
    }
    const { tag, refusal } = decision;
    if (gate.responseHeader && tag !== undefined) response.setHeader(gate.responseHeader, tag);
    if (refusal) {
      response.writeHead(refusal.status, Object.fromEntries(refusal.headers)).end(refusal.body);
      return;
    }
    mark(request, gate.requestHeader, tag);
    listener(request, response);
  };
}

/** Writes or removes a header of a request, whoever wrote it before, and wherever listeners look for headers. */
function mark(request, name, tag) {
  request.rawHeaders = without(request.rawHeaders, name);
  delete request.headers[name];
  if (tag !== undefined) {
    request.rawHeaders.push(name, tag);
    request.headers[name] = tag;
  }
  // Trailers are there when the body has ended, and some frameworks make headers of them.
  request.prependOnceListener("end", () => {
    request.rawTrailers = without(request.rawTrailers, name);
    delete request.trailers[name];
  });
}

/** Names and values in turn, without those of this name. */
function without(raw, name) {
  return raw.filter((_, index) => raw[index - (index % 2)].toLowerCase() !== name);
}
