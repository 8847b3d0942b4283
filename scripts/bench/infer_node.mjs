// The peer of `synshard infer` in Node: onnxruntime-node fed by sharp, JPEG files to NDJSON.
//
//   npm install --prefix DIR --ignore-scripts onnxruntime-node sharp
//   NODE_PATH=DIR/node_modules node scripts/bench/infer_node.mjs MODEL.onnx FOLDER OUT.ndjson [batch] [threads]
//
// Prints one JSON line. sharp resizes with its cubic kernel to the shorter side and cuts the centre out.
import { createRequire } from "node:module";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
const require = createRequire(path.join(process.env.NODE_PATH ?? process.cwd(), "x.js"));
const ort = require("onnxruntime-node"), sharp = require("sharp");

const [model, folder, out, batchText = "8", threadsText = String(os.availableParallelism())] = process.argv.slice(2);
const batch = Number(batchText), size = Number(process.env.SIZE ?? 299), resize = Number(process.env.RESIZE ?? 342);
const began = performance.now();
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: Number(threadsText), executionProviders: ["cpu"] });
const files = fs.readdirSync(folder, { recursive: true, withFileTypes: true }).filter((f) => f.isFile() && /\.(jpe?g|png)$/i.test(f.name))
  .map((f) => path.join(f.parentPath ?? f.path, f.name)).sort();
const image = async (file) => {
  const image = sharp(file), m = await image.metadata();
  const s = resize / Math.min(m.width, m.height), w = Math.max(resize, Math.trunc(m.width * s)), h = Math.max(resize, Math.trunc(m.height * s));
  return image.toColourspace("srgb").removeAlpha().resize(w, h, { fit: "fill" })
    .extract({ left: Math.round((w - size) / 2), top: Math.round((h - size) / 2), width: size, height: size }).raw().toBuffer();
};
const ready = (i) => Promise.all(files.slice(i, i + batch).map(image));
const first = performance.now(), sink = fs.createWriteStream(out);
let next = ready(0);
for (let i = 0; i < files.length; i += batch) {
  const images = await next;
  next = ready(i + batch); // decoded while the network runs
  const input = new ort.Tensor("uint8", new Uint8Array(Buffer.concat(images)), [images.length, size, size, 3]);
  const probs = (await session.run({ [session.inputNames[0]]: input }, ["probabilities"])).probabilities;
  const classes = probs.dims[1];
  images.forEach((_, j) => {
    const row = probs.data.subarray(j * classes, (j + 1) * classes);
    const top = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 5);
    sink.write(JSON.stringify({ path: path.basename(files[i + j]), pred_label: top, pred_prob: top.map((t) => row[t]) }) + "\n");
  });
}
await new Promise((done) => sink.end(done));
const seconds = (performance.now() - first) / 1000;
console.log(JSON.stringify({ images: files.length, seconds, open_seconds: (first - began) / 1000, images_per_second: files.length / seconds }));
