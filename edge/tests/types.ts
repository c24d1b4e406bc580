// What users write, for the type checker alone; and what it must refuse.
import { ConfigError, isPublic, type Judgement, parseList, Policy } from "portcullis";
import * as web from "portcullis/web";
import { guarded as deno } from "portcullis/worker/deno";
import { guarded as node, service } from "portcullis/worker/node";
import { worker } from "portcullis/worker/workerd";
import http from "node:http";

const policy = new Policy({ policy: { profile: "pipeline" } });
const assessment = policy.assess(new Uint8Array(), { status: 200, at: new Date() });
if (assessment.outcome === "assessed") {
  const level: 20 | 40 | 60 | 80 | 100 | null = assessment.score.inbound;
  console.log(level, assessment.findings[0]?.detail);
} else {
  console.log(assessment.error);
  // @ts-expect-error A failure knows nothing about the address.
  console.log(assessment.score);
}
const judgement: Judgement = policy.decide(assessment, { port: 22, direction: "egress" });
if (judgement.verdict === "deny") console.log(judgement.rule, judgement.link);
// @ts-expect-error There is no such direction.
policy.decide(assessment, { direction: "up" });
// @ts-expect-error There is no such verdict.
console.log(judgement.verdict === "block");

const found = parseList([{ cidr: "203.0.113.0/24" }]).match("203.0.113.9");
console.log(found?.cidr, isPublic("8.8.8.8"), new web.Policy("{}"));
// @ts-expect-error An entry has a network.
parseList([{ owner: "netops" }]);
try {
  new Policy("{");
} catch (problem) {
  if (problem instanceof ConfigError) console.log(problem.mistakes.map(({ path, code }) => `${path} ${code}`));
}

const config = { api: { cluster: "criminalip", key_env: "CRIMINALIP_API_KEY" } };
export default worker<{ FACTS: unknown }>(config, { cache: "portcullis", kv: "FACTS" });
export const handler = deno(config, () => new Response("Hello"), { peerHeader: "x-real-ip" });
const bindings = { criminalip: service("http://127.0.0.1:8080") };
http.createServer(node(config, (_, response) => response.end("Hello"), { bindings }));
// @ts-expect-error A memory is a name, or can be read and written.
worker(config, { kv: {} });
