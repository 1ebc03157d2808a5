// Predict and explain pictures with a model that has its explanation inside.
// Usage: node explain.mjs FOLDER, which python prepare.py made; writes FOLDER/result.json

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { argv, exit } from "node:process";
import * as ort from "onnxruntime-node";

const folder = argv[2];
if (!folder) {
  console.error("expected a folder that prepare.py made; usage: node explain.mjs FOLDER");
  exit(2);
}
const about = JSON.parse(readFileSync(join(folder, "about.json"), "utf8"));
const arrays = { float32: Float32Array, float16: Uint16Array, uint8: Uint8Array }; // of float16 the bits
const bytes = readFileSync(join(folder, "input.bin"));
const values = new arrays[about.type](bytes.buffer, bytes.byteOffset, bytes.byteLength / arrays[about.type].BYTES_PER_ELEMENT);

const session = await ort.InferenceSession.create(join(folder, "explained.onnx"), { logSeverityLevel: 3 });
const [count, ...shape] = about.shape;
const size = shape.reduce((product, side) => product * side, 1);
const results = [];
for (let i = 0; i < count; i++) {
  const picture = values.slice(i * size, (i + 1) * size);
  const outputs = await session.run({ [session.inputNames[0]]: new ort.Tensor(about.type, picture, [1, ...shape]) });
  const numbers = Object.entries(outputs).map(([name, tensor]) => [name, Array.from(tensor.data, Number)]);
  results.push(Object.fromEntries(numbers));
}
writeFileSync(join(folder, "result.json"), JSON.stringify(results));

for (const found of results) {
  const scores = found[about.scores];
  const best = scores.indexOf(Math.max(...scores));
  const kept = found.units ? `, ${found.units.filter(Boolean).length} of ${found.units.length} units suffice` : "";
  console.log(`${about.labels[best]}${kept}`);
}
