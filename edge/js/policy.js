// Judging reports, over the module `wasm/policy_bg.wasm`. The entry for the runtime loads the module before this is used.
import * as core from "./wasm/policy_bg.js";
import { bytesOf, ConfigError, sayMistakes } from "./document.js";

export { ConfigError };

/** What a refusal of the core is: it throws text. */
const sayMisuse = (problem) => (typeof problem === "string" ? new TypeError(problem) : problem);

const attempt = (what, say) => {
  try {
    return what();
  } catch (problem) {
    throw say(problem);
  }
};

export class Policy {
  #core;

  constructor(config = {}) {
    this.#core = attempt(() => new core.Policy(bytesOf(config)), sayMistakes);
  }

  assess(report, { status = 200, at = Date.now() } = {}) {
    return JSON.parse(core.assess(status, bytesOf(report), Number(at)));
  }

  decide(assessment, connection = {}) {
    const { at = Date.now(), ...known } = connection;
    const decide = () => this.#core.decide(JSON.stringify(assessment), JSON.stringify(known), Number(at));
    return JSON.parse(attempt(decide, sayMisuse));
  }
}

export class List {
  #core;

  constructor(entries) {
    this.#core = attempt(() => new core.List(bytesOf(entries)), sayMistakes);
  }

  match(address, { at = Date.now() } = {}) {
    const found = attempt(() => this.#core.match(String(address), Number(at)), sayMisuse);
    return found === undefined ? null : JSON.parse(found);
  }

  get size() {
    return this.#core.size;
  }
}

export const parseList = (entries) => new List(entries);

export const isPublic = (address) => attempt(() => core.isPublic(String(address)), sayMisuse);
