// Opens the shards of a synshard dataset with Arrow's JavaScript and wants the
// rows of the index: every column, and the sha256 of every image's bytes.
//
//   npm install apache-arrow && node scripts/golden/shard_arrowjs.mjs DATASET
//
// npm looks for the package upwards from this file and not from where it is
// called; NODE_PATH does not help modules. Copy the script beside node_modules
// where that is elsewhere.
import {tableFromIPC} from 'apache-arrow';
import {createHash} from 'crypto';
import {readFileSync} from 'fs';
import {join} from 'path';

const columns = ['label', 'synset', 'ilsvrc2012_id', 'width', 'height', 'format', 'mode', 'sha256', 'objects'];
const root = process.argv[2];
if (!root) {
  console.error('usage: shard_arrowjs.mjs DATASET');
  process.exit(2);
}

// plain turns a cell into text by which cells compare.
const plain = (v) => JSON.stringify(v, (_, x) => {
  if (typeof x === 'bigint') return x.toString();
  if (x instanceof Uint8Array) return Buffer.from(x).toString('hex');
  return x;
});
const cell = (row, column) => {
  const v = row[column];
  if (column === 'objects') return plain(v ? [...v].map((o) => o.toJSON()) : []);
  return v instanceof Uint8Array ? Buffer.from(v).toString('hex') : plain(v);
};
const fail = (text) => {
  console.error(`shard_arrowjs: ${text}`);
  process.exit(1);
};

const manifest = JSON.parse(readFileSync(join(root, 'dataset.json')));
for (const split of Object.keys(manifest.splits).sort()) {
  const index = tableFromIPC(readFileSync(join(root, split, 'index.arrow')));
  const rows = new Map();
  for (const row of index) rows.set(row.path, row);
  let n = 0;
  for (const file of new Set([...rows.values()].map((r) => r.file))) {
    for (const row of tableFromIPC(readFileSync(join(root, file)))) {
      const want = rows.get(row.image.path);
      if (!want) fail(`${file}: ${row.image.path} is not in the index`);
      for (const c of columns) {
        if (cell(row, c) !== cell(want, c)) fail(`${file}: ${row.image.path} ${c}: ${cell(row, c)}, the index has ${cell(want, c)}`);
      }
      const sum = createHash('sha256').update(row.image.bytes).digest('hex');
      if (sum !== Buffer.from(want.sha256).toString('hex')) fail(`${file}: bytes of ${row.image.path}`);
      n++;
    }
  }
  if (n !== manifest.splits[split].rows || n !== rows.size) fail(`${split}: ${n} rows, the manifest says ${manifest.splits[split].rows}`);
  console.log(`${split}: ${n} rows, equal in arrow-js`);
}
