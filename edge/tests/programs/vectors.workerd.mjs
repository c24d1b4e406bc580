import * as portcullis from "./portcullis/workerd.js";
import { disagreements } from "./vectors.mjs";

export default {
  async fetch(request) {
    return Response.json(disagreements(portcullis, await request.json()));
  },
};
