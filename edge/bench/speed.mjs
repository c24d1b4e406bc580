// How fast the package is, beside the same in plain JavaScript, in this runtime: instantiating it, reading a report, judging.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as plain from "./plain.mjs";

const here = import.meta.dirname;
const EVALUATOR = process.env.EVALUATOR;
const AT = Date.UTC(2024, 2, 25);
const ROUNDS = 7;
const ROUND = 300;

/** A report of about so many bytes: a real one's port records, again and again under other ports. */
function report(bytes) {
  const whole = JSON.parse(readFileSync(join(EVALUATOR, "tests/fixtures/resolver.json"), "utf8"));
  const records = whole.port.data;
  whole.port.data = [];
  for (let length = JSON.stringify(whole).length, at = 0; length < bytes; at += 1) {
    const record = { ...records[at % records.length], open_port_no: 1 + (at % 60_000) };
    whole.port.data.push(record);
    length += JSON.stringify(record).length + 1;
  }
  return new TextEncoder().encode(JSON.stringify(whole));
}

const median = (values) => values.sort((one, other) => one - other)[values.length >> 1];

/** How often a second each of these can be done: medians of rounds that take turns. */
function measure(tasks) {
  const rates = tasks.map(() => []);
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [at, task] of tasks.entries()) {
      const start = performance.now();
      let count = 0;
      for (; performance.now() - start < ROUND; count += 1) task();
      // The first round warms up.
      if (round > 0) rates[at].push((count * 1000) / (performance.now() - start));
    }
  }
  return rates.map(median);
}

for (const name of ["policy", "gate"]) {
  const glue = await import(`../portcullis/wasm/${name}_bg.js`);
  const bytes = readFileSync(join(here, `../portcullis/wasm/${name}_bg.wasm`));
  const times = { compile: [], instantiate: [] };
  for (let round = 0; round < 25; round += 1) {
    // A custom section of its own for each: V8 remembers what bytes it has compiled.
    const fresh = Buffer.concat([bytes, Uint8Array.of(0, 3, 1, 120, round)]);
    const start = performance.now();
    const module = new WebAssembly.Module(fresh);
    const compiled = performance.now();
    new WebAssembly.Instance(module, { [`./${name}_bg.js`]: glue });
    times.compile.push(compiled - start);
    times.instantiate.push(performance.now() - compiled);
  }
  console.log(`${name}: compile ${median(times.compile).toFixed(2)} ms, instantiate ${median(times.instantiate).toFixed(3)} ms`);
}

const { Policy } = await import("portcullis");
const policy = new Policy();
console.log("a second             package   plain JavaScript");
for (const size of [24_000, 700_000]) {
  const bytes = report(size);
  const read = policy.assess(bytes, { at: AT });
  const connection = { port: 443, at: AT };
  assert.deepEqual(plain.assess(bytes, AT), read);
  assert.deepEqual(plain.decide(read, connection), policy.decide(read, connection));
  for (const [what, own, others] of [
    ["assess", () => policy.assess(bytes, { at: AT }), () => plain.assess(bytes, AT)],
    ["decide", () => policy.decide(read, connection), () => plain.decide(read, connection)],
    ["both", () => policy.decide(policy.assess(bytes, { at: AT }), connection), () => plain.decide(plain.assess(bytes, AT), connection)],
  ]) {
    const [ours, theirs] = measure([own, others]);
    console.log(`${what.padEnd(8)} ${`${bytes.length} B`.padEnd(10)} ${ours.toFixed(0).padStart(8)} ${theirs.toFixed(0).padStart(10)}`);
  }
}
