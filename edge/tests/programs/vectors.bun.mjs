import * as portcullis from "portcullis";
import { disagreements } from "../vectors.mjs";

const vectors = await (await fetch(`${process.argv[2]}/vectors.json`)).json();
console.log(`disagreements: ${JSON.stringify(disagreements(portcullis, vectors))}`);
