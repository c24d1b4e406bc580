// Criminal IP slow, failing, or talking nonsense, in every runtime: each failure gives the configured answer under its own
// reason, is not taken for "clean", and is over with the next good answer.
import assert from "node:assert/strict";
import test from "node:test";
import { closed, eventually } from "./processes.mjs";
import { configuration, everywhere, PATIENT, peer, Rig } from "./rig.mjs";

/** How the stand-in fails, and the reason under which that is logged. */
const FAILURES = [
  ["invalid_address", "invalid_address"],
  ["server_error", "server_error"],
  ["bad_gateway", "server_error"],
  ["status:503", "server_error"],
  ["empty", "malformed"],
  ["garbage", "malformed"],
  ["truncated", "malformed"],
  ["cut", "reset"],
  ["close", "connection"],
  ["padded:200000", "too_large"],
];

/** In milliseconds, but for the parts of one that two clocks leave out. */
const SECOND = 990;

everywhere((runtime, scenario) => {
  const learnedAt = (rig, from, start) =>
    eventually(async () => {
      const { origin } = await rig.ask(from);
      assert.ok(origin.tags?.[0]?.startsWith(start), JSON.stringify(origin.tags));
    });

  // On a busy machine only silence may be taken for a timeout.
  for (const [on_error, status, timeout, failures] of [
    ["allow", 200, "60s", FAILURES],
    ["deny", 403, "60s", FAILURES],
    ["deny", 403, "3s", [["silence", "timeout"]]],
  ]) {
    const failing = { api: { timeout, max_body: "100kB" }, on_error, cache: { ttl: { error: "1s" } } };
    scenario(`each failure has its own reason, with on_error: ${on_error} and a timeout of ${timeout}`, failing, {}, async (rig) => {
      for (const [at, [answer, reason]] of failures.entries()) {
        const from = `198.51.100.${at}`;
        await rig.fake.tell({ answer, ip: from });
        const reply = await rig.ask(from);
        assert.equal(reply.status, status, answer);
        if (reply.origin) assert.deepEqual(reply.origin.tags, ["verdict=allow, source=on_error"], answer);
        assert.equal((await rig.decision(from)).reason, reason, answer);
        const { length } = await rig.fake.calls(from);
        // Runtimes themselves try again where a connection that was used before is closed without an answer.
        if (answer !== "close") assert.equal(length, 1, answer);
        await rig.fake.forgetRules();
        await learnedAt(rig, from, "verdict=allow, score=20");
        assert.equal((await rig.fake.calls(from)).length, length + 1, answer);
      }
    });
  }

  const keyed = { on_error: "deny" };
  for (const answer of ["no_credit", "bad_key"]) {
    scenario(`what Criminal IP says about the key stops all lookups: ${answer}`, keyed, {}, async (rig) => {
      await rig.fake.tell({ answer, times: 1 });
      for (let last = 1; last <= 4; last += 1) assert.equal((await rig.ask(`198.51.100.${last}`)).status, 403);
      assert.equal((await rig.decision("198.51.100.1")).reason, answer);
      assert.equal((await rig.decision("198.51.100.4")).reason, `halted_${answer}`);
      assert.equal((await rig.fake.calls()).length, 1);
    });
  }

  scenario("a rate limit is obeyed for as long as the answer says", {}, {}, async (rig) => {
    await rig.fake.tell({ answer: "rate_limited:1", times: 1 });
    assert.deepEqual((await rig.ask(peer.CLEAN)).origin.tags, ["verdict=allow, source=on_error"]);
    await learnedAt(rig, peer.TOR, "verdict=tag");
    const [first, second, ...more] = await rig.fake.calls();
    assert.ok(second.at_ms - first.at_ms >= SECOND && more.length === 0, `${first.at_ms} ${second.at_ms}`);
  });

  scenario("after five failures in a row lookups stop until one succeeds", {}, {}, async (rig) => {
    await rig.fake.tell({ answer: "server_error" });
    for (let last = 0; last < 8; last += 1) {
      assert.deepEqual((await rig.ask(`198.51.100.${last}`)).origin.tags, ["verdict=allow, source=on_error"]);
    }
    // The next lookup is one to see whether it is over, a second later: on a slow machine that may have come already.
    const calls = (await rig.fake.calls()).map(({ at_ms }) => at_ms);
    assert.ok(calls.length >= 5 && calls.slice(5).every((at, index) => at - calls[index + 4] >= SECOND), calls.join());
    await rig.program.line((line) => line.includes('"reason":"breaker_open"'));
    await rig.fake.forgetRules();
    await learnedAt(rig, "198.51.100.9", "verdict=allow, score=20");
  });

  scenario("a refused connection is a failure of its own, and facts outlive it", {}, {}, async (rig) => {
    assert.equal((await rig.ask(peer.C2)).status, 403);
    await rig.fake.stop();
    await closed(Number(new URL(rig.fake.address).port));
    assert.equal((await rig.ask(peer.C2)).status, 403, "what is known stays known");
    assert.deepEqual((await rig.ask("198.51.100.1")).origin.tags, ["verdict=allow, source=on_error"]);
    assert.equal((await rig.decision("198.51.100.1")).reason, "connection");
  });

  scenario("a lookup refused for concurrency is sent again", {}, {}, async (rig) => {
    await rig.fake.tell({ answer: "concurrency_refused", times: 2 });
    assert.equal((await rig.ask(peer.C2)).status, 403);
    assert.equal((await rig.fake.calls()).length, 3);
  });

  const budget = { api: { budget: { per_day: 2, per_hour: 2 } } };
  scenario("no more lookups than the budget", budget, {}, async (rig) => {
    for (const from of [peer.CLEAN, peer.TOR, peer.SCANNER]) await rig.ask(from);
    assert.equal((await rig.decision(peer.SCANNER)).reason, "budget_spent");
    assert.equal((await rig.fake.calls()).length, 2);
  });

  test(`${runtime}: a wrong configuration is refused at the start with every mistake`, async () => {
    for (const [config, path] of [
      [configuration({ api: { timeout: "5sec" }, modus: "shadow" }), "api.timeout"],
      [configuration({ direction: "egress" }), "direction"],
    ]) {
      await assert.rejects(Rig.start(runtime, config), (problem) => {
        assert.ok(problem.message.includes(`${path}: `), problem.message);
        return true;
      });
    }
  });

  scenario("keys that do nothing here are named", { cache: { shared_slots: 8 } }, {}, async (rig) => {
    await rig.ask(peer.CLEAN);
    assert.ok(await rig.program.line((line) => line.includes('"event":"configuration"') && line.includes("cache.shared_slots")));
  });
}, { first_look: PATIENT, log: "all" });

for (const runtime of ["deno", "node", "bun"]) {
  test(`${runtime}: without a header to believe, whoever is connected is the peer`, async () => {
    const rig = await Rig.start(runtime, { ...configuration({ lists: { deny: [{ cidr: "127.0.0.1" }] } }), peerHeader: null });
    try {
      assert.equal((await rig.ask("8.8.8.8")).status, 403);
    } finally {
      await rig.stop();
    }
  });
}
