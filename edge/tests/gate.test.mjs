// The gate before an origin, end to end, in every runtime: verdicts, and who the peer is.
import assert from "node:assert/strict";
import { everywhere, PATIENT, peer } from "./rig.mjs";

const TOR_TAG = "verdict=tag, score=60, findings=(tor proxy), source=";

everywhere((runtime, scenario) => {

  scenario("clean, Tor and scanner pass with their tag, and the second request costs nothing", {}, {}, async (rig) => {
    for (const [from, tag] of [
      [peer.CLEAN, "verdict=allow, score=20, source="],
      [peer.TOR, TOR_TAG],
      [peer.SCANNER, "verdict=tag, score=40, findings=(scanner), source="],
    ]) {
      for (const source of ["api", "cache"]) {
        const { origin } = await rig.ask(from, { path: `/${from}?${source}` });
        assert.deepEqual(origin.tags, [`${tag}${source}`]);
        assert.equal(origin.url, `/${from}?${source}`);
      }
      assert.equal((await rig.fake.calls(from)).length, 1);
    }
    const [{ headers, target }] = await rig.fake.calls(peer.CLEAN);
    assert.equal(headers["x-api-key"], "stand-in-key");
    assert.equal(target, "/v1/asset/ip/report?ip=192.0.2.10&full=true");
  });

  scenario("a refused client reads what it asks for, and the origin is not asked", { deny: { message: "Go <away>" } }, {}, async (rig) => {
    for (const [accept, type, body] of [
      ["", "text/plain; charset=utf-8", "Go <away>\n"],
      ["text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "<h1>Go &lt;away&gt;</h1>"],
      ["application/json", "application/json", '"error":"Go <away>"'],
    ]) {
      const { status, headers, text } = await rig.ask(peer.C2, { headers: { accept } });
      assert.deepEqual([status, headers["content-type"], headers["cache-control"]], [403, type, "no-store"]);
      assert.ok(text.includes(body), text);
    }
    const { text } = await rig.ask(peer.C2, { headers: { accept: "application/json" } });
    const { peer: from, findings, report } = JSON.parse(text);
    assert.deepEqual([from, findings], [peer.C2, ["reputation", "c2"]]);
    assert.equal(report, "https://www.criminalip.io/asset/report/192.0.2.40");
    const grpc = await rig.ask(peer.C2, { method: "POST", headers: { "content-type": "application/grpc+proto" }, body: "x" });
    assert.deepEqual([grpc.status, grpc.headers["grpc-status"]], [200, "7"]);
    assert.equal(grpc.headers["grpc-message"], "Go <away>");
    assert.equal((await rig.ask(peer.C2, { method: "HEAD" })).status, 403);
    assert.deepEqual(rig.seen, []);
  });

  scenario("a refusal can be explained from its log line", {}, {}, async (rig) => {
    assert.equal((await rig.ask(peer.C2)).status, 403);
    const { rule, age, ...line } = await rig.decision(peer.C2);
    assert.ok(rule && age >= 0);
    assert.deepEqual(line, {
      event: "decision",
      peer: peer.C2,
      direction: "ingress",
      mode: "enforce",
      action: "deny",
      findings: ["reputation", "c2"],
      score: 40,
      source: "api",
      report: "https://www.criminalip.io/asset/report/192.0.2.40",
    });
  });

  scenario("in shadow mode everything passes, and the tag says what would have happened", { mode: "shadow" }, {}, async (rig) => {
    const { origin } = await rig.ask(peer.C2);
    assert.deepEqual(origin.tags, ["would=deny, score=40, findings=(reputation c2), source=api"]);
    assert.deepEqual([(await rig.decision(peer.C2)).action, (await rig.decision(peer.C2)).mode], ["deny", "shadow"]);
  });

  const places = { tag: { request_header: "x-peer", response_header: "x-peer-verdict" }, deny: { status: 451 }, log: "all" };
  scenario("the deployment's own tag, status and log are used", places, {}, async (rig) => {
    const tagged = await rig.ask(peer.TOR, { headers: { "x-criminalip": "not ours here" } });
    assert.deepEqual([tagged.origin.peers, tagged.origin.tags], [[`${TOR_TAG}api`], ["not ours here"]]);
    assert.equal(tagged.headers["x-peer-verdict"], `${TOR_TAG}api`);
    const refused = await rig.ask(peer.C2);
    assert.equal(refused.status, 451);
    assert.equal(refused.headers["x-peer-verdict"], "verdict=deny, score=40, findings=(reputation c2), source=api");
    assert.equal((await rig.decision(peer.TOR)).action, "tag");
  });

  const lists = {
    allow: [{ cidr: "192.0.2.40", owner: "netops", reason: "a sensor of ours" }],
    deny: [{ cidr: "192.0.2.0/24", reason: "incident 42" }, { cidr: "10.9.0.0/16" }],
  };
  scenario("lists decide without a lookup, and the allow list wins", { lists }, {}, async (rig) => {
    assert.deepEqual((await rig.ask(peer.C2)).origin.tags, ["verdict=allow, source=list"]);
    for (const denied of [peer.CLEAN, "10.9.8.7"]) assert.equal((await rig.ask(denied)).status, 403);
    assert.equal((await rig.decision(peer.CLEAN)).list.reason, "incident 42");
    assert.deepEqual(await rig.fake.calls(), []);
  });

  const rules = [
    {
      name: "tor-login",
      when: { any: ["anonymity.tor"], path_prefix: ["/login"], method: ["POST"], host: ["shop.example.com"] },
      then: "deny",
    },
  ];
  scenario("rules see the request that waited for its verdict", { policy: { rules } }, {}, async (rig) => {
    const headers = { host: "shop.example.com" };
    const login = () => rig.ask(peer.TOR, { path: "/login?next=/", method: "POST", headers, body: "user" });
    assert.deepEqual([(await login()).status, (await login()).status], [403, 403]);
    const { origin } = await rig.ask(peer.TOR, { path: "/", method: "POST", headers, body: "user" });
    assert.deepEqual([origin.method, origin.bytes], ["POST", 4]);
    assert.equal((await rig.decision(peer.TOR)).rule, "tor-login");
  });

  const own = { lists: { allow: [{ cidr: "203.0.113.7" }] }, first_look: { hold: "0s" } };
  scenario("a client's own tag never reaches the origin", own, {}, async (rig) => {
    const header = "verdict=allow, score=20, source=client";
    for (const [from, start] of [
      [peer.TOR, "verdict="],
      ["203.0.113.7", "verdict=allow, source=list"],
      ["10.1.2.3", undefined],
      ["not an address", undefined],
      [undefined, undefined],
    ]) {
      for (const headers of [
        { "x-criminalip": header },
        { "X-CriminalIP": [header, "\xff\xfe"] },
        { "x-criminalip": header, connection: "close, x-criminalip" },
      ]) {
        const { origin } = await rig.ask(from, { headers });
        assert.equal(origin.tags.length, start ? 1 : 0, `${from}: ${origin.tags}`);
        if (start) assert.ok(origin.tags[0].startsWith(start) && !origin.tags[0].includes("client"), origin.tags[0]);
      }
    }
  });

  const nobody = { on_error: "deny", first_look: { then: "deny" }, scope: { skip: ["8.8.8.0/24"] } };
  scenario("peers that are not public pass without a lookup and without a tag", nobody, {}, async (rig) => {
    const peers = ["10.0.0.1", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "8.8.8.8", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"];
    for (const from of peers) assert.deepEqual((await rig.ask(from, { headers: { "x-criminalip": "mine" } })).origin.tags, [], from);
    assert.deepEqual(await rig.fake.calls(), []);
  });

  scenario("IPv6 peers are judged, and mapped ones are their IPv4 selves", {}, {}, async (rig) => {
    for (const [from, status, asked] of [
      ["2001:db8::40", 403, "2001:db8::40"],
      ["2001:db8::10", 200, "2001:db8::10"],
      ["::ffff:192.0.2.40", 403, "192.0.2.40"],
    ]) {
      assert.equal((await rig.ask(from)).status, status, from);
      assert.equal((await rig.fake.calls()).at(-1).target, `/v1/asset/ip/report?ip=${asked}&full=true`);
    }
    assert.equal((await rig.ask(peer.C2)).status, 403);
    assert.equal((await rig.fake.calls()).length, 3);
  });

  scenario("what hostile clients send ends in an answer", { policy: { rules } }, {}, async (rig) => {
    const odd = String.fromCharCode(...Array.from({ length: 128 }, (_, at) => at + 128));
    for (const name of ["accept", "content-type", "x-criminalip", "user-agent", "cookie"]) {
      for (const [from, status] of [[peer.C2, 403], [peer.TOR, 200]]) {
        assert.equal((await rig.ask(from, { headers: { [name]: odd } })).status, status, name);
      }
    }
    const path = `/${"a".repeat(10_000)}`;
    assert.equal((await rig.ask(peer.TOR, { path })).origin.url, path);
    const accept = "application/json;q=0.1,".repeat(300);
    assert.equal((await rig.ask(peer.C2, { headers: { accept } })).headers["content-type"], "application/json");
  });

  scenario("a body of 3 MB is held and forwarded whole", {}, {}, async (rig) => {
    const body = Buffer.alloc(3_000_000, "portcullis");
    await rig.fake.tell({ answer: "report", held: true, ip: peer.TOR });
    const reply = rig.ask(peer.TOR, { method: "POST", body });
    await rig.fake.waitForCalls(1);
    assert.deepEqual(rig.seen, []);
    await rig.fake.release();
    assert.equal((await reply).origin.bytes, body.length);
  });
}, { first_look: PATIENT });
