import { disagreements } from "../vectors.mjs";

let said;
try {
  const portcullis = await import("/web.js");
  said = disagreements(portcullis, await (await fetch("/vectors.json")).json());
} catch (problem) {
  said = [`${problem.stack}`];
}
await fetch("/disagreements", { method: "POST", body: JSON.stringify(said) });
