// For bundlers and for Deno, where a module in WebAssembly is imported like any other.
import * as wasm from "./wasm/policy_bg.wasm";
import { __wbg_set_wasm } from "./wasm/policy_bg.js";

__wbg_set_wasm(wasm);
wasm.__wbindgen_start();

export * from "./policy.js";
