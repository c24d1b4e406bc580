// Requests that wait for a verdict, in every runtime: all of them end, and one lookup serves them all. What is learned is
// kept where it outlives the isolate.
import assert from "node:assert/strict";
import { eventually } from "./processes.mjs";
import { configuration, everywhere, PATIENT, peer, Rig } from "./rig.mjs";

const TOR_TAG = "verdict=tag, score=60, findings=(tor proxy), source=";
const DAY = 86_400;

everywhere((runtime, scenario) => {
  const many = (count, what) => Promise.all(Array.from({ length: count }, (_, at) => what(at)));

  const patient = { first_look: PATIENT };
  scenario("fifty first requests at once cost one lookup and all get the right answer", patient, {}, async (rig) => {
    for (const [from, status] of [[peer.TOR, 200], [peer.C2, 403]]) {
      await rig.fake.tell({ answer: "report", held: true, ip: from });
      const replies = many(50, () => rig.ask(from));
      await rig.fake.waitForCalls(1, from);
      await rig.fake.release();
      for (const reply of await replies) {
        assert.equal(reply.status, status);
        if (status === 200) assert.ok(reply.origin.tags[0].startsWith(TOR_TAG), reply.origin.tags[0]);
      }
      assert.equal((await rig.fake.calls(from)).length, 1);
    }
  });

  scenario("peers wait for their own verdicts in one lane", patient, {}, async (rig) => {
    await rig.fake.tell({ answer: "report", delay_ms: 20 });
    const peers = [...Object.values(peer), ...Array.from({ length: 15 }, (_, at) => `198.51.100.${at}`)];
    const replies = await many(peers.length, (at) => rig.ask(peers[at]));
    assert.deepEqual(replies.slice(0, 5).map(({ status }) => status), [200, 200, 200, 403, 403]);
    const calls = await rig.fake.calls();
    assert.equal(calls.length, peers.length);
    assert.ok(calls.every(({ overlapped }) => !overlapped));
  });

  const lanes = { api: { concurrency: 3 }, ...patient };
  scenario("as many lookups are in flight as there are lanes", lanes, { concurrency: 3 }, async (rig) => {
    await rig.fake.tell({ answer: "report", held: true });
    const replies = many(4, (at) => rig.ask(`198.51.100.${at}`));
    await rig.fake.waitForCalls(3);
    assert.equal((await rig.fake.calls()).length, 3, "the fourth waits for a lane");
    await rig.fake.release();
    await rig.fake.waitForCalls(4);
    await rig.fake.release();
    assert.ok((await replies).every(({ status }) => status === 200));
  });

  const hasty = { first_look: { hold: "100ms" }, log: "all" };
  scenario("past the hold the first look decides, and the late answer serves the next and is kept", hasty, { memories: true }, async (rig) => {
    await rig.fake.tell({ answer: "report", held: true });
    assert.deepEqual((await rig.ask(peer.C2)).origin.tags, ["verdict=allow, source=first_look"]);
    assert.equal((await rig.decision(peer.C2)).reason, "hold_expired");
    await rig.fake.waitForCalls(1);
    await rig.fake.release();
    await eventually(async () => assert.equal((await rig.ask(peer.C2)).status, 403));
    assert.equal((await rig.fake.calls()).length, 1);
    await eventually(async () => assert.ok(rig.store.has(`portcullis/facts/2/${peer.C2}`)));
  });

  const strict = { first_look: { hold: "5s", then: "deny", max_held: 2 }, log: "all" };
  scenario("beyond max_held and past the hold first_look.then refuses", strict, {}, async (rig) => {
    await rig.fake.tell({ answer: "report", held: true });
    assert.deepEqual((await many(3, () => rig.ask(peer.TOR))).map(({ status }) => status), [403, 403, 403]);
    await rig.decision(peer.TOR, ({ reason }) => reason === "held_full");
    await rig.decision(peer.TOR, ({ reason }) => reason === "hold_expired");
  });

  scenario("the lookup of clients that leave serves the others", patient, {}, async (rig) => {
    await rig.fake.tell({ answer: "report", held: true });
    const leaving = new AbortController();
    const left = many(5, () => assert.rejects(rig.ask(peer.TOR, { path: "/leaves", signal: leaving.signal })));
    await rig.fake.waitForCalls(1);
    const staying = rig.ask(peer.TOR, { path: "/stays" });
    leaving.abort();
    await left;
    await rig.fake.release();
    assert.ok((await staying).origin.tags[0].startsWith(TOR_TAG));
    assert.equal((await rig.fake.calls()).length, 1);
  });

  const lifetimes = { cache: { ttl: { clean: "1h", malicious: "5d" }, stale: "1h" }, policy: { block: { ttl: "1h" } }, ...patient };
  scenario("what one isolate learns the next one knows, for as long as its class says", lifetimes, { memories: true }, async (rig) => {
    const kept = (from) => rig.store.get(`portcullis/facts/2/${from}`) ?? {};
    for (const [from, seconds] of [[peer.CLEAN, 7_200], [peer.CRITICAL, 5 * DAY + 3_600]]) {
      await rig.ask(from);
      await eventually(async () => assert.ok(Math.abs(kept(from).seconds - seconds) <= 2, `${kept(from).seconds}`));
    }
    if (runtime === "workerd") {
      // Its cache has them as well, and alone is enough.
      const cached = [...rig.store.keys()].filter((key) => key.startsWith("cache:"));
      assert.equal(cached.length, 2, [...rig.store.keys()].join());
      rig.store.delete(`portcullis/facts/2/${peer.CRITICAL}`);
    }
    await rig.fake.tell({ answer: "no_credit" });
    const next = await Rig.start(runtime, configuration({ on_error: "deny", ...patient }), { fake: rig.fake, store: rig.store, memories: true });
    try {
      assert.deepEqual((await next.ask(peer.CLEAN)).origin.tags, ["verdict=allow, score=20, source=shared"]);
      assert.equal((await next.ask(peer.CRITICAL)).status, 403);
    } finally {
      await next.stop();
    }
    assert.equal((await rig.fake.calls()).length, 2);
  });
});
