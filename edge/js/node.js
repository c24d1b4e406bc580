// For Node and Bun, which read the module from beside this file.
import { readFileSync } from "node:fs";
import * as glue from "./wasm/policy_bg.js";

const module = new WebAssembly.Module(readFileSync(new URL("./wasm/policy_bg.wasm", import.meta.url)));
const { exports } = new WebAssembly.Instance(module, { "./policy_bg.js": glue });
glue.__wbg_set_wasm(exports);
exports.__wbindgen_start();

export * from "./policy.js";
