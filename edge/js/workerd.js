// For Workers, where an import of a module in WebAssembly gives the compiled module; compiling bytes is not allowed.
import module from "./wasm/policy_bg.wasm";
import * as glue from "./wasm/policy_bg.js";

const { exports } = new WebAssembly.Instance(module, { "./policy_bg.js": glue });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();

export * from "./policy.js";
