// Judging reports, over the module `wasm/policy_bg.wasm`. The entry for the runtime loads the module before this is used.
import * as core from "./wasm/policy_bg.js";
import { bytesOf, ConfigError, sayMistakes } from "./document.js";
import { checkConnection, isIpv4, lettersOf, levelOf, misuse, shown } from "./given.js";

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

/** What the core's decision has beside the place of the rule: that there is more to ask for. */
const SHOWS = 1 << 29;
const RULE = SHOWS - 1;

const NOTHING = { suspicious: null, verdict: null, rule: null };

export class Policy {
  #core;
  #terms;
  #bits;
  #rules;

  constructor(config = {}) {
    this.#core = attempt(() => new core.Policy(bytesOf(config)), sayMistakes);
    this.#terms = JSON.parse(this.#core.terms());
    this.#bits = new Map(this.#terms.findings.map((code, place) => [code, 1 << place]));
    this.#rules = this.#terms.rules.map(([rule, verdict]) => ({ suspicious: verdict !== "allow", verdict, rule }));
  }

  assess(report, { status = 200, at = Date.now() } = {}) {
    return JSON.parse(core.assess(status, bytesOf(report), Number(at)));
  }

  decide(assessment, connection = {}) {
    checkConnection(connection);
    if (typeof assessment?.outcome !== "string") throw misuse("this is no assessment", shown(assessment));
    const ip = connection.ip ?? assessment.ip;
    if (typeof ip !== "string") throw misuse("connection.ip", "the report names no address, so the connection has to");
    return attempt(() => this.#judge(ip, assessment, connection), sayMisuse);
  }

  /** Only numbers and short texts cross the border: JSON would take many times as long as judging does. */
  #judge(ip, { outcome, score, asn, country, [this.#terms.evidence]: evidence }, connection) {
    const { port = null, product, path, method, host, client, at = Date.now() } = connection;
    const { profile, pages, failures, direction: configured } = this.#terms;
    const direction = connection.direction ?? configured;
    const egress = direction === "egress";
    if (client) core.address(client, "connection.client");
    const isRead = outcome === "assessed";
    if (!isRead && !failures.includes(outcome)) throw misuse("this is no assessment", `there is no outcome ${shown(outcome)}`);
    const inbound = levelOf(isRead ? score?.inbound : null);
    const outbound = levelOf(isRead ? score?.outbound : null);
    const findings = [];
    const bits = isRead ? this.#read(evidence ?? [], findings) : 0;
    const decided = this.#core.decide(
      bits, inbound ?? 0, outbound ?? 0, asn ?? 0, lettersOf(country), egress, port ?? -1, Number(at), product, path, method, host,
    );
    const isAsJudged = isIpv4(ip) || core.isAsJudged(ip);
    const about = isAsJudged ? { ip, link: pages + ip } : JSON.parse(core.address(ip, "connection.ip"));
    if (isRead && decided & SHOWS) findings.push(...JSON.parse(this.#core.found(egress, port ?? -1, product)));
    const { suspicious, verdict, rule } = isRead ? this.#rules[decided & RULE] : NOTHING;
    return { ip: about.ip, port, suspicious, verdict, rule, profile, direction, score: { inbound, outbound }, findings, outcome, link: about.link };
  }

  /** The bits of these findings, which are added to those of the judgement. */
  #read(evidence, findings) {
    let bits = 0;
    for (const { code, detail = null } of evidence) {
      const bit = this.#bits.get(code);
      if (bit === undefined) throw misuse("this is no assessment", `there is no finding ${shown(code)}`);
      bits |= bit;
      findings.push({ code, detail });
    }
    return bits;
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
