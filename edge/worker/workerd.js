// A Worker that guards an origin: Cloudflare Workers, and workerd by itself.
import module from "../wasm/gate_bg.wasm";
import * as glue from "../wasm/gate_bg.js";
import { check, Gate } from "./gate.js";
import { guard, service } from "./fetch.js";

const { exports } = new WebAssembly.Instance(module, { "./gate_bg.js": glue });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();

export { service };

/** What a Worker exports by default. A wrong configuration throws here, so that it is not deployed. */
export function worker(config, { cache, kv, forward = (request) => fetch(request) } = {}) {
  check(config);
  let gate;
  return {
    fetch(request, env, context) {
      // Randomness and bindings are there only once a request is.
      gate ??= new Gate(config, { env, cache, kv });
      return guard(gate, request, {
        // Cloudflare writes it, whatever the client sends.
        peer: request.headers.get("cf-connecting-ip"),
        forward: (passed) => forward(passed, env, context),
        waitUntil: (work) => context.waitUntil(work),
      });
    },
  };
}
