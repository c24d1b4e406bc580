import { disagreements } from "../vectors.mjs";

const [from, address] = Deno.args;
const portcullis = await import(from);
const vectors = await (await fetch(`${address}/vectors.json`)).json();
console.log(`disagreements: ${JSON.stringify(disagreements(portcullis, vectors))}`);
