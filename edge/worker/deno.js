// A handler for `Deno.serve`.
import * as wasm from "../wasm/gate_bg.wasm";
import { __wbg_set_wasm } from "../wasm/gate_bg.js";
import { Gate } from "./gate.js";
import { guard, service } from "./fetch.js";

__wbg_set_wasm(wasm);
wasm.__wbindgen_start();

export { service };

/** Puts the gate before a handler. Without `peerHeader` the peer is whoever is connected. */
export function guarded(config, handler, { peerHeader, bindings, env = {}, ...memories } = {}) {
  const gate = new Gate(config, { env: { ...env, ...bindings }, ...memories });
  return (request, info) =>
    guard(gate, request, {
      peer: peerHeader ? request.headers.get(peerHeader) : info.remoteAddr.hostname,
      forward: (passed) => handler(passed, info),
      waitUntil: () => {},
    });
}
