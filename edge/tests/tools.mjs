// The runtimes themselves, and not the scripts around them: a process that is stopped must be the runtime.
import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const TOOLS = join(dirname(fileURLToPath(import.meta.url)), "../tools");

/** The package for this machine is the only one that is installed. */
const forThisMachine = (scope) => join(TOOLS, "node_modules", scope, readdirSync(join(TOOLS, "node_modules", scope))[0]);

const SUFFIX = process.platform === "win32" ? ".exe" : "";

export const DENO = join(forThisMachine("@deno"), `deno${SUFFIX}`);
export const BUN = join(forThisMachine("@oven"), `bin/bun${SUFFIX}`);
export const WORKERD = createRequire(join(TOOLS, "package.json"))("workerd").default;
