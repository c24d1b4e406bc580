// For browsers without a bundler, which fetch the module from beside this file.
import * as glue from "./wasm/policy_bg.js";

const answer = fetch(new URL("./wasm/policy_bg.wasm", import.meta.url));
const { instance } = await WebAssembly.instantiateStreaming(answer, { "./policy_bg.js": glue });
glue.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();

export * from "./policy.js";
