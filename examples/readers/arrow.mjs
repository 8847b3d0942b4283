// arrow-js: node arrow.mjs DATASET SPLIT PREDICTIONS
import { open } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tableFromIPC } from "apache-arrow";

const [root, split, predictions] = process.argv.slice(2);
const index = tableFromIPC(readFileSync(`${root}/${split}/index.arrow`));
const images = new Map(Array.from(index, (row) => [row.path, row]));
let right = 0, count = 0;
for (const row of tableFromIPC(readFileSync(predictions))) {
	if (row.error !== null) continue;
	count++;
	right += row.pred_synset.get(0) === images.get(row.path).synset;
}

// An image is one read of its shard.
const first = index.get(0);
const file = await open(`${root}/${first.file}`);
const { buffer } = await file.read(new Uint8Array(Number(first.length)), 0, Number(first.length), Number(first.offset));
await file.close();
console.log(first.path, first.format, buffer.subarray(0, 3));
console.log(`${count} images, ${right} right`);
